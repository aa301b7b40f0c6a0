"""Tricks of a gateway that has been broken into: each ends by the deadline, in bounded memory."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import repeat

import pytest

from hx_gateway_db.gateway import http
from hx_gateway_db.gateway.answerer import Service
from hx_gateway_db.gateway.http import Answer, NotAnswering, call
from hx_gateway_db.layout import WRAPPER_UNIT

pytestmark = pytest.mark.usefixtures("own_group")

_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_SECONDS = 0.4
_MUCH = 64 * 1024
# No trick has more to say, and a client that read that would have been eaten up.
_ENDLESS = 64 * 1024 * 1024
_READ_AT_MOST = 16 * 1024 * 1024


def drip(head: bytes, piece: bytes) -> Iterator[bytes]:
    """A piece often enough for a limit that starts anew with each."""
    yield head
    for again in repeat(piece):
        time.sleep(_SECONDS / 20)
        yield again


def flood(head: bytes, piece: bytes) -> Iterator[bytes]:
    """As fast as it is read."""
    yield head
    yield from repeat(piece * (_MUCH // len(piece)))


def silence() -> Iterator[bytes]:
    time.sleep(_SECONDS * 3)
    yield b""


TRICKS: dict[str, Callable[[], Iterator[bytes]]] = {
    "a body that drips after Connection: close": lambda: drip(
        _HEAD + b"Connection: close\r\n\r\n", b"x"
    ),
    "a body that drips after HTTP/1.0": lambda: drip(b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
    "a body that drips within its length": lambda: drip(
        _HEAD + b"Content-Length: 100000\r\n\r\n", b"x"
    ),
    "a status line that drips": lambda: drip(b"HTTP/1.1 ", b" "),
    "a huge status line": lambda: flood(b"HTTP/1.1 200 ", b"O"),
    "headers that drip": lambda: drip(_HEAD, b"X: y\r\n"),
    "endless headers": lambda: flood(_HEAD, b"X: y\r\n"),
    "one endless header": lambda: flood(_HEAD, b"y"),
    "100 Continue that drips": lambda: drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless 100 Continue": lambda: flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks that drip": lambda: drip(_CHUNKED, b"1\r\nx\r\n"),
    "endless chunks": lambda: flood(_CHUNKED, b"1\r\nx\r\n"),
    "a chunk of -1": lambda: flood(_CHUNKED + b"-1\r\n", b"x"),
    "a chunk of more than there is": lambda: flood(_CHUNKED + b"f" * 60 + b"\r\n", b"x"),
    "a chunk's size that never ends": lambda: flood(_CHUNKED, b"1"),
    "trailers that drip": lambda: drip(_CHUNKED + b"0\r\n", b"X: y\r\n"),
    "endless trailers": lambda: flood(_CHUNKED + b"0\r\n", b"X: y\r\n"),
    "an endless body": lambda: flood(_HEAD + b"\r\n", b"x"),
    "a body longer than a number": lambda: flood(
        _HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", b"x"
    ),
    "silence": silence,
}


class Trickster:
    """Says to one client what a trick says, and counts what was taken of it."""

    def __init__(self, trick: Iterator[bytes]) -> None:
        self._trick = trick
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.service = Service(WRAPPER_UNIT, self._socket.getsockname()[1])
        self.taken = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._socket.accept()
            with client:
                # What waits in buffers was not taken by anybody.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MUCH)
                client.recv(65536)
                for piece in self._trick:
                    if self.taken > _ENDLESS:
                        return
                    client.sendall(piece)
                    self.taken += len(piece)

    def end(self) -> int:
        """What was taken, once there is nobody more who takes it."""
        self._socket.close()
        self._thread.join(5)
        assert not self._thread.is_alive(), "somebody still listens"
        return self.taken


@pytest.mark.parametrize("path", ["call", "status"])
@pytest.mark.parametrize("trick", TRICKS)
def test_it_ends_by_the_deadline_with_little_read(trick: str, path: str) -> None:
    server = Trickster(TRICKS[trick]())
    ended: list[Answer | int | NotAnswering] = []

    def ask() -> None:
        try:
            if path == "call":
                ended.append(call(server.service, "GET", "/", seconds=_SECONDS))
            else:
                ended.append(http.status(server.service, "/", seconds=_SECONDS))
        except NotAnswering as error:
            ended.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_SECONDS * 10)
    assert not asking.is_alive(), "it goes on for ever"
    assert server.end() < _READ_AT_MOST
    assert len(ended) == 1
    if isinstance(ended[0], NotAnswering):
        assert "did not answer within" in str(ended[0]) or "without an HTTP answer" in str(ended[0])


def test_of_an_answer_whose_status_is_enough_no_body_is_read() -> None:
    server = Trickster(flood(_HEAD + b"Content-Length: 99999999\r\n\r\n", b"x"))
    assert http.status(server.service, "/") == 200
    assert server.end() < 1024 * 1024


def test_nobody_accepting_is_within_the_deadline_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = Service(WRAPPER_UNIT, listener.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(NotAnswering, match="did not answer within 0 s"):
            call(service, "GET", "/", "sk-secret", seconds=_SECONDS)
        assert time.monotonic() - started < _SECONDS * 10
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(100) == b""
