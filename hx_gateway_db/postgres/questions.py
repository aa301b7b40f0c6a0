"""What is asked in one session of a database, and what a server answers to it."""

import time
from dataclasses import replace
from typing import Any

from hx_gateway_db.postgres.facts import OLDEST, Facts, Slots
from hx_gateway_db.postgres.login import Connection, Nonsense
from hx_gateway_db.postgres.replies import row
from hx_gateway_db.postgres.target import schema_of
from hx_gateway_db.settings.values import Postgres

# Prisma qualifies its queries with the schema, so that the role's own search_path does not count.
_RIGHTS = """
WITH place AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = %(schema)s),
tables AS (
    SELECT relname, relowner, relname LIKE 'LiteLLM\\_%%' OR relname = '_prisma_migrations' AS ours
    FROM pg_class
    WHERE relnamespace = (SELECT oid FROM place) AND relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
)
SELECT
    current_setting('server_encoding'),
    current_setting('transaction_read_only') = 'on',
    pg_is_in_recovery(),
    extract(epoch FROM clock_timestamp())::float8,
    (SELECT CASE WHEN isfinite(rolvaliduntil) THEN extract(epoch FROM rolvaliduntil)::float8 END
        FROM pg_roles WHERE rolname = session_user),
    EXISTS (SELECT FROM place),
    coalesce((SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
        FROM place), has_database_privilege(current_database(), 'CREATE')),
    coalesce(current_schema(), ''),
    coalesce((SELECT min(pg_get_userbyid(relowner)) FROM tables
        WHERE ours AND NOT pg_has_role(relowner, 'USAGE')), ''),
    (SELECT count(*) FROM tables WHERE ours),
    coalesce((SELECT min(relname) FROM tables WHERE NOT ours), ''),
    CASE WHEN current_user <> session_user THEN current_user ELSE '' END,
    -- Where that is set, in the order in which the server looks (a bit for the role, one for the
    -- database): pg_db_role_setting, utils/init/postinit.c
    coalesce((SELECT max((setrole <> 0)::int * 2 + (setdatabase <> 0)::int)
        FROM pg_db_role_setting, unnest(setconfig) AS setting
        WHERE setting LIKE 'role=%%'
        AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
        AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ), 0)
"""
_RIGHTS_TYPES = (str, bool, bool, float, float, bool, bool, str, str, int, str, str, int)

# A role sees whose the other connections are, but where from of its own only: that will do. They
# are counted by who has logged in, whoever that acts as.
_SLOTS = """
WITH me AS (SELECT oid, rolsuper, rolconnlimit FROM pg_roles WHERE rolname = session_user),
here AS (SELECT oid, datconnlimit FROM pg_database WHERE datname = current_database())
SELECT
    current_setting('max_connections')::int - CASE WHEN (SELECT rolsuper FROM me) THEN 0 ELSE
        current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true), '0')::int END,
    (SELECT CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END FROM me),
    (SELECT CASE WHEN rolsuper THEN -1 ELSE datconnlimit END FROM me, here),
    count(*),
    count(*) FILTER (WHERE usesysid = (SELECT oid FROM me)),
    count(*) FILTER (WHERE datid = (SELECT oid FROM here)),
    count(*) FILTER (WHERE usesysid = (SELECT oid FROM me)
        AND datid = (SELECT oid FROM here) AND client_addr IS NOT DISTINCT FROM inet_client_addr()
        AND pid <> pg_backend_pid()),
    count(*) FILTER (WHERE usesysid = (SELECT oid FROM me) AND datid = (SELECT oid FROM here)),
    count(DISTINCT client_addr) FILTER (WHERE usesysid = (SELECT oid FROM me)
        AND datid = (SELECT oid FROM here) AND client_addr IS DISTINCT FROM inet_client_addr())
FROM pg_stat_activity WHERE datid IS NOT NULL
"""


def ask(connection: Connection, postgres: Postgres, seconds: float) -> Facts:
    """Ask in one transaction, no statement for longer than `seconds`. Raises psycopg.Error."""
    info = connection.info
    version, announced = info.server_version, info.backend_pid
    if version < OLDEST:
        return Facts(version, pooled=False)
    # Not as a startup option, which PgBouncer refuses; and of a transaction, which it shares out.
    row(
        connection,
        "SELECT set_config('statement_timeout', %s, true)",
        [f"{seconds * 1000:.0f}"],
        str,
    )
    pid = _complete(row(connection, "SELECT pg_backend_pid()", [], int))
    before = time.time()
    asked = row(connection, _RIGHTS, {"schema": schema_of(postgres)}, *_RIGHTS_TYPES)
    after = time.time()
    encoding, read_only, replica, clock, password_until, *rights = _complete(asked, but=4)
    difference = _difference(clock, before, after)
    pooled = pid[0] != announced
    facts = Facts(
        version, pooled, encoding, read_only, replica, difference, password_until, *rights
    )
    if pooled:
        return facts
    slots = _complete(row(connection, _SLOTS, [], *[int] * 9))
    return replace(facts, slots=Slots(*slots))


def _complete(values: tuple[Any, ...] | None, but: int = -1) -> tuple[Any, ...]:
    """A row in which nothing is missing, except what may be at the position `but`."""
    if values is None or None in (*values[: max(but, 0)], *values[but + 1 :]):
        raise Nonsense("it leaves out what was asked for")
    return values


def _difference(clock: float, before: float, after: float) -> float:
    """How far `clock` is outside of when it was read."""
    return clock - after if clock > after else min(0.0, clock - before)
