"""The certificates that a checked TLS connection trusts, as LiteLLM's Prisma reads them."""

import shlex
import ssl
from pathlib import Path, PurePosixPath

from hx_gateway_db.layout import GATEWAY_GROUP, SYSTEM_CERTIFICATES
from hx_gateway_db.systemd import certificate_file
from hx_gateway_db.transaction import foreign_file

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
        return _read(Path(SYSTEM_CERTIFICATES), "install it: apt install ca-certificates")
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
    if not certificate_file.readable_by_the_gateway(path):
        raise UnusableFile(
            f"the user {GATEWAY_GROUP} can't read it",
            f"chmod a+r {shlex.quote(ca_file)}, and a+x the folders above it",
        )
    return found


def _read(path: Path, cure: str) -> str:
    try:
        content = certificate_file.read(PurePosixPath(path))
    except foreign_file.Unreadable as error:
        why = "no such file or directory" if error.missing else str(error)
        raise UnusableFile("it is a directory" if path.is_dir() else why, cure) from None
    # PEM is ASCII; people write comments between.
    return content.decode("ascii", errors="replace").replace("\ufffd", "?")


def _first_certificate(text: str) -> str:
    begins = text.find(_BEGIN)
    ends = text.find(_END, begins) if begins >= 0 else -1
    return text[begins : ends + len(_END)] if ends >= 0 else ""
