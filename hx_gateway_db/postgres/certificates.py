"""The certificates that a checked TLS connection trusts, as LiteLLM's Prisma reads them."""

import grp
import os
import pwd
import shlex
import ssl
from pathlib import Path, PurePosixPath

from hx_gateway_db.layout import GATEWAY_GROUP
from hx_gateway_db.transaction import foreign_file

SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What ProtectHome= and PrivateTmp= of the gateway's units hide (systemd.exec(5)).
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
# Of all the authorities that there are, Debian's list has a quarter of it.
_MOST_BYTES = 1024 * 1024


class UnusableFile(Exception):
    """A file of certificates that can't be used: `why`, a clause, and its `cure`."""

    def __init__(self, why: str, cure: str) -> None:
        super().__init__(why)
        self.why = why
        self.cure = cure


def trusted(ca_file: str) -> str:
    """The trusted certificates in PEM format; those of the system if `ca_file` is empty.

    Of a file it is the first one alone: Prisma's `sslcert` holds one certificate and overlooks
    the others (native-tls, Certificate::from_pem). Raises UnusableFile.
    """
    if not ca_file:
        return _read(SYSTEM_CERTIFICATES, "install it: apt install ca-certificates")
    path = Path(ca_file)
    text = _read(path, "answer the file with the CA's certificate as PG_SSLROOTCERT")
    found = _first_certificate(text)
    cure = "answer a file that begins with the CA's certificate in PEM format"
    if not found:
        raise UnusableFile("it holds no certificate in PEM format", cure)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError):
        raise UnusableFile("its first certificate is damaged", cure) from None
    if not _readable_by_the_gateway(path):
        raise UnusableFile(
            f"the user {GATEWAY_GROUP} can't read it",
            f"chmod a+r {shlex.quote(ca_file)}, and a+x the folders above it",
        )
    return found


def hidden_from_the_units(ca_file: str) -> bool:
    """Whether the sandbox of the gateway's units, as they come, hides the file."""
    return any(Path(ca_file).is_relative_to(folder) for folder in _HIDDEN)


def _read(path: Path, cure: str) -> str:
    try:
        content = foreign_file.read(PurePosixPath(path), _MOST_BYTES)
    except foreign_file.Unreadable as error:
        why = "no such file or directory" if error.missing else str(error)
        raise UnusableFile("it is a directory" if path.is_dir() else why, cure) from None
    # PEM is ASCII; people write comments between.
    return content.decode("ascii", errors="replace").replace("\ufffd", "?")


def _first_certificate(text: str) -> str:
    begins = text.find(_BEGIN)
    ends = text.find(_END, begins) if begins >= 0 else -1
    return text[begins : ends + len(_END)] if ends >= 0 else ""


def _readable_by_the_gateway(path: Path) -> bool:
    """Whether user or group of the gateway's units may read it; True where there is no such user.

    By the modes alone: an ACL that says more is overlooked.
    """
    try:
        user, group = pwd.getpwnam(GATEWAY_GROUP).pw_uid, grp.getgrnam(GATEWAY_GROUP).gr_gid
    except KeyError:
        return True

    def may(one: Path, owner_bit: int) -> bool:
        status = os.stat(one)
        if status.st_uid == user:
            return bool(status.st_mode & owner_bit)
        if status.st_gid == group:
            return bool(status.st_mode & owner_bit >> 3)
        return bool(status.st_mode & owner_bit >> 6)

    try:
        resolved = path.resolve()
        return may(resolved, 0o400) and all(may(folder, 0o100) for folder in resolved.parents)
    except (OSError, RuntimeError):  # it has gone, or leads in a circle, since it was read
        return False
