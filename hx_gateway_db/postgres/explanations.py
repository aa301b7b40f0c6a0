"""What was said of a login or a query that failed, recognized, and said in words of ours.

A row is a failure: what it is recognized by, and what is said of it. Another one is another row.
"""

import re
from collections.abc import Mapping

from hx_gateway_db.findings import Cure, Finding, Sentence
from hx_gateway_db.postgres.sentences import (
    DATABASE,
    LOGIN,
    PORT,
    STATEMENT_SECONDS,
    ConnectionFailure,
    quoted,
    too_slow,
)
from hx_gateway_db.postgres.target import Target, identifier

_CANCELED = "57014"
_ADMINISTRATOR = Cure.POSTGRES_ADMINISTRATOR
# Some patterns look for a second word from each first one.
_LOOKED_AT = 2000
_HBA_LINE = (
    "{encrypt_or}have a line for this host in its pg_hba.conf, above what rejects, and reload it"
)
_SCRAM_LINE = (
    "have scram-sha-256 in the line of its pg_hba.conf that is for this host, and reload it"
)


def _row(
    recognized: str, step: str, what: str, why: str, cure: str, by: Cure = Cure.BY_HAND
) -> tuple[str, Sentence]:
    return recognized, Sentence(step, what, why, cure, by)


# What is searched is the SQLSTATE, a blank, and the text; the first row that is found counts.
#
# By their texts come first those whose SQLSTATE says less or is none: PgBouncer's and libpq's own
# texts are never translated. Sources: PostgreSQL's src/backend/{libpq/auth.c,utils/init,postmaster,
# tcop}, src/interfaces/libpq, PgBouncer's src/{client,objects,janitor}.c. The others go by their
# SQLSTATE, since a server's texts are in its language (lc_messages):
# https://www.postgresql.org/docs/current/errcodes-appendix.html
ROWS: tuple[tuple[str, Sentence], ...] = (
    _row(
        r"no such database",
        DATABASE,
        "the PgBouncer at {address} has no database {database}",
        "",
        "check PG_DB, or add it under [databases] in pgbouncer.ini and reload it",
    ),
    _row(
        r"no such user",
        LOGIN,
        "the PgBouncer at {address} has no user {user}",
        "",
        "check {user_answer}, or add it to the auth_file of PgBouncer and reload it",
    ),
    _row(
        r"\bauth failed|SASL authentication failed|login rejected",
        LOGIN,
        "the PgBouncer at {address} refuses the login of {user}",
        "its auth_file has no such user or another password",
        "check {user_answer} and {password_answer}, and the auth_file of PgBouncer",
    ),
    _row(
        r"unsupported startup parameter",
        LOGIN,
        "the PgBouncer at {address} refuses a startup parameter",
        "",
        "add it to ignore_startup_parameters in pgbouncer.ini and reload it",
    ),
    _row(
        r"server_login_retry|server login failed|client_login_timeout"
        r"|pgbouncer cannot connect to server|server conn crashed",
        LOGIN,
        "the PgBouncer at {address} does not reach its PostgreSQL",
        "the server behind it is down or refuses PgBouncer's login",
        "look at PgBouncer's log and at the server behind it",
    ),
    _row(
        r"query_wait_timeout",
        LOGIN,
        "the PgBouncer at {address} had no server connection to give",
        "its pool is used up, or the server behind it is down",
        "look at PgBouncer's log, and raise default_pool_size in pgbouncer.ini if the pool is full",
    ),
    _row(
        r"no more connections allowed|max_db_client_connections",
        LOGIN,
        "the PgBouncer at {address} takes no more clients",
        "max_client_conn or max_db_client_connections is used up",
        "raise max_client_conn in pgbouncer.ini",
    ),
    _row(
        r"database does not allow connections|database .{1,99} is disabled",
        DATABASE,
        "the PgBouncer at {address} has closed the database {database}",
        "it was disabled or paused there",
        "run ENABLE or RESUME for it in PgBouncer's console",
    ),
    _row(
        r"no pg_hba\.conf entry",
        LOGIN,
        "{place} does not let {user} reach {database} from this host",
        "its pg_hba.conf has no entry for that{unencrypted}",
        _HBA_LINE,
    ),
    _row(
        r"pg_hba\.conf rejects",
        LOGIN,
        "{place} rejects {user} on {database} from this host",
        "an entry of its pg_hba.conf says so{unencrypted}",
        _HBA_LINE,
    ),
    _row(
        r"valid client certificate|client certificates can only|certificate authentication failed",
        LOGIN,
        "{place} wants a client certificate of {user}",
        "its pg_hba.conf says so, and LiteLLM is given none",
        "have scram-sha-256 without clientcert in the line of its pg_hba.conf, and reload it",
    ),
    _row(
        r"(?i:peer|ident|gssapi|sspi|ldap|radius|pam|bsd)(?i: authentication failed)",
        LOGIN,
        "{place} wants {user} to log in another way than by password",
        "its pg_hba.conf says so, and LiteLLM knows passwords only",
        _SCRAM_LINE,
    ),
    _row(
        r"is not permitted to log in",
        LOGIN,
        "{place} does not let the user {user} log in",
        "the role has NOLOGIN",
        "as an administrator run ALTER ROLE {role} LOGIN",
        _ADMINISTRATOR,
    ),
    _row(
        r"role \".{0,99}\" does not exist",
        LOGIN,
        "{place} has no user {user}",
        "",
        "check {user_answer}, or have it made: hx-gateway-db provision --print",
        _ADMINISTRATOR,
    ),
    _row(
        r"cannot connect to invalid database",
        DATABASE,
        "the database {database} on {place} is invalid",
        "a DROP DATABASE was cut short",
        "as an administrator drop it, then make it anew: DROP DATABASE {quoted_database}",
    ),
    _row(
        r"too many connections for role",
        LOGIN,
        "{place} has no connection left for the user {user}",
        "the role has a connection limit",
        "as an administrator run ALTER ROLE {role} CONNECTION LIMIT -1",
    ),
    _row(
        r"too many connections for database",
        DATABASE,
        "{place} has no connection left for the database {database}",
        "the database has a connection limit",
        "as an administrator run ALTER DATABASE {quoted_database} CONNECTION LIMIT -1",
    ),
    _row(
        r"too many clients|connection slots are reserved",
        LOGIN,
        "{place} has no connection left",
        "max_connections is used up",
        "end connections that nobody needs, or raise max_connections there",
    ),
    _row(
        r"database system is starting up|not yet accepting connections",
        LOGIN,
        "{place} is still starting",
        "",
        "try again in a moment",
    ),
    _row(
        r"unsupported frontend protocol",
        LOGIN,
        "{place} does not know the protocol that this host's libpq speaks",
        "the server is much older than PostgreSQL 9.6",
        "upgrade the server",
    ),
    _row(
        r"no password supplied",
        LOGIN,
        "{place} asks for the password of the user {user}",
        "",
        "answer {password_answer}",
    ),
    _row(
        r"SASL authentication mechanisms are supported|authentication method \d+ not supported"
        r"|SCRAM authentication requires",
        LOGIN,
        "{place} asks for a way to log in that this host's libpq does not know",
        "",
        _SCRAM_LINE,
    ),
    _row(
        r"expected authentication request",
        PORT,
        "what answers at {address} is not PostgreSQL",
        "it does not speak PostgreSQL's protocol",
        "check PG_HOST and PG_PORT",
    ),
    _row(
        r"server closed the connection|Connection reset",
        LOGIN,
        "{place} breaks off the login of {user}",
        "the server process ended, or a proxy closed the connection",
        "look at the server's log",
    ),
    _row(
        r"in recovery mode|database system is not accepting connections|\A57P02",
        LOGIN,
        "{place} accepts no connections while it recovers",
        "it crashed or is a standby without hot_standby",
        "wait until it has recovered, or answer the primary server as PG_HOST",
    ),
    _row(
        r"database system is shutting down|\A57P01",
        LOGIN,
        "{place} is shutting down",
        "",
        "start it there, then try again",
    ),
    _row(
        r"\A08P01",
        LOGIN,
        "the PgBouncer at {address} does not get {user} into {database}",
        "detail, as it came: {detail}",
        "look at PgBouncer's log and at the server behind it",
    ),
    _row(
        r"\A28P01",
        LOGIN,
        "{place} refuses the password of the user {user}",
        "a user that does not exist, or a password that has expired or is kept as MD5, looks the"
        " same",
        "check {user_answer} and {password_answer}",
        _ADMINISTRATOR,
    ),
    _row(
        r"\A28000(?s:.*)pg_hba\.conf",
        LOGIN,
        "{place} does not let {user} reach {database} from this host",
        "its pg_hba.conf says so{unencrypted}",
        _HBA_LINE,
    ),
    _row(
        r"\A28000",
        LOGIN,
        "{place} does not let the user {user} log in",
        "the user does not exist, may not log in, or must log in another way than by password",
        "check {user_answer}, and the server's log for the reason",
        _ADMINISTRATOR,
    ),
    _row(
        r"\A3D000",
        DATABASE,
        "{place} has no database {database}",
        "",
        "check PG_DB, or have it made: hx-gateway-db provision --print",
        _ADMINISTRATOR,
    ),
    _row(
        r"\A42501",
        DATABASE,
        "{place} does not let {user} into the database {database}",
        "the role has no CONNECT privilege",
        "as an administrator run GRANT CONNECT ON DATABASE {quoted_database} TO {role}",
        _ADMINISTRATOR,
    ),
    _row(
        r"\A53300",
        LOGIN,
        "{place} has no connection left for {user} on {database}",
        "the server, the role or the database is at its limit",
        "raise max_connections there, or the CONNECTION LIMIT of the role or the database",
    ),
    _row(
        r"\A55000",
        DATABASE,
        "the database {database} on {place} accepts no connections",
        "it was closed to all",
        "as an administrator run ALTER DATABASE {quoted_database} ALLOW_CONNECTIONS true",
    ),
    _row(
        r"\A57P03",
        LOGIN,
        "{place} accepts no connections just now",
        "it is starting, shutting down or recovering",
        "try again in a moment",
    ),
)
_UNKNOWN = Sentence(
    LOGIN,
    "{place} can't be used as {user} on {database}",
    "{sqlstate}; detail, as it came: {detail}",
    "look at the server's log",
)


def explain(target: Target, failure: ConnectionFailure) -> Finding:
    """The finding for what libpq, PgBouncer or the server said of a login."""
    return _explained(target, failure, failure.sqlstate)


def explain_query(target: Target, failure: ConnectionFailure) -> Finding:
    """The same for what was said of a query, after a login that succeeded."""
    if failure.sqlstate == _CANCELED:
        return too_slow(target, DATABASE, STATEMENT_SECONDS)
    # Of a query, another SQLSTATE than of a server that goes means something else.
    going = failure.sqlstate.startswith("57P")
    return _explained(target, failure, failure.sqlstate if going else "")


def _explained(target: Target, failure: ConnectionFailure, sqlstate: str) -> Finding:
    seen = f"{sqlstate} {failure.text[:_LOOKED_AT]}"
    found = (sentence for recognized, sentence in ROWS if re.search(recognized, seen))
    return next(found, _UNKNOWN).finding(target.place, _names(target, failure))


def _names(target: Target, failure: ConnectionFailure) -> Mapping[str, object]:
    text = re.sub(r"^.*?(?:FATAL|ERROR):\s+", "", failure.text, count=1, flags=re.DOTALL)
    unencrypted, encrypt_or = "", ""
    if not failure.encrypted and failure.tls_offered:
        unencrypted, encrypt_or = " without encryption", "choose PG_SSLMODE=require, or "
    elif not failure.encrypted:
        unencrypted = ", without encryption at least"
    return {
        "place": target.place,
        "address": target.address,
        "user": target.user,
        "database": target.database,
        "role": identifier(target.user),
        "quoted_database": identifier(target.database),
        "user_answer": target.user_answer,
        "password_answer": target.password_answer,
        "sqlstate": f"SQLSTATE {failure.sqlstate}" if failure.sqlstate else "no SQLSTATE",
        "detail": quoted(target, text),
        "unencrypted": unencrypted,
        "encrypt_or": encrypt_or,
    }
