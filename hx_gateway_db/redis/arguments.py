"""What redis-py makes of REDIS_URL, as far as it is ours to try.

Whoever writes gateway.env may add parameters to the URL, and redis-py takes any: paths that it
opens itself, a login, classes. Only those that are known get through.
"""

from dataclasses import dataclass, field
from typing import Any

import redis as client

from hx_gateway_db.redaction import said
from hx_gateway_db.redis.place import Withheld, about, detail
from hx_gateway_db.settings.urls import redis_url
from hx_gateway_db.settings.values import Redis

_TLS = (
    *("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path"),
    *("ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_ciphers"),
)
# Of redis-py's, up to its version 8: how long a connection waits and is kept, what answers become,
# and what only newer ones know. For us that is decided here.
_OF_NO_MATTER = (
    *("socket_timeout", "socket_connect_timeout", "timeout", "socket_keepalive"),
    *("socket_read_size", "retry_on_timeout", "retry_on_error", "max_connections"),
    *("health_check_interval", "client_name", "lib_name", "lib_version", "protocol"),
    *("legacy_responses", "encoding", "encoding_errors", "decode_responses", "ssl_min_version"),
    *("ssl_include_verify_flags", "ssl_exclude_verify_flags"),
)
_CERTIFICATES = {"none": False, "optional": True, "required": True}
_NAME_CHARACTERS = 60


@dataclass(frozen=True)
class Tls:
    """How a certificate is checked, and which of our own is shown; paths are not opened yet."""

    checked: bool = True
    name_checked: bool = True
    ca_file: str = ""
    ca_folder: str = ""
    ca_text: str = field(default="", repr=False)
    certificate: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)
    ciphers: str = ""


@dataclass(frozen=True)
class Arguments:
    """Where and how to log in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: int
    tls: Tls | None

    @property
    def private(self) -> bool:
        """Whether nobody on the way can read along."""
        return self.tls is not None and self.tls.checked


def arguments(redis: Redis) -> Arguments:
    """What `redis` means to redis-py. Raises Withheld for a parameter that it refuses."""
    for name, _ in redis.parameters:
        if name not in ("db", *_TLS, *_OF_NO_MATTER):
            what = f"REDIS_URL has a parameter {said(name, most=_NAME_CHARACTERS)}"
            why = "LiteLLM's Redis client takes none of that name from a URL"
            cure = "take it out of REDIS_URL in gateway.env"
            raise Withheld(about(redis, "url").failed(what, why, cure))
    try:
        values: dict[str, Any] = client.connection.parse_url(redis_url(redis))
    except ValueError as error:
        raise _refused(redis, str(error)) from None
    return Arguments(
        host=values["host"],
        port=values["port"],
        user=values.get("username") or "",
        password=values.get("password") or "",
        database=values.get("db", 0),
        tls=_tls(redis, values) if redis.tls else None,
    )


def _tls(redis: Redis, values: dict[str, Any]) -> Tls:
    required = values.get("ssl_cert_reqs", "required")
    if required not in _CERTIFICATES:
        raise _refused(redis, f"ssl_cert_reqs is {required}")
    checked = _CERTIFICATES[required]
    return Tls(
        checked=checked,
        name_checked=checked and bool(values.get("ssl_check_hostname", True)),
        ca_file=values.get("ssl_ca_certs", ""),
        ca_folder=values.get("ssl_ca_path", ""),
        ca_text=values.get("ssl_ca_data", ""),
        certificate=values.get("ssl_certfile", ""),
        key=values.get("ssl_keyfile", ""),
        key_password=values.get("ssl_password", ""),
        ciphers=values.get("ssl_ciphers", ""),
    )


def _refused(redis: Redis, text: str) -> Withheld:
    what = f"redis-py refuses a parameter of REDIS_URL{detail(redis, text)}"
    cure = "mend it in gateway.env, or take it out there"
    return Withheld(about(redis, "url").failed(what, "so does LiteLLM", cure))
