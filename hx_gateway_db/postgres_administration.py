"""A role and a database for LiteLLM: made on this machine, as an administrator, or as SQL to run.

Whoever makes them, the rules are the same. What is there already is kept: a database is never
given another owner, and LiteLLM's role is granted what it lacks in one that belongs to others.
The password itself never reaches the server, nor so its log: only what it is checked against does.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg import errors as sqlstates
from psycopg import sql as quoting

from hx_gateway_db import postgres_errors as errors
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Cure, Finding, failures
from hx_gateway_db.postgres import inspect
from hx_gateway_db.postgres_login import Connection, LoginFailed, login
from hx_gateway_db.postgres_reach import Reached, reach
from hx_gateway_db.postgres_target import administrator_target, schema_of, target_of
from hx_gateway_db.redaction import printable
from hx_gateway_db.settings import Login, Postgres

_SECONDS = 60
_CONNECT_SECONDS = 6
_SUPERUSER = "postgres"
_MADE_BY = "made by hx-gateway-db"
# PostgreSQL 16: being a member of a role is not yet to be allowed to act as it.
_SET_OPTION_SINCE = 160000
_Connect = Callable[[str], AbstractContextManager[Connection]]


@dataclass(frozen=True)
class _Wanted:
    """What is to be there in the end.

    A role that is there already gets the password if it is among `changed`: "ours", "theirs".
    """

    user: str
    password: str
    database: str
    schema: str
    changed: Sequence[str]


def provision(postgres: Postgres) -> tuple[str, ...]:
    """Make role and database on this machine's server, the database owned by the role.

    Works as the `postgres` user of the operating system (peer authentication). A role or a
    database that is there already is reused: a role that we made gets the password, one that
    somebody else made must already have it; in a database of somebody else the role is granted
    what LiteLLM needs. Returns what was done, in sentences. Raises Refused with the reason.
    """
    wanted = asdict(_wanted(postgres, changed=["ours"]))
    answer = _as_superuser({"port": postgres.port, "wanted": wanted})
    if "failure" in answer:
        raise Refused(" ".join(answer["failure"]))
    return tuple(answer["done"])


def provision_as(postgres: Postgres, administrator: Login) -> tuple[str, ...]:
    """The same on any server, with an administrator's login, and under the same TLS settings.

    The administrator is a superuser, or has CREATEROLE and CREATEDB, as managed servers give it. A
    role that is there already, whoever made it, gets the password of `postgres` if it can't log in
    with that, since this is what the login was given for; otherwise it is left as it is. Nothing
    of the administrator's is kept, and no membership. Returns what was done, in sentences: nothing
    if all was there. Raises Refused with the reason.
    """
    deadline = time.monotonic() + _SECONDS
    steps, reached = reach(target_of(postgres), deadline)
    if reached is None:
        raise Refused(steps[-1].sentence)
    changed = ["ours", "theirs"] if _cured_by_an_administrator(postgres) else []
    wanted = _wanted(postgres, changed)
    remote = _Remote(postgres, administrator, reached, deadline)
    with ExitStack() as stack:
        connection = remote.connect_anywhere(stack)
        return tuple(_provision(connection, wanted, remote.connect, target_of(postgres).place))


def sql(postgres: Postgres, server_version: int | None) -> str:
    """The script for psql that does the same, for a DBA to read and run.

    `server_version` as in server_version_num; None if it is not known. The password is not in it:
    psql asks for it.
    """
    from hx_gateway_db.render import provisioning_sql

    return provisioning_sql(postgres, server_version)


def serve() -> None:
    """The process that runs as `postgres`: a request on stdin, its outcome as JSON on stdout."""
    request = json.loads(sys.stdin.read())
    try:
        answer = {"done": _serve(request)}
    except Refused as refusal:
        answer = {"failure": [str(refusal)]}
    json.dump(answer, sys.stdout)


def _serve(request: dict[str, Any]) -> list[str]:
    port = int(request["port"])
    place = f"PostgreSQL on port {port} of this machine"

    def connect(database: str) -> Connection:
        try:
            return psycopg.connect(dbname=database, user=_SUPERUSER, port=port, autocommit=True)
        except psycopg.OperationalError:
            raise Refused(
                _no_server(port)
                if database == _SUPERUSER
                else f"{place} does not let its superuser into the database {database}."
            ) from None

    with connect("postgres") as connection:
        return list(_provision(connection, _Wanted(**request["wanted"]), connect, place))


def _wanted(postgres: Postgres, changed: Sequence[str]) -> _Wanted:
    schema = schema_of(postgres)
    return _Wanted(postgres.user, postgres.password, postgres.database, schema, changed)


def _as_superuser(request: dict[str, object]) -> dict[str, list[str]]:
    # A process of its own: changing the user of this one could not be taken back safely.
    program = "from hx_gateway_db.postgres_administration import serve; serve()"
    try:
        result = subprocess.run(
            [sys.executable, "-I", "-c", program],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            user=_SUPERUSER,
            group=_SUPERUSER,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "PGCONNECT_TIMEOUT": str(_CONNECT_SECONDS)},
            timeout=_SECONDS,
            check=False,
        )
        answer: dict[str, list[str]] = json.loads(result.stdout)
        return answer
    except LookupError:  # there is no such user of the operating system
        return {"failure": [_no_server(request["port"])]}
    except subprocess.TimeoutExpired:
        return {"failure": [f"PostgreSQL did not make role and database within {_SECONDS} s."]}
    except json.JSONDecodeError:
        return {"failure": ["making role and database came to no end: look at PostgreSQL's log."]}


def _no_server(port: object) -> str:
    return (
        f"no PostgreSQL server of this machine answers on port {port}: install it with"
        " 'apt install postgresql', or choose an existing database."
    )


def _cured_by_an_administrator(postgres: Postgres) -> bool:
    """Whether the login fails for what an administrator can change: password, role, its rights."""
    return any(
        finding.name == errors.LOGIN and finding.by is Cure.POSTGRES_ADMINISTRATOR
        for finding in failures(inspect(postgres).findings)
    )


@dataclass(frozen=True)
class _Remote:
    """An administrator's connections to one server."""

    postgres: Postgres
    administrator: Login
    reached: Reached
    deadline: float

    @contextmanager
    def connect(self, database: str) -> Iterator[Connection]:
        """A connection to this database. Raises Refused."""
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._login(database))
            except LoginFailed as error:
                raise Refused(self._explain(error, database).sentence) from None
            yield connection

    def connect_anywhere(self, stack: ExitStack) -> Connection:
        """A connection, entered into `stack`, to whichever database lets the administrator in."""
        problems = []
        for database in ("postgres", self.postgres.database, "template1"):
            try:
                return stack.enter_context(self._login(database))
            except LoginFailed as error:
                problems.append(self._explain(error, database))
                # Only these can be another database's answer.
                if error.failure is None or error.failure.sqlstate not in _OTHER_DATABASE_MAY:
                    break
        raise Refused(problems[0].sentence)

    def _login(self, database: str) -> AbstractContextManager[Connection]:
        target = administrator_target(self.postgres, self.administrator, database)
        return login(target, self.reached, self.deadline, autocommit=True)

    def _explain(self, error: LoginFailed, database: str) -> Finding:
        target = administrator_target(self.postgres, self.administrator, database)
        if error.failure is None:
            return errors.too_slow(target, errors.LOGIN, _SECONDS)
        return errors.explain(target, error.failure)


# No pg_hba.conf entry, no such database, no CONNECT privilege, closed; 08P01 is PgBouncer's.
_OTHER_DATABASE_MAY = ("28000", "3D000", "42501", "55000", "08P01")


def _provision(
    connection: Connection, wanted: _Wanted, connect: _Connect, place: str
) -> Iterator[str]:
    server = _Server(connection, place)
    yield from _role(server, wanted)
    made = server.value("SELECT 1 FROM pg_database WHERE datname = %s", wanted.database) is None
    if made:
        with server.acting_as(wanted.user):
            _make_database(server, wanted)
        yield f"made the database {wanted.database}, owned by {wanted.user}"
    if not made or wanted.schema != "public":
        with connect(wanted.database) as there:
            yield from _rights(_Server(there, place), wanted)


class _Server:
    """An administrator's session; what it may not do is raised as Refused."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self._place = place
        self._administrator = connection.info.user

    def value(self, query: str, *values: str) -> object:
        """The first value of the first row, None if there is none."""
        with self._refusing("read its catalogues"):
            row = self._connection.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]

    def run(self, what: str, statement: str, *names: quoting.Composable) -> None:
        """Run a statement whose `{}` are `names`; `what` says in a clause what it is to do."""
        composed = quoting.SQL(statement).format(*names)
        with self._refusing(what):
            self._connection.execute(composed)

    def verifier(self, password: str, user: str) -> quoting.Literal:
        """What a password is checked against, in the way that the server's settings ask for."""
        with self._refusing("say how it keeps passwords"):
            made = self._connection.pgconn.encrypt_password(password.encode(), user.encode())
        return quoting.Literal(made.decode())

    @contextmanager
    def acting_as(self, user: str) -> Iterator[None]:
        """Be a member of the role `user` meanwhile, where the administrator has to be one."""
        option = "SET" if self._connection.info.server_version >= _SET_OPTION_SINCE else "MEMBER"
        query = "SELECT rolsuper OR pg_has_role(oid, %s, %s) FROM pg_roles WHERE rolname = %s"
        if self.value(query, user, option, self._administrator):
            yield
            return
        names = (quoting.Identifier(user), quoting.Identifier(self._administrator))
        self.run(f"act for the role {user}", "GRANT {} TO {}", *names)
        try:
            yield
        finally:
            self.run(f"leave the role {user}", "REVOKE {} FROM {}", *names)

    def refusal(self, what: str) -> Refused:
        """That the administrator lacks the right to do `what`."""
        return Refused(
            f"{self._place} does not let the administrator {self._administrator} {what}: answer a"
            " PG_ADMIN_USER that is a superuser, or has CREATEROLE and CREATEDB and owns what is"
            " there already."
        )

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlstates.InsufficientPrivilege, sqlstates.ReadOnlySqlTransaction) as error:
            if isinstance(error, sqlstates.ReadOnlySqlTransaction):
                cure = "answer the primary server as PG_HOST"
                raise Refused(f"{self._place} is read-only (a replica): {cure}.") from None
            raise self.refusal(what) from None
        except psycopg.Error as error:
            said = printable((error.diag.message_primary or str(error)).split("\n")[0])
            raise Refused(
                f"{self._place} failed to {what} (SQLSTATE {error.sqlstate or 'none'}; detail, as"
                f' it came: "{said}"): look at its log.'
            ) from None


_ROLE = """
SELECT CASE
    WHEN shobj_description(oid, 'pg_authid') IS NOT DISTINCT FROM %s THEN 'ours' ELSE 'theirs' END
FROM pg_roles WHERE rolname = %s
"""
_EXPIRED = "SELECT rolvaliduntil < now() FROM pg_roles WHERE rolname = %s"


def _role(server: _Server, wanted: _Wanted) -> Iterator[str]:
    user = wanted.user
    role = quoting.Identifier(user)
    whose = server.value(_ROLE, _MADE_BY, user)
    if whose is None:
        password = server.verifier(wanted.password, user)
        what = f"make the role {user}"
        server.run(what, "CREATE ROLE {} LOGIN PASSWORD {}", role, password)
        server.run(what, "COMMENT ON ROLE {} IS {}", role, quoting.Literal(_MADE_BY))
        yield f"made the role {user}"
    elif whose in wanted.changed:
        password = server.verifier(wanted.password, user)
        what = f"set the password of the role {user}"
        server.run(what, "ALTER ROLE {} LOGIN PASSWORD {}", role, password)
        yield f"set the password of the role {user}"
        if server.value(_EXPIRED, user):
            server.run(what, "ALTER ROLE {} VALID UNTIL 'infinity'", role)
            yield f"let the password of the role {user} last, which had expired"


def _make_database(server: _Server, wanted: _Wanted) -> None:
    what = f"make the database {wanted.database}"
    database = quoting.Identifier(wanted.database)
    encoding = "ENCODING 'UTF8' TEMPLATE template0"
    if server.value(_OTHER_LOCALE):
        encoding += " LC_COLLATE 'C' LC_CTYPE 'C'"
    owner = quoting.Identifier(wanted.user)
    server.run(what, "CREATE DATABASE {} OWNER {} " + encoding, database, owner)
    server.run(what, "COMMENT ON DATABASE {} IS {}", database, quoting.Literal(_MADE_BY))


# The server's own locale may be one of another encoding than UTF-8, which a database can't have.
_OTHER_LOCALE = """
SELECT pg_encoding_to_char(encoding) NOT IN ('UTF8', 'SQL_ASCII')
FROM pg_database WHERE datname = 'template0'
"""
_MAY_CONNECT = "SELECT has_database_privilege(%s, current_database(), 'CONNECT')"
_SCHEMA_EXISTS = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
_MAY_CREATE = """
SELECT has_schema_privilege(%s, oid, 'CREATE') AND has_schema_privilege(%s, oid, 'USAGE')
FROM pg_namespace WHERE nspname = %s
"""
_OWNS_DATABASE = """
SELECT 1 FROM pg_database WHERE datname = current_database() AND pg_get_userbyid(datdba) = %s
"""


def _rights(server: _Server, wanted: _Wanted) -> Iterator[str]:
    user, database, schema = wanted.user, wanted.database, wanted.schema
    role, quoted = quoting.Identifier(user), quoting.Identifier(schema)
    if not server.value(_MAY_CONNECT, user):
        what = f"let {user} connect to {database}"
        names = (quoting.Identifier(database), role)
        server.run(what, "GRANT CONNECT ON DATABASE {} TO {}", *names)
        yield what
    with ExitStack() as stack:
        if server.value(_MAY_CREATE, user, user, schema):
            return
        if server.value(_OWNS_DATABASE, user):
            stack.enter_context(server.acting_as(user))
        if server.value(_SCHEMA_EXISTS, schema) is None:
            what = f"make the schema {schema} in {database}"
            if not server.value(_OWNS_DATABASE, user):
                stack.enter_context(server.acting_as(user))
            server.run(what, "CREATE SCHEMA {} AUTHORIZATION {}", quoted, role)
            yield f"made the schema {schema} in {database}, owned by {user}"
            return
        what = f"let {user} create tables in the schema {schema} of {database}"
        server.run(what, "GRANT USAGE, CREATE ON SCHEMA {} TO {}", quoted, role)
        # Of one without the right to grant, the server takes the statement with a mere warning.
        if not server.value(_MAY_CREATE, user, user, schema):
            raise server.refusal(what)
        yield what
