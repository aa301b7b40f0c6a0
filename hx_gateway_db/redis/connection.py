"""A login to a Redis. The only user of redis-py's connections.

Over REDIS_URL as LiteLLM gets it, so that what works here works there.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis as client
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from hx_gateway_db.redis import line as redis_line
from hx_gateway_db.redis import peer as redis_peer
from hx_gateway_db.redis import tls as redis_tls
from hx_gateway_db.redis.arguments import Arguments, arguments
from hx_gateway_db.redis.line import ANSWER_SECONDS, Replies, time_left
from hx_gateway_db.redis.peer import Peer, Rule
from hx_gateway_db.settings.values import Redis


class Connection:
    """A connection that has logged in. Its methods raise redis-py's RedisError."""

    def __init__(self, connection: Any, peer: Peer) -> None:
        self.peer = peer
        self._connection = connection

    def ask(self, *command: str) -> object:
        """What the server answers to one command."""
        self._connection.send_command(*command)
        answer: object = self._connection.read_response()
        return answer

    def words(self, *command: str) -> list[object] | None:
        """The list that the server answers with; None for its null."""
        answer = self.ask(*command)
        if answer is None or isinstance(answer, list):
            return answer
        raise exceptions.InvalidResponse(f"no list is answered to {command[0]}")

    def try_all(self, commands: Sequence[Sequence[str]]) -> list[exceptions.ResponseError | None]:
        """Send them all at once; for each, the error that it was answered with."""
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        return [self._error() for _ in commands]

    def information(self) -> dict[str, str]:
        """What INFO says, field by field."""
        answer = self.ask("INFO")
        if not isinstance(answer, str):
            raise exceptions.InvalidResponse("no text is answered to INFO")
        fields = (line.partition(":") for line in answer.splitlines())
        return {name: value for name, separator, value in fields if separator}

    def _error(self) -> exceptions.ResponseError | None:
        try:
            self._connection.read_response()
        except exceptions.ResponseError as error:
            return error
        return None


class _Guarded(client.Connection):  # type: ignore[misc]  # redis-py has no types in bookworm
    """redis-py's connection over a line that `opening` opens, with an end at `deadline`."""

    def __init__(
        self, opening: Callable[[], socket.socket], deadline: float, **arguments: object
    ) -> None:
        super().__init__(parser_class=Replies, **arguments)
        self._opening, self.deadline = opening, deadline

    def _connect(self) -> socket.socket:
        return self._opening()


@contextmanager
def connected(
    redis: Redis, deadline: float, rule: Rule | None = None, unix_socket: str = ""
) -> Iterator[Connection]:
    """Log in as `redis` says, over its URL, or else over a socket file of this machine.

    Nothing is sent before `rule` has let the other end pass. All of it ends at `deadline`
    (time.monotonic()). Raises redis-py's RedisError.
    """
    given = arguments(redis)
    peers: list[Peer] = []

    def opening() -> socket.socket:
        line, peer = _opened(redis, given, deadline, rule, unix_socket)
        peers.append(peer)
        return line

    connection = _Guarded(
        opening,
        deadline,
        host=given.host,
        port=given.port,
        db=given.database,
        username=given.user or None,
        password=given.password or None,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        encoding_errors="replace",
    )
    try:
        connection.connect()
        yield Connection(connection, peers[-1])
    finally:
        connection.disconnect()


def _opened(
    redis: Redis, given: Arguments, deadline: float, rule: Rule | None, unix_socket: str
) -> tuple[socket.socket, Peer]:
    """A line to the server and who is at its other end. Raises RedisError, OSError."""
    tls = redis_tls.context(redis, given.tls) if given.tls and not unix_socket else None
    if unix_socket:
        line = redis_line.opened_here(unix_socket, deadline)
    else:
        line = redis_line.opened(given.host, given.port, deadline)
    try:
        if rule:
            peer = redis_peer.look(line, given.private, deadline)
            rule(peer)
        else:
            peer = redis_peer.address_of(line, given.private)
        line.settimeout(time_left(deadline, ANSWER_SECONDS))
        if tls:
            line = tls.wrap_socket(line, server_hostname=given.host)
    except BaseException:
        line.close()
        raise
    return line, peer
