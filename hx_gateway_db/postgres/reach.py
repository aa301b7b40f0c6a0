"""The way to a PostgreSQL server before anybody logs in: name, port and TLS.

Looked at by hand, since libpq's texts do not tell these failures apart.
"""

import ipaddress
import shlex
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from hx_gateway_db import in_thread
from hx_gateway_db.findings import Finding
from hx_gateway_db.postgres import sentences as errors
from hx_gateway_db.postgres.certificates import UnusableFile, trusted
from hx_gateway_db.postgres.channel import Channel, Unreachable, connected, left
from hx_gateway_db.postgres.target import Target
from hx_gateway_db.systemd.certificate_file import hiding

_RESOLVE_SECONDS = 2.5
_EXPIRY_DAYS = 14


@dataclass(frozen=True)
class Reached:
    """The address that answered, whether TLS is offered there and used, and what is trusted.

    `certificates` are in PEM format, empty where none is checked.
    """

    address: str
    tls_offered: bool
    encrypted: bool
    certificates: str = ""


def reach(target: Target, deadline: float) -> tuple[list[Finding], Reached | None]:
    """Go as far as the TLS handshake, until `deadline` (time.monotonic) at the latest.

    The way is None if it can't be gone to its end; the last finding then says why.
    """
    found: list[Finding] = []
    try:
        certificates = _certificates(target)
        addresses = _resolve(target, deadline)
        found.append(errors.about(target, errors.NAME).ok(_name(target, addresses)))
        with connected(target, addresses, deadline) as channel:
            offered = channel.offers_tls()
            found.append(errors.about(target, errors.PORT).ok(f"{target.place} answers"))
            found.append(_tls(target, channel, certificates))
            reached = Reached(channel.address, offered, channel.encrypted, certificates)
        if target.ca_file and hiding(target.ca_file):
            found.append(_hidden(target))
    except Unreachable as unreachable:
        return [*found, unreachable.finding], None
    return found, reached


def _name(target: Target, addresses: list[str]) -> str:
    if addresses == [target.host]:
        return f"{target.host} is an address"
    return f"the host name {target.host} is {', '.join(addresses)}"


def _certificates(target: Target) -> str:
    if target.sslmode != "verify-full":
        return ""
    try:
        return trusted(target.ca_file)
    except UnusableFile as unusable:
        finding = errors.bad_ca_file(target, unusable.why, unusable.cure)
        raise Unreachable(finding) from None


def _hidden(target: Target) -> Finding:
    return errors.about(target, "postgres.ca_file").warning(
        f"the file of PG_SSLROOTCERT, {target.ca_file}, is where ProtectHome= and PrivateTmp= hide"
        " it from the gateway's units",
        "LiteLLM then can't connect",
        f"install -m 644 {shlex.quote(target.ca_file)} /etc/ssl/ and answer that file as"
        " PG_SSLROOTCERT",
    )


def _resolve(target: Target, deadline: float) -> list[str]:
    """The addresses of the host, in the system's order of preference."""
    try:
        return [str(ipaddress.ip_address(target.host))]
    except ValueError:
        pass
    # It has no time limit of its own.
    look_up = in_thread.start(
        lambda: socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    )
    try:
        rows = look_up.result(left(deadline, _RESOLVE_SECONDS))
    except TimeoutError:
        raise Unreachable(errors.unresolved(target, answered=False)) from None
    except socket.gaierror as error:
        finding = errors.unresolved(target, answered=error.errno != socket.EAI_AGAIN)
        raise Unreachable(finding) from None
    except UnicodeError:  # two dots at its end, say: there is no such name
        raise Unreachable(errors.unresolved(target, answered=True)) from None
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


def _tls(target: Target, channel: Channel, certificates: str) -> Finding:
    """The handshake that PG_SSLMODE asks for, as Prisma does it."""
    if target.sslmode == "disable":
        return errors.about(target, errors.TLS).ok(
            "the connection is not encrypted, as PG_SSLMODE=disable asks"
        )
    if not channel.tls_offered:
        if target.sslmode != "prefer":
            raise Unreachable(errors.tls_not_offered(target))
        return _unencrypted(target, channel.loopback)
    version, certificate = channel.encrypt(certificates)
    if not certificates:
        what = f"the connection is encrypted ({version}), the certificate is not checked"
        return errors.about(target, errors.TLS).ok(what)
    return _checked(target, version, str(certificate.get("notAfter", "")))


def _checked(target: Target, version: str, not_after: str) -> Finding:
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)
    until = f"the certificate of {target.place} is good until {expires:%Y-%m-%d}"
    if (expires - datetime.now(UTC)).days < _EXPIRY_DAYS:
        why, cure = "LiteLLM connects no more after that", "renew it on the server"
        return errors.about(target, errors.TLS).warning(f"{until} only", why, cure)
    return errors.about(target, errors.TLS).ok(
        f"the connection is encrypted ({version}), and {until}"
    )


def _unencrypted(target: Target, loopback: bool) -> Finding:
    what = f"the connection to {target.place} is not encrypted"
    if loopback:
        return errors.about(target, errors.TLS).ok(f"{what}, and does not leave this host")
    why = "the server offers no TLS; who sits in between reads all that LiteLLM stores"
    cure = "switch it on there (ssl = on), then answer PG_SSLMODE=require"
    return errors.about(target, errors.TLS).warning(what, why, cure)
