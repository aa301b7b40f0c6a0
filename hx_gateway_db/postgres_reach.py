"""The way to a PostgreSQL server before anybody logs in: name, port and TLS.

Looked at with a socket of our own, since libpq's texts do not tell these failures apart, and with
OpenSSL's checks of name and certificate, which are those of LiteLLM's Prisma as well.
"""

import ipaddress
import queue
import shlex
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from hx_gateway_db import postgres_errors as errors
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.postgres_certificates import UnusableFile, hidden_from_the_units, trusted
from hx_gateway_db.postgres_target import Target

_RESOLVE_SECONDS = 2.5
_CONNECT_SECONDS = 3.0
_GREETING_SECONDS = 1.5
_PING_SECONDS = 0.5
_HANDSHAKE_SECONDS = 2.5
_EXPIRY_DAYS = 14
# SSLRequest (PostgreSQL's manual, Message Formats): length 8, code 80877103.
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@dataclass(frozen=True)
class Reached:
    """The address that answered, whether TLS is offered there and used, and what is trusted.

    `certificates` are in PEM format, empty where none is checked.
    """

    address: str
    tls_offered: bool
    encrypted: bool
    certificates: str = ""


class Unreachable(Exception):
    """The way ends here; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.sentence)
        self.finding = finding


def reach(target: Target, deadline: float) -> tuple[list[Finding], Reached | None]:
    """Go as far as the TLS handshake, until `deadline` (time.monotonic) at the latest.

    The way is None if it can't be gone to its end; the last finding then says why.
    """
    found: list[Finding] = []
    try:
        certificates = _certificates(target)
        addresses = _resolve(target, deadline)
        found.append(_ok(target, errors.NAME, _name(target, addresses)))
        with _connect(target, addresses, deadline) as connection:
            offered = _offers_tls(target, connection, deadline)
            found.append(_ok(target, errors.PORT, f"{target.place} answers"))
            address = connection.getpeername()[0]
            encrypted = offered and target.sslmode != "disable"
            found.append(_tls(target, connection, offered, certificates, deadline))
        if target.ca_file and hidden_from_the_units(target.ca_file):
            found.append(_hidden(target))
    except Unreachable as unreachable:
        return [*found, unreachable.finding], None
    return found, Reached(address, offered, encrypted, certificates)


def _name(target: Target, addresses: list[str]) -> str:
    if addresses == [target.host]:
        return f"{target.host} is an address"
    return f"the host name {target.host} is {', '.join(addresses)}"


def _ok(target: Target, name: str, what: str) -> Finding:
    return Finding(name, Level.OK, target.place, what)


def _certificates(target: Target) -> str:
    if target.sslmode != "verify-full":
        return ""
    try:
        return trusted(target.ca_file)
    except UnusableFile as unusable:
        finding = errors.bad_ca_file(target, unusable.why, unusable.cure)
        raise Unreachable(finding) from None


def _hidden(target: Target) -> Finding:
    return Finding(
        "postgres.ca_file",
        Level.WARNING,
        target.place,
        f"the file of PG_SSLROOTCERT, {target.ca_file}, is where ProtectHome= and PrivateTmp= hide"
        " it from the gateway's units",
        "LiteLLM then can't connect",
        f"install -m 644 {shlex.quote(target.ca_file)} /etc/ssl/ and answer that file as"
        " PG_SSLROOTCERT",
    )


def _left(deadline: float, seconds: float) -> float:
    """How long a step may take: `seconds`, or less when the deadline comes first."""
    return max(0.05, min(seconds, deadline - time.monotonic()))


def _resolve(target: Target, deadline: float) -> list[str]:
    """The addresses of the host, in the system's order of preference."""
    try:
        return [str(ipaddress.ip_address(target.host))]
    except ValueError:
        pass
    answers: queue.SimpleQueue[list[str] | socket.gaierror] = queue.SimpleQueue()

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(row[4][0]) for row in rows)))
        except socket.gaierror as error:
            answers.put(error)

    # getaddrinfo has no time limit; a daemon does not hold up the end of the process.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_left(deadline, _RESOLVE_SECONDS))
    except queue.Empty:
        raise Unreachable(errors.unresolved(target, answered=False)) from None
    if isinstance(answer, socket.gaierror):
        finding = errors.unresolved(target, answered=answer.errno != socket.EAI_AGAIN)
        raise Unreachable(finding)
    return answer


@contextmanager
def _connect(target: Target, addresses: list[str], deadline: float) -> Iterator[socket.socket]:
    """A connection to the first of the addresses that takes one, as Prisma tries them."""
    end = time.monotonic() + _left(deadline, _CONNECT_SECONDS)
    failure: OSError = TimeoutError()
    for number, address in enumerate(addresses):
        share = _left(end, _CONNECT_SECONDS) / (len(addresses) - number)
        try:
            connection = socket.create_connection((address, target.port), timeout=share)
        except OSError as error:
            failure = error
            continue
        with connection:
            yield connection
        return
    raise Unreachable(errors.unconnected(target, failure, _CONNECT_SECONDS))


def _offers_tls(target: Target, connection: socket.socket, deadline: float) -> bool:
    """Ask for TLS; the answer also shows whether this is PostgreSQL at all."""
    try:
        connection.settimeout(_left(deadline, _GREETING_SECONDS))
        connection.sendall(_SSL_REQUEST)
        answer = connection.recv(64)
        if not answer:
            raise Unreachable(errors.hung_up(target))
    except TimeoutError:
        answer = _ping(target, connection.getpeername()[0], deadline)
        if not answer:
            raise Unreachable(errors.silent(target, _GREETING_SECONDS + _PING_SECONDS)) from None
    except OSError:
        raise Unreachable(errors.hung_up(target)) from None
    if answer in (b"S", b"N"):
        return answer == b"S"
    if answer[:1] == b"E":
        # Before it reads a startup packet, a server says that it can't fork or is too old for TLS.
        text = answer[1:].decode(errors="replace")
        raise Unreachable(errors.explain(target, errors.ConnectionFailure("", text, False, False)))
    raise Unreachable(errors.other_service(target, answer))


def _ping(target: Target, address: str, deadline: float) -> bytes:
    """What a service says to a line: HTTP and Redis were waiting for one. Empty for silence."""
    seconds = _left(deadline, _PING_SECONDS)
    try:
        with socket.create_connection((address, target.port), timeout=seconds) as connection:
            connection.sendall(b"PING\r\n\r\n")
            return connection.recv(64)
    except OSError:
        return b""


def _tls(
    target: Target, connection: socket.socket, offered: bool, certificates: str, deadline: float
) -> Finding:
    """The handshake that PG_SSLMODE asks for, as Prisma does it."""
    if target.sslmode == "disable":
        return _ok(
            target, errors.TLS, "the connection is not encrypted, as PG_SSLMODE=disable asks"
        )
    if not offered:
        if target.sslmode != "prefer":
            raise Unreachable(errors.tls_not_offered(target))
        return _unencrypted(target, ipaddress.ip_address(connection.getpeername()[0]))
    connection.settimeout(_left(deadline, _HANDSHAKE_SECONDS))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificates:
        context.load_verify_locations(cadata=certificates)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        with context.wrap_socket(connection, server_hostname=target.host.rstrip(".")) as tls:
            version, certificate = tls.version(), tls.getpeercert()
    except ssl.SSLCertVerificationError as error:
        finding = errors.certificate_refused(target, error.verify_code, error.verify_message)
        raise Unreachable(finding) from None
    except TimeoutError:
        raise Unreachable(errors.handshake_failed(target, "it takes too long")) from None
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise Unreachable(errors.handshake_failed(target, reason or "no reason")) from None
    if not certificates:
        what = f"the connection is encrypted ({version}), the certificate is not checked"
        return _ok(target, errors.TLS, what)
    return _checked(target, str(version), str((certificate or {}).get("notAfter", "")))


def _checked(target: Target, version: str, not_after: str) -> Finding:
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)
    until = f"the certificate of {target.place} is good until {expires:%Y-%m-%d}"
    if (expires - datetime.now(UTC)).days < _EXPIRY_DAYS:
        why, cure = "LiteLLM connects no more after that", "renew it on the server"
        return Finding(errors.TLS, Level.WARNING, target.place, f"{until} only", why, cure)
    return _ok(target, errors.TLS, f"the connection is encrypted ({version}), and {until}")


def _unencrypted(target: Target, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Finding:
    what = f"the connection to {target.place} is not encrypted"
    if address.is_loopback:
        return _ok(target, errors.TLS, f"{what}, and does not leave this host")
    why = "the server offers no TLS; who sits in between reads all that LiteLLM stores"
    cure = "switch it on there (ssl = on), then answer PG_SSLMODE=require"
    return Finding(errors.TLS, Level.WARNING, target.place, what, why, cure)
