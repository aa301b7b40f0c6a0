"""A deadline for a whole conversation with another process, whatever that says or leaves unsaid."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cut_at(descriptor: int, deadline: float) -> Iterator[threading.Event]:
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
