"""News of a run on its standard error, whether somebody watches or not."""

import os
from collections.abc import Callable
from typing import TextIO

from hx_gateway_db.cli import screen

# Of a terminal that does not say, as one on a serial line.
_USUAL_WIDTH = 80


class Terminal:
    """News of a run on stderr; the time that a wait takes only where somebody watches."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # apt gives a maintainer script a terminal also when nobody watches; TERM tells.
        self._watched = screen.draws(stream)
        self._shown = ""

    def clear(self) -> None:
        """Take away the line on which something is waited for."""
        self._replace("")

    def say(self, line: str) -> None:
        self.clear()
        self._print(line, screen.write_wrapped)

    def show(self, text: str) -> None:
        """Text that is to be copied, with its lines as they are."""
        self.clear()
        self._print(f"{text}\n", screen.write)

    def waiting(self, what: str, seconds: float) -> None:
        if self._watched:
            # Of a line that the terminal breaks, only the end could be taken away again.
            room = (screen.width(self._stream) or _USUAL_WIDTH) - 1
            self._replace(f"Waiting for {what} ... {seconds:.0f} s"[-room:])

    def _replace(self, text: str) -> None:
        if text != self._shown:
            self._print(screen.replaced(self._shown, text), screen.write)
            self._shown = text

    def _print(self, text: str, write: Callable[..., None]) -> None:
        # A terminal that was closed must not stop the work.
        try:
            write(self._stream, text, flush=True)
        except OSError:
            abandon(self._stream)


def abandon(stream: TextIO) -> None:
    """Give up a stream that can't be written, also what is still to be flushed at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
