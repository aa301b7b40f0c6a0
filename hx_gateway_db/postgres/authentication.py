"""The login to a PostgreSQL server, until it is ready for queries: what is answered to whom.

A password in clear text, or as MD5 which is as good as that, is for a server whose certificate has
been checked, or on this host. An administrator's leaves this host encrypted only. Of the messages
that a server sends, each is as long and they are as many as an honest one's could be.
"""

import hashlib
import struct
import time
from collections.abc import Iterator

from hx_gateway_db.findings import Finding
from hx_gateway_db.postgres import sentences as errors
from hx_gateway_db.postgres.channel import Channel, HungUp, NotTheProtocol
from hx_gateway_db.postgres.scram import (
    BOUND,
    Conversation,
    NotScram,
    TooMuchWork,
    Unproven,
    end_point,
)
from hx_gateway_db.postgres.sentences import ConnectionFailure
from hx_gateway_db.postgres.target import Target
from hx_gateway_db.systemd import listeners
from hx_gateway_db.systemd.server_process import described, objection

_VERSION = 3 << 16
# Authentication requests: PostgreSQL's manual, Message Formats.
_OK, _CLEAR_TEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_MOST_BYTES = 64 * 1024
# A server reports some fifteen parameters.
_MOST_MESSAGES = 200
_TEXT = 2000


class LoginFailed(Exception):
    """Login or query failed.

    `failure` is what was said, None when the time was up; where `finding` is not None, it is more.
    """

    def __init__(
        self, failure: ConnectionFailure | None = None, finding: Finding | None = None
    ) -> None:
        super().__init__("the time was up" if failure is None else failure.text)
        self.failure = failure
        self.finding = finding


def log_in(channel: Channel, target: Target) -> bytes:
    """Log in, and return what the server has said of itself since, for libpq to hear.

    Raises LoginFailed.
    """
    if target.administrator and not (channel.encrypted or channel.loopback):
        raise LoginFailed(finding=errors.administrator_unencrypted(target))
    try:
        return _Login(channel, target).greeting()
    except TimeoutError:
        raise LoginFailed(None) from None
    except HungUp:
        raise LoginFailed(failure(channel, "", "server closed the connection")) from None
    except NotTheProtocol:
        raise LoginFailed(failure(channel, "", "expected authentication request")) from None
    except Unproven:
        raise LoginFailed(finding=errors.unproven(target)) from None
    except TooMuchWork:
        raise LoginFailed(finding=errors.too_much_work(target)) from None


def failure(channel: Channel, sqlstate: str, text: str) -> ConnectionFailure:
    """What was said, of a connection as it is."""
    return ConnectionFailure(sqlstate, text, channel.encrypted, channel.tls_offered)


class _Login:
    """One login, in the only order that there is: a server that demands twice gets nothing."""

    def __init__(self, channel: Channel, target: Target) -> None:
        self._channel = channel
        self._target = target
        self._messages = self._all_messages()

    def greeting(self) -> bytes:
        self._channel.send(_start(self._target))
        request, content = self._request()
        if request in (_CLEAR_TEXT, _MD5):
            self._answer_plainly(request, content)
            request, _ = self._request()
        elif request == _SASL:
            self._prove(content)
            request, _ = self._request()
        elif request != _OK:
            raise self._unknown(f"authentication method {request} not supported")
        if request != _OK:
            raise NotTheProtocol
        return b"".join(self._parameters())

    def _answer_plainly(self, request: int, content: bytes) -> None:
        channel, target = self._channel, self._target
        if not (channel.verified or channel.loopback):
            how = "in clear text" if request == _CLEAR_TEXT else "as MD5"
            raise LoginFailed(finding=errors.asks_for_the_password(target, how))
        if not channel.verified:
            self._look_who_asks()
        answer = password = self._password().encode()
        if request == _MD5:
            answer = b"md5" + _md5(_md5(password + target.user.encode()) + content)
        channel.send(_message(b"p", answer + b"\0"))

    def _look_who_asks(self) -> None:
        """On this host the password goes to no ordinary user, nor to the gateway."""
        by = listeners.other_end(self._channel.socket, time.monotonic())
        if by and (why := objection(by)):
            finding = errors.asked_by_a_stranger(self._target, described(by), why)
            raise LoginFailed(finding=finding)

    def _prove(self, offered: bytes) -> None:
        channel = self._channel
        mechanisms = offered.decode(errors="replace").split("\0")
        scram = Conversation(
            self._password(), end_point(channel.certificate), bound=BOUND in mechanisms
        )
        if scram.mechanism not in mechanisms:
            known = "none of the server's SASL authentication mechanisms are supported"
            raise self._unknown(known)
        first = scram.first()
        mechanism = scram.mechanism.encode() + b"\0"
        channel.send(_message(b"p", mechanism + struct.pack(">i", len(first)) + first))
        try:
            proof = scram.proof(self._next(_SASL_CONTINUE))
        except NotScram:
            raise NotTheProtocol from None
        channel.send(_message(b"p", proof))
        scram.check(self._next(_SASL_FINAL))

    def _next(self, expected: int) -> bytes:
        """The content of the request that has to come next."""
        request, content = self._request()
        if request == expected:
            return content
        # Let in halfway: PostgreSQL never does that, who only pretends to be it has to.
        raise Unproven if request == _OK else NotTheProtocol

    def _request(self) -> tuple[int, bytes]:
        kind, body = next(self._messages)
        if kind != b"R" or len(body) < 4:
            raise NotTheProtocol
        return struct.unpack(">i", body[:4])[0], body[4:]

    def _parameters(self) -> Iterator[bytes]:
        """What follows a login, up to the readiness for queries."""
        yield _message(b"R", struct.pack(">i", _OK))
        kind = b""
        while kind != b"Z":
            kind, body = next(self._messages)
            if kind not in (b"S", b"K", b"Z"):
                raise NotTheProtocol
            yield _message(kind, body)

    def _all_messages(self) -> Iterator[tuple[bytes, bytes]]:
        """The server's messages without notices. Raises LoginFailed for an error among them."""
        for _ in range(_MOST_MESSAGES):
            kind, body = self._channel.message(_MOST_BYTES)
            if kind == b"E":
                raise LoginFailed(failure(self._channel, *_error(body)))
            if kind != b"N":
                yield kind, body
        raise NotTheProtocol

    def _password(self) -> str:
        if not self._target.password:
            raise self._unknown("no password supplied")
        return self._target.password

    def _unknown(self, text: str) -> LoginFailed:
        return LoginFailed(failure(self._channel, "", text))


def _start(target: Target) -> bytes:
    # Not one parameter more: a PgBouncer refuses those that it does not know.
    parameters = {
        "user": target.user,
        "database": target.database,
        "application_name": "hx-gateway-db",
        "client_encoding": "UTF8",
    }
    words = [word.encode() + b"\0" for pair in parameters.items() for word in pair]
    body = struct.pack(">i", _VERSION) + b"".join(words) + b"\0"
    return struct.pack(">i", len(body) + 4) + body


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def _error(body: bytes) -> tuple[str, str]:
    """SQLSTATE and text of an ErrorResponse; of one without such fields, all of it is the text."""
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0")}
    text = fields.get(b"M") or body.decode(errors="replace")
    return fields.get(b"C", "")[:5], text[:_TEXT]


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
