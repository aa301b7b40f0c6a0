"""A unit file's text (systemd.syntax(7)): its sections, and what is assigned in one."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction import foreign_file
from hx_gateway_db.transaction.folders import open_folder

# In systemd's order; the first four stand above an administrator's own (systemd.unit(5)).
ABOVE = (
    *("/etc/systemd/system.control", "/run/systemd/system.control"),
    *("/run/systemd/transient", "/run/systemd/generator.early"),
)
_FOLDERS = (
    *ABOVE,
    *("/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator"),
    *("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/run/systemd/generator.late"),
)
_MOST_DROP_INS = 1000
_LARGEST = 1024 * 1024
_SECTION = re.compile(r"\[(?P<name>[^]]+)\]")
_ASSIGNMENT = re.compile(r"(?P<key>\w+)\s*=\s*(?P<value>.*)")


def read(path: str | PurePosixPath, root: Path = Path("/")) -> str:
    """The text of the unit file or drop-in at `path`, inside `root`.

    Raises foreign_file.Unreadable.
    """
    return foreign_file.read(path, _LARGEST, root).decode(errors="replace")


def drop_ins(unit: str, root: Path = Path("/")) -> list[str]:
    """The drop-ins in the folders of `unit`, inside `root`, as systemd would read them now.

    Of those with one name, the one in the first folder counts (systemd.unit(5)).
    """
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        place = PurePosixPath(folder) / f"{unit}.d"
        with suppress(OSError, Refused), open_folder(root, place) as descriptor:
            with os.scandir(descriptor) as entries:
                names = [entry.name for entry in islice(entries, _MOST_DROP_INS)]
            for name in names:
                if name.endswith(".conf"):
                    found.setdefault(name, str(place / name))
    return [found[name] for name in sorted(found)]


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
