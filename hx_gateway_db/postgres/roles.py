"""A role, a database and rights in it, made in an administrator's session.

What is there already is kept. The server is a stranger: it may be another one's than we think.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors as sqlstates
from psycopg import sql as quoting

from hx_gateway_db.errors import Refused
from hx_gateway_db.postgres.login import Connection, execute
from hx_gateway_db.postgres.replies import row
from hx_gateway_db.redaction import said

_MADE_BY = "made by hx-gateway-db"
# The first version that keeps passwords as SCRAM-SHA-256; an older one takes that for a password.
_SCRAM_SINCE = 100000
# PostgreSQL 16: being a member of a role is not yet to be allowed to act as it.
_SET_OPTION_SINCE = 160000
_DATABASE = "SELECT 1 FROM pg_database WHERE datname = %s"
_OURS = f"{_DATABASE} AND shobj_description(oid, 'pg_database') = %s"
_Connect = Callable[[str], AbstractContextManager[Connection]]


@dataclass(frozen=True)
class Wanted:
    """What is to be there in the end; `verifier` is what the server checks the password against.

    A role that is there already gets the password if it is among `changed`: "ours", "theirs".
    """

    user: str
    verifier: str = field(repr=False)
    database: str
    schema: str
    changed: Sequence[str]


def make(connection: Connection, wanted: Wanted, connect: _Connect, place: str) -> Iterator[str]:
    """Make what is not there yet; each thing that was done is a clause. Raises Refused.

    `connect` opens a session in another database.
    """
    server = _Server(connection, place)
    yield from _role(server, wanted)
    made = server.value(int, _DATABASE, wanted.database) is None
    if made:
        with server.acting_as(wanted.user):
            _make_database(server, wanted)
        yield f"made the database {wanted.database}, owned by {wanted.user}"
    if not made or wanted.schema != "public":
        with connect(wanted.database) as there:
            yield from _rights(_Server(there, place), wanted)


def is_ours(connection: Connection, database: str, place: str) -> bool:
    """Whether we have made a database, now or in an earlier run. Raises Refused."""
    return _Server(connection, place).value(int, _OURS, database, _MADE_BY) is not None


class _Server:
    """An administrator's session; what it may not do is raised as Refused."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self._place = place
        self._administrator = connection.info.user

    def value(self, kind: type[int] | type[str] | type[bool], query: str, *values: str) -> Any:
        """The one value of the first row, None if there is none."""
        with self._refusing("read its catalogues"):
            found = row(self._connection, query, values, kind)
        return None if found is None else found[0]

    def set_password(self, what: str, statement: str, role: str, verifier: str) -> None:
        """Run a statement on a role and its verifier."""
        if self._connection.info.server_version < _SCRAM_SINCE:
            raise Refused(
                f"{self._place} is older than PostgreSQL 10, and can't {what} without the password"
                " itself: as its administrator run what 'hx-gateway-db provision --print' prints."
            )
        self.run(what, statement, quoting.Identifier(role), quoting.Literal(verifier))

    def run(self, what: str, statement: str, *names: quoting.Composable) -> None:
        """Run a statement whose `{}` are `names`; `what` says in a clause what it is to do."""
        composed = quoting.SQL(statement).format(*names)
        with self._refusing(what):
            execute(self._connection, composed)

    @contextmanager
    def acting_as(self, user: str) -> Iterator[None]:
        """Be a member of the role `user` meanwhile, where the administrator has to be one."""
        option = "SET" if self._connection.info.server_version >= _SET_OPTION_SINCE else "MEMBER"
        query = "SELECT rolsuper OR pg_has_role(oid, %s, %s) FROM pg_roles WHERE rolname = %s"
        if self.value(bool, query, user, option, self._administrator):
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
        # A name that does not fit the encoding that a server has named is its fault as well.
        except (psycopg.Error, UnicodeError) as error:
            text, sqlstate = str(error), None
            if isinstance(error, psycopg.Error):
                text, sqlstate = error.diag.message_primary or text, error.sqlstate
            detail = said(text.split("\n")[0]).replace('"', "'")
            raise Refused(
                f"{self._place} failed to {what} (SQLSTATE {said(sqlstate or 'none', most=5)};"
                f' detail, as it came: "{detail}"): look at its log.'
            ) from None


_ROLE = """
SELECT CASE
    WHEN shobj_description(oid, 'pg_authid') IS NOT DISTINCT FROM %s THEN 'ours' ELSE 'theirs' END
FROM pg_roles WHERE rolname = %s
"""
_EXPIRED = "SELECT rolvaliduntil < now() FROM pg_roles WHERE rolname = %s"


def _role(server: _Server, wanted: Wanted) -> Iterator[str]:
    user = wanted.user
    role = quoting.Identifier(user)
    whose = server.value(str, _ROLE, _MADE_BY, user)
    if whose is None:
        what = f"make the role {user}"
        server.set_password(what, "CREATE ROLE {} LOGIN PASSWORD {}", user, wanted.verifier)
        server.run(what, "COMMENT ON ROLE {} IS {}", role, quoting.Literal(_MADE_BY))
        yield f"made the role {user}"
    elif whose in wanted.changed:
        what = f"set the password of the role {user}"
        server.set_password(what, "ALTER ROLE {} LOGIN PASSWORD {}", user, wanted.verifier)
        yield f"set the password of the role {user}"
        if server.value(bool, _EXPIRED, user):
            server.run(what, "ALTER ROLE {} VALID UNTIL 'infinity'", role)
            yield f"let the password of the role {user} last, which had expired"


def _make_database(server: _Server, wanted: Wanted) -> None:
    what = f"make the database {wanted.database}"
    database = quoting.Identifier(wanted.database)
    encoding = "ENCODING 'UTF8' TEMPLATE template0"
    if server.value(bool, _OTHER_LOCALE):
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


def _rights(server: _Server, wanted: Wanted) -> Iterator[str]:
    user, database, schema = wanted.user, wanted.database, wanted.schema
    role, quoted = quoting.Identifier(user), quoting.Identifier(schema)
    if not server.value(bool, _MAY_CONNECT, user):
        what = f"let {user} connect to {database}"
        names = (quoting.Identifier(database), role)
        server.run(what, "GRANT CONNECT ON DATABASE {} TO {}", *names)
        yield what
    with ExitStack() as stack:
        if server.value(bool, _MAY_CREATE, user, user, schema):
            return
        if server.value(int, _OWNS_DATABASE, user):
            stack.enter_context(server.acting_as(user))
        if server.value(int, _SCHEMA_EXISTS, schema) is None:
            what = f"make the schema {schema} in {database}"
            if not server.value(int, _OWNS_DATABASE, user):
                stack.enter_context(server.acting_as(user))
            server.run(what, "CREATE SCHEMA {} AUTHORIZATION {}", quoted, role)
            yield f"made the schema {schema} in {database}, owned by {user}"
            return
        what = f"let {user} create tables in the schema {schema} of {database}"
        server.run(what, "GRANT USAGE, CREATE ON SCHEMA {} TO {}", quoted, role)
        # Of one without the right to grant, the server takes the statement with a mere warning.
        if not server.value(bool, _MAY_CREATE, user, user, schema):
            raise server.refusal(what)
        yield what
