"""What the gateway is to be wired to, as values that can't be invalid once they exist."""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.layout import DEFAULT_BASE
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.catalogue import SSL_MODES, VARIABLES

# The user that is made in a Redis of this machine.
REDIS_USER = "hxgateway"
# What a URL or a login has, and no value that may be quoted.
_OF_A_URL = ("://", "@", "=")
_QUOTED = 60  # characters of a wrong answer
# Of a link-local address (RFC 4007), the name of an interface or its number.
_ZONE = re.compile(r"[A-Za-z0-9_.:-]{1,15}")
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def address(host: str, port: int) -> str:
    """Host and port as people and URLs write them: an IPv6 address in brackets (RFC 3986)."""
    return f"{in_brackets(host)}:{port}"


def in_brackets(host: str) -> str:
    """A host as it stands before a colon."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL database and the login that LiteLLM uses for it.

    `ca_file` holds the certificates that `verify-full` trusts, empty for the system's.
    `pgbouncer` says whether a PgBouncer stands in front; None: find out.
    `parameters` are further query parameters of DATABASE_URL that an administrator added
    (`connection_limit`, ...); they are kept and never interpreted.
    Raises InvalidSettings for a value that no server could accept.
    """

    host: str
    database: str
    user: str
    password: str = field(repr=False)
    port: int = 5432
    sslmode: str = "prefer"
    ca_file: str = ""
    pgbouncer: bool | None = None
    parameters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_host("PG_HOST", self.host)
        check_port("PG_PORT", self.port)
        _check_name("PG_DB", self.database)
        _check_name("PG_USER", self.user)
        _check_text("PG_PASS", self.password)
        if not self.password:
            raise InvalidSettings("PG_PASS is empty: give the database user's password.")
        if self.sslmode not in SSL_MODES:
            raise wrong("PG_SSLMODE", self.sslmode, f"use one of {', '.join(SSL_MODES)}")
        _check_file("PG_SSLROOTCERT", self.ca_file)
        if self.ca_file and self.sslmode != "verify-full":
            raise InvalidSettings(
                f"PG_SSLROOTCERT is given, but PG_SSLMODE is {self.sslmode}, which checks no"
                " certificate: use PG_SSLMODE=verify-full."
            )
        _check_parameters("DATABASE_URL", self.parameters)


@dataclass(frozen=True)
class Redis:
    """A Redis server; an empty `user` logs in as the default user, an empty password not at all.

    With `tls`, `ca_file` holds the certificates that are trusted, empty for the system's.
    `parameters` are as in `Postgres`.
    Raises InvalidSettings for a value that no server could accept.
    """

    host: str
    port: int = 6379
    user: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    tls: bool = False
    ca_file: str = ""
    parameters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_host("REDIS_HOST", self.host)
        check_port("REDIS_PORT", self.port)
        _check_text("REDIS_USER", self.user)
        _check_text("REDIS_PASS", self.password)
        if self.user and not self.password:
            raise wrong(
                "REDIS_USER", self.user, "give that user's password", " but REDIS_PASS is empty"
            )
        if self.database < 0:
            raise InvalidSettings(f"REDIS_DB is {self.database}: use 0 or a positive number.")
        _check_file("REDIS_CACERT", self.ca_file)
        if self.ca_file and not self.tls:
            raise InvalidSettings(
                "REDIS_CACERT is given, but REDIS_TLS is false: use REDIS_TLS=true."
            )
        _check_parameters("REDIS_URL", self.parameters)


@dataclass(frozen=True)
class Cache:
    """LiteLLM's response cache in Redis, and requests per minute that a new key may make."""

    rate_limit: int = 60

    def __post_init__(self) -> None:
        if self.rate_limit < 1:
            raise InvalidSettings(
                f"RATE_LIMIT is {self.rate_limit}: use requests per minute, 1 or more."
            )


@dataclass(frozen=True)
class Settings:
    """Everything that was answered.

    `transaction_buffer`: several gateways write to the database, and gather their spend in Redis.
    `variables`: what the answers say that are lines of gateway.env and nothing else, name and
    value; one that is not among them has no line.
    `watch`: it is looked every few minutes that virtual keys work.
    `trial`: a change is tried on a second gateway first; `handover`: that serves during a restart.
    Raises InvalidSettings for what needs Redis without it.
    """

    postgres: Postgres
    redis: Redis | None = None
    cache: Cache | None = None
    transaction_buffer: bool = False
    variables: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    watch: bool = False
    trial: bool = True
    handover: bool = True
    base: PurePosixPath = DEFAULT_BASE

    def __post_init__(self) -> None:
        if self.cache and not self.redis:
            raise InvalidSettings("CACHE is true but REDIS is false: the cache needs Redis.")
        if self.transaction_buffer and not self.redis:
            raise InvalidSettings(
                "REDIS_TRANSACTION_BUFFER is true but REDIS is false: the buffer needs Redis."
            )
        check_base(self.base)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The passwords, for redaction."""
        redis = (self.redis.password,) if self.redis and self.redis.password else ()
        said = dict(self.variables)
        lines = (said[a.variable] for a in VARIABLES if a.secret and a.variable in said)
        return (self.postgres.password, *redis, *lines)


@dataclass(frozen=True)
class Login:
    """An administrator's login to a server: used once, kept nowhere."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_text("the administrator's name", self.user)
        _check_text("the administrator's password", self.password)


def wrong(name: str, value: str, cure: str, also: str = "") -> InvalidSettings:
    """The error for an answer that is no password; it is quoted where it can't hold one."""
    if "://" in value:
        kind = "REDIS" if name.startswith("REDIS") else "PG"
        parts = ", ".join(f"{kind}_{part}" for part in ("HOST", "PORT", "DB", "USER"))
        whole = f"{name} is a whole URL: answer its parts, as {parts} and {kind}_PASS."
        return InvalidSettings(whole)
    if any(sign in value for sign in _OF_A_URL):
        return InvalidSettings(f"{name} can't be right{also}: {cure}.")
    return InvalidSettings(f"{name} is {said(value, most=_QUOTED)!r}{also}: {cure}.")


def check_host(name: str, host: str) -> None:
    """Raise InvalidSettings unless `host` is a host name or an IP address (RFC 1123, 4291)."""
    address, has_zone, zone = host.partition("%")
    try:
        ipaddress.ip_address(address)
        if not has_zone or _ZONE.fullmatch(zone):
            return
    except ValueError:
        pass
    labels = host.rstrip(".").split(".")
    if len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise wrong(name, host, "use a host name or an IP address")


def check_port(name: str, port: int) -> None:
    """Raise InvalidSettings unless `port` is a TCP port."""
    if not 1 <= port <= 65535:
        raise InvalidSettings(f"{name} is {port}: use a port from 1 to 65535.")


def check_base(base: PurePosixPath) -> None:
    """Raise InvalidSettings unless `base` is an absolute path that systemd reads literally.

    EnvironmentFile= expands `%` and globs (systemd.exec(5)).
    """
    text = str(base)
    if not base.is_absolute() or ".." in base.parts or base == PurePosixPath("/"):
        raise wrong("BASE", text, "use an absolute path without '..'")
    if not re.fullmatch(r"[A-Za-z0-9/._+:@,=-]+", text):
        raise wrong("BASE", text, "use only letters, digits and / . _ + : @ , = - in it")


def _check_name(name: str, value: str) -> None:
    _check_text(name, value)
    if not value:
        raise InvalidSettings(f"{name} is empty: give a name.")
    if len(value.encode()) > 63:
        raise InvalidSettings(f"{name} is longer than the 63 bytes that PostgreSQL keeps.")


def _check_file(name: str, path: str) -> None:
    _check_text(name, path)
    if path and not PurePosixPath(path).is_absolute():
        raise wrong(name, path, "use the absolute path of a file")


def _check_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidSettings(f"{name} is not UTF-8 text.") from error
    if any(character in value for character in "\0\n\r"):
        raise InvalidSettings(f"{name} contains a line break or NUL: it must be one line.")
    if any(unicodedata.category(character) == "Cc" for character in value.replace("\t", "")):
        raise InvalidSettings(f"{name} contains a control character: leave that out.")


def _check_parameters(url: str, parameters: tuple[tuple[str, str], ...]) -> None:
    for name, value in parameters:
        # A certificate has lines: redis-py's ssl_ca_data.
        for text in (name, re.sub(r"[\r\n]", " ", value)):
            _check_text(f"a parameter of {url}", text)


@dataclass(frozen=True)
class RedisUse:
    """What LiteLLM uses Redis for.

    The response cache with its default limit, and the buffer in which gateways gather spend.
    """

    cache: Cache | None = None
    transaction_buffer: bool = False

    @property
    def any(self) -> bool:
        return self.cache is not None or self.transaction_buffer

    @property
    def shared_limits(self) -> bool:
        """Whether gateways count a key's requests together.

        Only where there are several: LiteLLM 1.74 then answers no request while Redis is down.
        """
        return self.cache is not None and self.transaction_buffer


def redis_use(settings: Settings) -> RedisUse:
    """What `settings` want LiteLLM to use Redis for."""
    return RedisUse(settings.cache, settings.transaction_buffer)
