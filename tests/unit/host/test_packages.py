"""Which package a file belongs to, asked of this machine's dpkg."""

from pathlib import Path, PurePosixPath

from hx_gateway_db.host.packages import Owner, owner

ROOT = Path("/")


def test_a_file_of_a_package_is_known_and_whether_it_is_a_conffile() -> None:
    assert owner(ROOT, PurePosixPath("/usr/bin/dpkg-query")) == Owner("dpkg", False)
    assert owner(ROOT, PurePosixPath("/etc/dpkg/dpkg.cfg")) == Owner("dpkg", True)


def test_other_files_are_nobody_s() -> None:
    assert owner(ROOT, PurePosixPath("/etc/hostname")) is None
    assert owner(ROOT, PurePosixPath("/no such file")) is None
