"""What long work is at, on stderr: stdout is for what it gives.

Where somebody watches, one line is replaced again and again; into a pipe a line is written no
oftener than every ten seconds.
"""

import sys
import time

from hx_gateway_db.redaction import printable

_SELDOM = 10.0
_WIDTH = 79


class Progress:
    """One piece of work, such as the build of an image; the clock runs from its making."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._started = time.monotonic()
        self._said = -_SELDOM
        self._shown = ""

    def say(self, detail: str) -> None:
        """Say what is done now."""
        seconds = time.monotonic() - self._started
        text = printable(f"{self._clock()}  {self._what}: {detail.strip()}")[:_WIDTH]
        if sys.stderr.isatty():
            self._write(f"\r{text:<{len(self._shown)}}")
            self._shown = text
        elif seconds - self._said >= _SELDOM:
            self._write(f"{text}\n")
            self._said = seconds

    def clear(self) -> None:
        """Make room for something else on the line."""
        if self._shown:
            self._write(f"\r{' ' * len(self._shown)}\r")
            self._shown = ""

    def end(self) -> None:
        """Say what it took."""
        self.clear()
        self._write(f"{self._clock()}  {self._what}\n")

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"{minutes:2}:{seconds:02}"

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
