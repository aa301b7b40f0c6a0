"""The certificates that a checked TLS connection trusts, as LiteLLM's Prisma reads them."""

import grp
import os
import pwd
import ssl
from pathlib import Path

from hx_gateway_db.layout import GATEWAY_GROUP

SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What ProtectHome= and PrivateTmp= of the gateway's units hide (systemd.exec(5)).
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


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
    except ssl.SSLError:
        raise UnusableFile("its first certificate is damaged", cure) from None
    if not _readable_by_the_gateway(path):
        raise UnusableFile(
            f"the user {GATEWAY_GROUP} can't read it",
            f"chmod a+r {path}, and a+x the folders above it",
        )
    return found


def hidden_from_the_units(ca_file: str) -> bool:
    """Whether the sandbox of the gateway's units, as they come, hides the file."""
    return any(Path(ca_file).is_relative_to(folder) for folder in _HIDDEN)


def _read(path: Path, cure: str) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        why = (error.strerror or "it can't be read").lower()
        raise UnusableFile(why, cure) from None


def _first_certificate(text: str) -> str:
    _, begin, rest = text.partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    return f"{begin}{body}{end}" if begin and end else ""


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

    resolved = path.resolve()
    return may(resolved, 0o400) and all(may(folder, 0o100) for folder in resolved.parents)
