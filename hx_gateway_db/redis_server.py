"""Redis: the check before the change. With redis_administration the only user of redis-py.

Everything is asked over REDIS_URL as LiteLLM gets it, so that what works here works there.
"""

import os
import pwd
import secrets
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import redis as client
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from hx_gateway_db import redis_errors
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.redis_errors import Stranger, finding, place, user_name
from hx_gateway_db.redis_rule import HAS_USERS, parse_version
from hx_gateway_db.redis_trials import objection, trials
from hx_gateway_db.settings import Redis
from hx_gateway_db.urls import redis_url

# All of an inspection; one answer; a look at who sits on the port instead.
_SECONDS, _ANSWER_SECONDS, _LOOK_SECONDS = 6.0, 2.5, 0.7
_MAINTAINED = (6, 2)
_GATEWAY_USER = "hx-gateway"
_NEEDS_A_LOOK = ("redis.port", "redis.tls", "redis.server")
# The request for TLS that PostgreSQL answers with one letter (its manual, 55.2.10).
_POSTGRESQL_TLS = bytes.fromhex("0000000804d2162f")

_Result = TypeVar("_Result")


class Connection:
    """A connection that has logged in. Its methods raise redis-py's RedisError."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def ask(self, *command: str) -> Any:
        """What the server answers to one command."""
        self._connection.send_command(*command)
        return self._connection.read_response()

    def try_all(self, commands: Sequence[Sequence[str]]) -> list[exceptions.ResponseError | None]:
        """Send them all at once; for each, the error that it was answered with."""
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        return [self._error() for _ in commands]

    def information(self) -> dict[str, str]:
        """What INFO says, field by field."""
        lines = str(self.ask("INFO")).splitlines()
        fields = (line.partition(":") for line in lines)
        return {name: value for name, separator, value in fields if separator}

    def _error(self) -> exceptions.ResponseError | None:
        try:
            self._connection.read_response()
        except exceptions.ResponseError as error:
            return error
        return None


@contextmanager
def connected(redis: Redis, unix_socket: str = "") -> Iterator[Connection]:
    """Log in as `redis` says, over its URL, or else over a socket file of this machine.

    Raises redis-py's RedisError.
    """
    patience = {
        "socket_timeout": _ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        "encoding_errors": "replace",
    }
    if unix_socket:
        connection = client.UnixDomainSocketConnection(
            path=unix_socket,
            username=redis.user or None,
            password=redis.password or None,
            **patience,
        )
    else:
        pool = client.ConnectionPool.from_url(
            redis_url(redis), socket_connect_timeout=_ANSWER_SECONDS, **patience
        )
        connection = pool.make_connection()
    try:
        connection.connect()
        yield Connection(connection)
    finally:
        connection.disconnect()


def inspect(redis: Redis) -> tuple[Finding, ...]:
    """Whether LiteLLM can use this Redis, within 6 seconds, up to the first thing that it can't.

    Writes and deletes keys below `litellm:hx-gateway-db:` that expire by themselves.
    """
    try:
        return _within(_SECONDS, lambda: tuple(_inspect(redis)))
    except TimeoutError:
        return (redis_errors.no_answer(redis),)


def _within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """The result of `work`, or TimeoutError. A look-up of a name can't be given up otherwise."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(seconds)


def _inspect(redis: Redis) -> Iterator[Finding]:
    try:
        with connected(redis) as connection:
            with suppress(exceptions.NoPermissionError):  # the trials name what is missing
                connection.ask("PING")
            yield from _reached(redis)
            yield from _usable(redis, connection)
    except exceptions.RedisError as error:
        yield _with_a_look(redis, redis_errors.explain(redis, error))


def _reached(redis: Redis) -> Iterator[Finding]:
    where = place(redis)
    yield _ok(redis, "name", f"the host name {redis.host} resolves")
    yield _ok(redis, "port", f"{where} answers")
    if redis.tls and not _gateway_can_read(redis.ca_file):
        yield finding(
            redis,
            "tls",
            f"the user {_GATEWAY_USER} may not read {redis.ca_file}",
            "LiteLLM runs as that user",
            f"chmod a+r {shlex.quote(redis.ca_file)}, and a+x its folders",
        )
    elif redis.tls:
        yield _ok(redis, "tls", f"{where} has a certificate that is trusted, for its name")
    yield _ok(redis, "login", f"{where} accepts the login of the user {user_name(redis)}")


def _gateway_can_read(path: str) -> bool:
    """Whether the service's user can; True where there is no such file, user or right to ask."""
    try:
        pwd.getpwnam(_GATEWAY_USER)
    except KeyError:
        return True
    if not path or os.geteuid() != 0:
        return True
    asked = subprocess.run(
        ["/usr/bin/test", "-r", path],
        user=_GATEWAY_USER,
        group=_GATEWAY_USER,
        extra_groups=[],
        check=False,
    )
    return asked.returncode == 0


def _usable(redis: Redis, connection: Connection) -> Iterator[Finding]:
    info: dict[str, str] = {}
    with suppress(exceptions.NoPermissionError):
        info = connection.information()
    if failure := _unfit(redis, info):
        yield failure
        return
    yield _version(redis, info.get("redis_version", ""))
    tried = trials(redis.database, secrets.token_hex(8))
    errors = connection.try_all([trial.words for trial in tried])
    if failure := objection(redis, tried, errors):
        yield failure
        return
    yield _ok(redis, "write", f"{place(redis)} takes writes")
    allowed = f"{place(redis)} lets the user {user_name(redis)} do all that LiteLLM does"
    yield _ok(redis, "permissions", allowed)
    yield _memory(redis, info)


def _unfit(redis: Redis, info: Mapping[str, str]) -> Finding | None:
    mode, version = info.get("redis_mode", ""), info.get("redis_version", "")
    if mode == "sentinel":
        return finding(
            redis,
            "server",
            f"{place(redis)} is a Sentinel, which keeps no data",
            cure="answer REDIS_HOST and REDIS_PORT of the Redis that it watches:"
            f" redis-cli -p {redis.port} SENTINEL MASTERS",
        )
    if mode == "cluster":
        return redis_errors.cluster_node(redis)
    if info.get("role") == "slave":
        return redis_errors.replica(redis, f"{info['master_host']}:{info['master_port']}")
    if version and parse_version(version) < HAS_USERS:
        return finding(
            redis,
            "version",
            f"{place(redis)} is Redis {version}",
            "LiteLLM's Redis client begins with HELLO, which came with Redis 6",
            "upgrade it",
        )
    return None


def _version(redis: Redis, version: str) -> Finding:
    what = f"{place(redis)} is Redis {version or 'of a version that it does not tell'}"
    if version and parse_version(version) < _MAINTAINED:
        why = "nobody mends that version any more"
        return Finding("redis.version", Level.WARNING, place(redis), what, why, "upgrade it")
    return _ok(redis, "version", what)


def _memory(redis: Redis, info: Mapping[str, str]) -> Finding:
    where = place(redis)
    if info.get("maxmemory", "0") != "0" and info.get("maxmemory_policy") == "noeviction":
        return Finding(
            "redis.memory",
            Level.WARNING,
            where,
            f"{where} refuses writes once it has used {info['maxmemory_human']}",
            "its maxmemory-policy is noeviction",
            redis_errors.DROP_WHAT_EXPIRES,
        )
    return _ok(redis, "memory", f"{where} does not refuse writes for want of memory")


def _ok(redis: Redis, name: str, what: str) -> Finding:
    return Finding(f"redis.{name}", Level.OK, place(redis), what)


def _with_a_look(redis: Redis, failure: Finding) -> Finding:
    """`failure`, or what is wrong when something else than that Redis sits on the port."""
    if failure.name not in _NEEDS_A_LOOK:
        return failure
    try:
        # Redis refuses it as a wrong PING, and a web server as a wrong method.
        first_words = _say(redis, b"PING / HTTP/1.0\r\n\r\n")
        who = redis_errors.stranger(first_words)
        if who is Stranger.SILENCE:
            who = _who_is_silent(redis)
    except OSError:
        return failure
    return redis_errors.explain_stranger(redis, who, first_words) or failure


def _who_is_silent(redis: Redis) -> Stranger:
    if _say(redis, _POSTGRESQL_TLS) in (b"S", b"N"):
        return Stranger.POSTGRESQL
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with _opened(redis) as plain, anybody.wrap_socket(plain) as encrypted:
        return _after_the_handshake(encrypted)


def _after_the_handshake(encrypted: ssl.SSLSocket) -> Stranger:
    # In TLS 1.3 a refusal comes only now, and who writes before it has come may miss it.
    try:
        encrypted.recv(1)
    except TimeoutError:
        return Stranger.TLS
    except ssl.SSLError as error:
        if redis_errors.wants_certificate(error):
            return Stranger.TLS_WITH_CERTIFICATES
    return Stranger.TLS


def _say(redis: Redis, words: bytes) -> bytes:
    """What is answered to `words` in the clear; nothing when the answer is to close."""
    with _opened(redis) as plain, suppress(ConnectionError, TimeoutError):
        plain.sendall(words)
        return plain.recv(64)
    return b""


def _opened(redis: Redis) -> socket.socket:
    return socket.create_connection((redis.host, redis.port), _LOOK_SECONDS)
