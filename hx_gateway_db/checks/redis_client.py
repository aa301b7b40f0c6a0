"""How LiteLLM's own Redis client fares, by what is installed: its waits, and the spend buffer."""

from collections.abc import Iterator
from contextlib import suppress

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.host import config_yaml, python_packages
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import last_with, parts
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.settings.litellm import (
    BUFFERS_ALONE,
    REDIS_TIMEOUTS,
    LiteLLM,
    Version,
    parse_version,
)
from hx_gateway_db.settings.values import Redis, Settings
from hx_gateway_db.yaml_edit.edit import YamlRefusal, lookup

TIMEOUTS = "gateway.redis-timeouts"
BUFFER = "gateway.spend-buffer"
# Up to version 8 redis-py has no time limit of its own.
_LIMITS_SINCE = (8,)
_PARAMETER = "socket_timeout"
_RESTART = f"run 'systemctl restart {LITELLM_UNIT.removesuffix('.service')}'"


def findings(host: Host, settings: Settings) -> Iterator[Finding]:
    """What there is to say of a gateway that uses Redis."""
    litellm = LiteLLM(_version(host, "litellm"))
    if settings.redis:
        yield _timeouts(host, settings.redis, litellm)
    if litellm.lacks(BUFFERS_ALONE):
        yield from _buffer(host)


def _timeouts(host: Host, redis: Redis, litellm: LiteLLM) -> Finding:
    env = str(host.layout.gateway_env)
    about = Subject(TIMEOUTS, env)
    client = _version(host, "redis")
    if not litellm.version or not client:
        return about.skipped("whether LiteLLM waits for a Redis without end can't be told")
    bounded = litellm.has(REDIS_TIMEOUTS) or client >= _LIMITS_SINCE
    if bounded or _PARAMETER in dict(redis.parameters):
        return about.ok("LiteLLM does not wait for a Redis without end")
    sign = "&" if redis.parameters else "?"
    addition = f"{sign}socket_timeout=5&socket_connect_timeout=5"
    return about.warning(
        f"the REDIS_URL in {env} has no socket_timeout",
        "when that Redis hangs, so does every request: this version of LiteLLM waits without end",
        f"append {addition} to it and {_RESTART}",
    )


def _buffer(host: Host) -> Iterator[Finding]:
    part = last_with(parts(host), config_yaml.BUFFER[0])
    cached = last_with(parts(host), config_yaml.CACHE[0])
    with suppress(Refused, YamlRefusal):
        if config_yaml.transaction_buffer(part.text) and (
            lookup(cached.text, config_yaml.CACHE) is not True
            or lookup(cached.text, config_yaml.TYPE) not in (None, "redis")
        ):
            yield Subject(BUFFER, str(part.path)).warning(
                f"{'.'.join(config_yaml.BUFFER)} is on, and no cache in Redis is",
                "this version of LiteLLM then gathers what is spent and writes it nowhere",
                "answer REDIS_TRANSACTION_BUFFER=true",
            )


def _version(host: Host, distribution: str) -> Version:
    """The lowest that says it is installed; empty if none does."""
    found = [
        parse_version(version)
        for folder in python_packages.of_litellm(host.layout)
        for version in folder.versions(distribution)
    ]
    return min(filter(None, found), default=())
