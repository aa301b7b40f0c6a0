"""gateway.env: the lines that are ours, and how a text with them is read and changed by key.

systemd and python-dotenv read it, and their grammars differ (quotes, backslashes, `export`,
trailing comments), so a text counts as good only when both read the same values for our keys.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any

from hx_gateway_db.layout import WRAPPER_UNIT
from hx_gateway_db.settings import variables
from hx_gateway_db.settings.catalogue import VARIABLES, Answer
from hx_gateway_db.settings.litellm import LIMITS_ALWAYS_SHARED, Change, LiteLLM
from hx_gateway_db.settings.urls import (
    database_url,
    libpq_url,
    parse_database_url,
    parse_redis_url,
    redis_url,
)
from hx_gateway_db.settings.values import Postgres, RedisUse, Settings, redis_use
from hx_gateway_db.systemd.environment_files import assignments, values


@dataclass(frozen=True)
class Answered:
    """A line that says an answer: `field` of Settings, as `value` (None: no line).

    `read` makes the field from a text. Raises InvalidSettings.
    """

    key: str
    field: str
    value: Callable[[Settings], str | None]
    read: Callable[[str], Any]


@dataclass(frozen=True)
class Derived:
    """A line that follows from other answers, and that an administrator may have without us.

    `needed` says for which database (None: not known) and uses of Redis there is one, `text` its
    value then. A sentence on it names what it is there for (`purpose`), and says its value, or
    `shown` where that is a secret. A LiteLLM with the change `dead_since` does not read it.
    """

    key: str
    needed: Callable[[Postgres | None, RedisUse], bool]
    text: Callable[[Settings], str]
    purpose: Callable[[Settings], str]
    shown: str = ""
    dead_since: Change | None = None

    def value(self, settings: Settings) -> str | None:
        """What it says; None: there is no such line."""
        needed = self.needed(settings.postgres, redis_use(settings))
        return self.text(settings) if needed else None


@dataclass(frozen=True)
class Offered:
    """A line for a service of the site (`unit`), that yields to an administrator's of that name.

    That is one in gateway.env that we have not written, or one that the unit reads elsewhere.
    """

    key: str
    unit: str
    text: Callable[[Settings], str]

    def value(self, settings: Settings) -> str | None:
        """What it says."""
        return self.text(settings)


@dataclass(frozen=True)
class Said:
    """A line that is an answer and nothing else: its row has the name and the comment."""

    answer: Answer

    @property
    def key(self) -> str:
        return self.answer.variable

    def value(self, settings: Settings) -> str | None:
        """What it says; None: there is no such line."""
        return dict(settings.variables).get(self.key)


def _redis_url(settings: Settings) -> str:
    return redis_url(settings.redis) if settings.redis else ""


# Adding a line: its record here, and its paragraph in templates/gateway.env.j2, which is given
# each value by its key. One that is an answer needs neither, but its row in settings/catalogue.py.
DERIVED = (
    Derived(
        "LITELLM_REDIS_URL",
        needed=lambda postgres, use: use.cache is not None,
        text=_redis_url,
        purpose=lambda settings: "the cache",
        shown="as REDIS_URL",
    ),
    Derived(
        "EXPERIMENTAL_MULTI_INSTANCE_RATE_LIMITING",
        needed=lambda postgres, use: use.shared_limits,
        text=lambda settings: "true",
        purpose=lambda settings: "the spend buffer" if settings.cache else "the cache",
        dead_since=LIMITS_ALWAYS_SHARED,
    ),
    Derived(
        "PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK",
        needed=lambda postgres, use: postgres is not None and postgres.pgbouncer is True,
        text=lambda settings: "1",
        purpose=lambda settings: "PgBouncer",
    ),
)
OFFERED = (Offered("PG_URL", WRAPPER_UNIT, lambda settings: libpq_url(settings.postgres)),)
SAID = tuple(map(Said, VARIABLES))
LINES: tuple[Answered | Derived | Offered | Said, ...] = (
    Answered(
        "DATABASE_URL",
        "postgres",
        lambda settings: database_url(settings.postgres),
        parse_database_url,
    ),
    Answered(
        "REDIS_URL",
        "redis",
        lambda settings: _redis_url(settings) or None,
        lambda text: parse_redis_url(text) if text else None,
    ),
    *OFFERED,
    *DERIVED,
    *SAID,
)
# Made once, and from then on like a line of an administrator's: no run changes it or takes it out.
SALT = "LITELLM_SALT_KEY"
SALT_COMMENT = (
    "# What LiteLLM has encrypted in the database can't be read without this key: it has to stay,",
    "# and keep a copy of it apart from the database's",
)
ANSWERED = tuple(line for line in LINES if isinstance(line, Answered))
OWNED_KEYS = tuple(line.key for line in LINES)

_LARGEST = 256 * 1024  # characters
_MANY_BLANKS = re.compile(r"[^\S\r\n]{200}")


class EnvFileRefusal(Exception):
    """The text can't be changed safely; `what` says where and why, without values."""

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(what)
        self.what, self.cure = what, cure


def lines_for(settings: Settings) -> dict[str, str]:
    """The value of each line that there is for `settings`, by its key."""
    said = {line.key: line.value(settings) for line in LINES}
    return {key: value for key, value in said.items() if value is not None}


def by_version(settings: Settings) -> dict[str, Change]:
    """Of the lines that there are for `settings`, those that not every LiteLLM reads.

    By the key of each, what makes it a dead one.
    """
    there = (line for line in DERIVED if line.value(settings) is not None)
    return {line.key: line.dead_since for line in there if line.dead_since}


def dead(settings: Settings, litellm: Callable[[], LiteLLM]) -> list[str]:
    """The keys that this LiteLLM does not read; it is asked for only where one depends on it."""
    if not (keys := by_version(settings)):
        return []
    present = litellm()
    return [key for key, change in keys.items() if present.has(change)]


def answered(present: Mapping[str, str]) -> dict[str, Any]:
    """The fields of Settings that the values `present` in gateway.env say, by name.

    Raises InvalidSettings.
    """
    fields = {line.field: line.read(present[line.key]) for line in ANSWERED if line.key in present}
    return {**fields, "variables": variables.read(present)}


def merge(
    existing: str | None,
    rendered: str,
    template: str,
    kept: Collection[str] = (),
    others: Collection[str] = (),
) -> str:
    """`existing` with our keys as they are in `rendered`, every other line kept.

    A new key is added at the end with its comment; a key of ours that `rendered` lacks goes, and
    with it the comment that `template`, a rendering with all keys, has above it. The keys in
    `kept` stay as they are in `existing`, where both grammars read the same value there. Those in
    `others` are not ours in `existing`.
    Raises EnvFileRefusal when the outcome would not read the same in both grammars, or takes too
    long to read.
    """
    _check_size(existing or "")
    owned = [key for key in OWNED_KEYS if key not in others]
    wanted = {key: value for key, value in values(rendered).items() if key in owned}
    if existing is not None:
        wanted |= {key: value for key, value in _agreed(existing).items() if key in kept}
    text = rendered if existing is None else _merge_lines(existing, wanted, template, owned)
    _prove(existing or "", text, wanted, owned)
    return text


def as_before(text: str, before: str, after: str, template: str) -> str:
    """`text`, which somebody has edited since it was `after`, with our keys as they were `before`.

    `template` and the exception are as in `merge`.
    """
    lines, now, left = _lines(before), values(text), values(after)
    # What yields to an administrator does so from the edit on.
    others = [line.key for line in OFFERED if now.get(line.key) != left.get(line.key)]
    ours = (item for item in assignments(before) if item.key in OWNED_KEYS)
    rendered = "".join(line for i in ours for line in lines[i.first - 1 : i.last])
    return merge(text, rendered, template, others=others)


def with_salt(existing: str | None, salt: str, template: str) -> str:
    """`existing` with one more line at its end, which says `salt`; it has none yet.

    A new file begins as `template`, a rendering with all keys, does. Raises EnvFileRefusal.
    """
    _check_size(existing or "")
    before = existing if existing is not None else template.partition("\n\n")[0] + "\n"
    ending = "" if before.endswith("\n") or not before else "\n"
    text = before + "\n".join((ending, *SALT_COMMENT, f"{SALT}={salt}", ""))
    wanted = {**values(before), SALT: salt}
    if values(text) != wanted or by_dotenv(text).get(SALT) != salt:
        raise EnvFileRefusal("an unclosed quote or a final backslash would swallow our lines")
    return text


def _merge_lines(
    existing: str, wanted: Mapping[str, str], template: str, owned: Collection[str]
) -> str:
    lines = _lines(existing)
    present = list(assignments(existing))
    found = {item.key: item for item in present if item.key in wanted}
    for item in reversed(present):
        span = slice(item.first - 1, item.last)
        if item.key in owned and item.key not in wanted:
            del lines[_with_comment(lines, span, _comments(template, item.key))]
        elif item is found.get(item.key) and item.value != wanted[item.key]:
            ending = "\r\n" if lines[span][-1].endswith("\r\n") else "\n"
            lines[span] = [f"{item.key}={wanted[item.key]}{ending}"]
    for key in wanted:
        if key not in found:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            lines += ["\n", *_comments(template, key), f"{key}={wanted[key]}\n"]
    return "".join(lines)


def _comments(template: str, key: str) -> list[str]:
    """The comment lines of `key`'s paragraph in the template."""
    for paragraph in template.split("\n\n"):
        lines = _lines(paragraph.strip("\n") + "\n")
        if any(line.startswith(f"{key}=") for line in lines):
            return [line for line in lines if line.startswith("#")]
    return []


def _with_comment(lines: list[str], span: slice, comments: list[str]) -> slice:
    # A comment that an administrator has changed is the administrator's, and stays.
    start = span.start - len(comments)
    if not comments or start < 1 or lines[start : span.start] != comments:
        return span
    return slice(start - (lines[start - 1] == "\n"), span.stop)


def _lines(text: str) -> list[str]:
    # Not splitlines(): systemd ends a line at a line feed, not at U+2028 and the like.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _agreed(text: str) -> dict[str, str]:
    """The values that systemd and python-dotenv read in the same way."""
    also = by_dotenv(text)
    return {key: value for key, value in values(text).items() if also.get(key) == value}


def by_dotenv(text: str) -> Mapping[str, str | None]:
    """The values that python-dotenv reads, nothing expanded.

    Raises EnvFileRefusal for what it would read for too long.
    """
    _check_size(text)
    import logging

    from dotenv import dotenv_values

    # It warns of each line that it can't read; of those that matter to us we say so ourselves.
    logging.getLogger("dotenv.main").disabled = True
    return dotenv_values(stream=StringIO(text), interpolate=False)


def _check_size(text: str) -> None:
    """Refuse what python-dotenv would take minutes or hours for: it looks for a comment behind each
    of many blanks."""
    if len(text) > _LARGEST:
        raise EnvFileRefusal(f"the file has more than {_LARGEST // 1024} KiB")
    if blanks := _MANY_BLANKS.search(text):
        line = text.count("\n", 0, blanks.start()) + 1
        raise EnvFileRefusal(f"line {line}: there are too many blanks in a row")


def _prove(before: str, after: str, wanted: Mapping[str, str], owned: Collection[str]) -> None:
    by_systemd, also = values(after), by_dotenv(after)
    for key in owned:
        if not by_systemd.get(key) == also.get(key) == wanted.get(key):
            number = next((i.first for i in assignments(after) if key in i.key.split()), None)
            where = f"line {number}" if number else "the file"
            raise EnvFileRefusal(
                f"{where}: systemd and python-dotenv would read {key} differently",
                "write it once, as KEY=VALUE without quotes, backslashes or 'export'",
            )
    others = {key: value for key, value in values(before).items() if key not in owned}
    if others != {key: value for key, value in by_systemd.items() if key not in owned}:
        raise EnvFileRefusal("an unclosed quote or a final backslash would swallow our lines")
