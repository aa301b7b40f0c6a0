"""Which of a unit's files says what is in its environment (systemd.exec(5), systemd.unit(5)).

EnvironmentFile= wins over Environment= wherever either stands, a later file over an earlier one,
and UnsetEnvironment= over both. Drop-ins are read in the order of their names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hx_gateway_db.systemd import unit_file


@dataclass(frozen=True)
class Defeat:
    """Why a unit does not read the file that it should, or not all of it.

    `by` is the unit file that says so. `file` is the environment file that wins, `variables` what
    it sets or what is unset; empty when the whole file is not read.
    """

    by: str
    file: str = ""
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Line:
    unit_file: str
    key: str
    value: str


def in_order(fragment: str, drop_ins: Iterable[str], ours: str) -> list[str]:
    """The paths of a unit's files in the order in which systemd reads them, `ours` among them.

    Of two drop-ins with one name only that in /etc is read.
    """
    others = [path for path in drop_ins if _name(path) != _name(ours)]
    return [fragment, *sorted([*others, ours], key=_name)]


def defeats(
    unit_files: Iterable[tuple[str, str]],
    ours: str,
    wanted: Mapping[str, str],
    contents: Mapping[str, Mapping[str, str]],
) -> list[Defeat]:
    """What keeps the variables of the environment file `ours` from the unit.

    `unit_files` are path and text in order, `wanted` the variables that `ours` sets, `contents`
    the variables that other environment files set.
    """
    lines = [line for path, text in unit_files for line in _lines(path, text)]
    files: list[_Line] = []
    unset: list[_Line] = []
    reset_by = ""
    for line in lines:
        held = files if line.key == "EnvironmentFile" else unset
        if line.value:
            held.append(line)
            continue
        if line.key == "EnvironmentFile" and any(_path(known) == ours for known in held):
            reset_by = line.unit_file
        held.clear()
    places = [number for number, line in enumerate(files) if _path(line) == ours]
    if not places:
        return [Defeat(reset_by)] if reset_by else []
    later = [line for line in files[places[-1] + 1 :] if _path(line) in contents]
    found = [_overridden(line, wanted, contents[_path(line)]) for line in later]
    found += [_unset(line, wanted) for line in unset]
    return [defeat for defeat in found if defeat.variables]


def environment_files(unit_files: Iterable[tuple[str, str]]) -> list[str]:
    """The files that EnvironmentFile= lines name."""
    lines = [line for path, text in unit_files for line in _lines(path, text)]
    return [_path(line) for line in lines if line.key == "EnvironmentFile" and line.value]


def _overridden(line: _Line, wanted: Mapping[str, str], content: Mapping[str, str]) -> Defeat:
    names = (name for name in wanted if name in content and content[name] != wanted[name])
    return Defeat(line.unit_file, _path(line), tuple(names))


def _unset(line: _Line, wanted: Mapping[str, str]) -> Defeat:
    words = line.value.replace('"', "").replace("'", "").split()
    names = [name for name in wanted if name in words or f"{name}={wanted[name]}" in words]
    return Defeat(line.unit_file, "", tuple(names))


def _path(line: _Line) -> str:
    return line.value.strip("\"'").removeprefix("-").strip()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _lines(path: str, text: str) -> Iterable[_Line]:
    for key, value in unit_file.assignments(text, "Service"):
        if key in ("EnvironmentFile", "UnsetEnvironment"):
            yield _Line(path, key, value)
