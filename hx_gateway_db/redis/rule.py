"""What LiteLLM needs of a Redis user, as an ACL rule. Pure: nothing here speaks to a server."""

import hashlib
import re

Version = tuple[int, ...]

NAMESPACE = "litellm"

# Both LiteLLM 1.74 and 1.109 work with these and leave ACL LOG empty.
COMMANDS = (
    *("ping", "info", "select", "hello", "auth"),
    *("get", "set", "mget", "del", "incr", "incrby", "incrbyfloat", "decrby"),
    *("expire", "pexpire", "ttl", "exists"),
    *("eval", "evalsha", "script|load", "script|exists"),
    *("rpush", "lpop", "llen", "sadd", "smembers", "scan"),
    *("zadd", "zcard", "zrem", "zremrangebyscore", "time"),
    *("publish", "subscribe", "unsubscribe", "multi", "exec", "discard"),
)
# Newer LiteLLM trims the lists that several gateways gather their spend in.
_GRANTED_AS_WELL = ("ltrim",)

# LiteLLM 1.74 forgets its namespace for some keys: its limits that several gateways share
# (without these keys a request of a limited key ends in 500), ...
_LIMITS = ("{*}:window", "{*}:requests", "{*}:tokens", "{*}:max_parallel_requests")
# ... the spend that they gather, and the lock of who writes it to the database, ...
_SPEND = ("litellm_*spend_update_buffer", "cronjob_lock:*")
# ... and a virtual key's SHA-256 when the key is changed (else /key/update ends in 400).
_KEY_HASH = "[0-9a-f]" * 64

KEYS = (f"{NAMESPACE}:*", *_LIMITS, *_SPEND, _KEY_HASH)
CHANNELS = (f"{NAMESPACE}:*",)

HAS_USERS: Version = (6,)
_CHANNELS_SINCE = (6, 2)
_SUBCOMMANDS_MUST_EXIST_SINCE = (7, 0)
_SETINFO_SINCE = (7, 2)
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}")


def parse_version(text: str) -> Version:
    """`7.0.15` as numbers to compare; empty when it is none."""
    return tuple(map(int, text.split("."))) if _VERSION.fullmatch(text) else ()


def password_hash(password: str) -> str:
    """The form in which ACL SETUSER takes a password without being told it (`#`, SHA-256)."""
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def grants(version: Version) -> tuple[str, ...]:
    """What a user that may do nothing has to be given, in ACL SETUSER's words.

    Leaves out what a server of `version` would refuse; an empty one stands for any from 6.2 on.
    """
    commands = [*COMMANDS, *_GRANTED_AS_WELL]
    # A client's name for itself is not needed, but each refusal of it is a line in ACL LOG.
    if version and not _SUBCOMMANDS_MUST_EXIST_SINCE <= version < _SETINFO_SINCE:
        commands.append("client|setinfo")
    channels = () if version and version < _CHANNELS_SINCE else CHANNELS
    return (
        *(f"~{pattern}" for pattern in KEYS),
        *(f"&{pattern}" for pattern in channels),
        *(f"+{command}" for command in commands),
    )


def rule(password: str, version: Version) -> tuple[str, ...]:
    """The whole rule of a user of our own: this password, LiteLLM's needs, and nothing else."""
    return ("on", password_hash(password), "-@all", *grants(version))
