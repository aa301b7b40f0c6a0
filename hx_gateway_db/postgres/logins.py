"""The logins of a gateway's role by turns, by whoever administers the server, or by nobody yet."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import failures
from hx_gateway_db.postgres import sentences
from hx_gateway_db.postgres.administration import Remote, as_superuser
from hx_gateway_db.postgres.check import inspect_postgres, used
from hx_gateway_db.postgres.facts import Pool
from hx_gateway_db.postgres.login import Connection
from hx_gateway_db.postgres.reach import reach
from hx_gateway_db.postgres.rotation import (
    Opening,
    close_login,
    open_login,
    opening_statements,
    seen,
    trio,
)
from hx_gateway_db.postgres.scram import verifier
from hx_gateway_db.postgres.script import closing_sql, opening_sql
from hx_gateway_db.postgres.target import target_of
from hx_gateway_db.settings.values import Login, Postgres

_SECONDS = 60


@dataclass(frozen=True)
class Local:
    """The server of this machine, as its superuser. Each method raises Refused."""

    postgres: Postgres

    def other(self) -> str:
        """The login that is not in use."""
        names = self._asked("roles", user=self.postgres.user)
        return names[-1] if names else ""

    def open(self, password: str, known: str) -> tuple[str, ...]:
        """Let the other login in; what was done, in clauses. `known` is as in Opening."""
        opening = _opening(self.postgres, password, known, alone=True)
        return tuple(self._asked("done", opening=asdict(opening)))

    def close(self, login: str) -> list[str]:
        """Let a login in no more, or who still has a session of it, in clauses."""
        return self._asked("left", closed=login)

    def _asked(self, wanted: str, **request: object) -> list[str]:
        place = {"port": self.postgres.port, "database": self.postgres.database}
        answer = as_superuser({**place, **request}, wanted)
        if "failure" in answer:
            raise Refused(" ".join(answer["failure"]))
        return answer[wanted]


@dataclass(frozen=True)
class Elsewhere:
    """Any server, with an administrator's login. As `Local`."""

    postgres: Postgres
    administrator: Login = field(repr=False)

    def other(self) -> str:
        with self._session() as connection:
            return trio(connection, self.postgres.user, self._place).new

    def open(self, password: str, known: str) -> tuple[str, ...]:
        opening = _opening(self.postgres, password, known)
        with self._session() as connection:
            return tuple(open_login(connection, opening, self._place))

    def close(self, login: str) -> list[str]:
        with self._session() as connection:
            return close_login(connection, login, self._place)

    @property
    def _place(self) -> str:
        return target_of(self.postgres).place

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        deadline = time.monotonic() + _SECONDS
        steps, reached = reach(target_of(self.postgres), deadline)
        if reached is None:
            raise Refused(steps[-1].sentence)
        remote = Remote(self.postgres, self.administrator, reached, deadline)
        with remote.connect(self.postgres.database) as connection:
            yield connection


@dataclass(frozen=True)
class ByOthers:
    """A server on which somebody else runs what is printed; seen with the gateway's own login."""

    postgres: Postgres

    def other(self) -> str:
        """The login that is not in use. Raises Refused."""
        with self._session() as connection:
            return trio(connection, self.postgres.user, self._place).new

    def lets_in(self, login: str, password: str) -> bool:
        """Whether a login works."""
        other = replace(self.postgres, user=login, password=password)
        return not any(
            finding.name in (sentences.LOGIN, sentences.DATABASE)
            for finding in failures(inspect_postgres(other, Pool()).findings)
        )

    def to_open(self, password: str) -> str:
        """The SQL that lets the other login in; it asks for the password if that is empty."""
        with self._session() as connection:
            new = trio(connection, self.postgres.user, self._place).new
            # Whether it may be opened is for others to know.
            opening = _opening(self.postgres, password, known=new)
            statements = opening_statements(connection, opening, self._place)
        return opening_sql(self.postgres, new, statements, asks=not password)

    def holders(self, login: str) -> tuple[str, ...] | None:
        """Who has a session of a login that is open; None for one that is closed."""
        with self._session() as connection:
            found = seen(connection, login, self._place)
            return found.holders if found.opened else None

    def to_close(self, login: str) -> str:
        """The SQL that lets a login in no more."""
        with self._session() as connection:
            found = seen(connection, login, self._place)
        return closing_sql(self.postgres, login, found.owner, owns=found.owns)

    @property
    def _place(self) -> str:
        return target_of(self.postgres).place

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        with used(self.postgres, time.monotonic() + _SECONDS) as connection:
            yield connection


def _opening(postgres: Postgres, password: str, known: str, *, alone: bool = False) -> Opening:
    new = verifier(password) if password else ""
    return Opening(postgres.user, verifier(postgres.password), new, known, alone)
