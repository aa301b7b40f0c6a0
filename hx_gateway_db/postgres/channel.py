"""A connection to a PostgreSQL server of which every byte is ours: TCP, TLS and whole messages.

No call outlasts the deadline of the whole connection, and no message is longer than is said,
whatever the server does. TLS is with OpenSSL's checks of name and certificate, which are those of
LiteLLM's Prisma as well.
"""

import ipaddress
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from hx_gateway_db.findings import Finding
from hx_gateway_db.postgres import sentences as errors
from hx_gateway_db.postgres.explanations import explain
from hx_gateway_db.postgres.target import Target

_CONNECT_SECONDS = 3.0
_GREETING_SECONDS = 1.5
_PING_SECONDS = 0.5
_HANDSHAKE_SECONDS = 2.5
# SSLRequest (PostgreSQL's manual, Message Formats): length 8, code 80877103.
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class Unreachable(Exception):
    """The way ends here; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.sentence)
        self.finding = finding


class HungUp(Exception):
    """The other side has closed the connection."""


class NotTheProtocol(Exception):
    """What came is no message, or one that is longer than any there can be."""


class Channel:
    """A connection to `address`, the one that was really connected; encrypted once `encrypt` is.

    `tls_offered` is known after `offers_tls`; `verified` is whether the server's certificate has
    been checked.
    """

    def __init__(
        self, connection: socket.socket, address: str, target: Target, deadline: float
    ) -> None:
        self.socket = connection
        self.address = address
        self.tls_offered = False
        self.verified = False
        self._target = target
        self._deadline = deadline

    @property
    def encrypted(self) -> bool:
        return isinstance(self.socket, ssl.SSLSocket)

    @property
    def loopback(self) -> bool:
        """Whether what is sent stays on this host."""
        return is_loopback(self.address)

    @property
    def certificate(self) -> bytes:
        """The server's, checked or not, in DER; empty without TLS."""
        if not isinstance(self.socket, ssl.SSLSocket):
            return b""
        return self.socket.getpeercert(binary_form=True) or b""

    def offers_tls(self) -> bool:
        """Ask for TLS; the answer also shows whether this is PostgreSQL at all.

        Raises Unreachable.
        """
        target = self._target
        try:
            self.socket.settimeout(self._left(_GREETING_SECONDS))
            self.socket.sendall(_SSL_REQUEST)
            answer = self.socket.recv(64)
            if not answer:
                raise Unreachable(errors.hung_up(target))
        except TimeoutError:
            answer = self._ping()
            if not answer:
                finding = errors.silent(target, _GREETING_SECONDS + _PING_SECONDS)
                raise Unreachable(finding) from None
        except OSError:
            raise Unreachable(errors.hung_up(target)) from None
        if answer in (b"S", b"N"):
            self.tls_offered = answer == b"S"
            return self.tls_offered
        if answer[:1] == b"E":
            # Before it reads a startup packet, a server says that it can't fork or is too old for
            # TLS.
            text = answer[1:].decode(errors="replace")
            failure = errors.ConnectionFailure("", text, False, False)
            raise Unreachable(explain(target, failure))
        raise Unreachable(errors.other_service(target, answer))

    def encrypt(self, certificates: str) -> tuple[str, dict[str, Any]]:
        """The TLS handshake as Prisma does it; `certificates` (PEM) are trusted, none checks none.

        Returns TLS's version and the checked certificate. Raises Unreachable.
        """
        target = self._target
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.options |= ssl.OP_NO_RENEGOTIATION
        if certificates:
            context.load_verify_locations(cadata=certificates)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            self.socket.settimeout(self._left(_HANDSHAKE_SECONDS))
            tls = context.wrap_socket(self.socket, server_hostname=target.host.rstrip("."))
        except ssl.SSLCertVerificationError as error:
            finding = errors.certificate_refused(target, error.verify_code, error.verify_message)
            raise Unreachable(finding) from None
        except TimeoutError:
            raise Unreachable(errors.handshake_failed(target, "it takes too long")) from None
        except OSError as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise Unreachable(errors.handshake_failed(target, reason or "no reason")) from None
        self.socket = tls
        self.verified = bool(certificates)
        return str(tls.version()), tls.getpeercert() or {}

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises TimeoutError at the deadline, HungUp."""
        self._wait()
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            raise HungUp from None

    def message(self, most: int) -> tuple[bytes, bytes]:
        """The next message: its kind and its body, which has `most` bytes at the most.

        Raises TimeoutError at the deadline, HungUp, NotTheProtocol.
        """
        kind, length = struct.unpack(">ci", self._exactly(5))
        if not 4 <= length <= most + 4:
            raise NotTheProtocol
        return kind, self._exactly(length - 4)

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, size: int) -> bytes:
        # Never more: what comes after the last message of the login is for libpq.
        data = bytearray()
        while len(data) < size:
            self._wait()
            try:
                chunk = self.socket.recv(size - len(data))
            except TimeoutError:
                raise
            except OSError:
                raise HungUp from None
            if not chunk:
                raise HungUp
            data += chunk
        return bytes(data)

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)

    def _left(self, seconds: float) -> float:
        return left(self._deadline, seconds)

    def _ping(self) -> bytes:
        """What a service says to a line: HTTP and Redis were waiting for one. Empty for silence."""
        to = (self.address, self._target.port)
        try:
            with socket.create_connection(to, timeout=self._left(_PING_SECONDS)) as connection:
                connection.sendall(b"PING\r\n\r\n")
                return connection.recv(64)
        except OSError:
            return b""


def is_loopback(address: str) -> bool:
    """Whether an address is one of this host's to itself."""
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def left(deadline: float, seconds: float) -> float:
    """How long a step may take: `seconds`, or less when the deadline comes first."""
    return max(0.05, min(seconds, deadline - time.monotonic()))


@contextmanager
def connected(target: Target, addresses: Sequence[str], deadline: float) -> Iterator[Channel]:
    """A connection to the first of the addresses that takes one, as Prisma tries them.

    Raises Unreachable.
    """
    end = time.monotonic() + left(deadline, _CONNECT_SECONDS)
    failure: OSError = TimeoutError()
    for number, address in enumerate(addresses):
        share = left(end, _CONNECT_SECONDS) / (len(addresses) - number)
        try:
            connection = socket.create_connection((address, target.port), timeout=share)
        except OSError as error:
            failure = error
            continue
        try:
            # 0.0.0.0 leads to 127.0.0.1.
            channel = Channel(connection, connection.getpeername()[0], target, deadline)
        except OSError as error:
            connection.close()
            failure = error
            continue
        try:
            yield channel
        finally:
            with suppress(OSError):
                channel.close()
        return
    raise Unreachable(errors.unconnected(target, failure, _CONNECT_SECONDS))
