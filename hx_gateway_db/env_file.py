"""gateway.env: read as systemd and python-dotenv read it, and changed by key.

The two grammars differ (quotes, backslashes, `export`, trailing comments), so a text counts as
good only when both read the same values for our keys.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO

OWNED_KEYS = ("DATABASE_URL", "REDIS_URL", "LITELLM_REDIS_URL", "DISABLE_ADMIN_UI")


class EnvFileRefusal(Exception):
    """The text can't be changed safely; the message says where and why, without values."""


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


def merge(existing: str | None, rendered: str) -> str:
    """`existing` with our keys as they are in `rendered`, every other line kept.

    A key of ours that `rendered` lacks is removed, a new one is added at the end with its comment.
    Raises EnvFileRefusal when the outcome would not read the same in both grammars.
    """
    text = rendered if existing is None else _merge_lines(existing, rendered)
    _prove(existing or "", text, values(rendered))
    return text


def _merge_lines(existing: str, rendered: str) -> str:
    wanted = values(rendered)
    lines = _lines(existing)
    present = list(assignments(existing))
    found = {item.key: item for item in present if item.key in wanted}
    for item in reversed(present):
        span = slice(item.first - 1, item.last)
        if item.key in OWNED_KEYS and item.key not in wanted:
            del lines[span]
        elif item is found.get(item.key) and item.value != wanted[item.key]:
            ending = "\r\n" if lines[span][-1].endswith("\r\n") else "\n"
            lines[span] = [f"{item.key}={wanted[item.key]}{ending}"]
    for block in rendered.strip("\n").split("\n\n"):
        comments = [f"{line}\n" for line in block.split("\n") if _key_of(line) is None]
        missing = [f"{line}\n" for line in block.split("\n") if _key_of(line) not in (None, *found)]
        if missing:
            _insert(lines, comments, missing)
    return "".join(lines)


def _insert(lines: list[str], comments: list[str], missing: list[str]) -> None:
    # A key that was removed earlier left its comment behind: that is its place.
    if comments and comments[-1] in lines:
        place = lines.index(comments[-1]) + 1
        lines[place:place] = missing
        return
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    lines += ["\n", *comments, *missing]


def _lines(text: str) -> list[str]:
    # Not splitlines(): systemd ends a line at a line feed, not at U+2028 and the like.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _key_of(line: str) -> str | None:
    return None if line.startswith("#") or "=" not in line else line.partition("=")[0]


def _prove(before: str, after: str, wanted: Mapping[str, str]) -> None:
    from dotenv import dotenv_values

    by_systemd = values(after)
    by_dotenv = dotenv_values(stream=StringIO(after), interpolate=False)
    for key in OWNED_KEYS:
        if not by_systemd.get(key) == by_dotenv.get(key) == wanted.get(key):
            number = next((i.first for i in assignments(after) if key in i.key.split()), None)
            where = f"line {number}" if number else "the file"
            raise EnvFileRefusal(
                f"{where}: systemd and python-dotenv would read {key} differently;"
                " write it once, as KEY=VALUE without quotes, backslashes or 'export'"
            )
    others = {key: value for key, value in values(before).items() if key not in OWNED_KEYS}
    if others != {key: value for key, value in by_systemd.items() if key not in OWNED_KEYS}:
        raise EnvFileRefusal("an unclosed quote or a final backslash would swallow our lines")


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
