"""A connection to PostgreSQL through psycopg, as LiteLLM gets one, and nothing of ours in it.

No variable or file of the caller counts: not libpq's PG* variables, not ~/.pgpass, not the
certificates in ~/.postgresql. No call outlasts its deadline, whatever the server does.
"""

import ctypes
import os
import re
import select
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from hx_gateway_db.conversation import cut_at
from hx_gateway_db.postgres_errors import ConnectionFailure
from hx_gateway_db.postgres_reach import Reached
from hx_gateway_db.postgres_target import Target

Connection = psycopg.Connection[tuple[Any, ...]]

_NOWHERE = "/nonexistent"
_DEFAULT, _VERBOSE = 1, 2  # PQERRORS_DEFAULT and PQERRORS_VERBOSE, libpq-fe.h
_SQLSTATE = re.compile(r"^[^\n]*?:\s+(?P<code>(?=[A-Z]*[0-9])[0-9A-Z]{5}): ", re.MULTILINE)
_libpq = ctypes.CDLL("libpq.so.5")
_libpq.PQsetErrorVerbosity.argtypes = (ctypes.c_void_p, ctypes.c_int)


class LoginFailed(Exception):
    """Login or query failed; `failure` is what was said, None when the time was up."""

    def __init__(self, failure: ConnectionFailure | None) -> None:
        super().__init__("the time was up" if failure is None else failure.text)
        self.failure = failure


@contextmanager
def login(
    target: Target, reached: Reached, deadline: float, *, autocommit: bool = False
) -> Iterator[Connection]:
    """A connection that lasts as long as the context, `deadline` (time.monotonic) at the most.

    Raises LoginFailed, also for an error of a query inside.
    """
    expired = False
    try:
        with closing(_open(target, reached, deadline)) as connection:
            connection.prepare_threshold = None  # a PgBouncer may be in front
            connection.autocommit = autocommit
            with cut_at(connection.pgconn.socket, deadline) as cut:
                try:
                    yield connection
                    # A PgBouncer closes its server connection over a transaction left open.
                    connection.rollback()
                finally:
                    expired = cut.is_set()
    except psycopg.Error as error:
        if expired:
            raise LoginFailed(None) from None
        text = error.diag.message_primary or str(error)
        raise LoginFailed(_failure(reached, error.sqlstate or "", text)) from None


def _open(target: Target, reached: Reached, deadline: float) -> Connection:
    _forget_libpq_variables()
    with _file_of(reached.certificates) as certificates:
        sslmode = "disable" if not reached.encrypted else "require"
        pgconn = pq.PGconn.connect_start(
            make_conninfo(
                host=target.host,
                hostaddr=reached.address,
                port=target.port,
                dbname=target.database,
                user=target.user,
                password=target.password,
                passfile=_NOWHERE,
                # Prisma decides once and never falls back from one to the other, as libpq's
                # `prefer` would.
                sslmode="verify-full" if reached.certificates else sslmode,
                sslrootcert=certificates,
                sslcert=_NOWHERE,
                sslkey=_NOWHERE,
                sslcrl=_NOWHERE,
                gssencmode="disable",
                target_session_attrs="any",
                client_encoding="UTF8",
                application_name="hx-gateway-db",
            ).encode()
        )
        # With SQLSTATEs in the texts: of a login that failed, libpq hands out nothing else.
        _set_verbosity(pgconn, _VERBOSE)
        try:
            _poll(pgconn, reached, deadline)
        except LoginFailed:
            pgconn.finish()
            raise
    _set_verbosity(pgconn, _DEFAULT)
    pgconn.nonblocking = 1
    return psycopg.Connection(pgconn)


def _set_verbosity(pgconn: Any, verbosity: int) -> None:
    # psycopg has no call for it; `pgconn_ptr` is its way to libpq's other functions.
    _libpq.PQsetErrorVerbosity(pgconn.pgconn_ptr, verbosity)


def _poll(pgconn: pq.abc.PGconn, reached: Reached, deadline: float) -> None:
    while True:
        status = pgconn.connect_poll()
        if status == pq.PollingStatus.OK:
            return
        if status == pq.PollingStatus.FAILED:
            text = pgconn.error_message.decode(errors="replace")
            said = _SQLSTATE.search(text)
            without = text[said.end() :] if said else text
            raise LoginFailed(_failure(reached, said["code"] if said else "", without))
        waits = [pgconn.socket]
        reading = status == pq.PollingStatus.READING
        left = max(0.0, deadline - time.monotonic())
        ready = select.select(waits if reading else [], [] if reading else waits, [], left)
        if not any(ready):
            raise LoginFailed(None)


def _failure(reached: Reached, sqlstate: str, text: str) -> ConnectionFailure:
    return ConnectionFailure(sqlstate, text, reached.encrypted, reached.tls_offered)


def _forget_libpq_variables() -> None:
    # libpq has no way to say "none" for some of them. Nothing else in this process means them.
    for name in [name for name in os.environ if re.fullmatch("PG[A-Z]+", name)]:
        os.environ.pop(name, None)


@contextmanager
def _file_of(certificates: str) -> Iterator[str]:
    """A file that holds the certificates, in memory; one that does not exist for none."""
    if not certificates:
        yield _NOWHERE
        return
    descriptor = os.memfd_create("certificates")
    try:
        os.write(descriptor, certificates.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
