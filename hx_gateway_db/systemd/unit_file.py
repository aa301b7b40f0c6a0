"""A unit file's text (systemd.syntax(7)): its sections, and what is assigned in one."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hx_gateway_db.transaction import foreign_file

_LARGEST = 1024 * 1024
_SECTION = re.compile(r"\[(?P<name>[^]]+)\]")
_ASSIGNMENT = re.compile(r"(?P<key>\w+)\s*=\s*(?P<value>.*)")


def read(path: str | PurePosixPath, root: Path = Path("/")) -> str:
    """The text of the unit file or drop-in at `path`, inside `root`.

    Raises foreign_file.Unreadable.
    """
    return foreign_file.read(path, _LARGEST, root).decode(errors="replace")


def section(line: str) -> str | None:
    """The section that a line begins; None for any other line."""
    match = _SECTION.fullmatch(line.strip())
    return match["name"] if match else None


def assignments(text: str, wanted: str) -> Iterator[tuple[str, str]]:
    """The keys and values in the section `wanted`, in order; a value may be empty."""
    here = ""
    for line in _joined(text):
        if begun := section(line):
            here = begun
        elif here == wanted and (match := _ASSIGNMENT.fullmatch(line)):
            yield match["key"], match["value"].strip()


def _joined(text: str) -> list[str]:
    """The lines, continued ones as one, without comments."""
    kept = (line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
    return [line.strip() for line in re.sub(r"\\\n", " ", "\n".join(kept)).splitlines()]
