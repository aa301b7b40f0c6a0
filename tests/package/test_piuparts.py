"""Debian's own test of a package's life, in a chroot with nothing but what it depends on."""

import subprocess
from pathlib import Path

import pytest

from tests.faults.tally import all_faults
from tests.machine.installation import raised_version
from tests.package.tools_image import build_bare_image


@pytest.fixture
def archive(deb: Path, tmp_path: Path) -> Path:
    """An archive that has an earlier version: this one with a lower version number.

    What 0.1.0 has left on a host, tests/machine/test_upgrade.py has this one take over.
    """
    folder = tmp_path / "archive"
    folder.mkdir()
    raised_version(deb, tmp_path, "0.0.9").rename(folder / "hx-gateway-db_0.0.9_all.deb")
    index = subprocess.run(
        ["dpkg-scanpackages", "--multiversion", "."], cwd=folder, check=True, capture_output=True
    )
    (folder / "Packages").write_bytes(index.stdout)
    return folder


def test_installation_upgrade_removal_and_purge_leave_nothing_and_change_nothing(
    release: str, deb: Path, archive: Path
) -> None:
    known = ["--bindmount", str(archive), "--extra-repo", f"deb [trusted=yes] file://{archive} ./"]
    ways = {"bookworm": [], "trixie": ["--install-remove-install"]}
    for options in ways.values() if all_faults() else (ways[release],):
        said = piuparts(release, deb, *known, *options)
        assert "PASS: Installation and purging test." in said
        assert "PASS: Installation, upgrade and purging tests." in said
        assert "hx-gateway-db (0.0.9)" in said


def piuparts(release: str, deb: Path, *options: str) -> str:
    """What piuparts says; an AssertionError with the end of it when it is not content."""
    chroot = build_bare_image(release)
    command = ["piuparts", "--distribution", release, "--existing-chroot", str(chroot)]
    done = subprocess.run(
        [*command, *options, str(deb)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout
