"""Redis: the check before the change."""

import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

from redis import exceptions

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.findings import Finding
from hx_gateway_db.redaction import said
from hx_gateway_db.redis import sentences
from hx_gateway_db.redis.connection import Connection, connected
from hx_gateway_db.redis.look import with_a_look
from hx_gateway_db.redis.peer import Peer, for_the_gateway
from hx_gateway_db.redis.place import Withheld, about, place, user_name
from hx_gateway_db.redis.rule import HAS_USERS, parse_version
from hx_gateway_db.redis.trials import trials, what_failed
from hx_gateway_db.settings.values import Redis, RedisUse, address, check_host, check_port

_SECONDS = 6.0
_MAINTAINED = (6, 2)
_VERSION_CHARACTERS = 40
_PORT = re.compile(r"[0-9]{1,5}")
_SIZE = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,3})?[BKMGTP]?")


def inspect_redis(redis: Redis, use: RedisUse | None = None) -> tuple[Finding, ...]:
    """Whether LiteLLM can use this Redis, within 6 seconds, up to the first thing that it can't.

    `use` is what for. Writes and deletes keys below `litellm:hx-gateway-db:` that expire by
    themselves.
    """
    return tuple(_inspect(redis, use or RedisUse(), time.monotonic() + _SECONDS))


def _inspect(redis: Redis, use: RedisUse, deadline: float) -> Iterator[Finding]:
    rule = for_the_gateway(redis) if redis.password else None
    try:
        with connected(redis, deadline, rule) as connection:
            with suppress(exceptions.NoPermissionError):  # the trials name what is missing
                connection.ask("PING")
            yield from _reached(redis, connection.peer)
            yield from _usable(redis, use, connection)
    except Withheld as error:
        yield error.finding
    except exceptions.RedisError as error:
        yield with_a_look(redis, sentences.explain(redis, error), deadline)


def _reached(redis: Redis, peer: Peer) -> Iterator[Finding]:
    where = place(redis)
    yield about(redis, "name").ok(f"the host name {redis.host} resolves")
    yield about(redis, "port").ok(f"{where} answers")
    if peer.private:
        yield about(redis, "tls").ok(f"{where} has a certificate that is trusted, for its name")
    elif redis.tls:
        what = f"{where} is believed whatever certificate it shows"
        why = "whoever is on the way can read the password and what is cached"
        cure = "take ssl_cert_reqs out of REDIS_URL in gateway.env"
        yield about(redis, "tls").warning(what, why, cure)
    elif redis.password and not peer.here:
        what = f"{where} is on another machine, and is reached without TLS"
        why = "whoever is on the way can read the password and what is cached"
        yield about(redis, "tls").warning(what, why, "answer REDIS_TLS=true if it can speak TLS")
    yield about(redis, "login").ok(f"{where} accepts the login of the user {user_name(redis)}")


def _usable(redis: Redis, use: RedisUse, connection: Connection) -> Iterator[Finding]:
    info: dict[str, str] = {}
    with suppress(exceptions.NoPermissionError):
        info = connection.information()
    if failure := _unfit(redis, info):
        yield failure
        return
    yield _version(redis, info.get("redis_version", ""))
    tried = trials(redis.database, secrets.token_hex(8))
    errors = connection.try_all([trial.words for trial in tried])
    if failure := what_failed(redis, tried, errors):
        yield failure
        return
    yield about(redis, "write").ok(f"{place(redis)} takes writes")
    allowed = f"{place(redis)} lets the user {user_name(redis)} do all that LiteLLM does"
    yield about(redis, "permissions").ok(allowed)
    yield _memory(redis, use, info)


def _unfit(redis: Redis, info: Mapping[str, str]) -> Finding | None:
    mode, version = info.get("redis_mode", ""), info.get("redis_version", "")
    if mode == "sentinel":
        return about(redis, "server").failed(
            f"{place(redis)} is a Sentinel, which keeps no data",
            cure="answer REDIS_HOST and REDIS_PORT of the Redis that it watches:"
            f" redis-cli -p {redis.port} SENTINEL MASTERS",
        )
    if mode == "cluster":
        return sentences.cluster_node(redis)
    if info.get("role") == "slave":
        return sentences.replica(redis, _primary(info))
    if () < parse_version(version) < HAS_USERS:
        return about(redis, "version").failed(
            f"{place(redis)} is Redis {said(version, [redis.password], _VERSION_CHARACTERS)}",
            "LiteLLM's Redis client begins with HELLO, which came with Redis 6",
            "upgrade it",
        )
    return None


def _primary(info: Mapping[str, str]) -> str:
    """The address of a replica's primary; empty when it tells none that could be one."""
    host, port = info.get("master_host", ""), info.get("master_port", "")
    try:
        check_host("REDIS_HOST", host)
        number = int(port) if _PORT.fullmatch(port) else 0
        check_port("REDIS_PORT", number)
    except InvalidSettings:
        return ""
    return address(host, number)


def _version(redis: Redis, version: str) -> Finding:
    told = said(version, [redis.password], _VERSION_CHARACTERS)
    what = f"{place(redis)} is Redis {told or 'of a version that it does not tell'}"
    if () < parse_version(version) < _MAINTAINED:
        why = "nobody mends that version any more"
        return about(redis, "version").warning(what, why, "upgrade it")
    return about(redis, "version").ok(what)


def _memory(redis: Redis, use: RedisUse, info: Mapping[str, str]) -> Finding:
    where = place(redis)
    limited, policy = info.get("maxmemory", "0") != "0", info.get("maxmemory_policy", "")
    told = info.get("maxmemory_human", "")
    size = told if _SIZE.fullmatch(told) else "its maxmemory"
    if limited and use.transaction_buffer and policy.startswith("allkeys-"):
        return about(redis, "memory").warning(
            f"{where} drops any key once it has used {size}",
            "its maxmemory-policy is one for caches, and spend that is gathered there is lost",
            sentences.DROP_WHAT_EXPIRES,
        )
    if limited and policy == "noeviction":
        return about(redis, "memory").warning(
            f"{where} refuses writes once it has used {size}",
            "its maxmemory-policy is noeviction",
            sentences.DROP_WHAT_EXPIRES,
        )
    return about(redis, "memory").ok(f"{where} does not refuse writes for want of memory")
