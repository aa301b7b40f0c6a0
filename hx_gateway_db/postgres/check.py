"""PostgreSQL: the check before the change, step by step, and LiteLLM's tables."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding
from hx_gateway_db.postgres import sentences as errors
from hx_gateway_db.postgres.authentication import LoginFailed
from hx_gateway_db.postgres.facts import OLDEST, Facts, Pool, findings
from hx_gateway_db.postgres.login import Connection, explained, login
from hx_gateway_db.postgres.questions import ask
from hx_gateway_db.postgres.reach import Reached, reach
from hx_gateway_db.postgres.replies import row, rows
from hx_gateway_db.postgres.target import Target, identifier, schema_of, target_of
from hx_gateway_db.settings.litellm import UNKNOWN, LiteLLM
from hx_gateway_db.settings.urls import encode
from hx_gateway_db.settings.values import Postgres

_SECONDS = 7.5
_LOGIN_SECONDS = 4.0
_SPEND_LOGS = "LiteLLM_SpendLogs"
_TABLES = ("LiteLLM_VerificationToken", _SPEND_LOGS)


class NotUsable(Refused):
    """The database can't be used as LiteLLM uses it; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.sentence)
        self.finding = finding


@dataclass(frozen=True)
class PostgresInspection:
    """What was found, in the order it was looked at, and whether a PgBouncer stands in front.

    `fresh`: LiteLLM has no tables there yet; None if it could not be asked.
    """

    findings: tuple[Finding, ...]
    pooled: bool
    fresh: bool | None = None


def inspect_postgres(
    postgres: Postgres, pool: Pool, litellm: LiteLLM = UNKNOWN
) -> PostgresInspection:
    """Go the way that this LiteLLM will go, and look at all it will need, within 8 s.

    The way ends at the first step that fails: what comes after it is not among the findings. What
    the login shows is found in full. Nothing is changed on the server.
    """
    deadline = time.monotonic() + _SECONDS
    target = target_of(postgres)
    found = list(_database_name(postgres))
    steps, reached = reach(target, deadline)
    found += steps
    if reached is None:
        return PostgresInspection(tuple(found), pooled=False)
    steps, facts = _log_in(target, postgres, reached, deadline)
    found += steps
    if facts is None:
        return PostgresInspection(tuple(found), pooled=False)
    found += findings(postgres, facts, datetime.now(UTC), pool, litellm)
    fresh = facts.tables == 0 if facts.version >= OLDEST else None
    return PostgresInspection(tuple(found), facts.pooled, fresh)


def missing_tables(postgres: Postgres) -> list[str]:
    """Which of the tables that LiteLLM needs most are not there. Raises NotUsable."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename = ANY(%s)"
    with used(postgres, time.monotonic() + _SECONDS) as connection:
        found = rows(connection, query, [schema_of(postgres), list(_TABLES)], str)
        there = {name for (name,) in found}
    return [name for name in _TABLES if name not in there]


@contextmanager
def spend_rows(postgres: Postgres, seconds: float) -> Iterator[Callable[[str, str], bool]]:
    """Look into LiteLLM_SpendLogs for `seconds` at most: whether a request's row is there.

    What is yielded takes the request's id, and the SHA-256 that LiteLLM keeps of the key that it
    was made with, in hexadecimal; empty for any key. Raises NotUsable.
    """
    table = f"{identifier(schema_of(postgres))}.{identifier(_SPEND_LOGS)}".replace("%", "%%")
    query = f"SELECT 1 FROM {table} WHERE request_id = %(request)s AND %(key)s IN ('', api_key)"
    with used(postgres, time.monotonic() + _SECONDS + seconds) as connection:
        yield lambda request, key: bool(
            row(connection, query, {"request": request, "key": key}, int)
        )


@contextmanager
def used(postgres: Postgres, deadline: float) -> Iterator[Connection]:
    """The database as LiteLLM uses it, each query for itself. Raises NotUsable."""
    target = target_of(postgres)
    steps, reached = reach(target, min(deadline, time.monotonic() + _SECONDS))
    if reached is None:
        raise NotUsable(steps[-1])
    try:
        with login(target, reached, deadline, autocommit=True) as connection:
            yield connection
    except LoginFailed as error:
        raise NotUsable(explained(target, error, errors.LOGIN, _SECONDS)) from None


def _database_name(postgres: Postgres) -> list[Finding]:
    if encode(postgres.database) == postgres.database:
        return []
    return [
        errors.about(target_of(postgres), "postgres.database_name").failed(
            f"LiteLLM can't reach a database with the name {postgres.database}",
            "its Prisma takes the name from DATABASE_URL without decoding it",
            "answer a PG_DB of letters, digits, and - . _ ~",
        )
    ]


def _log_in(
    target: Target, postgres: Postgres, reached: Reached, deadline: float
) -> tuple[list[Finding], Facts | None]:
    step, started = errors.LOGIN, time.monotonic()
    login_ok = errors.about(target, errors.LOGIN).ok(f"{target.place} lets {target.user} log in")
    try:
        with login(target, reached, min(deadline, started + _LOGIN_SECONDS)) as connection:
            step, started = errors.DATABASE, time.monotonic()
            facts = ask(connection, postgres, errors.STATEMENT_SECONDS)
    except LoginFailed as error:
        finding = explained(target, error, step, time.monotonic() - started)
        # The server looks at the password before it looks for the database.
        return [login_ok, finding] if finding.name == errors.DATABASE else [finding], None
    database = f"{target.place} has the database {target.database}"
    return [login_ok, errors.about(target, errors.DATABASE).ok(database)], facts
