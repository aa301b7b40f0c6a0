"""LiteLLM's tables against the schema and the migrations of the LiteLLM that is installed. Pure.

LiteLLM runs `prisma migrate deploy` when it starts. 1.74 notes a migration that failed, whatever
for, as applied (P3018 in litellm_proxy_extras/utils.py): columns are missing then for good.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.postgres.stored import Attempt, Stored
from hx_gateway_db.prisma import migration_sql
from hx_gateway_db.prisma.migration_sql import Work
from hx_gateway_db.prisma.schema import Table
from hx_gateway_db.redaction import said

_RUNNING_SECONDS = 600
_LARGE = 2**30
_NAMED_AT_MOST = 3
# Of what others have named, only this becomes part of a command.
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,120}")
# What LiteLLM makes up by itself for a database without a history.
_OWN = re.compile(r"0_init|[0-9]{14}_baseline_diff")
_RESTART = f"run 'systemctl restart {LITELLM_UNIT.removesuffix('.service')}'"


@dataclass(frozen=True)
class Installed:
    """What the installed LiteLLM wants: its tables, and its migrations' SQL by name."""

    tables: Sequence[Table]
    migrations: Mapping[str, str]
    works: Mapping[str, Sequence[Work]]


def findings(where: str, stored: Stored, installed: Installed) -> Iterator[Finding]:
    """What is wrong with the tables at `where`; what can't be compared is not said."""
    yield _attempts(where, stored.attempts)
    if not installed.migrations or not installed.tables:
        return
    waiting = [name for name in installed.migrations if name not in _applied(stored.attempts)]
    if waiting and stored.attempts:
        yield _upgrade(where, stored, installed, sorted(waiting))
    else:
        yield _missing(where, stored, installed)
    yield _surplus(where, stored, installed)
    yield from _indexes(where, stored, installed, bool(waiting))


def _applied(attempts: Sequence[Attempt]) -> set[str]:
    return {attempt.name for attempt in attempts if attempt.finished and not attempt.rolled_back}


def _attempts(where: str, attempts: Sequence[Attempt]) -> Finding:
    about = Subject("postgres.migrations", where)
    applied = _applied(attempts)
    left = [attempt for attempt in attempts if attempt.name not in applied]
    open_ones = [attempt for attempt in left if not attempt.rolled_back]
    running = [one.name for one in open_ones if one.seconds < _RUNNING_SECONDS]
    failed = [one.name for one in open_ones if one.name not in running]
    back = [one.name for one in left if one.rolled_back and one.name not in (*running, *failed)]
    if failed:
        what = f"{_named('migration', failed)} of LiteLLM has failed or was cut off"
        why = "LiteLLM does not apply those that come after it"
        return about.warning(what, why, f"{_RESTART}, which tries it again")
    if back:
        what = f"{_named('migration', back)} of LiteLLM was rolled back and is not applied"
        why = "what it adds to the tables is missing"
        return about.warning(what, why, f"{_RESTART}, which applies it")
    if running:
        return about.ok(f"{_named('migration', running)} of LiteLLM is being applied")
    return about.ok(f"{len(applied)} migrations of LiteLLM are applied")


def _missing(where: str, stored: Stored, installed: Installed) -> Finding:
    about = Subject("postgres.columns", where)
    wanted = [(table.name, column) for table in installed.tables for column in table.columns]
    lacking = [(table, name) for table, name in wanted if name not in stored.columns.get(table, ())]
    if not lacking:
        return about.ok("LiteLLM's tables have all columns that the installed LiteLLM wants")
    names = [
        table if table not in stored.columns else f"{table}.{column}" for table, column in lacking
    ]
    what = f"the database lacks {_named('', list(dict.fromkeys(names)))} of LiteLLM"
    why = "its migrations count as applied all the same, and requests that need it fail"
    lost = {(table, name if table in stored.columns else "") for table, name in lacking}
    for name in sorted(_applied(stored.attempts)):
        # All of it, or it would fail the second time over what is there.
        added = set(migration_sql.additions(installed.migrations.get(name, "")))
        if added and added <= lost and _PLAIN.fullmatch(name):
            cure = (
                "in that database run DELETE FROM _prisma_migrations WHERE migration_name ="
                f" '{name}', then {_RESTART}, which applies it"
            )
            return about.warning(what, why, cure)
    return about.warning(what, why, "restore the database from a copy, or answer another PG_DB")


def _surplus(where: str, stored: Stored, installed: Installed) -> Finding:
    about = Subject("postgres.downgrade", where)
    unknown = sorted(
        name
        for name in _applied(stored.attempts)
        if name not in installed.migrations and not _OWN.fullmatch(name)
    )
    known = {table.name: set(table.columns) for table in installed.tables}
    more = [
        f"{table}.{column}"
        for table, columns in stored.columns.items()
        for column in sorted(columns - known.get(table, columns))
    ]
    if not unknown:
        return about.ok("no newer LiteLLM has changed the tables")
    example = f", {said(more[0])} for one" if more else ""
    return about.warning(
        f"a newer LiteLLM has changed the tables ({_named('migration', unknown)}{example})",
        "the installed one does not know what it has added, and may fail to write there",
        "install that version again, or restore the database as it was before the upgrade",
    )


def _upgrade(where: str, stored: Stored, installed: Installed, waiting: list[str]) -> Finding:
    about = Subject("postgres.upgrade", where)
    number = "1 migration" if len(waiting) == 1 else f"{len(waiting)} migrations"
    what = f"LiteLLM applies {number} when it starts the next time"
    long = [
        f"{said(name)} {work.what} {said(work.table)} ({size(stored.sizes[work.table].total)})"
        for name in waiting
        for work in installed.works.get(name, ())
        if work.table in stored.sizes and stored.sizes[work.table].total >= _LARGE
    ]
    if not long:
        return about.ok(what)
    return about.warning(
        f"{what}, and {long[0]}" + (f", and {len(long) - 1} more like it" if long[1:] else ""),
        "LiteLLM ends a migration after a minute, and does not start then",
        "delete old rows before: set general_settings.maximum_spend_logs_retention_period",
    )


def _indexes(where: str, stored: Stored, installed: Installed, waiting: bool) -> Iterator[Finding]:
    about = Subject("postgres.indexes", where)
    broken = [one.name for found in stored.indexes.values() for one in found if not one.valid]
    lacking = [
        (table.name, columns)
        for table in installed.tables
        if table.name in stored.sizes and not waiting
        for columns in table.indexes
        if set(columns) <= stored.columns.get(table.name, frozenset())
        and not any(
            index.valid and index.columns[: len(columns)] == columns
            for index in stored.indexes.get(table.name, ())
        )
    ]
    for name in broken[:_NAMED_AT_MOST]:
        what, why = (
            f"the index {said(name)} is not valid",
            "PostgreSQL keeps it, and does not use it",
        )
        again = f'in that database run REINDEX INDEX CONCURRENTLY "{name}"'
        yield about.warning(what, why, again if _PLAIN.fullmatch(name) else "make it anew")
    for table, columns in lacking[:_NAMED_AT_MOST]:
        listed = ", ".join(columns)
        what = f"{said(table)} has no index on {said(listed)}"
        why = "LiteLLM's queries then read the whole table"
        yield about.warning(what, why, _index_cure(table, columns))
    if not broken and not lacking:
        yield about.ok("LiteLLM's tables have their indexes")


def _index_cure(table: str, columns: Sequence[str]) -> str:
    if not all(_PLAIN.fullmatch(name) for name in (table, *columns)):
        return "make it"
    names = ", ".join(f'"{column}"' for column in columns)
    return f'in that database run CREATE INDEX CONCURRENTLY ON "{table}" ({names})'


def size(number: int) -> str:
    """Bytes as a person reads them."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    value, unit = float(number), 0
    while value >= 1024 and unit < len(units) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {units[unit]}" if unit < 3 else f"{value:.1f} {units[unit]}"


def _named(kind: str, names: Sequence[str]) -> str:
    shown = ", ".join(said(name) for name in names[:_NAMED_AT_MOST])
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return f"the {kind} {shown}{more}" if kind else f"{shown}{more}"
