"""A connection to PostgreSQL through psycopg, as LiteLLM gets one, and nothing of ours in it.

No variable or file of the caller counts: not libpq's PG* variables, not ~/.pgpass, not the
certificates in ~/.postgresql. No call outlasts its deadline, whatever the server does.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq, sql

from hx_gateway_db.findings import Finding
from hx_gateway_db.postgres import sentences as errors
from hx_gateway_db.postgres.authentication import LoginFailed, failure, log_in
from hx_gateway_db.postgres.channel import Channel, Unreachable, connected
from hx_gateway_db.postgres.explanations import explain, explain_query
from hx_gateway_db.postgres.reach import Reached
from hx_gateway_db.postgres.relay import NotConnected, Relay, connected_libpq
from hx_gateway_db.postgres.target import Target

Connection = psycopg.Connection[tuple[Any, ...]]
Query = bytes | sql.Composed


class Nonsense(psycopg.DataError):
    """What came is no answer to the query."""


@contextmanager
def login(
    target: Target, reached: Reached, deadline: float, *, autocommit: bool = False
) -> Iterator[Connection]:
    """A connection that lasts as long as the context, `deadline` (time.monotonic) at the most.

    Raises LoginFailed, also for an error of a query inside.
    """
    _forget_libpq_variables()
    try:
        with connected(target, [reached.address], deadline) as channel:
            _secure(channel, target, reached)
            greeting = log_in(channel, target)
            with _libpq(channel, target, greeting, deadline) as connection:
                connection.prepare_threshold = None  # a PgBouncer may be in front
                connection.autocommit = autocommit
                yield connection
                # A PgBouncer closes its server connection over a transaction left open.
                with _of_strangers():
                    connection.rollback()
    except Unreachable as unreachable:
        raise LoginFailed(finding=unreachable.finding) from None


def execute(
    connection: Connection,
    query: Query,
    values: Sequence[object] | Mapping[str, object] | None = None,
) -> pq.abc.PGresult:
    """Run a query. Raises psycopg.Error, and that whatever a server answers."""
    with _of_strangers():
        result = connection.execute(query, values).pgresult
    if result is None:
        raise Nonsense("it answers with nothing")
    return result


@contextmanager
def _of_strangers() -> Iterator[None]:
    """psycopg trips over answers that no server gives, each time in another way."""
    try:
        yield
    except (psycopg.Error, UnicodeError):
        raise
    except Exception as error:
        raise Nonsense("it answers with what PostgreSQL never says") from error


def explained(target: Target, error: LoginFailed, step: str, seconds: float) -> Finding:
    """The finding for a login, or for a query after it, that failed after `seconds`."""
    if error.finding is not None:
        return error.finding
    if error.failure is None:
        return errors.too_slow(target, step, seconds)
    if step == errors.DATABASE:
        return explain_query(target, error.failure)
    return explain(target, error.failure)


def _secure(channel: Channel, target: Target, reached: Reached) -> None:
    """Encrypt as it was found to be possible. Raises Unreachable."""
    if not reached.encrypted:
        channel.tls_offered = reached.tls_offered
        return
    if not channel.offers_tls():
        raise Unreachable(errors.tls_not_offered(target))
    channel.encrypt(reached.certificates)


@contextmanager
def _libpq(
    channel: Channel, target: Target, greeting: bytes, deadline: float
) -> Iterator[Connection]:
    """What is done inside fails with LoginFailed."""
    relay: Relay | None = None
    try:
        with connected_libpq(channel, target, greeting, deadline) as (pgconn, relay):
            yield psycopg.Connection(pgconn)
    except NotConnected as error:
        said = None if error.text is None else failure(channel, "", error.text)
        raise LoginFailed(said) from None
    # A text of ours that does not fit the encoding that a server has named is its fault as well.
    except (psycopg.Error, UnicodeError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            # psycopg has failed to cancel the query over which somebody lost patience.
            raise error.__context__ from None
        if relay and relay.timed_out:
            raise LoginFailed(None) from None
        if relay and relay.too_much:
            raise LoginFailed(finding=errors.too_much(target)) from None
        text, sqlstate = str(error), ""
        if isinstance(error, psycopg.Error):
            text, sqlstate = error.diag.message_primary or text, error.sqlstate or ""
        raise LoginFailed(failure(channel, sqlstate, text)) from None


def _forget_libpq_variables() -> None:
    # libpq has no way to say "none" for some of them. Nothing else in this process means them.
    for name in [name for name in os.environ if re.fullmatch("PG[A-Z]+", name)]:
        os.environ.pop(name, None)
