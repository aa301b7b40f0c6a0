"""Who can read a file of certificates."""

import grp
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from hx_gateway_db.systemd import certificate_file


@pytest.mark.parametrize(
    ("file", "setting"),
    [
        ("/root/ca.crt", "ProtectHome"),
        ("/var/tmp/ca.crt", "PrivateTmp"),
        ("/etc/ssl/ca.crt", ""),
        ("/rooted/x", ""),
    ],
)
def test_what_the_sandbox_hides_is_known(file: str, setting: str) -> None:
    assert certificate_file.hiding(file) == setting


def test_the_gateway_reads_what_is_for_everybody_in_folders_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = SimpleNamespace(pw_uid=12345, gr_gid=12345)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: gateway)
    monkeypatch.setattr(grp, "getgrnam", lambda name: gateway)
    assert certificate_file.readable_by_the_gateway(Path("/etc/ssl/certs/ca-certificates.crt"))
    file = tmp_path / "ca.crt"
    file.touch(0o644)
    tmp_path.chmod(0o700)
    assert not certificate_file.readable_by_the_gateway(file)


def test_where_there_is_no_gateway_yet_nothing_keeps_it_from_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", unknown)
    assert certificate_file.readable_by_the_gateway(tmp_path / "ca.crt")
