"""What a unit's own files set in its environment, read as files: also where no systemd runs."""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.systemd import environment_files, unit_file
from hx_gateway_db.systemd.sandbox import environment
from hx_gateway_db.transaction import foreign_file
from hx_gateway_db.transaction.folders import open_folder
from hx_gateway_db.transaction.foreign_file import Unreadable

# systemd.unit(5), of the system manager: the first that has a file of a name wins.
_FOLDERS = tuple(
    map(
        PurePosixPath,
        (
            *("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"),
            *("/usr/lib/systemd/system", "/lib/systemd/system"),
        ),
    )
)
_MOST_DROP_INS = 100
_LARGEST = 1024 * 1024


def sets(root: Path, unit: str, variable: str, apart_from: Collection[PurePosixPath] = ()) -> bool:
    """Whether a unit of the system at `root` has a variable from its files.

    That is from Environment= or a file of EnvironmentFile=, `apart_from` some. What can't be read
    counts as if it were not there.
    """
    found: set[str] = set()
    files: list[str] = []
    for path in _files_of(root, unit):
        with suppress(Unreadable):
            for key, value in unit_file.assignments(unit_file.read(path, root), "Service"):
                if key == "Environment":
                    # An empty one takes back those before it.
                    found = found | environment(value).keys() if value else set()
                elif key == "EnvironmentFile":
                    files = [*files, value.strip("\"'").removeprefix("-").strip()] if value else []
    if variable in found:
        return True
    paths = [path for file in files for path in environment_files.matching(file, root)]
    others = [path for path in paths if PurePosixPath(path) not in apart_from]
    return any(variable in _variables(root, path) for path in others)


def _files_of(root: Path, unit: str) -> Iterator[PurePosixPath]:
    """The unit's file, then its drop-ins in the order of their names."""
    fragments = (folder / unit for folder in _FOLDERS)
    if fragment := next((path for path in fragments if _readable(root, path)), None):
        yield fragment
    drop_ins: dict[str, PurePosixPath] = {}
    for folder in _FOLDERS:
        for inner in _drop_in_folders(unit):
            for name in _names(root, folder / inner):
                drop_ins.setdefault(name, folder / inner / name)
    yield from (drop_ins[name] for name in sorted(drop_ins))


def _drop_in_folders(unit: str) -> Iterator[str]:
    """`a-b.service.d`, `a-.service.d`, `service.d`: the closer ones first."""
    name, _, kind = unit.rpartition(".")
    yield f"{unit}.d"
    parts = name.split("-")
    for count in range(len(parts) - 1, 0, -1):
        yield f"{'-'.join(parts[:count])}-.{kind}.d"
    yield f"{kind}.d"


def _names(root: Path, folder: PurePosixPath) -> list[str]:
    with (
        suppress(OSError, Refused),
        open_folder(root, folder) as descriptor,
        os.scandir(descriptor) as entries,
    ):
        names = (entry.name for entry in entries if entry.name.endswith(".conf"))
        return list(islice(names, _MOST_DROP_INS))
    return []


def _readable(root: Path, path: PurePosixPath) -> bool:
    with suppress(Unreadable):
        return bool(foreign_file.beginning(path, 1, root))
    return False


def _variables(root: Path, path: str) -> Collection[str]:
    with suppress(Unreadable):
        text = foreign_file.read(path, _LARGEST, root).decode(errors="replace")
        return environment_files.values(text).keys()
    return ()
