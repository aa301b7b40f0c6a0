"""Running another program that must not keep us waiting, and reading what it says."""

import subprocess
from collections.abc import Mapping, Sequence


def captured(
    command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `command` without input, for `seconds` at most; its output is text.

    `environment` is ours if it is None. Raises subprocess.TimeoutExpired, and OSError when it
    can't be run.
    """
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        env=environment,
        check=False,
    )
