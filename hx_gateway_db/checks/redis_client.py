"""How LiteLLM's own Redis client fares, by what is installed: its waits, and the spend buffer."""

import re
from collections.abc import Iterator
from contextlib import suppress

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.host import config_yaml, python_packages
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import last_with, parts
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.settings.values import Redis, Settings
from hx_gateway_db.yaml_edit.edit import YamlRefusal, lookup

TIMEOUTS = "gateway.redis-timeouts"
BUFFER = "gateway.spend-buffer"
# It hands no time limit on to a client that it makes from a URL (its pull request 35273), and up to
# version 8 redis-py itself has none. Read in 1.74.15, and no more so in 1.106.12.
_HANDS_ON_SINCE = (1, 106)
_LIMITS_SINCE = (8,)
# 1.74.15 makes its Redis client with the cache alone (`_init_cache`); 1.106.12 makes one for the
# buffer by itself, or does not start.
_BUFFER_ALONE_SINCE = (1, 106)
_PARAMETER = "socket_timeout"
_NUMBERS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,3}")
_RESTART = f"run 'systemctl restart {LITELLM_UNIT.removesuffix('.service')}'"


def findings(host: Host, settings: Settings) -> Iterator[Finding]:
    """What there is to say of a gateway that uses Redis."""
    litellm = _version(host, "litellm")
    if settings.redis:
        yield _timeouts(host, settings.redis, litellm)
    if litellm is not None and litellm < _BUFFER_ALONE_SINCE:
        yield from _buffer(host)


def _timeouts(host: Host, redis: Redis, litellm: tuple[int, ...] | None) -> Finding:
    env = str(host.layout.gateway_env)
    about = Subject(TIMEOUTS, env)
    client = _version(host, "redis")
    if litellm is None or client is None:
        return about.skipped("whether LiteLLM waits for a Redis without end can't be told")
    bounded = litellm >= _HANDS_ON_SINCE or client >= _LIMITS_SINCE
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


def _version(host: Host, distribution: str) -> tuple[int, ...] | None:
    """The lowest that says it is installed; None if none does."""
    found = [
        tuple(map(int, match[0].split(".")))
        for folder in python_packages.of_litellm(host.layout)
        for version in folder.versions(distribution)
        if (match := _NUMBERS.match(version))
    ]
    return min(found, default=None)
