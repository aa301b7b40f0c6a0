"""One HTTP exchange on a connection that is there, with a peer that may mean us harm.

All of it ends at its deadline, and what is read of it is limited: a peer can say one byte a second,
headers or `100 Continue` for ever, and a chunk of -1 bytes, which http.client reads to the end.
"""

import io
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

# Beyond the body: the status line, headers, and what stands between chunks.
_MORE = 1024 * 1024


class NoHttp(Exception):
    """The peer has ended the connection, or said what is no HTTP."""


def exchange(
    connection: socket.socket,
    request: tuple[str, str],
    headers: Mapping[str, str],
    body: str | None,
    most: int,
    deadline: float,
) -> tuple[int, bytes]:
    """Send a request (method and path), and return the status and the body's first `most` bytes.

    With 0 of them, nothing is read beyond the headers. `deadline` is one of time.monotonic().
    Raises TimeoutError when it comes first, and NoHttp.
    """
    # Here, as a run that asks nobody (no systemd) has no use for the 14 ms that it takes to load.
    from http.client import HTTPConnection, HTTPException, HTTPResponse

    method, path = request
    connection.settimeout(max(deadline - time.monotonic(), 0.001))
    with _cut_at(connection.fileno(), deadline) as cut:
        try:
            sender = HTTPConnection(*connection.getpeername()[:2])
            sender.sock = connection
            sender.request(method, path, body=body, headers=headers)
            wire = _Wire(connection, most + _MORE, deadline)
            with HTTPResponse(wire, method=method) as response:  # type: ignore[arg-type]
                response.begin()
                data = response.read(most)[:most] if most else b""
        # What a peer makes of lengths ends in a ValueError here and there.
        except (OSError, HTTPException, ValueError) as error:
            if cut.is_set() or isinstance(error, TimeoutError):
                raise TimeoutError from None
            raise NoHttp from None
        if cut.is_set():
            raise TimeoutError
    return response.status, data


class _Wire(io.RawIOBase):
    """What comes from a connection, of which `most` bytes are read: then it is as if it ended.

    What has come before a connection is cut can be read still, and may take its time: so the
    deadline is looked at here as well.
    """

    def __init__(self, connection: socket.socket, most: int, deadline: float) -> None:
        self._connection = connection
        self._left = most
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        """What HTTPResponse wants of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if time.monotonic() >= self._deadline:
            raise TimeoutError
        room = min(len(buffer), self._left)
        count = self._connection.recv_into(buffer, room) if room else 0
        self._left -= count
        return count


@contextmanager
def _cut_at(descriptor: int, deadline: float) -> Iterator[threading.Event]:
    """Shut the connection behind a socket's descriptor down at `deadline` (time.monotonic()).

    Whoever holds it by then, and whatever its own time limit is, which starts anew with each byte.
    The event tells that this has happened.
    """
    cut = threading.Event()
    with socket.socket(fileno=os.dup(descriptor)) as connection:

        def shut() -> None:
            cut.set()
            with suppress(OSError):  # the other side was faster
                connection.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, deadline - time.monotonic()), shut)
        timer.daemon = True
        timer.start()
        try:
            yield cut
        finally:
            timer.cancel()
            timer.join()
