"""The line to a Redis: it is opened by a deadline, and what comes over it has an end.

Whatever the other side says or leaves unsaid. Time is time.monotonic(), in seconds.
"""

import re
import socket
import time
from typing import Any

import redis as client
from redis import exceptions

from hx_gateway_db import in_thread

# One answer, or one connection.
ANSWER_SECONDS = 2.5
# More than a server says of itself in all that it is asked.
_MOST_BYTES = 1024 * 1024
_DEEPEST = 16
_AT_ONCE = 65536
_NUMBER = re.compile(rb"[+-]?[0-9]{1,19}")


def opened(
    host: str, port: int, deadline: float, patience: float = ANSWER_SECONDS
) -> socket.socket:
    """A TCP connection to the first address of `host` that takes one, `patience` for each.

    Raises OSError as the last of them did.
    """
    try:
        # A look-up of a name can't be given up otherwise.
        look_up = in_thread.start(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        found = look_up.result(time_left(deadline))
    except UnicodeError:  # two dots at its end, say
        raise socket.gaierror(socket.EAI_NONAME, "no such name is possible") from None
    problem: OSError = TimeoutError("no address has answered")
    for family, kind, protocol, _, address in found:
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(time_left(deadline, patience))
            line.connect(address)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return line
        except OSError as error:
            line.close()
            problem = error
        except BaseException:
            line.close()
            raise
    raise problem


def opened_here(path: str, deadline: float) -> socket.socket:
    """A connection to a socket file of this machine. Raises OSError."""
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(time_left(deadline, ANSWER_SECONDS))
        line.connect(path)
    except BaseException:
        line.close()
        raise
    return line


def time_left(deadline: float, most: float = float("inf")) -> float:
    """The seconds until then, `most` at most. Raises TimeoutError when there are none."""
    left = min(most, deadline - time.monotonic())
    if left <= 0:
        raise TimeoutError("the time is up")
    return left


class Replies(client.connection.DefaultParser):  # type: ignore[misc]  # no types in bookworm
    """Reads a server's answers for redis-py, which alone knows what its errors mean.

    redis-py's own parsers wait anew for each byte, keep all that they are sent, and end in any
    exception for what is no answer. Of `connection` it needs its `deadline`.
    """

    def __init__(self, socket_read_size: int) -> None:
        self._line: Any = None
        self._deadline = 0.0
        self._read, self._used, self._left = bytearray(), 0, _MOST_BYTES

    def on_connect(self, connection: Any) -> None:
        self._line, self._deadline = connection._sock, connection.deadline

    def on_disconnect(self) -> None:
        self._line = None

    def read_response(self, disable_decoding: bool = False) -> object:
        """The next answer; an error comes back as one. Raises RedisError, OSError."""
        answer = self._answer(0)
        del self._read[: self._used]
        self._used = 0
        return answer

    def _answer(self, depth: int) -> object:
        line = self._until_line_end()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode(errors="replace")
        if kind == b"-":
            return self._error(rest.decode(errors="replace"))
        if kind not in (b":", b"$", b"*") or not _NUMBER.fullmatch(rest):
            raise exceptions.InvalidResponse("Protocol Error")
        number = int(rest)
        if kind == b":":
            return number
        if number == -1:
            return None
        if number < 0 or depth == _DEEPEST:
            raise exceptions.InvalidResponse("Protocol Error")
        if kind == b"*":
            return [self._answer(depth + 1) for _ in range(number)]
        return self._bytes(number + 2)[:-2].decode(errors="replace")

    def _error(self, text: str) -> object:
        try:
            error: object = self.parse_error(text)
        except (ValueError, IndexError):  # of a MOVED that does not say where to
            error = exceptions.ResponseError(text)
        if isinstance(error, exceptions.ConnectionError):
            raise error  # as redis-py does
        return error

    def _until_line_end(self) -> bytes:
        searched = self._used
        while (end := self._read.find(b"\r\n", searched)) < 0:
            searched = max(self._used, len(self._read) - 1)
            self._receive()
        line = bytes(self._read[self._used : end])
        self._used = end + 2
        return line

    def _bytes(self, number: int) -> bytes:
        end = self._used + number
        if end - len(self._read) > self._left:
            raise exceptions.InvalidResponse("Protocol Error: too much")
        while len(self._read) < end:
            self._receive()
        found = bytes(self._read[self._used : end])
        self._used = end
        return found

    def _receive(self) -> None:
        if self._line is None:
            raise exceptions.ConnectionError("Connection closed by server.")
        if self._left <= 0:
            raise exceptions.InvalidResponse("Protocol Error: too much")
        self._line.settimeout(time_left(self._deadline, ANSWER_SECONDS))
        received = self._line.recv(min(_AT_ONCE, self._left))
        if not received:
            raise exceptions.ConnectionError("Connection closed by server.")
        self._read += received
        self._left -= len(received)
