"""How a finding at a Redis begins, and what ends a conversation with one for a reason of ours."""

from redis import exceptions

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.values import Redis, address

_DETAIL_CHARACTERS = 120


class Withheld(exceptions.RedisError):  # type: ignore[misc]  # redis-py has no types in bookworm
    """We do not go on with this server, as `finding` says."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


def place(redis: Redis) -> str:
    """`Redis at host:port`, as every finding begins."""
    return f"Redis at {address(redis.host, redis.port)}"


def user_name(redis: Redis) -> str:
    """The user that a login is for."""
    return redis.user or "default"


def about(redis: Redis, name: str) -> Subject:
    """The check `redis.name` of this server."""
    return Subject(f"redis.{name}", place(redis))


def detail(redis: Redis, text: str) -> str:
    """The server's own first line, marked as such: the explanation of last resort."""
    lines = text.strip().split("\n", 1)
    first = said(lines[0], [redis.password], _DETAIL_CHARACTERS)
    return f" [it says: {first.rstrip('.')}]" if first else ""
