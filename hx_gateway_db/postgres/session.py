"""An administrator's session: statements and questions whose failures are said in a sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors as sqlstates
from psycopg import sql as quoting

from hx_gateway_db.errors import Refused
from hx_gateway_db.postgres.login import Connection, execute
from hx_gateway_db.postgres.replies import rows
from hx_gateway_db.redaction import said

# The first version that keeps passwords as SCRAM-SHA-256; an older one takes that for a password.
_SCRAM_SINCE = 100000
# PostgreSQL 16: being a member of a role is not yet to be allowed to act as it.
_SET_OPTION_SINCE = 160000


class Session:
    """An administrator's session; what it may not do is raised as Refused."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self.place = place
        self._administrator = connection.info.user

    def value(self, kind: type[int] | type[str] | type[bool], query: str, *values: str) -> Any:
        """The one value of the first row, None if there is none."""
        found = self.rows(query, values, kind)
        return found[0][0] if found else None

    def rows(
        self, query: str, values: Sequence[object], *kinds: type[int] | type[str] | type[bool]
    ) -> list[tuple[Any, ...]]:
        """All rows, each value of its kind or None."""
        with self._refusing("read its catalogues"):
            return rows(self._connection, query, values, *kinds)

    def set_password(self, what: str, statement: str, role: str, verifier: str) -> None:
        """Run a statement on a role and its verifier."""
        self.require_scram(what)
        self.run(what, statement, quoting.Identifier(role), quoting.Literal(verifier))

    def require_scram(self, what: str) -> None:
        """See that the server keeps what is made of passwords here."""
        if self._connection.info.server_version < _SCRAM_SINCE:
            raise Refused(
                f"{self.place} is older than PostgreSQL 10, and can't {what} without the password"
                " itself: as its administrator run what 'hx-gateway-db provision --print' prints."
            )

    def run(self, what: str, statement: str, *names: quoting.Composable) -> None:
        """Run a statement whose `{}` are `names`; `what` says in a clause what it is to do."""
        self.do(what, quoting.SQL(statement).format(*names))

    def do(self, what: str, statement: quoting.Composed) -> None:
        """Run a statement."""
        with self._refusing(what):
            execute(self._connection, statement)

    def text(self, statement: quoting.Composed) -> str:
        """A statement as this server takes it."""
        return statement.as_string(self._connection)

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

    @contextmanager
    def transaction(self, what: str) -> Iterator[None]:
        """All of it or nothing; `what` says in a clause what it is to do."""
        self.run(what, "BEGIN")
        try:
            yield
            self.run(what, "COMMIT")
        except BaseException:
            # The server undoes it by itself when it has lost the connection.
            with suppress(Refused):
                self.run(what, "ROLLBACK")
            raise

    def refusal(self, what: str) -> Refused:
        """That the administrator lacks the right to do `what`."""
        return Refused(
            f"{self.place} does not let the administrator {self._administrator} {what}: answer a"
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
                raise Refused(f"{self.place} is read-only (a replica): {cure}.") from None
            raise self.refusal(what) from None
        # A name that does not fit the encoding that a server has named is its fault as well.
        except (psycopg.Error, UnicodeError) as error:
            text, sqlstate = str(error), None
            if isinstance(error, psycopg.Error):
                text, sqlstate = error.diag.message_primary or text, error.sqlstate
            detail = said(text.split("\n")[0]).replace('"', "'")
            raise Refused(
                f"{self.place} failed to {what} (SQLSTATE {said(sqlstate or 'none', most=5)};"
                f' detail, as it came: "{detail}"): look at its log.'
            ) from None
