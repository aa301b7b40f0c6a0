"""A purge that is killed before any of its commands: the next one leaves nothing behind."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.faults.tally import Tally
from tests.package.test_purge import POSTRM, PRISTINE, WIRED, Host

# Counts itself, and kills all of the purge instead of the command whose turn it is.
_STAND_IN = """\
#!/bin/sh
echo >>"{folder}/count"
[ "$(/usr/bin/wc -l <"{folder}/count")" -lt {number} ] || kill -KILL 0
exec "{program}" "$@"
"""


def commands() -> dict[str, str]:
    """The programs that the script names, and where they are."""
    words = set(re.findall(r"[a-z0-9]+", POSTRM.read_text()))
    found = {word: shutil.which(word, path="/usr/sbin:/usr/bin") for word in words}
    return {word: path for word, path in found.items() if path}


def stand_in(folder: Path, number: int) -> Path:
    """A folder for PATH; the `number`-th command started from it, or the next, ends everything."""
    programs = folder / "programs"
    programs.mkdir()
    for name, program in commands().items():
        text = _STAND_IN.format(folder=folder, number=number, program=program)
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return programs


def test_a_purge_killed_before_any_command_is_finished_by_the_next(
    tmp_path: Path, tally: Tally
) -> None:
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        host = Host(folder)
        (host.opt / "made").mkdir()
        host.record("folder /opt/made")
        host.give_to_service_user()
        path = f"PATH={stand_in(folder, number)}:/usr/sbin:/usr/bin"
        done = host.run_postrm("purge", before=["setsid", "--wait", "env", path])
        if done.returncode == 0:
            break
        tally.injected += 1
        assert host.config.read_bytes() in (PRISTINE, WIRED)
        host.postrm()
        tally.files_torn += host.config.read_bytes() != PRISTINE
        assert host.names() == {"config.yaml"}
        assert [path.name for path in host.opt.iterdir()] == ["base"]
        assert not host.state.exists()
    assert number > 10, "the purge was hardly disturbed"
