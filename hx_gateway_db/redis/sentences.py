"""redis-py's exceptions, and what else can sit on a port, to findings. Pure: text to text.

redis-py cuts the server's error code (`NOAUTH`, ...) off some messages and not off others,
differently in each of its versions: only its exception classes and the words after the code
are relied on.
"""

import errno
import socket
import ssl
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from redis import exceptions

from hx_gateway_db.findings import Cure, Finding
from hx_gateway_db.redis.place import Withheld, about, detail, place, user_name
from hx_gateway_db.redis.tls_sentences import certificate_wanted, explain_tls
from hx_gateway_db.settings.values import Redis

_NO_ROUTE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)

OWN_LOGIN = "REDIS_USER and REDIS_PASS"

DROP_WHAT_EXPIRES = (
    "let it drop what expires anyway: redis-cli CONFIG SET maxmemory-policy volatile-lru"
)
PRINT_THE_RULE = "give it LiteLLM's rule: 'hx-gateway-db provision --print' shows it"


class _Meaning(NamedTuple):
    words: tuple[str, ...]
    name: str
    what: str
    cure: str
    why: str = ""


_CLUSTER = _Meaning(
    ("SELECT is not allowed in cluster mode", "MOVED ", "Hash slot not served"),
    "server",
    "is a node of a cluster",
    "answer REDIS_HOST and REDIS_PORT of a Redis that is none",
    "over REDIS_URL LiteLLM asks this one node, which refuses most keys",
)
_MEANINGS = (
    _CLUSTER,
    _Meaning(
        ("DB index", "invalid DB"),
        "database",
        "has no database number {database}",
        "answer REDIS_DB=0, or raise 'databases' in its redis.conf",
    ),
    _Meaning(
        ("max number of clients",),
        "server",
        "has no connection left",
        "raise maxclients there: redis-cli CONFIG SET maxclients 10000",
    ),
    _Meaning(
        ("in protected mode",),
        "server",
        "is in protected mode and refuses other machines",
        "set requirepass in its redis.conf, and answer REDIS_PASS",
    ),
    _Meaning(
        ("running a script",),
        "server",
        "is busy with somebody's script",
        "wait for it, or end it there: redis-cli SCRIPT KILL",
    ),
    _Meaning(
        ("MASTER is down",),
        "role",
        "is a replica that has lost its primary",
        "answer REDIS_HOST and REDIS_PORT of the primary",
    ),
    _Meaning(
        ("used memory >",),
        "write",
        "is full and refuses writes",
        DROP_WHAT_EXPIRES,
        "its maxmemory is reached and its maxmemory-policy drops nothing",
    ),
    _Meaning(
        ("unable to persist", "AOF file"),
        "write",
        "refuses writes, since it can't save its data to disk",
        "mend what its log says about it, then: redis-cli BGSAVE",
    ),
    _Meaning(
        ("good replicas",),
        "write",
        "refuses writes, since too few replicas follow it",
        "bring them back, or lower min-replicas-to-write there",
    ),
)


class Stranger(Enum):
    """What answers on a port where redis-py found no Redis that it understands."""

    SILENCE = "silence"
    PLAIN_REDIS = "a Redis without TLS"
    TLS = "a server that speaks TLS"
    TLS_WITH_CERTIFICATES = "a server that wants certificates from its clients"
    POSTGRESQL = "a PostgreSQL server"
    WEB_SERVER = "a web server"
    SSH = "an SSH server"
    OTHER = "another kind of server"


def stranger(first_words: bytes) -> Stranger:
    """Who answers like this to `PING` in the clear."""
    if first_words.startswith((b"+", b"-")):
        return Stranger.PLAIN_REDIS
    if first_words.startswith((b"HTTP/", b"<")):
        return Stranger.WEB_SERVER
    if first_words.startswith(b"SSH-"):
        return Stranger.SSH
    return Stranger.OTHER if first_words else Stranger.SILENCE


def explain_stranger(redis: Redis, who: Stranger, first_words: bytes) -> Finding | None:
    """What is wrong when `who` answers like this; None when that explains nothing."""
    where = place(redis)
    if who is Stranger.PLAIN_REDIS:
        if not redis.tls:
            # redis-py may have overlooked what the server said before it closed the connection.
            return _by_words(redis, first_words.decode(errors="replace"))
        return about(redis, "tls").failed(
            f"{where} does not speak TLS",
            cure="answer REDIS_TLS=false, or its tls-port in REDIS_PORT",
        )
    if who is Stranger.TLS_WITH_CERTIFICATES and redis.tls:
        return certificate_wanted(redis)
    if who in (Stranger.TLS, Stranger.TLS_WITH_CERTIFICATES):
        if redis.tls:
            return None
        return about(redis, "tls").failed(f"{where} speaks only TLS", cure="answer REDIS_TLS=true")
    if who is Stranger.SILENCE:
        return None
    host = where.removeprefix("Redis at ")
    return about(redis, "server").failed(
        f"on {host} is {who.value}, no Redis", cure="check REDIS_HOST and REDIS_PORT"
    )


def explain(redis: Redis, error: Exception, answers: str = OWN_LOGIN) -> Finding:
    """What `error` of redis-py means for this login, which the user gave as `answers`."""
    if isinstance(error, Withheld):
        return error.finding
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLError):
            return explain_tls(redis, cause)
        if isinstance(cause, OSError):
            found = _network(redis, cause)
            if found:
                return found
    return _answer(redis, error, answers)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _network(redis: Redis, error: OSError) -> Finding | None:
    where, host = place(redis), redis.host
    if isinstance(error, socket.gaierror):
        return about(redis, "name").failed(
            f"the host name {host} does not resolve", cure="check REDIS_HOST and the DNS"
        )
    if isinstance(error, TimeoutError):
        return no_answer(redis)
    if error.errno == errno.ECONNREFUSED:
        return about(redis, "port").failed(
            f"{where} refuses connections", cure="check REDIS_PORT and that the server runs"
        )
    if error.errno in _NO_ROUTE:
        return about(redis, "port").failed(
            f"there is no route to {where}", cure="check REDIS_HOST and the network"
        )
    return None


def _answer(redis: Redis, error: Exception, answers: str) -> Finding:
    where, user, text = place(redis), user_name(redis), str(error)
    known = _by_class(redis, error) or _by_words(redis, text)
    if known:
        return known
    if "without any password configured" in text or "no password is set" in text:
        return about(redis, "login").failed(
            f"{where} has no password for the default user, but {answers.split()[-1]} is one",
            cure="set it there with requirepass, or answer none",
        )
    if isinstance(error, exceptions.AuthenticationError) or "WRONGPASS" in text:
        if "uthentication required" in text:
            return about(redis, "login").failed(
                f"{where} asks for a password",
                cure=f"answer {answers}",
                by=Cure.REDIS_ADMINISTRATOR,
            )
        return about(redis, "login").failed(
            f"{where} refuses the login of the user {user}",
            "the password is wrong, or there is no such user, or it is switched off",
            f"check {answers}",
            Cure.REDIS_ADMINISTRATOR,
        )
    if isinstance(error, exceptions.TimeoutError):
        return no_answer(redis)
    # The second is redis-py's own, for whatever else than OK is answered to SELECT.
    if isinstance(error, exceptions.InvalidResponse) or text == "Invalid Database":
        return about(redis, "server").failed(
            f"{where} does not answer as a Redis does", cure="check REDIS_HOST and REDIS_PORT"
        )
    if isinstance(error, exceptions.ConnectionError):
        return about(redis, "port").failed(
            f"{where} closes the connection",
            cure="check REDIS_PORT, REDIS_TLS and the server's log",
        )
    return about(redis, "server").failed(
        f"{where} can't be used{detail(redis, text)}", cure="look into the server's log"
    )


def _by_class(redis: Redis, error: Exception) -> Finding | None:
    where = place(redis)
    if isinstance(error, exceptions.BusyLoadingError):
        return about(redis, "server").failed(
            f"{where} is still loading its data", cure="try again in a moment"
        )
    if isinstance(error, exceptions.ReadOnlyError):
        return replica(redis)
    if isinstance(error, exceptions.NoPermissionError):
        return about(redis, "permissions").failed(
            f"{where} does not let the user {user_name(redis)} select a database",
            cure=PRINT_THE_RULE,
            by=Cure.REDIS_ADMINISTRATOR,
        )
    return None


def _by_words(redis: Redis, text: str) -> Finding | None:
    for meaning in _MEANINGS:
        if any(words in text for words in meaning.words):
            what = meaning.what.format(database=redis.database)
            return about(redis, meaning.name).failed(
                f"{place(redis)} {what}", meaning.why, meaning.cure
            )
    return None


def cluster_node(redis: Redis) -> Finding:
    """A server that answers for some keys only."""
    return about(redis, _CLUSTER.name).failed(
        f"{place(redis)} {_CLUSTER.what}", _CLUSTER.why, _CLUSTER.cure
    )


def replica(redis: Redis, primary: str = "") -> Finding:
    """A server that takes no writes."""
    of = f" of {primary}" if primary else ""
    address = f", {primary}" if primary else ""
    return about(redis, "role").failed(
        f"{place(redis)} is a replica{of}",
        "what LiteLLM writes would be refused or lost",
        f"answer REDIS_HOST and REDIS_PORT of the primary{address}",
    )


def no_answer(redis: Redis) -> Finding:
    """Nothing came back in time."""
    return about(redis, "port").failed(
        f"{place(redis)} does not answer in time",
        cure="check REDIS_HOST, REDIS_PORT and the firewall",
    )
