"""libpq connected to a server by way of this process, which has logged in there already.

libpq sees no network: whom it trusts, what it sends unasked and how long it waits depends on its
version. It is given a socket of ours (abstract, unix(7)) to which this very process alone may
connect, and between it and the server stands a thread that counts.
"""

import os
import secrets
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psycopg import pq
from psycopg.conninfo import make_conninfo

from hx_gateway_db.postgres.channel import Channel
from hx_gateway_db.postgres.target import Target

# An honest conversation of ours has some ten thousand bytes, one that waits for LiteLLM's rows some
# thousand messages. Of each that ends a result, libpq and psycopg make an object; of parameters,
# libpq makes a list that it walks for each one that comes.
MOST_BYTES = 2 * 1024 * 1024
_MOST_MESSAGES = 50_000
_MOST_PARAMETERS = 1000
_NOWHERE = "/nonexistent"
_POLL_SECONDS = 0.2
_CHUNK = 65536
_PORT = 5432


class TooMuch(Exception):
    """A server says more than any answer to us could be long."""


class NotConnected(Exception):
    """libpq does not take the connection; `text` is why, None when the time was up."""

    def __init__(self, text: str | None) -> None:
        super().__init__(text or "the time was up")
        self.text = text


class Relay:
    """A thread that passes on what libpq and the server say, until one of them ends.

    `timed_out` and `too_much` tell that it was us who ended it. Who connects to `listener` in order
    to have a query cancelled, as psycopg does when somebody loses patience, ends it as well.
    """

    def __init__(
        self,
        listener: socket.socket,
        near: socket.socket,
        far: socket.socket,
        first: bytes,
        deadline: float,
    ) -> None:
        for each in (listener, near, far):
            each.setblocking(False)
        self._listener = listener
        self.timed_out = self.too_much = False
        self._near, self._far, self._deadline = near, far, deadline
        self._for_libpq, self._for_server = first, b""
        self._counted = _Counted()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Let libpq's last word reach the server, if that listens, and end."""
        self._thread.join(_POLL_SECONDS)
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        # Whatever ends it, libpq sees the end of its connection.
        with self._near, suppress(OSError):
            try:
                while not self._stopping.is_set():
                    if time.monotonic() >= self._deadline:
                        self.timed_out = True
                        return
                    if not self._step() and self._cancelled():
                        return
            except EOFError:
                return
            except TooMuch:
                self.too_much = True

    def _step(self) -> bool:
        """Pass on what can be; whether anything could. Raises EOFError, OSError, TooMuch."""
        before = len(self._for_libpq), len(self._for_server)
        moved = False
        if not self._for_server:
            self._for_server = _received(self._near)
            moved = bool(self._for_server)
        if not self._for_libpq:
            self._for_libpq = _received(self._far)
            self._counted.add(self._for_libpq)
            moved = moved or bool(self._for_libpq)
        self._for_server = _sent(self._far, self._for_server)
        self._for_libpq = _sent(self._near, self._for_libpq)
        return moved or before != (len(self._for_libpq), len(self._for_server))

    def _cancelled(self) -> bool:
        """Wait until something can be passed on; whether there is to be no more of that."""
        reading = [self._listener]
        reading += [
            side
            for side, full in ((self._near, self._for_server), (self._far, self._for_libpq))
            if not full
        ]
        writing = [
            side
            for side, full in ((self._far, self._for_server), (self._near, self._for_libpq))
            if full
        ]
        ready, _, _ = select.select(reading, writing, [], _POLL_SECONDS)
        if self._listener not in ready:
            return False
        again = accepted(self._listener)
        if again:
            again.close()
        return again is not None


class _Counted:
    """What a server has said: the headers of its messages are looked at, and all is counted."""

    def __init__(self) -> None:
        self._bytes = self._messages = self._parameters = 0
        self._header = b""
        self._skip = 0

    def add(self, data: bytes) -> None:
        """Raise TooMuch when it is, or when a message announces that it will be."""
        self._bytes += len(data)
        at = 0
        while at < len(data):
            passed = min(self._skip, len(data) - at)
            self._skip -= passed
            at += passed
            if self._skip:
                break
            header = self._header + data[at : at + 5 - len(self._header)]
            at += len(header) - len(self._header)
            self._header = header
            if len(header) == 5:
                self._begin(*struct.unpack(">ci", header))
        if self._bytes > MOST_BYTES:
            raise TooMuch

    def _begin(self, kind: bytes, length: int) -> None:
        self._header = b""
        self._skip = length - 4
        self._messages += 1
        self._parameters += kind == b"S"
        if not 0 <= self._skip <= MOST_BYTES:
            raise TooMuch
        if self._messages > _MOST_MESSAGES or self._parameters > _MOST_PARAMETERS:
            raise TooMuch


def _received(side: socket.socket) -> bytes:
    """What has come, nothing if that is nothing yet. Raises EOFError, OSError."""
    try:
        data = side.recv(_CHUNK)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b""
    if not data:
        raise EOFError
    return data


def _sent(side: socket.socket, data: bytes) -> bytes:
    """What is left of `data`. Raises OSError."""
    if not data:
        return b""
    try:
        return data[side.send(data) :]
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return data


@contextmanager
def connected_libpq(
    channel: Channel, target: Target, greeting: bytes, deadline: float
) -> Iterator[tuple[pq.abc.PGconn, Relay]]:
    """libpq's end of a channel on which the login is done; it hears `greeting` first.

    Raises NotConnected.
    """
    name = f"hx-gateway-db-{secrets.token_hex(16)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}/.s.PGSQL.{_PORT}")
        listener.listen()
        pgconn, near = _ends(listener, name, target, deadline)
        relay = Relay(listener, near, channel.socket, greeting, deadline)
        try:
            _poll(pgconn, deadline, until=pq.PollingStatus.OK)
            pgconn.nonblocking = 1
            yield pgconn, relay
        finally:
            pgconn.finish()
            relay.end()


def _ends(
    listener: socket.socket, name: str, target: Target, deadline: float
) -> tuple[pq.abc.PGconn, socket.socket]:
    """libpq, waiting for an answer to its startup message, and the end that it waits at."""
    pgconn = pq.PGconn.connect_start(
        make_conninfo(
            host=f"@{name}",
            port=_PORT,
            dbname=target.database,
            user=target.user,
            passfile=_NOWHERE,
            sslmode="disable",
            sslcert=_NOWHERE,
            sslkey=_NOWHERE,
            sslrootcert=_NOWHERE,
            sslcrl=_NOWHERE,
            gssencmode="disable",
            target_session_attrs="any",
            client_encoding="UTF8",
            application_name="hx-gateway-db",
        ).encode()
    )
    try:
        _poll(pgconn, deadline, until=pq.PollingStatus.READING)
        near = None
        while near is None:
            near = accepted(listener)
    except BaseException:
        pgconn.finish()
        raise
    near.recv(_CHUNK)  # libpq's startup message: ours has been answered
    return pgconn, near


def accepted(listener: socket.socket) -> socket.socket | None:
    """The next connection to our socket, if it is of this process.

    Whoever else has read the socket's name in /proc is hung up on. Raises OSError.
    """
    connection, _ = listener.accept()
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", peer)[0] == os.getpid():
        return connection
    connection.close()
    return None


def _poll(pgconn: pq.abc.PGconn, deadline: float, until: pq.PollingStatus) -> None:
    while True:
        status = pgconn.connect_poll()
        if status in (until, pq.PollingStatus.OK):
            return
        if status == pq.PollingStatus.FAILED:
            raise NotConnected(pgconn.error_message.decode(errors="replace"))
        waits = [pgconn.socket]
        reading = status == pq.PollingStatus.READING
        left = max(0.0, deadline - time.monotonic())
        if not any(select.select(waits if reading else [], [] if reading else waits, [], left)):
            raise NotConnected(None)
