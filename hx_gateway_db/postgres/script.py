"""What makes a role and a database, and what rotates its logins, for a DBA to read and run."""

import shlex
from collections.abc import Sequence

from hx_gateway_db.postgres.target import identifier, schema_of, target_of
from hx_gateway_db.settings.templates import rendered
from hx_gateway_db.settings.values import Postgres


def sql(postgres: Postgres, server_version: int | None) -> str:
    """The script for psql that makes a role and a database as `administration` does.

    `server_version` as in server_version_num; None if it is not known. The password is not in it:
    psql asks for it.
    """
    # A conninfo string (libpq, "Connection Strings"), quoted as psql(1) quotes an argument.
    conninfo = postgres.database.replace("\\", "\\\\").replace("'", "\\'")
    release = f", version {server_version // 10000}" if server_version else ""
    return rendered(
        "provision.sql.j2",
        place=target_of(postgres).place,
        version=release,
        host=postgres.host,
        port=postgres.port,
        user=_names(postgres.user),
        database=_names(postgres.database),
        schema=_names(schema_of(postgres)),
        connect=identifier(f"dbname='{conninfo}'"),
        membership=_membership(server_version),
    )


def opening_sql(postgres: Postgres, login: str, statements: Sequence[str], *, asks: bool) -> str:
    """The script for psql that opens a login by `statements`; with `asks` for its password."""
    names = {"login": _names(login), "statements": statements, "asks": asks}
    return rendered("open-login.sql.j2", **_place(postgres), **names)


def closing_sql(postgres: Postgres, login: str, owner: str, *, owns: bool) -> str:
    """The script for psql that closes a login of which no session is left.

    `owns`: it has things that belong to `owner`.
    """
    names = {"login": _names(login), "owner": _names(owner), "owns": owns}
    return rendered("close-login.sql.j2", **_place(postgres), **names)


def _place(postgres: Postgres) -> dict[str, object]:
    place = target_of(postgres).place
    database = shlex.quote(postgres.database)
    return {"place": place, "host": postgres.host, "port": postgres.port, "database": database}


def _membership(server_version: int | None) -> str:
    """The privilege of a member that may act as the role: told from being one since release 16."""
    if server_version is None:
        since = "current_setting('server_version_num')::int >= 160000"
        return f"CASE WHEN {since} THEN 'SET' ELSE 'MEMBER' END"
    return "'SET'" if server_version >= 160000 else "'MEMBER'"


def _names(name: str) -> dict[str, str]:
    return {"identifier": identifier(name), "literal": "'" + name.replace("'", "''") + "'"}
