"""debian/tests, run by Debian's own runner on a booted machine that has no gateway."""

import re
from pathlib import Path

import pytest

from tests.machine.machine import Machine

pytestmark = pytest.mark.sample_release("trixie")


def test_autopkgtest_passes(tools: Machine, deb: Path) -> None:
    tools.boot()
    tools.put(deb, f"/root/{deb.name}")
    source = next(deb.parent.glob("*.dsc"))
    for name in [source.name, *re.findall(r"\S+\.tar\.\S+", source.read_text())]:
        tools.put(deb.parent / name, f"/root/{name}")
    # The runner can't know that this machine is a container, and thrown away afterwards.
    options = ["--ignore-restrictions=isolation-container,breaks-testbed"]
    options += ["--summary-file=/root/summary"]
    done = tools.run(
        ["autopkgtest", *options, f"/root/{deb.name}", f"/root/{source.name}", "--", "null"],
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    results = dict(line.split(maxsplit=1) for line in tools.read("/root/summary").splitlines())
    assert results == {"smoke": "PASS", "gateway": "PASS"}
