"""TLS to a Redis with the certificates that REDIS_URL names, which are read by us.

OpenSSL would follow any link, wait for a FIFO, and ask at our terminal for a key's password.
"""

import os
import re
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.redis.arguments import Tls
from hx_gateway_db.redis.place import Withheld, about
from hx_gateway_db.redis.tls_sentences import unusable_file
from hx_gateway_db.settings.values import Redis
from hx_gateway_db.systemd import certificate_file
from hx_gateway_db.transaction.folders import names
from hx_gateway_db.transaction.foreign_file import Unreadable

_NAMES_AT_MOST = 1000
# As OpenSSL looks for them (openssl-rehash(1)).
_OF_A_FOLDER = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def context(redis: Redis, tls: Tls) -> ssl.SSLContext:
    """What a connection is encrypted with, as redis-py makes it.

    Raises Withheld for a file that can't be used, ssl.SSLError for one that holds no certificate.
    """
    made = ssl.create_default_context()
    made.check_hostname = tls.name_checked
    made.verify_mode = ssl.CERT_REQUIRED if tls.checked else ssl.CERT_NONE
    if tls.ciphers:
        made.set_ciphers(tls.ciphers)
    trusted = [tls.ca_text.encode()] if tls.ca_text else []
    if tls.ca_file:
        trusted.append(_certificates(redis, tls.ca_file))
    if tls.ca_folder:
        trusted += _of_folder(tls.ca_folder)
    for content in trusted:
        with _in_memory(content) as path:
            made.load_verify_locations(cafile=path)
    if tls.certificate or tls.key:
        _show(redis, made, tls)
    return made


def _certificates(redis: Redis, path: str) -> bytes:
    try:
        return certificate_file.read(path)
    except Unreadable as error:
        what = f"there is no file {path}" if error.missing else f"{path} can't be read"
        if not error.missing and _is_file(path):
            what += f", since {error}"
        raise Withheld(unusable_file(redis, what)) from None


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _of_folder(path: str) -> list[bytes]:
    """The certificates that OpenSSL would find in a folder; none in one that can't be read."""
    found: list[bytes] = []
    if not PurePosixPath(path).is_absolute():
        return found
    with suppress(OSError, Refused, ValueError):
        for name in filter(_OF_A_FOLDER.fullmatch, names(PurePosixPath(path), _NAMES_AT_MOST)):
            if sum(map(len, found)) < certificate_file.LARGEST:
                with suppress(Unreadable):
                    found.append(certificate_file.read(PurePosixPath(path) / name))
    return found


def _show(redis: Redis, made: ssl.SSLContext, tls: Tls) -> None:
    """Have it show a certificate of ours. Raises Withheld."""
    certificate = tls.certificate or tls.key
    try:
        with (
            _in_memory(certificate_file.read(certificate)) as shown,
            _in_memory(certificate_file.read(tls.key or certificate)) as key,
        ):
            # Without a password OpenSSL would ask for one.
            made.load_cert_chain(shown, key, password=tls.key_password)
    except Unreadable as error:
        what = f"ssl_certfile or ssl_keyfile of REDIS_URL can't be used: {error}"
    except ssl.SSLError:
        what = "ssl_certfile and ssl_keyfile of REDIS_URL hold no certificate with its key"
    else:
        return
    cure = "name PEM files there, or take both out of REDIS_URL in gateway.env"
    raise Withheld(about(redis, "tls").failed(what, "LiteLLM would show them to the server", cure))


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path under which OpenSSL reads `content`."""
    with open(os.memfd_create("certificates"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
