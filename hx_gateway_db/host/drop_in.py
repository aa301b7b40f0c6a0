"""Drop-ins: our own lines set and removed in a text that an administrator may have edited."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_SECTION = re.compile(r"\s*\[(?P<name>[^]]+)\]\s*")
RATE_LIMIT = "RATE_LIMIT_TOKENS_PER_MINUTE"
LIMIT_NAMES = frozenset((RATE_LIMIT, "Example simple rate limit"))
CACHE_NAMES = frozenset(("CACHE", "RATE_LIMIT_ENABLED")) | LIMIT_NAMES


@dataclass(frozen=True)
class Ownership:
    """Which lines of a drop-in's [Service] section are ours; one group of the pattern names it."""

    pattern: re.Pattern[str]

    def name(self, line: str) -> str | None:
        """The variable that a line of ours sets or the file it reads; None for any other line."""
        match = self.pattern.fullmatch(line.strip())
        return next(group for group in match.groups() if group) if match else None


# systemd ignores a line with quotes, or with a blank after the "-": it is still ours, to mend.
DATABASE_LINES = Ownership(
    re.compile(r"EnvironmentFile\s*=\s*(?:[-\"']+\s*)?(/\S*/gateway\.env)[\"']?")
)
CACHE_LINES = Ownership(
    re.compile(
        rf"Environment\s*=\s*\"?LITELLM_(CACHE|RATE_LIMIT_ENABLED|{RATE_LIMIT})=.*"
        r"|# (Example simple rate limit): \d+ req/min per key \(in force through config\.yaml\)"
    )
)
# What a preparation of Prisma's client needs (see `prisma`); quoted, as only we write it.
PRISMA_LINES = Ownership(
    re.compile(r"Environment=\"(PATH|PYTHONPATH|PRISMA_[A-Z_]+|CHECKPOINT_DISABLE)=.*\"")
)
_PATH = re.compile(r"EnvironmentFile\s*=\s*-?(/\S+)")
_VALUE = re.compile(r"Environment\s*=\s*\"?LITELLM_\w+=([^\"]*)\"?")


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
    wanted = _named(rendered, ours)
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
    known = _named(rendered, ours)
    mine = {number for number, name in _owned_lines(lines, ours).items() if name in known}
    templates = {line.strip() for line in rendered.splitlines()}
    kept = [line for number, line in enumerate(lines) if number not in mine]
    if all(not line.strip() or _section(line) or line.strip() in templates for line in kept):
        return None
    return "\n".join(kept) + "\n"


def moved(existing: str, old: str, new: str) -> str:
    """`existing` with `new` where our lines name the file `old`."""
    lines = _split(existing)
    for number in _owned_lines(lines, DATABASE_LINES):
        if path(lines[number]) == old:
            lines[number] = lines[number].replace(old, new)
    return existing if lines == _split(existing) else "\n".join(lines) + "\n"


def owned(text: str, ours: Ownership) -> dict[str, str]:
    """Our settings in `text`: what each sets, and its line."""
    lines = [line.strip() for line in _split(text)]
    mine = _owned_lines(lines, ours).items()
    return {name: lines[number] for number, name in mine if not lines[number].startswith("#")}


def path(line: str) -> str | None:
    """The file that systemd reads because of an EnvironmentFile= line; None when it ignores it."""
    match = _PATH.fullmatch(line.strip())
    return match[1] if match else None


def value(line: str) -> str | None:
    """The value that an Environment= line of ours gives its variable."""
    match = _VALUE.fullmatch(line.strip())
    return match[1] if match else None


def _named(rendered: str, ours: Ownership) -> dict[str, str]:
    return {name: line for line in rendered.splitlines() if (name := ours.name(line))}


def _split(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _inserted(lines: list[str], more: list[str], place: int | None) -> str:
    """`lines` with `more` in them at `place`, or else below the last [Service]."""
    lines = list(lines)
    if place is None:
        sections = [number for number, line in enumerate(lines) if _section(line) == "Service"]
        if not sections:
            lines.append("[Service]")
            sections = [len(lines) - 1]
        place = sections[-1] + 1
    lines[place:place] = more
    return "\n".join(lines) + "\n"


def _owned_lines(lines: list[str], ours: Ownership) -> dict[int, str]:
    """Our lines in the order of the file: the number and the name of each."""
    section = ""
    found = {}
    for number, line in enumerate(lines):
        section = _section(line) or section
        name = ours.name(line)
        if section == "Service" and name:
            found[number] = name
    return found


def _section(line: str) -> str | None:
    match = _SECTION.fullmatch(line)
    return match["name"] if match else None
