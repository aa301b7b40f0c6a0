"""What a Redis has refused to the gateway's user (ACL LOG), as far as that can be seen.

The user itself may not ask. On this machine root can, as for making the user; of a server elsewhere
INFO counts the refusals to all users together, from 7.2 on.
"""

import re
from collections.abc import Iterator

from redis import exceptions

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, to_run
from hx_gateway_db.redaction import said
from hx_gateway_db.redis.administration import local_server
from hx_gateway_db.redis.place import about, place, user_name
from hx_gateway_db.redis.rule import COMMANDS, NAMESPACE
from hx_gateway_db.settings.values import Redis

_ASKED = 128
_NAMED = 60
_DAY = 86400
_LONGEST_NUMBER = 40
# How a rule grants what an entry is about, and what of it can be part of a command.
_GRANTS = {"command": "+", "key": "~", "channel": "&"}
_PLAIN = re.compile(r"[A-Za-z0-9_:.{}|/-]{1,100}")


def denials(redis: Redis) -> Iterator[Finding]:
    """One finding on what was refused to the user within a day; none where nobody can tell.

    Nothing is changed on the server.
    """
    if user_name(redis) == "default":
        return
    entries: list[object] = []
    try:
        with local_server(redis) as server:
            entries = server.words("ACL", "LOG", str(_ASKED)) or []
    except (Refused, exceptions.RedisError):
        return
    yield _finding(redis, [found for entry in entries if (found := _denied(redis, entry))])


def _denied(redis: Redis, entry: object) -> tuple[str, str] | None:
    """The kind and the name of what an entry says was refused to our user; None for another."""
    if not isinstance(entry, list):
        return None
    fields = dict(zip(map(str, entry[::2]), map(str, entry[1::2]), strict=False))
    kind, name = fields.get("reason", ""), fields.get("object", "")
    ours = fields.get("username") == redis.user and kind in _GRANTS
    return (kind, name) if ours and name and _recent(fields.get("age-seconds", "")) else None


def _recent(seconds: str) -> bool:
    # Redis prints a double with all its digits: 0.059999999999999998, or 9.9e-05.
    try:
        return 0 <= float(seconds[:_LONGEST_NUMBER]) < _DAY
    except ValueError:
        return False


def _finding(redis: Redis, denied: list[tuple[str, str]]) -> Finding:
    subject, user = about(redis, "denied"), user_name(redis)
    denied = list(dict.fromkeys(denied))
    if not denied:
        return subject.ok(f"{place(redis)} has refused nothing to {user} since yesterday")
    kind, name = denied[0]
    shown = said(name, [redis.password], _NAMED)
    more = f" and {len(denied) - 1} more" if denied[1:] else ""
    what = f"{place(redis)} has refused the {kind} {shown}{more} to {user}"
    why = "its rule does not cover what LiteLLM does"
    # Who has broken into the gateway asks for more than LiteLLM does, and is not to be given it.
    grants = [_GRANTS[of] + it for of, it in denied if _of_litellm(of, it)]
    if len(grants) < len(denied):
        cure = "if it is LiteLLM that needs it, extend its rule, and run 'redis-cli ACL LOG RESET'"
        return subject.warning(what, why, cure)
    granting = to_run("redis-cli", "ACL", "SETUSER", user, *grants[:5])
    return subject.warning(what, why, f"{granting}, then 'redis-cli ACL LOG RESET'")


def _of_litellm(kind: str, name: str) -> bool:
    """Whether it is plainly LiteLLM's: a command of our rule, a key or a channel of its name."""
    if kind == "command":
        return name in COMMANDS
    return name.startswith(NAMESPACE) and _PLAIN.fullmatch(name) is not None
