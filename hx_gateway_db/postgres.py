"""PostgreSQL: the check before the change, LiteLLM's tables, and a database of our own making."""

import json
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from hx_gateway_db.errors import Refused
from hx_gateway_db.settings import Postgres

_CONNECT_SECONDS = 6
_PROVISION_SECONDS = 60
_OLDEST = 90600
_SUPERUSER = "postgres"
_MADE_BY = "made by hx-gateway-db"
_TABLES = ("LiteLLM_VerificationToken", "LiteLLM_SpendLogs")


def check(postgres: Postgres) -> None:
    """Log in as LiteLLM will, and see that its role may create tables.

    LiteLLM with a role that may not create (PostgreSQL 15's default) starts, says it is
    connected, and then fails every virtual key. Raises Refused with the cause and its cure.
    """
    with _login(postgres) as connection:
        row = connection.execute(
            "SELECT current_schema(), current_setting('server_version_num')::int,"
            " current_setting('server_encoding'), current_setting('default_transaction_read_only'),"
            " pg_is_in_recovery(),"
            " current_schema() IS NOT NULL"
            "   AND has_schema_privilege(current_schema(), 'CREATE'),"
            " (SELECT min(tableowner) FROM pg_tables WHERE schemaname = current_schema()"
            "   AND tablename LIKE 'LiteLLM\\_%' AND NOT pg_has_role(tableowner, 'MEMBER'))"
        ).fetchone()
    assert row is not None
    schema, version, encoding, read_only, replica, may_create, foreign_owner = row
    name, user = postgres.database, postgres.user
    if version < _OLDEST:
        raise Refused(f"the server on {postgres.host} is PostgreSQL older than 9.6: upgrade it.")
    if replica or read_only == "on":
        raise Refused(
            f"the database {name} on {postgres.host} is read-only"
            f"{' (a replica)' if replica else ''}: give the primary server's address."
        )
    if encoding != "UTF8":
        raise Refused(f"the database {name} has the encoding {encoding}: make it with UTF8.")
    if not may_create:
        raise Refused(
            f"the role {user} may not create tables in the schema {schema or 'public'} of the"
            f" database {name}: as a superuser run, in that database,"
            f' GRANT USAGE, CREATE ON SCHEMA {schema or "public"} TO "{user}";'
        )
    if foreign_owner:
        raise Refused(
            f"LiteLLM's tables in {name} belong to the role {foreign_owner}, which {user} is no"
            f' member of: GRANT "{foreign_owner}" TO "{user}"; or log in as {foreign_owner}.'
        )


def missing_tables(postgres: Postgres) -> list[str]:
    """Which of the tables that LiteLLM needs most are not there. Raises Refused as `check`."""
    with _login(postgres) as connection:
        found = {
            name: connection.execute("SELECT to_regclass(%s)", [f'"{name}"']).fetchone()
            for name in _TABLES
        }
    return [name for name, row in found.items() if row is None or row[0] is None]


def server_here(port: int) -> bool:
    """Whether a PostgreSQL server of this machine can be administered through its socket."""
    try:
        pwd.getpwnam(_SUPERUSER)
        return _as_superuser({"port": port, "probe": True}) == ""
    except KeyError:
        return False


def provision(postgres: Postgres) -> None:
    """Make role and database on this machine's server, the database owned by the role.

    Works as the `postgres` user of the operating system (peer authentication). A role or a
    database that is there already is reused: a role that we made gets the password, one that
    somebody else made must already have it. Raises Refused with the reason.
    """
    failure = _as_superuser(
        {
            "port": postgres.port,
            "user": postgres.user,
            "password": postgres.password,
            "database": postgres.database,
        }
    )
    if failure:
        raise Refused(failure)


@dataclass(frozen=True)
class _Request:
    port: int
    user: str = ""
    password: str = ""
    database: str = ""
    probe: bool = False


def _as_superuser(request: dict[str, object]) -> str:
    # A process of its own: changing the user of this one could not be taken back safely.
    try:
        result = subprocess.run(
            [sys.executable, "-I", "-c", "from hx_gateway_db.postgres import serve; serve()"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            user=_SUPERUSER,
            group=_SUPERUSER,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "PGCONNECT_TIMEOUT": str(_CONNECT_SECONDS)},
            timeout=_PROVISION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"PostgreSQL did not make the role and database within {_PROVISION_SECONDS} s."
    return result.stdout.strip() or ("" if result.returncode == 0 else "provisioning crashed")


def serve() -> None:
    """The process that runs as `postgres`: a request on stdin, a failure's sentence on stdout."""
    request = _Request(**json.loads(sys.stdin.read()))
    try:
        connection = psycopg.connect(
            dbname="postgres", user=_SUPERUSER, port=request.port, autocommit=True
        )
    except psycopg.Error:
        sys.stdout.write(
            f"no PostgreSQL server of this machine answers on port {request.port}:"
            " install it with 'apt install postgresql', or choose an existing database"
        )
        return
    with connection:
        if request.probe:
            return
        try:
            _provision(connection, request)
        except psycopg.Error as error:
            reason = str(error).strip().split("\n")[0]
            sys.stdout.write(f"PostgreSQL does not make the role or database: {reason}")


def _provision(connection: "psycopg.Connection[tuple[Any, ...]]", request: _Request) -> None:
    role, database = sql.Identifier(request.user), sql.Identifier(request.database)
    # As psql's own command for it does: the server, and so its log, never sees the password itself.
    verifier = connection.pgconn.encrypt_password(request.password.encode(), request.user.encode())
    password = sql.Literal(verifier.decode())
    row = connection.execute(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s",
        [request.user],
    ).fetchone()
    if row is None:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
        connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(role, sql.Literal(_MADE_BY)))
    elif row[0] == _MADE_BY:
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, password))
    found = connection.execute(
        "SELECT 1 FROM pg_database WHERE datname = %s", [request.database]
    ).fetchone()
    if found is None:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
                database, role
            )
        )
        connection.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(_MADE_BY))
        )


@contextmanager
def _login(postgres: Postgres) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    try:
        with psycopg.connect(
            host=postgres.host,
            port=postgres.port,
            dbname=postgres.database,
            user=postgres.user,
            password=postgres.password,
            sslmode=postgres.sslmode,
            connect_timeout=_CONNECT_SECONDS,
            application_name="hx-gateway-db",
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise Refused(_explain(postgres, str(error))) from None


def _explain(postgres: Postgres, message: str) -> str:
    where = f"PostgreSQL at {postgres.host}:{postgres.port}"
    user, database = postgres.user, postgres.database
    known = {
        "password authentication failed": (
            f"{where} refuses the password of the user {user}: check PG_USER and PG_PASS."
        ),
        "does not exist": (
            f"{where} has no database {database} or no user {user}: create them, as the"
            f" superuser: CREATE ROLE \"{user}\" LOGIN PASSWORD '...';"
            f' CREATE DATABASE "{database}" OWNER "{user}";'
        ),
        "no pg_hba.conf entry": (
            f"{where} does not allow {user} to reach {database} from this host: add a line for"
            " this host's address to its pg_hba.conf and reload it."
        ),
        "could not translate host name": (
            f"the host name {postgres.host} does not resolve: check PG_HOST and the DNS."
        ),
        "failed to resolve host": (
            f"the host name {postgres.host} does not resolve: check PG_HOST and the DNS."
        ),
        "Connection refused": (
            f"{where} refuses connections: check PG_PORT, that the server runs and that its"
            " listen_addresses include that address."
        ),
        "timeout expired": (
            f"{where} does not answer within {_CONNECT_SECONDS} s: check PG_HOST and the firewall."
        ),
        "server does not support SSL": (
            f"{where} does not offer TLS: choose PG_SSLMODE=prefer, or switch it on there."
        ),
        "certificate": (
            f"{where} presents a certificate that PG_SSLMODE={postgres.sslmode} does not accept."
        ),
        "too many": f"{where} has no connection left for {user}: raise max_connections there.",
        "not permitted to log in": f'the role {user} may not log in: ALTER ROLE "{user}" LOGIN;',
        "starting up": f"{where} is still starting: try again in a moment.",
        "shutting down": f"{where} is shutting down: start it, then try again.",
    }
    for part, sentence in known.items():
        if part in message:
            return sentence
    first = message.strip().split("\n")[0].rsplit("FATAL:", 1)[-1].strip()
    return f"{where} can't be used: {first}"
