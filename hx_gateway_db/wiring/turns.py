"""What a rotation does on a server: PostgreSQL's logins, the passwords of a Redis user.

By whoever administers the server: this machine's own as root can, others with an administrator's
login. Without one, somebody else runs what is printed, and it goes on when that has been done.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from hx_gateway_db.errors import Refused
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.turn import Turn
from hx_gateway_db.postgres import logins
from hx_gateway_db.redis import rotation as passwords
from hx_gateway_db.settings.answers import administrators
from hx_gateway_db.settings.values import Postgres, Redis
from hx_gateway_db.wiring.provisioning import made_before


class ByHand(Exception):
    """What an administrator of the server has to run first: `script`; `why` says more of when."""

    def __init__(self, script: str, why: str = "") -> None:
        super().__init__(why)
        self.script = script
        self.why = why


class Rotation(Protocol):
    """One server's. Its methods raise Refused, and ByHand where nobody may change the server."""

    @property
    def server(self) -> str:
        """`postgres` or `redis`: the name in commands and in the state file."""

    @property
    def present(self) -> str:
        """What a Turn calls the login that gateway.env has."""

    def shown(self, login: str) -> str:
        """A login as sentences name it."""

    def starts_anew(self, turn: Turn) -> bool:
        """Whether the answers ask for another rotation, although one is not closed."""

    def next(self) -> str:
        """The login whose turn it is."""

    def open(self, new: str, known: str) -> tuple[str, ...]:
        """Let it in beside the present one; `known` was opened by an earlier run. In clauses."""

    def answers(self, new: str) -> dict[str, str]:
        """The answers that lead the gateway to it."""

    def close(self, login: str, since: int) -> list[str]:
        """Let a login in no more, or who has used it since before `since`, in clauses."""


def rotations(
    host: Host, given: Mapping[str, str], generate_password: Callable[[], str]
) -> dict[str, Rotation]:
    """Those of a host's servers, by name. Raises Refused, InvalidSettings."""
    assert host.settings
    administrator = administrators(given)
    postgres, redis = host.settings.postgres, host.settings.redis
    access: logins.Local | logins.Elsewhere | logins.ByOthers
    if login := administrator.get("postgres"):
        access = logins.Elsewhere(postgres, login)
    elif host.answers.get("DATABASE") == "local":
        access = logins.Local(postgres)
    else:
        access = logins.ByOthers(postgres)
    found: dict[str, Rotation] = {
        "postgres": PostgresLogins(postgres, access, given.get("PG_PASS", ""), generate_password())
    }
    if redis is not None and redis.user not in ("", "default"):
        login = administrator.get("redis")
        ours = login is not None or made_before(host, redis)
        server = passwords.Administered(redis, login) if ours else None
        found["redis"] = RedisPasswords(
            redis, server, given.get("REDIS_PASS", ""), generate_password()
        )
    return found


@dataclass(frozen=True)
class PostgresLogins:
    """Two roles that log in by turns. `given` is the new password, if there is one."""

    postgres: Postgres
    access: logins.Local | logins.Elsewhere | logins.ByOthers
    given: str = field(repr=False)
    made: str = field(repr=False)
    server: str = "postgres"

    @property
    def present(self) -> str:
        return self.postgres.user

    def shown(self, login: str) -> str:
        return f"the login {login}"

    def starts_anew(self, turn: Turn) -> bool:
        return False

    def next(self) -> str:
        if self.given == self.postgres.password:
            raise Refused("PG_PASS is the password of today: answer a new one, or none.")
        return self.access.other()

    def open(self, new: str, known: str) -> tuple[str, ...]:
        # What can't be a password is refused here.
        login = replace(self.postgres, user=new, password=self._password)
        if not isinstance(self.access, logins.ByOthers):
            return self.access.open(login.password, known)
        if not self.given or not self.access.lets_in(new, self.given):
            raise ByHand(
                self.access.to_open(self.given), "Then answer that password as PG_PASS to this."
            )
        return ()

    def answers(self, new: str) -> dict[str, str]:
        return {"PG_USER": new, "PG_PASS": self._password}

    def close(self, login: str, since: int) -> list[str]:
        if not isinstance(self.access, logins.ByOthers):
            return self.access.close(login)
        holders = self.access.holders(login)
        if holders is None:
            return []
        why = f"Not before these have ended: {', '.join(holders)}." if holders else ""
        raise ByHand(self.access.to_close(login), why)

    @property
    def _password(self) -> str:
        return self.given or self.made


@dataclass(frozen=True)
class RedisPasswords:
    """Two passwords of one user by turns; without `access` others change them."""

    redis: Redis
    access: passwords.Administered | None
    given: str = field(repr=False)
    made: str = field(repr=False)
    server: str = "redis"

    @property
    def present(self) -> str:
        return passwords.hash_of(self.redis)

    def shown(self, login: str) -> str:
        return f"the other password of the Redis user {self.redis.user}"

    def starts_anew(self, turn: Turn) -> bool:
        # Whether others have taken the old password away is not to be seen.
        return self.access is None and bool(self.given) and self._new != self.present

    def next(self) -> str:
        if self._new == self.present:
            raise Refused("REDIS_PASS is the password of today: answer a new one, or none.")
        return self._new

    def open(self, new: str, known: str) -> tuple[str, ...]:
        login = replace(self.redis, password=self._password)
        if self.access is not None:
            return self.access.open(new)
        if not self.given or not passwords.lets_in(login):
            script = passwords.opening_commands(self.redis, new if self.given else "")
            raise ByHand(script, "Then answer that password as REDIS_PASS to this.")
        return ()

    def answers(self, new: str) -> dict[str, str]:
        return {"REDIS_PASS": self._password}

    def close(self, login: str, since: int) -> list[str]:
        if self.access is None:
            why = "Whether that was done can't be seen here: a new REDIS_PASS begins the next one."
            raise ByHand(passwords.closing_commands(self.redis, login), why)
        return self.access.close(login, time.time() - since)

    @property
    def _new(self) -> str:
        return passwords.hash_of(replace(self.redis, password=self._password))

    @property
    def _password(self) -> str:
        return self.given or self.made
