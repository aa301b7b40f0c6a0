"""The file of trusted certificates, which somebody else may have put there."""

import grp
import os
import pwd
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hx_gateway_db.postgres.certificates import UnusableFile, trusted


def test_only_the_first_certificate_of_a_file_is_trusted(tmp_path: Path) -> None:
    system = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    file = tmp_path / "ca.crt"
    file.write_text(f"# a comment\n{system}")
    assert trusted(str(file)).count("BEGIN CERTIFICATE") == 1
    assert trusted("") == system


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it holds no certificate in PEM format"),
        (
            "-----BEGIN CERTIFICATE-----\nabcd\n-----END CERTIFICATE-----\n",
            "its first certificate is damaged",
        ),
    ],
)
def test_a_file_without_a_certificate_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(text)
    with pytest.raises(UnusableFile, match=why):
        trusted(str(file))
    with pytest.raises(UnusableFile, match="no such file or directory"):
        trusted(str(tmp_path / "none.crt"))
    with pytest.raises(UnusableFile, match="is a directory"):
        trusted(str(tmp_path))


def refused(path: Path) -> UnusableFile:
    started = time.monotonic()
    with pytest.raises(UnusableFile) as unusable:
        trusted(str(path))
    assert time.monotonic() - started < 1
    return unusable.value


def test_nothing_that_is_no_file_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert refused(fifo).why == "it is not a regular file"
    assert refused(Path("/dev/zero")).why == "it is not a regular file"
    assert refused(fifo).cure == "answer the file with the CA's certificate as PG_SSLROOTCERT"


def test_a_file_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large.crt"
    large.touch()
    os.truncate(large, 2**30)
    assert refused(large).why == "it is larger than 1 MiB"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a link somebody else's")
def test_a_link_of_somebody_else_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "ca.crt").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    os.chown(folder / "ca.crt", 12345, 12345, follow_symlinks=False)
    os.chown(folder, 12345, 12345)
    assert refused(folder / "ca.crt").why == "it is a symbolic link that root does not control"


def test_a_thousand_beginnings_without_an_end_take_no_time(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("-----BEGIN CERTIFICATE-----\n" * 30_000)
    assert refused(file).why == "it holds no certificate in PEM format"


@pytest.mark.parametrize("inside", ["caf\u00e9", "\0", "=====", "\N{SNOWMAN}" * 100])
def test_a_certificate_of_other_characters_is_damaged(tmp_path: Path, inside: str) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(f"-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n")
    assert refused(file).why == "its first certificate is damaged"


def test_a_comment_in_any_language_may_stand_before_it(tmp_path: Path, certificate: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(f"# Zertifikat f\u00fcr die \u00c4mter\n{certificate.read_text()}")
    assert trusted(str(file)).startswith("-----BEGIN CERTIFICATE-----")


def test_a_path_in_a_cure_is_quoted(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = SimpleNamespace(pw_uid=12345, gr_gid=12345)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: nobody)
    monkeypatch.setattr(grp, "getgrnam", lambda name: nobody)
    file = tmp_path / "a; reboot.crt"
    file.write_text(certificate.read_text())
    file.chmod(0o600)
    assert f"chmod a+r '{file}'" in refused(file).cure
