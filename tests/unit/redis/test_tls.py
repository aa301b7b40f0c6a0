"""Certificates that REDIS_URL names are read by us: nothing hangs, nothing foreign is followed."""

import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.redis.check import inspect_redis
from hx_gateway_db.settings.values import Redis
from tests.fake_redis import FakeRedis, fake_redis

# For localhost and 127.0.0.1, from 2020 on for 100 years.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBqzCCAVGgAwIBAgIUCb4AUqvAP3+laI3v/7wv38j5ROMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMTkxMjA4
MDAwMDAwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQT+vxK0SEU8QYufd9S/PdTwjEiRawtcKGbPDVvmbd6mjcIAlAwWzq1
KshaRuCMsfady04fv2UkkvGb34xkscP8o38wfTAdBgNVHQ4EFgQUhFUc1UvkR3xC
iOgsCWfnt00e3dQwHwYDVR0jBBgwFoAUhFUc1UvkR3xCiOgsCWfnt00e3dQwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwDgYDVR0P
AQH/BAQDAgKEMAoGCCqGSM49BAMCA0gAMEUCIHVIJqGyRfjJYOHVXFK4b/o3Hojd
7VVlmYfrEVldS4zRAiEAm82vvCexYY9GHo3CTU/tR5zRQXlXGkDIoZ/mWrSqCvs=
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg6E3Yg/ouL+NacLs9
HQ2S6MybMKYTccRoxduTYJawCFOhRANCAAQT+vxK0SEU8QYufd9S/PdTwjEiRawt
cKGbPDVvmbd6mjcIAlAwWzq1KshaRuCMsfady04fv2UkkvGb34xkscP8
-----END PRIVATE KEY-----
"""
# The same key, for which one has to know a password.
LOCKED_KEY = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAj/KA9BOgz0swICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEEYJU42GXZhU+tRxxDx7ZvwEgZCl
vlOJ9ai/45qCODA1cZ2oaGIbXYEmAVKGVnUcj7Np3LsqhwrxvxEGUsYrBwUSdOqi
5VcsetajmSxypmKORUqKJQpOi4ONEaHiT97ad7jiy8lGWxr4wWzc3qr18AFmIZeT
yRdYo/TWwKrR85rqfM4zPNMHBGnG2ORcyTe74u2qkWWTts1p3BD5Pp62hwK0tMs=
-----END ENCRYPTED PRIVATE KEY-----
"""
HASH = "ce275665"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    path.write_text(CERTIFICATE)
    return path


@pytest.fixture
def fake(tmp_path: Path, authority: Path) -> Iterator[FakeRedis]:
    """A Redis that speaks TLS."""
    key = tmp_path / "key.pem"
    key.write_text(KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, key)
    with fake_redis(context=context) as server:
        yield server


def look(fake: FakeRedis, ca_file: str = "", **parameters: str) -> tuple[Finding, ...]:
    """What is found at a Redis of this URL, and without delay."""
    started = time.monotonic()
    given = tuple(parameters.items())
    found = inspect_redis(
        Redis("127.0.0.1", fake.port, password="pw", tls=True, ca_file=ca_file, parameters=given)
    )
    assert time.monotonic() - started < 5
    return found


def failure(found: tuple[Finding, ...]) -> str:
    (failed,) = (each for each in found if each.level is Level.FAILED)
    assert failed.cure
    return failed.sentence


def test_a_certificate_of_a_file_of_a_folder_or_of_the_url_is_trusted(
    fake: FakeRedis, authority: Path
) -> None:
    folder = authority.parent / "folder"
    folder.mkdir()
    (folder / f"{HASH}.0").write_text(CERTIFICATE)
    (folder / "0badf00d.0").mkdir()
    assert {each.level for each in look(fake, str(authority))} == {Level.OK}
    assert {each.level for each in look(fake, ssl_ca_data=CERTIFICATE)} == {Level.OK}
    assert {each.level for each in look(fake, ssl_ca_path=str(folder))} == {Level.OK}
    assert "does not know" in failure(look(fake, ssl_ca_path=f"{folder}/none"))
    assert "does not know" in failure(look(fake))


def test_a_pipe_or_a_device_in_place_of_a_certificate_is_neither_opened_nor_read(
    fake: FakeRedis, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / f"{HASH}.0")
    for path in (str(tmp_path / "pipe"), "/dev/zero", str(folder)):
        assert f"{path} can't be read (it should hold" in failure(look(fake, path))
        assert "not a regular file" in failure(look(fake, ssl_certfile=path, ssl_keyfile=path))
    assert "does not know" in failure(look(fake, ssl_ca_path=str(folder)))


def test_a_link_that_another_could_have_put_there_is_not_followed(
    fake: FakeRedis, authority: Path
) -> None:
    folder = authority.parent / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "link.pem").symlink_to(authority)
    said = failure(look(fake, str(folder / "link.pem")))
    assert "can't be read, since it is a symbolic link that root does not control" in said


def test_a_file_that_is_missing_too_large_or_holds_no_certificate_is_a_finding(
    fake: FakeRedis, tmp_path: Path
) -> None:
    assert "there is no file /no/such.pem" in failure(look(fake, "/no/such.pem"))
    (tmp_path / "empty.pem").write_text("no certificate\n")
    said = failure(look(fake, str(tmp_path / "empty.pem")))
    assert "empty.pem holds no certificate in PEM form" in said
    with open(tmp_path / "large.pem", "wb") as file:
        file.truncate(2**40)
    assert "since it is larger than 1 MiB" in failure(look(fake, str(tmp_path / "large.pem")))
    assert "holds no certificate" in failure(look(fake, ssl_ca_data="ä\n"))


def test_a_certificate_of_our_own_is_shown_and_nobody_is_asked_for_its_password(
    fake: FakeRedis, authority: Path
) -> None:
    key, locked = authority.parent / "own.pem", authority.parent / "locked.pem"
    key.write_text(KEY)
    locked.write_text(LOCKED_KEY)
    shown = {"ssl_certfile": str(authority)}
    assert {each.level for each in look(fake, str(authority), ssl_keyfile=str(key), **shown)} == {
        Level.OK
    }
    opened = {"ssl_keyfile": str(locked), "ssl_password": "x"}
    assert {each.level for each in look(fake, str(authority), **opened, **shown)} == {Level.OK}
    said = failure(look(fake, str(authority), ssl_keyfile=str(locked), **shown))
    assert "hold no certificate with its key" in said


def test_a_certificate_that_is_not_checked_is_a_warning(fake: FakeRedis) -> None:
    found = look(fake, ssl_cert_reqs="none")
    warned = [each.sentence for each in found if each.level is not Level.OK]
    assert warned == [
        f"Redis at 127.0.0.1:{fake.port} is believed whatever certificate it shows (whoever is on"
        " the way can read the password and what is cached): take ssl_cert_reqs out of REDIS_URL"
        " in gateway.env."
    ]
