"""What LiteLLM's tables are and how large: asked in a session of the gateway's own role."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from hx_gateway_db.postgres import sentences
from hx_gateway_db.postgres.authentication import LoginFailed
from hx_gateway_db.postgres.login import Connection, login
from hx_gateway_db.postgres.reach import reach
from hx_gateway_db.postgres.replies import row, rows
from hx_gateway_db.postgres.target import identifier, schema_of, target_of
from hx_gateway_db.settings.values import Postgres

SPEND_LOGS = "LiteLLM_SpendLogs"
_SECONDS = 7.5
_MIGRATIONS = "_prisma_migrations"
_OURS = """c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
    AND c.relkind IN ('r', 'p') AND c.relname LIKE 'LiteLLM\\_%%'"""
_SIZES = f"""
SELECT c.relname, pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint
FROM pg_class c WHERE {_OURS} LIMIT 2000
"""
_COLUMNS = f"""
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE {_OURS} AND a.attnum > 0 AND NOT a.attisdropped LIMIT 20000
"""
_INDEXES = f"""
SELECT c.relname, i.relname, x.indisvalid,
    coalesce((SELECT string_agg(a.attname, chr(10) ORDER BY k.position)
        FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (number, position)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number), '')
FROM pg_class c JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
WHERE {_OURS} LIMIT 5000
"""
_ATTEMPTS = """
SELECT migration_name, finished_at IS NOT NULL, rolled_back_at IS NOT NULL,
    applied_steps_count > 0, extract(epoch FROM now() - started_at)::float8
FROM {table} ORDER BY started_at LIMIT 5000
"""
_DEADLOCKS = """
SELECT coalesce(deadlocks, 0), coalesce(extract(epoch FROM now() - stats_reset), -1)::float8
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Attempt:
    """A row of _prisma_migrations; `seconds` ago it began. `ran`: its SQL did, to the end."""

    name: str
    finished: bool
    rolled_back: bool
    ran: bool
    seconds: float


@dataclass(frozen=True)
class Index:
    """An index that is there, on these columns; one that is not `valid` is not used."""

    name: str
    valid: bool
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """Bytes with indexes and TOAST, and an estimate of the rows."""

    total: int
    rows: int


@dataclass(frozen=True)
class Stored:
    """By table, what there is.

    `oldest` is the age of the first row of LiteLLM_SpendLogs in seconds, None if it is not known.
    `deadlocks` are counted in the whole database, for `counted` seconds (-1: ever since it is
    there).
    """

    sizes: Mapping[str, Size]
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    indexes: Mapping[str, tuple[Index, ...]] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    oldest: float | None = None
    deadlocks: int = 0
    counted: float = -1.0


def stored(postgres: Postgres) -> Stored | None:
    """What is there, within 8 s; None where the database can't be asked."""
    deadline = time.monotonic() + _SECONDS
    target = target_of(postgres)
    _, reached = reach(target, deadline)
    if reached is None:
        return None
    try:
        with login(target, reached, deadline) as connection:
            return _ask(connection, schema_of(postgres))
    except LoginFailed:
        return None


def _ask(connection: Connection, schema: str) -> Stored:
    milliseconds = f"{sentences.STATEMENT_SECONDS * 1000:.0f}"
    # Of this transaction alone: a PgBouncer shares the session out.
    row(connection, "SELECT set_config('statement_timeout', %s, true)", [milliseconds], str)
    where = {"schema": schema}
    sizes = {
        name: Size(size or 0, number or 0)
        for name, size, number in rows(connection, _SIZES, where, str, int, int)
    }
    columns: dict[str, set[str]] = defaultdict(set)
    for table, column in rows(connection, _COLUMNS, where, str, str):
        columns[table].add(column)
    indexes: dict[str, list[Index]] = defaultdict(list)
    for table, name, valid, names in rows(connection, _INDEXES, where, str, str, bool, str):
        indexes[table].append(Index(name, valid, tuple(names.split("\n"))))
    deadlocks, counted = row(connection, _DEADLOCKS, [], int, float) or (0, -1.0)
    return Stored(
        sizes=sizes,
        columns={table: frozenset(names) for table, names in columns.items()},
        indexes={table: tuple(found) for table, found in indexes.items()},
        attempts=_attempts(connection, schema),
        oldest=_oldest(connection, schema, indexes.get(SPEND_LOGS, [])),
        deadlocks=deadlocks or 0,
        counted=counted or 0.0,
    )


def _attempts(connection: Connection, schema: str) -> tuple[Attempt, ...]:
    table = f"{identifier(schema)}.{identifier(_MIGRATIONS)}"
    if row(connection, "SELECT to_regclass(%s)::text", [table], str) in (None, (None,)):
        return ()
    query = _ATTEMPTS.format(table=table.replace("%", "%%"))
    found = rows(connection, query, [], str, bool, bool, bool, float)
    return tuple(
        Attempt(name or "", bool(finished), bool(back), bool(ran), seconds or 0.0)
        for name, finished, back, ran, seconds in found
    )


def _oldest(connection: Connection, schema: str, indexes: list[Index]) -> float | None:
    """Not asked without an index: all of the table would be read."""
    if not any(index.valid and index.columns[0] == "startTime" for index in indexes):
        return None
    table = f"{identifier(schema)}.{identifier(SPEND_LOGS)}".replace("%", "%%")
    query = f"""
        SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - min("startTime"))::float8 FROM {table}
    """
    found = row(connection, query, [], float)
    return found[0] if found else None
