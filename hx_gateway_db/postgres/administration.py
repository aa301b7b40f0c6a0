"""A role and a database for LiteLLM: made on this machine, as an administrator, or as SQL to run.

Whoever makes them, the rules are the same. What is there already is kept: a database is never
given another owner, and LiteLLM's role is granted what it lacks in one that belongs to others.
The password itself never reaches the server, nor so its log, and no process of another user: only
what it is checked against does.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass

from hx_gateway_db import programs
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Cure, Finding, failures
from hx_gateway_db.postgres import sentences as errors
from hx_gateway_db.postgres.authentication import LoginFailed
from hx_gateway_db.postgres.check import inspect_postgres
from hx_gateway_db.postgres.facts import Pool
from hx_gateway_db.postgres.guest_superuser import SUPERUSER, no_server
from hx_gateway_db.postgres.login import Connection, explained, login
from hx_gateway_db.postgres.reach import Reached, reach
from hx_gateway_db.postgres.roles import Wanted, make
from hx_gateway_db.postgres.scram import verifier
from hx_gateway_db.postgres.target import administrator_target, schema_of, target_of
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.values import Login, Postgres

_SECONDS = 60
# Of what the process that runs as that user says.
_MOST_BYTES = 64 * 1024
_MOST = 20
_LONGEST_SENTENCE = 1000


@dataclass(frozen=True)
class Provisioned:
    """What came of it: whether the database is of our making, and what was done, in clauses."""

    ours: bool
    done: tuple[str, ...]


def provision(postgres: Postgres) -> Provisioned:
    """Make role and database on this machine's server, the database owned by the role.

    Works as the `postgres` user of the operating system (peer authentication). A role or a
    database that is there already is reused: a role that we made gets the password, one that
    somebody else made must already have it; in a database of somebody else the role is granted
    what LiteLLM needs. Raises Refused with the reason.
    """
    wanted = asdict(_wanted(postgres, changed=["ours"]))
    answer = as_superuser({"port": postgres.port, "wanted": wanted}, "done", "ours")
    if "failure" in answer:
        raise Refused(" ".join(answer["failure"]))
    return Provisioned(bool(answer["ours"]), tuple(answer["done"]))


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
    remote = Remote(postgres, administrator, reached, deadline)
    try:
        with ExitStack() as stack:
            connection = remote.connect_anywhere(stack)
            return tuple(make(connection, wanted, remote.connect, target_of(postgres).place))
    except LoginFailed as error:
        raise Refused(remote.explain(error, "postgres").sentence) from None


def _wanted(postgres: Postgres, changed: Sequence[str]) -> Wanted:
    schema = schema_of(postgres)
    return Wanted(postgres.user, verifier(postgres.password), postgres.database, schema, changed)


def as_superuser(request: Mapping[str, object], *answers: str) -> dict[str, list[str]]:
    """What `guest_superuser` answers to a request, as the superuser of this machine's server.

    It has these `answers`, or `failure` alone.
    """
    # A process of its own: changing the user of this one could not be taken back safely.
    program = "from hx_gateway_db.postgres.guest_superuser import serve; serve()"
    command = [sys.executable, "-I", "-c", program]
    environment = {"PATH": "/usr/bin:/bin"}
    try:
        ended = programs.captured_as(
            SUPERUSER, command, _SECONDS, environment, input=json.dumps(request), most=_MOST_BYTES
        )
    except LookupError:  # there is no such user of the operating system
        return {"failure": [no_server(request["port"])]}
    except subprocess.TimeoutExpired:
        return {"failure": [f"PostgreSQL did not do what it was asked within {_SECONDS} s."]}
    return _answer(ended.output, set(answers))


def _answer(output: str, expected: set[str]) -> dict[str, list[str]]:
    """What the other process says: a stranger's word, in one of the two shapes that it may have."""
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        answer = None
    if (
        isinstance(answer, dict)
        and set(answer) in (expected, {"failure"})
        and all(map(_are_texts, answer.values()))
    ):
        return {
            key: [said(one, most=_LONGEST_SENTENCE) for one in texts[:_MOST]]
            for key, texts in answer.items()
        }
    return {"failure": ["what PostgreSQL was asked to do came to no end: look at its log."]}


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _cured_by_an_administrator(postgres: Postgres) -> bool:
    """Whether the login fails for what an administrator can change: password, role, its rights."""
    return any(
        finding.name == errors.LOGIN and finding.by is Cure.POSTGRES_ADMINISTRATOR
        for finding in failures(inspect_postgres(postgres, Pool()).findings)
    )


@dataclass(frozen=True)
class Remote:
    """An administrator's connections to one server, until `deadline` (time.monotonic())."""

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
                raise Refused(self.explain(error, database).sentence) from None
            yield connection

    def connect_anywhere(self, stack: ExitStack) -> Connection:
        """A connection, entered into `stack`, to whichever database lets the administrator in."""
        problems = []
        for database in ("postgres", self.postgres.database, "template1"):
            try:
                return stack.enter_context(self._login(database))
            except LoginFailed as error:
                problems.append(self.explain(error, database))
                # Only these can be another database's answer.
                if error.failure is None or error.failure.sqlstate not in _OTHER_DATABASE_MAY:
                    break
        raise Refused(problems[0].sentence)

    def _login(self, database: str) -> AbstractContextManager[Connection]:
        target = administrator_target(self.postgres, self.administrator, database)
        return login(target, self.reached, self.deadline, autocommit=True)

    def explain(self, error: LoginFailed, database: str) -> Finding:
        """What went wrong in a session."""
        target = administrator_target(self.postgres, self.administrator, database)
        return explained(target, error, errors.LOGIN, _SECONDS)


# No pg_hba.conf entry, no such database, no CONNECT privilege, closed; 08P01 is PgBouncer's.
_OTHER_DATABASE_MAY = ("28000", "3D000", "42501", "55000", "08P01")
