"""Drop-ins: our own lines set and removed in a text that an administrator may have edited."""

import re
from dataclasses import dataclass

_SECTION = re.compile(r"\s*\[(?P<name>[^]]+)\]\s*")


@dataclass(frozen=True)
class Ownership:
    """Which lines of a drop-in's [Service] section are ours."""

    pattern: re.Pattern[str]

    def owns(self, line: str) -> bool:
        return self.pattern.fullmatch(line.strip()) is not None


DATABASE_LINES = Ownership(re.compile(r"EnvironmentFile\s*=\s*-?\S*/gateway\.env"))
CACHE_LINES = Ownership(
    re.compile(
        r"Environment\s*=\s*\"?LITELLM_(CACHE|RATE_LIMIT_ENABLED|RATE_LIMIT_TOKENS_PER_MINUTE)=.*"
    )
)


def merge(existing: str | None, rendered: str, ours: Ownership) -> str:
    """`existing` with our lines as they are in `rendered`; everything else stays."""
    if existing is None:
        return rendered
    wanted = [line for line in rendered.splitlines() if ours.owns(line)]
    lines = existing.removesuffix("\n").split("\n")
    mine = _owned_lines(lines, ours)
    if [lines[number].strip() for number in mine] == wanted:
        return existing
    kept = [line for number, line in enumerate(lines) if number not in mine]
    if mine:
        place = mine[0]
    else:
        sections = [n for n, line in enumerate(kept) if _section(line) == "Service"]
        if not sections:
            kept.append("[Service]")
            sections = [len(kept) - 1]
        place = sections[-1] + 1
    kept[place:place] = wanted
    return "\n".join(kept) + "\n"


def strip(existing: str, ours: Ownership, rendered: str) -> str | None:
    """`existing` without our lines, or None when nothing of an administrator's remains."""
    lines = existing.removesuffix("\n").split("\n")
    mine = _owned_lines(lines, ours)
    templates = {line.strip() for line in rendered.splitlines()}
    kept = [line for number, line in enumerate(lines) if number not in mine]
    if all(not line.strip() or _section(line) or line.strip() in templates for line in kept):
        return None
    return "\n".join(kept) + "\n"


def _owned_lines(lines: list[str], ours: Ownership) -> list[int]:
    section = ""
    owned = []
    for number, line in enumerate(lines):
        section = _section(line) or section
        if section == "Service" and ours.owns(line):
            owned.append(number)
    return owned


def _section(line: str) -> str | None:
    match = _SECTION.fullmatch(line)
    return match["name"] if match else None
