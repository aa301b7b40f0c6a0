"""DATABASE_URL and REDIS_URL, from settings and back, and PG_URL from settings.

User, password and database name are percent-encoded to RFC 3986's unreserved characters, so that
the value needs no quoting for systemd, python-dotenv, a shell or LiteLLM.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.layout import SYSTEM_CERTIFICATES
from hx_gateway_db.settings.values import Postgres, Redis, address

_Number = TypeVar("_Number")
# Older LiteLLM's Prisma; newer LiteLLM translates libpq's other modes for it.
_KNOWN_TO_PRISMA = ("disable", "prefer", "require")
# libpq's, and what in it checks a certificate.
_LIBPQ_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_CHECKING = ("verify-ca", "verify-full")
_CA_CERTS, _CHECK_HOSTNAME = "ssl_ca_certs", "ssl_check_hostname"


def encode(value: str) -> str:
    """Percent-encode `value` for any part of a URL; never `+` for a space."""
    return quote(value, safe="")


def database_url(postgres: Postgres) -> str:
    """The URL as Prisma and LiteLLM read it: `prefer` is their default and is left out.

    Prisma's name for the trusted certificates is `sslcert`, and `verify-full` is unknown to it
    (LiteLLM 1.74 makes `prefer` of it): `sslaccept=strict` is the same.
    """
    query = _tls_query(postgres)
    if postgres.pgbouncer is not None:
        query.append(("pgbouncer", "true" if postgres.pgbouncer else "false"))
    query.extend(postgres.parameters)
    return _postgres_url(postgres, query)


def libpq_url(postgres: Postgres) -> str:
    """The URL of the same database for who is not Prisma: libpq, psycopg and asyncpg read it alike.

    libpq checks a certificate against the authorities of a file that is named, and knows the
    system's by a name of theirs only since its version 16, asyncpg not at all: so that is a file as
    well. Of the parameters of DATABASE_URL it has what libpq has too and without which it would be
    another database: mode and authorities, where an administrator has written libpq's, options, and
    Prisma's schema as the search path.
    """
    given = dict(postgres.parameters)
    mode = given.get("sslmode", "")
    mode = mode if mode in _LIBPQ_MODES else postgres.sslmode
    query = [("sslmode", mode)] if mode != "prefer" else []
    if mode in _CHECKING:
        named = postgres.ca_file or given.get("sslrootcert", "system")
        query.append(("sslrootcert", str(SYSTEM_CERTIFICATES) if named == "system" else named))
    # A PgBouncer takes no options.
    if not postgres.pgbouncer and (options := _options(given)):
        query.append(("options", options))
    return _postgres_url(postgres, query)


def _options(given: Mapping[str, str]) -> str:
    """The server's command line (libpq's `options`) that goes with parameters of DATABASE_URL."""
    words = [given["options"]] if given.get("options") else []
    if given.get("schema", "public") not in ("", "public"):
        quoted = '"' + given["schema"].replace('"', '""') + '"'
        words.append("-csearch_path=" + re.sub(r"[\\\s]", r"\\\g<0>", quoted))
    return " ".join(words)


def _postgres_url(postgres: Postgres, query: Sequence[tuple[str, str]]) -> str:
    tail = "?" + "&".join(f"{encode(name)}={encode(value)}" for name, value in query)
    return (
        f"postgresql://{encode(postgres.user)}:{encode(postgres.password)}"
        f"@{address(postgres.host, postgres.port)}/{encode(postgres.database)}"
        f"{tail if query else ''}"
    )


def redis_url(redis: Redis) -> str:
    """The URL as redis-py reads it; a password alone logs in as the default user.

    Before its version 6 redis-py looks at the name in a certificate only when it is asked to. It
    decodes a value twice, so that a `%` has to be encoded twice.
    """
    login = f"{encode(redis.user)}:{encode(redis.password)}@" if redis.password else ""
    scheme = "rediss" if redis.tls else "redis"
    query = [(_CHECK_HOSTNAME, "true")] if redis.tls else []
    if redis.ca_file:
        query.append((_CA_CERTS, redis.ca_file))
    query.extend(redis.parameters)
    tail = "?" + "&".join(f"{name}={encode(value.replace('%', '%25'))}" for name, value in query)
    return (
        f"{scheme}://{login}{address(redis.host, redis.port)}/{redis.database}"
        f"{tail if query else ''}"
    )


class UnreadableUrl(InvalidSettings):
    """A URL that does not stand for settings; `readable` are answers that it holds all the same.

    Passwords can be among them.
    """

    def __init__(self, message: str, readable: Mapping[str, str]) -> None:
        super().__init__(message)
        self.readable = readable


def parse_database_url(url: str) -> Postgres:
    """The settings that `url` holds. Raises UnreadableUrl, without quoting the URL.

    An sslmode that Prisma does not know stays a parameter: it takes that for `prefer`.
    """
    try:
        return _postgres(url)
    except InvalidSettings as error:
        raise UnreadableUrl(str(error), _readable(url, _POSTGRES_PARTS)) from None


def _postgres(url: str) -> Postgres:
    parts = _split("DATABASE_URL", url, ("postgresql", "postgres"))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not parts.hostname:
        raise InvalidSettings(
            "DATABASE_URL names no host, or a socket, on which newer LiteLLM's migrations fail:"
            " answer PG_HOST."
        )
    if not parts.password:
        raise InvalidSettings("DATABASE_URL has no password: answer PG_PASS.")
    sslmode = query.pop("sslmode") if query.get("sslmode") in _KNOWN_TO_PRISMA else "prefer"
    ca_file = ""
    if sslmode == "require" and query.get("sslaccept") == "strict":
        sslmode = "verify-full"
        del query["sslaccept"]
        ca_file = query.pop("sslcert", "")
    pgbouncer = query.pop("pgbouncer", None)
    return Postgres(
        host=parts.hostname,
        port=parts.port or 5432,
        database=unquote(parts.path.removeprefix("/")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password),
        sslmode=sslmode,
        ca_file=ca_file,
        pgbouncer=None if pgbouncer is None else pgbouncer == "true",
        parameters=tuple(query.items()),
    )


def another_database(url: str, postgres: Postgres) -> str:
    """In what a PostgreSQL URL of somebody else differs, as a clause; empty: in nothing, or unsaid.

    What it names is read as libpq does it, where a parameter counts too. No password is quoted.
    """
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query))
        host = given.get("host") or parts.hostname or ""
        port = int(given.get("port") or parts.port or 5432)
    except ValueError:
        return ""
    several = "," in host or "," in parts.netloc.rpartition("@")[2]
    if not parts.scheme.startswith("postgres") or not host or host[0] == "/" or several:
        return ""
    user = given.get("user") or unquote(parts.username or "")
    database = given.get("dbname") or unquote(parts.path.removeprefix("/")) or user
    place = (_here(host.lower()), port, database)
    if place != (_here(postgres.host.lower()), postgres.port, postgres.database):
        return f"names {database} on {address(host, port)}, another database"
    password = given.get("password") or unquote(parts.password or "")
    if user == postgres.user and password and password != postgres.password:
        return f"has another password for {user}"
    return ""


def password_in(url: str) -> str:
    """The password in a URL of somebody else; empty if none can be found."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return dict(parse_qsl(parts.query)).get("password") or unquote(parts.password or "")


def _here(host: str) -> str:
    return "localhost" if host in ("127.0.0.1", "::1") else host


def parse_redis_url(url: str) -> Redis:
    """The settings that `url` holds. Raises UnreadableUrl, without quoting the URL.

    A `db` in the query wins over the path, as it does for redis-py.
    """
    try:
        return _redis(url)
    except InvalidSettings as error:
        raise UnreadableUrl(str(error), _readable(url, _REDIS_PARTS)) from None


def _redis(url: str) -> Redis:
    parts = _split("REDIS_URL", url, ("redis", "rediss"))
    if not parts.hostname:
        raise InvalidSettings("REDIS_URL names no host, or a socket: answer REDIS_HOST.")
    query = {name: unquote(value) for name, value in parse_qsl(parts.query)}
    query.pop(_CHECK_HOSTNAME, None)
    database = parts.path.removeprefix("/") or "0"
    if re.fullmatch(r"[0-9]{1,9}", query.get("db", "")):
        database = query.pop("db")
    return Redis(
        host=parts.hostname,
        port=parts.port or 6379,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=_or_invalid("REDIS_URL", lambda: int(database)),
        tls=parts.scheme == "rediss",
        ca_file=query.pop(_CA_CERTS, ""),
        parameters=tuple(query.items()),
    )


def readable_url(url: str, kind: str) -> dict[str, str]:
    """The answers that are beyond doubt in a URL; `kind` is what they begin with, PG or REDIS."""
    return _readable(url, _POSTGRES_PARTS if kind == "PG" else _REDIS_PARTS)


def readable(database_url: str, redis_url: str) -> dict[str, str]:
    """The answers that are beyond doubt in two URLs of which one can't be used; empty: none."""
    return _readable(database_url, _POSTGRES_PARTS) | _readable(redis_url, _REDIS_PARTS)


# The answers for the parts of a URL: host, port, path, user, password.
_POSTGRES_PARTS = ("PG_HOST", "PG_PORT", "PG_DB", "PG_USER", "PG_PASS")
_REDIS_PARTS = ("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USER", "REDIS_PASS")


def _readable(url: str, keys: tuple[str, ...]) -> dict[str, str]:
    """What of a URL is beyond doubt, as answers."""
    body, _, note = url.partition("://")[2].partition("#")
    if "@" in note:
        return {}
    address, at, rest = body.rpartition("@")
    login = address.partition(":")
    place, _, path = rest.partition("?")[0].partition("/")
    values = dict.fromkeys(keys, "")
    if at and "/" not in address:
        values |= {keys[3]: unquote(login[0]), keys[4]: unquote(login[2])}
    values[keys[2]] = unquote(path.strip())
    try:
        split = urlsplit(f"//{place}")
        if "," not in place:
            values |= {keys[0]: split.hostname or "", keys[1]: str(split.port or "")}
    except ValueError:
        pass
    return {key: value for key, value in values.items() if value}


def _tls_query(postgres: Postgres) -> list[tuple[str, str]]:
    if postgres.sslmode == "prefer":
        return []
    if postgres.sslmode != "verify-full":
        return [("sslmode", postgres.sslmode)]
    query = [("sslmode", "require"), ("sslaccept", "strict")]
    return [*query, ("sslcert", postgres.ca_file)] if postgres.ca_file else query


def _split(name: str, url: str, schemes: tuple[str, ...]) -> SplitResult:
    if "#" in url:
        raise InvalidSettings(
            f"{name} has a # in it, where a URL ends: write %23 for one in a password, and a note"
            " on a line of its own."
        )
    parts = _or_invalid(name, lambda: urlsplit(url))
    if parts.scheme not in schemes:
        raise InvalidSettings(f"{name} does not begin with {schemes[0]}://.")
    if "," in parts.netloc.rpartition("@")[2]:
        raise InvalidSettings(f"{name} names several hosts, and LiteLLM can use one only.")
    _or_invalid(name, lambda: parts.port)
    return parts


def _or_invalid(name: str, read: Callable[[], _Number]) -> _Number:
    # urllib's own messages quote parts of the URL, which may be the password.
    try:
        return read()
    except ValueError:
        raise InvalidSettings(f"{name} is not a URL that can be read.") from None
