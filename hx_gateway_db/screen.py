"""What text may look like where it goes: a terminal of some width, or a pipe or file."""

import io
import os
from typing import TextIO

# Where less is left for the text beside what names it, it goes below.
_NARROWEST_TEXT = 30
# Of a terminal that does not say, as one on a serial line.
_USUAL_WIDTH = 80


def prepare(stream: TextIO) -> None:
    """Let `stream` take any character.

    A pipe or file gets UTF-8 whatever the locale is: that is what `--answers` and psql read. A
    terminal gets what it can show, and the number of any other character.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def draws(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that obeys escape sequences; Emacs has one that doesn't."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def coloured(stream: TextIO) -> bool:
    """Whether colour is welcome, as https://no-color.org has it."""
    return draws(stream) and not os.environ.get("NO_COLOR")


def width(stream: TextIO) -> int | None:
    """The columns of a terminal; None where a line may be as long as it is."""
    if not stream.isatty():
        return None
    return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH


def wrapped(first: str, text: str, columns: int | None) -> str:
    """`text` after `first` in lines of `columns`, or below it where too little is left beside it.

    A word that is longer, such as a path, stays whole: it is there to be copied.
    """
    if columns is None:
        return f"{first}{text}"
    import textwrap

    room = columns - len(first)
    below = room < min(_NARROWEST_TEXT, len(text))
    column = len(first) - len(first.lstrip()) + 2 if below else len(first)
    filled = textwrap.fill(
        text,
        columns,
        initial_indent=" " * column if below else first,
        subsequent_indent=" " * column,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{first.rstrip()}\n{filled}" if below else filled
