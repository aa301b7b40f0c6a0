"""Which Python packages the gateway's programs load, by the names of files: none of them is run.

They belong to the gateway's user, who may have put anything there: what is read has an end.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.layout import LITELLM_UNIT, UNITS, Layout
from hx_gateway_db.systemd import started_program, unit_file, units
from hx_gateway_db.systemd.started_program import StartedProgram
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction import folders, foreign_file
from hx_gateway_db.transaction.foreign_file import Unreadable

_UNIT_FOLDERS = tuple(
    f"{parent}/systemd/system" for parent in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
)
# Before the path of a program (systemd.service(5), "Special executable prefixes").
_PREFIXES = "@-:+!|"
_BEGINNING = 1024
_MOST_NAMES = 20_000
_LIBRARIES = ("lib", "lib64", "local/lib")
_VERSIONED = re.compile(r"python3(?:\.[0-9]{1,3})?")
_DISTRIBUTION = re.compile(r"([A-Za-z0-9._]{1,100})-([A-Za-z0-9.!+_]{1,60})\.dist-info")


@dataclass(frozen=True)
class PackageFolder:
    """A folder from which Python loads packages, and the names of all that is in it."""

    path: PurePosixPath
    names: tuple[str, ...]
    root: Path = Path("/")

    def versions(self, distribution: str) -> list[str]:
        """The versions of a distribution that say they are installed (PEP 376)."""
        found = (_DISTRIBUTION.fullmatch(name) for name in self.names)
        return [match[2] for match in found if match and match[1].lower() == distribution]

    def text(self, name: str, most: int) -> str | None:
        """The text of a file below it, of `most` bytes at the most; None if it can't be read."""
        with suppress(Unreadable):
            return foreign_file.read(self.path / name, most, self.root).decode(errors="replace")
        return None

    def below(self, name: str, most: int) -> list[str]:
        """The names in a folder below it, `most` of them at most; none if it can't be read."""
        with suppress(OSError, Refused):
            return folders.names(self.path / name, most, self.root)
        return []


def of_litellm(layout: Layout) -> list[PackageFolder]:
    """Those of the Python that LiteLLM's unit starts, as far as they can be read."""
    return _folders(layout, [LITELLM_UNIT])


def of_gateway(layout: Layout) -> list[PackageFolder]:
    """Those of either unit's Python: both read gateway.env."""
    return _folders(layout, UNITS)


def _folders(layout: Layout, names: list[str] | tuple[str, ...]) -> list[PackageFolder]:
    pythons = [python for name in names if (python := _python(layout, name))]
    # Where the gateway has it, also when no unit says so yet.
    pythons.append(layout.base / "gateway/venv/bin/python")
    prefixes = dict.fromkeys(python.parent.parent for python in pythons)
    places = {place: None for prefix in prefixes for place in _places(layout.root, prefix)}
    return [folder for place in places if (folder := _read(layout.root, place))]


def _python(layout: Layout, unit: str) -> PurePosixPath | None:
    """The Python that a unit starts, as the unit names it; None if it can't be told."""
    program = _program(layout, unit)
    if program is None:
        return None
    head = ""
    with suppress(Unreadable):
        head = foreign_file.beginning(program.path, _BEGINNING, layout.root).decode(
            errors="replace"
        )
    python = started_program.python_of(program, head)
    return PurePosixPath(python) if python and python.startswith("/") else None


def _program(layout: Layout, unit: str) -> StartedProgram | None:
    if layout.live and units.available():
        with suppress(ServiceFailed):
            shown = dict(units.properties(unit, ("ExecStart",)))
            return started_program.shown(shown.get("ExecStart", ""))
    for folder in _UNIT_FOLDERS:
        with suppress(Unreadable):
            text = unit_file.read(f"{folder}/{unit}", layout.root)
            commands = [
                value
                for key, value in unit_file.assignments(text, "Service")
                if key == "ExecStart" and value
            ]
            words = commands[-1].split() if commands else []
            path = words[0].lstrip(_PREFIXES) if words else ""
            return StartedProgram(path, tuple(words[1:])) if path.startswith("/") else None
    return None


def _places(root: Path, prefix: PurePosixPath) -> Iterator[PurePosixPath]:
    for library in _LIBRARIES:
        for name in _names(root, prefix / library) or ():
            if _VERSIONED.fullmatch(name):
                yield prefix / library / name / "site-packages"
                yield prefix / library / name / "dist-packages"


def _read(root: Path, place: PurePosixPath) -> PackageFolder | None:
    names = _names(root, place)
    return None if names is None else PackageFolder(place, tuple(names), root)


def _names(root: Path, place: PurePosixPath) -> list[str] | None:
    try:
        return folders.names(place, _MOST_NAMES, root)
    except (OSError, Refused):
        return None
