"""EnvironmentFile= (systemd.exec(5)): the files that it names, and what systemd reads in one.

A pattern (glob(7)) may be about a folder of the gateway's user, with a million names in it.
"""

import glob
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction.folders import open_folder

_MOST_NAMES = 10_000
_MOST_FILES = 100


def matching(pattern: str, root: Path = Path("/")) -> list[str]:
    """The paths in order: that of a pattern without wildcards also when nothing is there.

    They are inside `root`, and so is `pattern`.
    """
    if not glob.has_magic(pattern):
        return [pattern]
    found = [PurePosixPath("/")]
    for part in PurePosixPath(pattern).parts[1:]:
        if glob.has_magic(part):
            paths = (folder / name for folder in found for name in _names(root, folder, part))
            found = list(islice(paths, _MOST_FILES))
        else:
            found = [folder / part for folder in found]
    return sorted(map(str, found))


def _names(root: Path, folder: PurePosixPath, pattern: str) -> list[str]:
    with (
        suppress(OSError, Refused),
        open_folder(root, folder) as descriptor,
        os.scandir(descriptor) as entries,
    ):
        names = (entry.name for entry in islice(entries, _MOST_NAMES))
        hidden = pattern.startswith(".")
        return sorted(
            name
            for name in names
            if fnmatchcase(name, pattern) and (hidden or not name.startswith("."))
        )
    return []


@dataclass(frozen=True)
class Assignment:
    """One assignment as systemd reads it; `first` and `last` are its 1-based lines."""

    key: str
    value: str
    first: int
    last: int


def assignments(text: str) -> Iterator[Assignment]:
    """Read `text` as EnvironmentFile= does (systemd.exec(5); since 254 comments don't continue)."""
    position, line = 0, 1
    while position < len(text):
        character = text[position]
        if character in " \t\r\n":
            line += character == "\n"
            position += 1
            continue
        end = _end_of_line(text, position)
        equals = text.find("=", position, end)
        if character in "#;" or equals < 0:
            position = end
            continue
        first = line
        key = text[position:equals].strip()
        value, position = _read_value(text, equals + 1)
        line += text.count("\n", equals, position)
        yield Assignment(key, value, first, line)


def values(text: str) -> dict[str, str]:
    """Key to value as systemd reads `text`: the last assignment of a key counts."""
    return {assignment.key: assignment.value for assignment in assignments(text)}


def _end_of_line(text: str, position: int) -> int:
    end = re.compile(r"[\r\n]|\Z").search(text, position)
    assert end
    return end.start()


def _read_value(text: str, position: int) -> tuple[str, int]:
    """The value that starts at `position`, and the position of the newline that ends it."""
    value: list[str] = []
    quote = ""
    kept = 0
    blank_prefix = True
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        if quote:
            if character == quote:
                quote, blank_prefix = "", True
            elif character == "\\" and quote == '"' and following:
                if following in '"\\`$':
                    value.append(following)
                elif following != "\n":
                    value.append(character + following)
                position += 1
            else:
                value.append(character)
            kept = len(value)
        elif character in "\r\n":
            break
        elif blank_prefix and character in "'\"":
            quote = character
        elif character == "\\":
            if following and following != "\n":
                value.append(following)
            blank_prefix = False
            kept = len(value)
            position += 1
        elif character in " \t":
            if not blank_prefix:
                value.append(character)
        else:
            value.append(character)
            blank_prefix = False
            kept = len(value)
        position += 1
    return "".join(value[:kept]), min(position, len(text))
