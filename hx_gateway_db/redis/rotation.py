"""A second password for a Redis user, beside the one in use, until no client uses that any more.

Only hashes are sent: MONITOR and SLOWLOG show no password. Redis does not tell which of a user's
passwords a client has used: who connected before the change is taken for one of the old.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from redis import exceptions

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import failures
from hx_gateway_db.redaction import said
from hx_gateway_db.redis.administration import administered, check_login, save
from hx_gateway_db.redis.check import inspect_redis
from hx_gateway_db.redis.connection import Connection
from hx_gateway_db.redis.place import place
from hx_gateway_db.redis.rule import password_hash
from hx_gateway_db.settings.values import Login, Redis

_NAMED_AT_MOST = 5
_NAME_CHARACTERS = 63


@dataclass(frozen=True)
class Administered:
    """The server, as its administrator: on this machine without a login. Methods raise Refused."""

    redis: Redis
    administrator: Login | None = field(default=None, repr=False)

    def open(self, new: str) -> tuple[str, ...]:
        """Let the user log in with the password of this hash as well."""
        with administered(self.redis, self.administrator) as server:
            if server.words("ACL", "GETUSER", self.redis.user) is None:
                raise Refused(
                    f"{place(self.redis)} has no user {self.redis.user}: run 'hx-gateway-db check'."
                )
            server.ask("ACL", "SETUSER", self.redis.user, new)
            try:
                save(self.redis, server)
            except Refused:
                server.ask("ACL", "SETUSER", self.redis.user, f"!{new.removeprefix('#')}")
                raise
        return (f"let the Redis user {self.redis.user} log in with a second password",)

    def close(self, old: str, seconds: float) -> list[str]:
        """Take the password of this hash away, if no client is left that is older than `seconds`.

        Otherwise who is, in clauses.
        """
        with administered(self.redis, self.administrator) as server:
            if left := holders(server, self.redis.user, seconds):
                return left
            digest = old.removeprefix("#")
            if digest in _passwords(server, self.redis.user):
                server.ask("ACL", "SETUSER", self.redis.user, f"!{digest}")
                save(self.redis, server)
        return []


def lets_in(redis: Redis) -> bool:
    """Whether a login works."""
    return not any(finding.name == "redis.login" for finding in failures(inspect_redis(redis)))


def opening_commands(redis: Redis, new: str) -> str:
    """What lets the user log in with another password; without a hash it asks for that."""
    check_login(redis)
    cli = _cli(redis)
    lines = [
        f"# A second password for the user {redis.user} of {place(redis)}, beside the one in use,",
        "# by an administrator of it (with a login of yours: --user NAME --askpass before ACL).",
    ]
    if new:
        lines += [
            "# It is here as its SHA-256 only. If it is one that can be guessed, keep this text as",
            "# secret as the password.",
            f"{cli} {shlex.join(['ACL', 'SETUSER', redis.user, new])}",
        ]
    else:
        user = shlex.quote(redis.user)
        lines += [
            "read -rsp 'The new password: ' new; echo",
            f'{cli} ACL SETUSER {user} "#$(printf %s "$new" | sha256sum | cut -c1-64)"',
        ]
    return "\n".join([*lines, *_keeping(redis), ""])


def closing_commands(redis: Redis, old: str) -> str:
    """What takes a password away."""
    cli, user = _cli(redis), redis.user
    return "\n".join(
        (
            f"# The old password of the user {user} of {place(redis)} goes, when no gateway",
            "# uses it any more: who is connected for longer than the new one is in use does.",
            f"{cli} CLIENT LIST | grep {shlex.quote(f' user={user} ')}",
            f"{cli} {shlex.join(['ACL', 'SETUSER', user, f'!{old.removeprefix(chr(35))}'])}",
            *_keeping(redis),
            "",
        )
    )


def _cli(redis: Redis) -> str:
    tls = ["--tls", *(["--cacert", redis.ca_file] if redis.ca_file else [])] if redis.tls else []
    return shlex.join(["redis-cli", "-h", redis.host, "-p", str(redis.port), *tls])


def _keeping(redis: Redis) -> Iterator[str]:
    yield "# To keep it over a restart of the server, if it has an aclfile:"
    yield f"{_cli(redis)} ACL SAVE"
    yield "# If it has none, change the line of that user in its redis.conf as well."


def _passwords(server: Connection, user: str) -> list[object]:
    """The hashes of a user's passwords."""
    answer = server.words("ACL", "GETUSER", user) or []
    names = [*answer[:-1]]
    found = answer[names.index("passwords") + 1] if "passwords" in names else []
    return found if isinstance(found, list) else []


def holders(server: Connection, user: str, seconds: float) -> list[str]:
    """The clients of a user that have been connected for longer than `seconds`, in clauses."""
    answer = server.ask("CLIENT", "LIST")
    if not isinstance(answer, str):
        raise exceptions.InvalidResponse("no text is answered to CLIENT LIST")
    clients = [dict(_field(word) for word in line.split(" ")) for line in answer.splitlines()]
    addresses: dict[str, int] = {}
    for client in clients:
        age = client.get("age", "")
        if client.get("user") == user and age.isdecimal() and int(age[:18]) > seconds:
            address = client.get("addr", "").rpartition(":")[0]
            addresses[address] = addresses.get(address, 0) + 1
    named = list(addresses.items())
    found = [_named(*one) for one in named[:_NAMED_AT_MOST]]
    rest = sum(number for _, number in named[_NAMED_AT_MOST:])
    return [*found, *([f"{rest} more"] if rest else [])]


def _field(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _named(address: str, number: int) -> str:
    clients = "one client" if number == 1 else f"{number} clients"
    return f"{clients} from {said(address, most=_NAME_CHARACTERS) or 'a socket file'}"


def hash_of(redis: Redis) -> str:
    """What a server is told of its password."""
    return password_hash(redis.password)
