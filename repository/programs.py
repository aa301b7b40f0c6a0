"""The one way in which another program is run here."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from repository.errors import Refused

_PACKAGES = {
    "apt-ftparchive": "apt-utils",
    "dpkg-buildpackage": "dpkg-dev debhelper",
    "gpg": "gpg gpg-agent",
    "gpgconf": "gpg gpg-agent",
}


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """What the program writes to its standard output.

    Raises Refused when it is not there, or with what it said last when it fails.
    """
    name = str(command[0])
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except FileNotFoundError:
        missing = _PACKAGES.get(name, name)
        raise Refused(f"{name} is missing: 'apt install {missing}' gets it.") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-2000:]
        raise Refused(f"{name} failed with exit status {done.returncode}:\n{said}")
    return done.stdout
