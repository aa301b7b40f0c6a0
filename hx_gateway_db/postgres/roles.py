"""A role, a database and rights in it, made in an administrator's session.

What is there already is kept. The server is a stranger: it may be another one's than we think.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from psycopg import sql as quoting

from hx_gateway_db.postgres.login import Connection
from hx_gateway_db.postgres.session import Session

MADE_BY = "made by hx-gateway-db"
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
    server = Session(connection, place)
    yield from _role(server, wanted)
    made = server.value(int, _DATABASE, wanted.database) is None
    if made:
        with server.acting_as(wanted.user):
            _make_database(server, wanted)
        yield f"made the database {wanted.database}, owned by {wanted.user}"
    if not made or wanted.schema != "public":
        with connect(wanted.database) as there:
            yield from _rights(Session(there, place), wanted)


def is_ours(connection: Connection, database: str, place: str) -> bool:
    """Whether we have made a database, now or in an earlier run. Raises Refused."""
    return Session(connection, place).value(int, _OURS, database, MADE_BY) is not None


_ROLE = """
SELECT CASE
    WHEN shobj_description(oid, 'pg_authid') IS NOT DISTINCT FROM %s THEN 'ours' ELSE 'theirs' END
FROM pg_roles WHERE rolname = %s
"""
_EXPIRED = "SELECT rolvaliduntil < now() FROM pg_roles WHERE rolname = %s"


def _role(server: Session, wanted: Wanted) -> Iterator[str]:
    user = wanted.user
    role = quoting.Identifier(user)
    whose = server.value(str, _ROLE, MADE_BY, user)
    if whose is None:
        what = f"make the role {user}"
        server.set_password(what, "CREATE ROLE {} LOGIN PASSWORD {}", user, wanted.verifier)
        server.run(what, "COMMENT ON ROLE {} IS {}", role, quoting.Literal(MADE_BY))
        yield f"made the role {user}"
    elif whose in wanted.changed:
        what = f"set the password of the role {user}"
        server.set_password(what, "ALTER ROLE {} LOGIN PASSWORD {}", user, wanted.verifier)
        yield f"set the password of the role {user}"
        if server.value(bool, _EXPIRED, user):
            server.run(what, "ALTER ROLE {} VALID UNTIL 'infinity'", role)
            yield f"let the password of the role {user} last, which had expired"


def _make_database(server: Session, wanted: Wanted) -> None:
    what = f"make the database {wanted.database}"
    database = quoting.Identifier(wanted.database)
    encoding = "ENCODING 'UTF8' TEMPLATE template0"
    if server.value(bool, _OTHER_LOCALE):
        encoding += " LC_COLLATE 'C' LC_CTYPE 'C'"
    owner = quoting.Identifier(wanted.user)
    server.run(what, "CREATE DATABASE {} OWNER {} " + encoding, database, owner)
    server.run(what, "COMMENT ON DATABASE {} IS {}", database, quoting.Literal(MADE_BY))


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


def _rights(server: Session, wanted: Wanted) -> Iterator[str]:
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
