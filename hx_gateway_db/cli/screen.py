"""What text may look like where it goes: a terminal of some width, or a pipe or file.

All that the command says is written by `write`, so that nothing that somebody else has said gets
to a terminal but as text.
"""

import io
import os
import re
from collections.abc import Sequence
from typing import TextIO

# Where less is left for the text beside what names it, it goes below.
NARROWEST_TEXT = 30
# What a person reads of a line; a program gets it as it is.
_LONGEST = 2000
# In quotes stands what is to be copied, such as a command: it is not broken.
_QUOTED_OR_WORD = re.compile(r"(?<!\S)\(?'[^']*'[.,;:)]*(?!\S)|\S+")
_WORD = re.compile(r"\S+")
_TOP_LEFT, _REST_OF_LINE, _REST_OF_SCREEN = "\033[H", "\033[K", "\033[J"


class Drawn(str):
    """Printable text with escape sequences of our own. Made here only: all else is just text."""

    __slots__ = ()


CLEARED = Drawn(f"{_TOP_LEFT}\033[2J")


def write(stream: TextIO, text: str, *, exact: bool = False, flush: bool = False) -> None:
    """Write `text` to `stream`: the only place where the command writes. Raises OSError.

    `exact`: text that a program reads, of which only control characters don't stay, unless it is a
    person that looks.
    """
    if not isinstance(text, Drawn):
        if exact and not stream.isatty():
            text = _exact(text)
        else:
            text = "\n".join(map(_plain, text.split("\n")))
    stream.write(text)
    if flush:
        stream.flush()


def write_wrapped(stream: TextIO, text: str, *, first: str = "", flush: bool = False) -> None:
    """Write `text` after `first`, and the line's end: broken at words where a terminal shows it.

    A line that is indented goes on as far to the right. Raises OSError.
    """
    columns = width(stream)
    shown = []
    for line in text.split("\n"):
        rest = line.lstrip(" ")
        beside = first or line[: len(line) - len(rest)]
        shown.append(wrapped(beside, _plain(rest), columns))
        first = ""
    write(stream, "\n".join([*shown, ""]), flush=flush)


def in_colour(text: str, word: str, colour: str) -> Drawn:
    """`text` with the first `word` in it in a colour (an SGR number, ECMA-48)."""
    return Drawn(_plain(text).replace(word, f"\033[{colour}m{word}\033[0m", 1))


def joined(lines: Sequence[str]) -> Drawn:
    """Lines, each of them drawn or just text, as one text."""
    return Drawn("".join(f"{_plain(line)}\n" for line in lines))


def frame(lines: Sequence[str]) -> Drawn:
    """Lines from the top left of a terminal on, over what is there."""
    drawn = "".join(f"{_plain(line)}{_REST_OF_LINE}\r\n" for line in lines)
    return Drawn(f"{_TOP_LEFT}{drawn}{_REST_OF_SCREEN}")


def replaced(before: str, text: str) -> Drawn:
    """`text` in place of what was written before on a line that has not ended."""
    blank = f"\r{' ' * _columns(before)}\r" if before else ""
    return Drawn(f"{blank}{_plain(text)}")


def _plain(line: str) -> str:
    from hx_gateway_db.redaction import beginning, printable  # --help needs nothing of it

    return line if isinstance(line, Drawn) else printable(beginning(line, _LONGEST))


def _exact(text: str) -> str:
    from hx_gateway_db.redaction import printable

    return printable(text, exact=True)


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
    try:
        # One without a size, as apt gives its scripts where nobody watches, keeps lines whole.
        return os.get_terminal_size(stream.fileno()).columns or None
    except OSError:  # it was closed just now
        return None


def wrapped(first: str, text: str, columns: int | None) -> str:
    """`text` after `first` in lines of `columns`, or below it where too little is left beside it.

    What is longer and there to be copied, as a path or a command in quotes is, stays whole.
    """
    if columns is None:
        return f"{first}{text}"
    beside = _columns(first)
    below = columns - beside < min(NARROWEST_TEXT, _columns(text))
    column = beside - _columns(first.lstrip()) + 2 if below else beside
    if below and not first.strip():  # nothing stands there: it was indentation
        first, below, column = "", False, 0
    indent = " " * column
    filled = f"\n{indent}".join(broken(text, columns - column, whole=True))
    return f"{first.rstrip()}\n{indent}{filled}" if below else f"{first}{filled}"


def broken(text: str, columns: int, *, whole: bool = False) -> list[str]:
    """`text` in lines of `columns`, one at least, broken at blanks.

    What is longer is broken as well, or with `whole` gets a longer line, if it is a word or stands
    in quotes.
    """
    text = text.expandtabs()
    lines, end = [""], 0
    for match in (_QUOTED_OR_WORD if whole else _WORD).finditer(text):
        line = f"{lines[-1]}{text[end : match.start()]}{match[0]}"
        end = match.end()
        if not lines[-1] or _columns(line) <= columns:
            lines[-1] = line
        else:
            lines.append(match[0])
        if not whole:
            lines[-1:] = _cut(lines[-1], max(columns, 1))
    return lines


def _cut(line: str, columns: int) -> list[str]:
    if _columns(line) <= columns:
        return [line]
    parts, taken = [""], 0
    for character in line:
        taken += _columns(character)
        if taken > columns and parts[-1]:
            parts.append("")
            taken = _columns(character)
        parts[-1] += character
    return parts


def _columns(text: str) -> int:
    """The columns of a terminal that `text` takes: two for a character of Chinese or Japanese."""
    if text.isascii():
        return len(text)
    import unicodedata  # no text of our own needs it

    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )
