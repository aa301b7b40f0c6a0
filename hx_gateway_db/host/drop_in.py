"""Drop-ins: our own lines set and removed in a text that an administrator may have edited."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from hx_gateway_db.systemd.unit_file import section

_PATH = re.compile(r"EnvironmentFile\s*=\s*-?(/\S+)")
_VALUE = re.compile(r"Environment\s*=\s*\"?LITELLM_\w+=([^\"]*)\"?")


@dataclass(frozen=True)
class Ownership:
    """Which lines of a drop-in's [Service] section are ours; one group of the pattern names it.

    `read` says what systemd reads because of one, None when it ignores it; without it, the name.
    """

    pattern: re.Pattern[str]
    read: Callable[[str], str | None] | None = None

    def name(self, line: str) -> str | None:
        """The variable that a line of ours sets or the file it reads; None for any other line."""
        match = self.pattern.fullmatch(line.strip())
        return next(group for group in match.groups() if group) if match else None

    def effect(self, line: str) -> str | None:
        """What systemd reads because of a line of ours; None when it ignores it."""
        return self.read(line) if self.read else self.name(line)

    def shown(self, line: str) -> str:
        """How a sentence names a line of ours: by its variable, but what it reads, as it stands."""
        return line if self.read else self.name(line) or line


@dataclass(frozen=True)
class Settled:
    """A text with our lines in it, and those of them that stay as somebody has edited them."""

    text: str
    edited: tuple[str, ...] = ()


def settle(
    existing: str | None, rendered: str, ours: Ownership, may_stay: Callable[[str], bool]
) -> Settled:
    """`existing` with our lines set as in `rendered`, but an edited one that may stay as it is.

    What is not there any more is written again, a comment excepted. A line of ours that
    `rendered` does not know, such as one that reads another gateway.env, is an edit that stays.
    """
    if existing is None:
        return Settled(rendered)
    wanted = named(rendered, ours)
    lines = _split(existing)
    mine = _owned_lines(lines, ours)
    edited = []
    for number, name in mine.items():
        line = lines[number].strip()
        if line == wanted.get(name):
            continue
        if name not in wanted or may_stay(line):
            edited.append(line)
        else:
            lines[number] = wanted[name]
    there = mine.values()
    lost = [line for name, line in wanted.items() if name not in there and line[0] != "#"]
    if lines == _split(existing) and not lost:
        return Settled(existing, tuple(edited))
    return Settled(_inserted(lines, lost, next(iter(mine), None)), tuple(edited))


def merge(existing: str | None, rendered: str, ours: Ownership) -> str:
    """`existing` with exactly our lines as they are in `rendered`; everything else stays."""
    if existing is None:
        return rendered
    wanted = [line for line in rendered.splitlines() if ours.name(line)]
    lines = _split(existing)
    mine = _owned_lines(lines, ours)
    if [lines[number].strip() for number in mine] == wanted:
        return existing
    kept = [line for number, line in enumerate(lines) if number not in mine]
    return _inserted(kept, wanted, next(iter(mine), None))


def strip(existing: str, ours: Ownership, rendered: str) -> str | None:
    """`existing` without our lines, or None when nothing of an administrator's remains."""
    lines = _split(existing)
    known = named(rendered, ours)
    mine = {number for number, name in _owned_lines(lines, ours).items() if name in known}
    templates = {line.strip() for line in rendered.splitlines()}
    kept = [line for number, line in enumerate(lines) if number not in mine]
    if all(not line.strip() or section(line) or line.strip() in templates for line in kept):
        return None
    return "\n".join(kept) + "\n"


def moved(existing: str, ours: Ownership, old: str, new: str) -> str:
    """`existing` with `new` where our lines have systemd read the file `old`."""
    lines = _split(existing)
    for number in _owned_lines(lines, ours):
        if ours.effect(lines[number]) == old:
            lines[number] = lines[number].replace(old, new)
    return existing if lines == _split(existing) else "\n".join(lines) + "\n"


def owned(text: str, ours: Ownership) -> dict[str, str]:
    """Our settings in `text`: what each sets, and its line."""
    lines = [line.strip() for line in _split(text)]
    mine = _owned_lines(lines, ours).items()
    return {name: lines[number] for number, name in mine if not lines[number].startswith("#")}


def named(rendered: str, ours: Ownership) -> dict[str, str]:
    """Our lines in a text of our own: what each sets, and the line."""
    return {name: line for line in rendered.splitlines() if (name := ours.name(line))}


def path(line: str) -> str | None:
    """The file that systemd reads because of an EnvironmentFile= line; None when it ignores it."""
    match = _PATH.fullmatch(line.strip())
    return match[1] if match else None


def value(line: str) -> str | None:
    """The value that an Environment= line of ours gives its variable."""
    match = _VALUE.fullmatch(line.strip())
    return match[1] if match else None


def _split(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _inserted(lines: list[str], more: list[str], place: int | None) -> str:
    """`lines` with `more` in them at `place`, or else below the last [Service]."""
    lines = list(lines)
    if place is None:
        sections = [number for number, line in enumerate(lines) if section(line) == "Service"]
        if not sections:
            lines.append("[Service]")
            sections = [len(lines) - 1]
        place = sections[-1] + 1
    lines[place:place] = more
    return "\n".join(lines) + "\n"


def _owned_lines(lines: list[str], ours: Ownership) -> dict[int, str]:
    """Our lines in the order of the file: the number and the name of each."""
    here = ""
    found = {}
    for number, line in enumerate(lines):
        here = section(line) or here
        name = ours.name(line)
        if here == "Service" and name:
            found[number] = name
    return found
