"""A migration's SQL as text: what it adds, and which tables it works on as long as they are large.

PostgreSQL's manual, ALTER TABLE ("Notes") and CREATE INDEX: a new column is added in an instant
unless its default differs from row to row; a type that changes rewrites the table; an index reads
all of it, and keeps writers out unless it is made CONCURRENTLY. Pure.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TABLE = r"(?:\"public\"\.)?\"([A-Za-z0-9_]{1,63})\""
_INDEX = re.compile(
    r"CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?(?:\"[^\"]{1,63}\" )?ON (?:ONLY )?" + _TABLE,
    re.IGNORECASE,
)
_ALTER = re.compile(r"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?" + _TABLE, re.IGNORECASE)
_CREATE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?" + _TABLE, re.IGNORECASE)
_COLUMN = re.compile(r"ADD COLUMN (?:IF NOT EXISTS )?\"([A-Za-z0-9_]{1,63})\"", re.IGNORECASE)
_ROWS = re.compile(r"(?:UPDATE|DELETE FROM) (?:ONLY )?" + _TABLE, re.IGNORECASE)
_REWRITES = (
    *(" SET DATA TYPE ", " TYPE ", "SERIAL", "GENERATED ALWAYS"),
    *("GEN_RANDOM_UUID()", "UUID_GENERATE_", "RANDOM()", "CLOCK_TIMESTAMP()", "NEXTVAL("),
)
_READS = ("ADD PRIMARY KEY", "PRIMARY KEY (", "UNIQUE (", "SET NOT NULL", "FOREIGN KEY")
_MOST_STATEMENTS = 10_000


@dataclass(frozen=True)
class Work:
    """What is done to a table: `what` is a verb's phrase."""

    table: str
    what: str


def works(text: str) -> list[Work]:
    """The long works of a migration, each once."""
    return list(dict.fromkeys(work for sql in _statements(text) for work in _of(sql)))


def additions(text: str) -> list[tuple[str, str]]:
    """The tables and columns that a migration adds; of a new table the column is empty."""
    found = []
    for sql in _statements(text):
        if created := _CREATE.match(sql):
            found.append((created[1], ""))
        elif altered := _ALTER.match(sql):
            found += [(altered[1], column) for column in _COLUMN.findall(sql)]
    return found


def _statements(text: str) -> Iterator[str]:
    lines = (line.partition("--")[0] for line in text.splitlines())
    for number, statement in enumerate(" ".join(lines).split(";")):
        if number == _MOST_STATEMENTS:
            return
        yield " ".join(statement.split())


def _of(sql: str) -> Iterator[Work]:
    upper = sql.upper()
    if found := _INDEX.match(sql):
        yield Work(found[1], "makes an index on")
    elif found := _ROWS.match(sql):
        yield Work(found[1], "changes rows of")
    elif found := _ALTER.match(sql):
        if any(word in upper for word in _REWRITES):
            yield Work(found[1], "rewrites")
        elif any(word in upper for word in _READS):
            yield Work(found[1], "reads all of")
