"""Harmless tries of all that LiteLLM needs a Redis for, and what their refusals mean. Pure.

ACL DRYRUN would answer for a user without doing anything, but only a user with more rights than
LiteLLM needs may call it, and asking leaves a line in ACL LOG. Trying also finds commands that
were renamed away, and servers that refuse writes.
"""

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redis.exceptions import ResponseError

from hx_gateway_db.findings import Cure, Finding
from hx_gateway_db.redis.place import about, place, user_name
from hx_gateway_db.redis.rule import CHANNELS, KEYS, NAMESPACE
from hx_gateway_db.redis.sentences import PRINT_THE_RULE, explain
from hx_gateway_db.settings.values import Redis

_SECONDS = "10"  # what a broken connection leaves behind is gone after it
_SCRIPT = "return 1"
_NAMED_AT_MOST = 5
_CURE_CHARACTERS = 240


@dataclass(frozen=True)
class Trial:
    """A command to try: what it is called in an ACL rule, its words, the pattern of its key."""

    command: str
    words: tuple[str, ...]
    key_pattern: str = KEYS[0]


def trials(database: int, name: str) -> list[Trial]:
    """Every command of the rule on keys of their own that carry `name`, every key pattern once.

    The first one writes; what the others make they take away again, or it expires. AUTH is not
    among them: Redis lets everybody use it.
    """
    key = f"{NAMESPACE}:hx-gateway-db:{name}"
    line, bag, scores = f"{key}:list", f"{key}:set", f"{key}:sorted"
    script = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
    tried: Sequence[Sequence[str]] = (
        *(("set", key, "1", "EX", _SECONDS), ("get", key), ("mget", key), ("exists", key)),
        *(("incr", key), ("incrby", key, "1"), ("decrby", key, "1"), ("incrbyfloat", key, "0.5")),
        *(("expire", key, _SECONDS), ("ttl", key), ("pexpire", key, f"{_SECONDS}000")),
        *(("rpush", line, "x"), ("llen", line), ("lpop", line)),
        *(("sadd", bag, "x"), ("expire", bag, _SECONDS), ("smembers", bag)),
        *(("zadd", scores, "1", "x"), ("zcard", scores), ("zrem", scores, "x")),
        ("zremrangebyscore", scores, "0", "1"),
        *(("ping",), ("info",), ("time",), ("hello", "2"), ("select", str(database))),
        ("scan", "0", "MATCH", key, "COUNT", "1"),
        *(("eval", _SCRIPT, "0"), ("script|load", _SCRIPT)),
        *(("evalsha", script, "0"), ("script|exists", script)),
        *(("subscribe", key), ("unsubscribe", key), ("publish", key, "x")),
        *(("multi",), ("exec",), ("multi",), ("discard",)),
        ("del", key, line, bag, scores),
    )
    return [
        *(Trial(words[0], (*words[0].split("|"), *words[1:])) for words in tried),
        *(Trial("del", ("del", _key_like(pattern, name)), pattern) for pattern in KEYS[1:]),
    ]


def _key_like(pattern: str, name: str) -> str:
    """A key that matches `pattern` and that nobody has."""
    if "[" in pattern:
        return hashlib.sha256(name.encode()).hexdigest()
    return pattern.replace("*", f"hx-gateway-db-{name}-")


def what_failed(
    redis: Redis, tried: Sequence[Trial], errors: Sequence[ResponseError | None]
) -> Finding | None:
    """What the errors of the trials mean: rights that are missing first, else another failure."""
    failed = [(trial, error) for trial, error in zip(tried, errors, strict=True) if error]
    unknown = [trial.command for trial, error in failed if "unknown " in str(error).lower()]
    if unknown:
        return about(redis, "permissions").failed(
            f"{place(redis)} does not know {_named('the command', unknown)}",
            "LiteLLM needs it, and it was renamed or is switched off there",
            "take its rename-command out of the server's redis.conf",
        )
    denied = [(trial, str(error)) for trial, error in failed if _is_denial(error)]
    if denied:
        return _missing_rights(redis, denied)
    return explain(redis, failed[0][1]) if failed else None


def _is_denial(error: ResponseError) -> bool:
    # A refused EXEC comes as EXECABORT with the refusal in its text.
    return "no permissions" in str(error).lower()


def _missing_rights(redis: Redis, denied: Sequence[tuple[Trial, str]]) -> Finding:
    commands = _once(trial.command for trial, text in denied if "command" in text)
    channels = CHANNELS if any("channel" in text for _, text in denied) else ()
    keys = _once(
        trial.key_pattern
        for trial, text in denied
        if "command" not in text and "channel" not in text
    )
    kinds = (("the command", commands), ("the key", keys), ("the channel", channels))
    missing = " and ".join(_named(kind, names) for kind, names in kinds if names)
    user = user_name(redis)
    grants = [
        *(f"+{command}" for command in commands),
        *(f"~{pattern}" for pattern in keys),
        *(f"&{pattern}" for pattern in channels),
    ]
    cure = shlex.join(["redis-cli", "ACL", "SETUSER", user, *grants])
    outside = not commands and not channels and KEYS[0] not in keys
    return about(redis, "permissions").failed(
        f"{place(redis)} does not let the user {user} use {missing}",
        "LiteLLM 1.74 uses keys outside its namespace as well, and answers 500 without them"
        if outside
        else "LiteLLM needs all of it",
        cure if len(cure) <= _CURE_CHARACTERS else PRINT_THE_RULE,
        Cure.REDIS_ADMINISTRATOR,
    )


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _named(kind: str, names: Sequence[str]) -> str:
    named = [_short(name) for name in names[:_NAMED_AT_MOST]]
    more = len(names) - len(named)
    *most, last = [*named, f"{more} more"] if more else named
    return f"{kind}{'s' if most else ''} {', '.join(most)}{' and ' if most else ''}{last}"


def _short(name: str) -> str:
    return "of 64 hexadecimal digits" if "[" in name else name
