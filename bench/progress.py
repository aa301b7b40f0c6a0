"""What is being measured, on stderr: the table alone goes to stdout."""

import sys
import time

_SELDOM = 10.0
_started = time.monotonic()
_said = -_SELDOM
_shown = ""
_part = ""


def begin(part: str) -> None:
    """The next part begins; what follows belongs to it."""
    global _part
    _part = part
    say("begins")


def say(what: str) -> None:
    """Say what is done now: in place of what was said before where somebody watches.

    Into a pipe it is said no oftener than every ten seconds.
    """
    global _said, _shown
    now = time.monotonic() - _started
    minutes, seconds = divmod(int(now), 60)
    text = f"{minutes:2}:{seconds:02} {_part}: {what}"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text[:79]:<{len(_shown)}}")
        _shown = text[:79]
    elif now - _said >= _SELDOM:
        sys.stderr.write(f"{text}\n")
        _said = now
    sys.stderr.flush()


def clear() -> None:
    """Make room for a row of the table."""
    global _shown
    if _shown:
        sys.stderr.write(f"\r{' ' * len(_shown)}\r")
        sys.stderr.flush()
        _shown = ""
