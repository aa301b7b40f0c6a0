"""What was said of a login or a query that failed, recognized, and said in words of ours.

Where the server sends an SQLSTATE it decides, since the texts are in the server's language
(lc_messages). PgBouncer's and libpq's own texts are never translated here.
"""

import re
from collections.abc import Callable

from hx_gateway_db.findings import Cure, Finding
from hx_gateway_db.postgres.sentences import (
    DATABASE,
    LOGIN,
    PORT,
    STATEMENT_SECONDS,
    ConnectionFailure,
    about,
    quoted,
    too_slow,
)
from hx_gateway_db.postgres.target import Target, identifier

_CANCELED = "57014"
_ADMINISTRATOR = Cure.POSTGRES_ADMINISTRATOR
# Some patterns look for a second word from each first one.
_LOOKED_AT = 2000


def explain(target: Target, failure: ConnectionFailure) -> Finding:
    """The finding for what libpq, PgBouncer or the server said of a login."""
    return _by_text(target, failure) or _by_sqlstate(target, failure)


def explain_query(target: Target, failure: ConnectionFailure) -> Finding:
    """The same for what was said of a query, after a login that succeeded."""
    if failure.sqlstate == _CANCELED:
        return too_slow(target, DATABASE, STATEMENT_SECONDS)
    going = failure.sqlstate.startswith("57P")
    return _by_text(target, failure) or (
        _by_sqlstate(target, failure) if going else _unknown(target, failure)
    )


def _by_text(target: Target, failure: ConnectionFailure) -> Finding | None:
    for pattern, explanation in _TEXTS:
        if re.search(pattern, failure.text[:_LOOKED_AT]):
            return explanation(target, failure)
    return None


def _by_sqlstate(target: Target, failure: ConnectionFailure) -> Finding:
    return _SQLSTATES.get(failure.sqlstate, _unknown)(target, failure)


_Explanation = Callable[[Target, ConnectionFailure], Finding]


def _sentence(step: str, what: str, why: str, cure: str, by: Cure = Cure.BY_HAND) -> _Explanation:
    """An explanation whose parts only lack names."""

    def explanation(target: Target, failure: ConnectionFailure) -> Finding:
        names = {
            "place": target.place,
            "address": target.address,
            "user": target.user,
            "database": target.database,
            "role": identifier(target.user),
            "quoted_database": identifier(target.database),
            "user_answer": target.user_answer,
            "password_answer": target.password_answer,
        }
        return about(target, step).failed(
            what.format_map(names), why.format_map(names), cure.format_map(names), by
        )

    return explanation


def _hba_missing(target: Target, failure: ConnectionFailure) -> Finding:
    return _hba(
        target,
        failure,
        f"{target.place} does not let {target.user} reach {target.database} from this host",
        "its pg_hba.conf has no entry for that",
    )


def _hba_rejects(target: Target, failure: ConnectionFailure) -> Finding:
    return _hba(
        target,
        failure,
        f"{target.place} rejects {target.user} on {target.database} from this host",
        "an entry of its pg_hba.conf says so",
    )


def _hba(target: Target, failure: ConnectionFailure, what: str, why: str) -> Finding:
    change = "have a line for this host in its pg_hba.conf, above what rejects, and reload it"
    if not failure.encrypted and failure.tls_offered:
        why += " without encryption"
        change = f"choose PG_SSLMODE=require, or {change}"
    elif not failure.encrypted:
        why += ", without encryption at least"
    return about(target, LOGIN).failed(what, why, change)


def _no_entry_anywhere(target: Target, failure: ConnectionFailure) -> Finding:
    if "pg_hba.conf" in failure.text:
        what = f"{target.place} does not let {target.user} reach {target.database} from this host"
        return _hba(target, failure, what, "its pg_hba.conf says so")
    return about(target, LOGIN).failed(
        f"{target.place} does not let the user {target.user} log in",
        "the user does not exist, may not log in, or must log in another way than by password",
        f"check {target.user_answer}, and the server's log for the reason",
        _ADMINISTRATOR,
    )


def _unknown(target: Target, failure: ConnectionFailure) -> Finding:
    code = f"SQLSTATE {failure.sqlstate}" if failure.sqlstate else "no SQLSTATE"
    said = f"{code}; detail, as it came: {quoted(target, _without_severity(failure.text))}"
    what = f"{target.place} can't be used as {target.user} on {target.database}"
    return about(target, LOGIN).failed(what, said, "look at the server's log")


def _bouncer_passes_on(target: Target, failure: ConnectionFailure) -> Finding:
    what = f"the PgBouncer at {target.address} does not get {target.user} into {target.database}"
    said = f"detail, as it came: {quoted(target, _without_severity(failure.text))}"
    cure = "look at PgBouncer's log and at the server behind it"
    return about(target, LOGIN).failed(what, said, cure)


def _without_severity(text: str) -> str:
    return re.sub(r"^.*?(?:FATAL|ERROR):\s+", "", text, count=1, flags=re.DOTALL)


_WRONG_PASSWORD = _sentence(
    LOGIN,
    "{place} refuses the password of the user {user}",
    "a user that does not exist, or a password that has expired, looks the same",
    "check {user_answer} and {password_answer}",
    _ADMINISTRATOR,
)
_NO_ROLE = _sentence(
    LOGIN,
    "{place} has no user {user}",
    "",
    "check {user_answer}, or have it made: hx-gateway-db provision --print",
    _ADMINISTRATOR,
)
_NO_LOGIN = _sentence(
    LOGIN,
    "{place} does not let the user {user} log in",
    "the role has NOLOGIN",
    "as an administrator run ALTER ROLE {role} LOGIN",
    _ADMINISTRATOR,
)
_OTHER_METHOD = _sentence(
    LOGIN,
    "{place} wants {user} to log in another way than by password",
    "its pg_hba.conf says so, and LiteLLM knows passwords only",
    "have scram-sha-256 in the line of its pg_hba.conf that is for this host, and reload it",
)
_NO_DATABASE = _sentence(
    DATABASE,
    "{place} has no database {database}",
    "",
    "check PG_DB, or have it made: hx-gateway-db provision --print",
    _ADMINISTRATOR,
)
_NO_CONNECT = _sentence(
    DATABASE,
    "{place} does not let {user} into the database {database}",
    "the role has no CONNECT privilege",
    "as an administrator run GRANT CONNECT ON DATABASE {quoted_database} TO {role}",
    _ADMINISTRATOR,
)
_CLOSED_DATABASE = _sentence(
    DATABASE,
    "the database {database} on {place} accepts no connections",
    "it was closed to all",
    "as an administrator run ALTER DATABASE {quoted_database} ALLOW_CONNECTIONS true",
)
_BROKEN_DATABASE = _sentence(
    DATABASE,
    "the database {database} on {place} is invalid",
    "a DROP DATABASE was cut short",
    "as an administrator drop it, then make it anew: DROP DATABASE {quoted_database}",
)
_SERVER_FULL = _sentence(
    LOGIN,
    "{place} has no connection left",
    "max_connections is used up",
    "end connections that nobody needs, or raise max_connections there",
)
_ROLE_FULL = _sentence(
    LOGIN,
    "{place} has no connection left for the user {user}",
    "the role has a connection limit",
    "as an administrator run ALTER ROLE {role} CONNECTION LIMIT -1",
)
_DATABASE_FULL = _sentence(
    DATABASE,
    "{place} has no connection left for the database {database}",
    "the database has a connection limit",
    "as an administrator run ALTER DATABASE {quoted_database} CONNECTION LIMIT -1",
)
_SOMETHING_FULL = _sentence(
    LOGIN,
    "{place} has no connection left for {user} on {database}",
    "the server, the role or the database is at its limit",
    "raise max_connections there, or the CONNECTION LIMIT of the role or the database",
)
_STARTING = _sentence(LOGIN, "{place} is still starting", "", "try again in a moment")
_STOPPING = _sentence(LOGIN, "{place} is shutting down", "", "start it there, then try again")
_RECOVERING = _sentence(
    LOGIN,
    "{place} accepts no connections while it recovers",
    "it crashed or is a standby without hot_standby",
    "wait until it has recovered, or answer the primary server as PG_HOST",
)
_NOT_NOW = _sentence(
    LOGIN,
    "{place} accepts no connections just now",
    "it is starting, shutting down or recovering",
    "try again in a moment",
)
_NO_PASSWORD = _sentence(
    LOGIN,
    "{place} asks for the password of the user {user}",
    "",
    "answer {password_answer}",
)
_BROKEN_OFF = _sentence(
    LOGIN,
    "{place} breaks off the login of {user}",
    "the server process ended, or a proxy closed the connection",
    "look at the server's log",
)
_CLIENT_TOO_OLD = _sentence(
    LOGIN,
    "{place} asks for a way to log in that this host's libpq does not know",
    "",
    "have scram-sha-256 in the line of its pg_hba.conf that is for this host, and reload it",
)
_NOT_POSTGRES = _sentence(
    PORT,
    "what answers at {address} is not PostgreSQL",
    "it does not speak PostgreSQL's protocol",
    "check PG_HOST and PG_PORT",
)
_TOO_OLD_OR_NEW = _sentence(
    LOGIN,
    "{place} does not know the protocol that this host's libpq speaks",
    "the server is much older than PostgreSQL 9.6",
    "upgrade the server",
)
_CLIENT_CERTIFICATE = _sentence(
    LOGIN,
    "{place} wants a client certificate of {user}",
    "its pg_hba.conf says so, and LiteLLM is given none",
    "have scram-sha-256 without clientcert in the line of its pg_hba.conf, and reload it",
)
_BOUNCER_DATABASE = _sentence(
    DATABASE,
    "the PgBouncer at {address} has no database {database}",
    "",
    "check PG_DB, or add it under [databases] in pgbouncer.ini and reload it",
)
_BOUNCER_USER = _sentence(
    LOGIN,
    "the PgBouncer at {address} has no user {user}",
    "",
    "check {user_answer}, or add it to the auth_file of PgBouncer and reload it",
)
_BOUNCER_AUTH = _sentence(
    LOGIN,
    "the PgBouncer at {address} refuses the login of {user}",
    "its auth_file has no such user or another password",
    "check {user_answer} and {password_answer}, and the auth_file of PgBouncer",
)
_BOUNCER_PARAMETER = _sentence(
    LOGIN,
    "the PgBouncer at {address} refuses a startup parameter",
    "",
    "add it to ignore_startup_parameters in pgbouncer.ini and reload it",
)
_BOUNCER_UPSTREAM = _sentence(
    LOGIN,
    "the PgBouncer at {address} does not reach its PostgreSQL",
    "the server behind it is down or refuses PgBouncer's login",
    "look at PgBouncer's log and at the server behind it",
)
_BOUNCER_POOL = _sentence(
    LOGIN,
    "the PgBouncer at {address} had no server connection to give",
    "its pool is used up, or the server behind it is down",
    "look at PgBouncer's log, and raise default_pool_size in pgbouncer.ini if the pool is full",
)
_BOUNCER_CLIENTS = _sentence(
    LOGIN,
    "the PgBouncer at {address} takes no more clients",
    "max_client_conn or max_db_client_connections is used up",
    "raise max_client_conn in pgbouncer.ini",
)
_BOUNCER_CLOSED = _sentence(
    DATABASE,
    "the PgBouncer at {address} has closed the database {database}",
    "it was disabled or paused there",
    "run ENABLE or RESUME for it in PgBouncer's console",
)

# In order, the first that is found counts. Sources: PostgreSQL's src/backend/{libpq/auth.c,
# utils/init,postmaster,tcop}, src/interfaces/libpq, PgBouncer's src/{client,objects,janitor}.c.
_TEXTS: tuple[tuple[str, _Explanation], ...] = (
    (r"no such database", _BOUNCER_DATABASE),
    (r"no such user", _BOUNCER_USER),
    (r"\bauth failed|SASL authentication failed|login rejected", _BOUNCER_AUTH),
    (r"unsupported startup parameter", _BOUNCER_PARAMETER),
    (r"server_login_retry|server login failed|client_login_timeout", _BOUNCER_UPSTREAM),
    (r"pgbouncer cannot connect to server|server conn crashed", _BOUNCER_UPSTREAM),
    (r"query_wait_timeout", _BOUNCER_POOL),
    (r"no more connections allowed|max_db_client_connections", _BOUNCER_CLIENTS),
    (r"database does not allow connections|database .{1,99} is disabled", _BOUNCER_CLOSED),
    (r"no pg_hba\.conf entry", _hba_missing),
    (r"pg_hba\.conf rejects", _hba_rejects),
    (
        r"valid client certificate|client certificates can only|certificate authentication failed",
        _CLIENT_CERTIFICATE,
    ),
    (r"(?i)(peer|ident|gssapi|sspi|ldap|radius|pam|bsd) authentication failed", _OTHER_METHOD),
    (r"is not permitted to log in", _NO_LOGIN),
    (r"role \".{0,99}\" does not exist", _NO_ROLE),
    (r"cannot connect to invalid database", _BROKEN_DATABASE),
    (r"too many connections for role", _ROLE_FULL),
    (r"too many connections for database", _DATABASE_FULL),
    (r"too many clients|connection slots are reserved", _SERVER_FULL),
    (r"database system is starting up|not yet accepting connections", _STARTING),
    (r"database system is shutting down", _STOPPING),
    (r"in recovery mode|database system is not accepting connections", _RECOVERING),
    (r"unsupported frontend protocol", _TOO_OLD_OR_NEW),
    (r"no password supplied", _NO_PASSWORD),
    (r"SASL authentication mechanisms are supported", _CLIENT_TOO_OLD),
    (r"authentication method \d+ not supported|SCRAM authentication requires", _CLIENT_TOO_OLD),
    (r"expected authentication request", _NOT_POSTGRES),
    (r"server closed the connection|Connection reset", _BROKEN_OFF),
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SQLSTATES: dict[str, _Explanation] = {
    "08P01": _bouncer_passes_on,
    "28P01": _WRONG_PASSWORD,
    "28000": _no_entry_anywhere,
    "3D000": _NO_DATABASE,
    "42501": _NO_CONNECT,
    "53300": _SOMETHING_FULL,
    "55000": _CLOSED_DATABASE,
    "57P01": _STOPPING,
    "57P02": _RECOVERING,
    "57P03": _NOT_NOW,
}
