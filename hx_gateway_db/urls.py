"""DATABASE_URL and REDIS_URL, from settings and back.

User, password and database name are percent-encoded to RFC 3986's unreserved characters, so that
the value needs no quoting for systemd, python-dotenv, a shell or LiteLLM.
"""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.settings import Postgres, Redis

_Number = TypeVar("_Number")


def encode(value: str) -> str:
    """Percent-encode `value` for any part of a URL; never `+` for a space."""
    return quote(value, safe="")


def database_url(postgres: Postgres) -> str:
    """The URL as Prisma and LiteLLM read it: `prefer` is their default and is left out."""
    query = [] if postgres.sslmode == "prefer" else [("sslmode", postgres.sslmode)]
    query.extend(postgres.parameters)
    tail = "?" + "&".join(f"{encode(name)}={encode(value)}" for name, value in query)
    return (
        f"postgresql://{encode(postgres.user)}:{encode(postgres.password)}"
        f"@{_netloc(postgres.host)}:{postgres.port}/{encode(postgres.database)}"
        f"{tail if query else ''}"
    )


def redis_url(redis: Redis) -> str:
    """The URL as redis-py reads it; a password alone logs in as the default user."""
    login = f"{encode(redis.user)}:{encode(redis.password)}@" if redis.password else ""
    scheme = "rediss" if redis.tls else "redis"
    return f"{scheme}://{login}{_netloc(redis.host)}:{redis.port}/{redis.database}"


def parse_database_url(url: str) -> Postgres:
    """The settings that `url` holds. Raises InvalidSettings, without quoting the URL."""
    parts = _split("DATABASE_URL", url, ("postgresql", "postgres"))
    query = parse_qsl(parts.query, keep_blank_values=True)
    modes = [value for name, value in query if name == "sslmode"]
    return Postgres(
        host=parts.hostname or "",
        port=parts.port or 5432,
        database=unquote(parts.path.removeprefix("/")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        sslmode=modes[-1] if modes else "prefer",
        parameters=tuple((name, value) for name, value in query if name != "sslmode"),
    )


def parse_redis_url(url: str) -> Redis:
    """The settings that `url` holds. Raises InvalidSettings, without quoting the URL."""
    parts = _split("REDIS_URL", url, ("redis", "rediss"))
    database = parts.path.removeprefix("/") or "0"
    return Redis(
        host=parts.hostname or "",
        port=parts.port or 6379,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=_or_invalid("REDIS_URL", lambda: int(database)),
        tls=parts.scheme == "rediss",
    )


def _netloc(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _split(name: str, url: str, schemes: tuple[str, ...]) -> SplitResult:
    parts = _or_invalid(name, lambda: urlsplit(url))
    _or_invalid(name, lambda: parts.port)
    if parts.scheme not in schemes:
        raise InvalidSettings(f"{name} does not begin with {schemes[0]}://.")
    return parts


def _or_invalid(name: str, read: Callable[[], _Number]) -> _Number:
    # urllib's own messages quote parts of the URL, which may be the password.
    try:
        return read()
    except ValueError:
        raise InvalidSettings(f"{name} is not a URL that can be read.") from None
