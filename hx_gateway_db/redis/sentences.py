"""redis-py's exceptions, and what else can sit on a port, to findings. Pure: text to text.

A row is a failure: what it is recognized by, and what is said of it. Another one is another row.
redis-py cuts the server's error code (`NOAUTH`, ...) off some messages and not off others,
differently in each of its versions: only its exception classes and the words after the code
are relied on.
"""

import errno
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum

from redis import exceptions

from hx_gateway_db.findings import Cure, Finding, Sentence
from hx_gateway_db.redis.place import Withheld, about, detail, place, user_name
from hx_gateway_db.redis.tls_sentences import certificate_wanted, explain_tls
from hx_gateway_db.settings.values import Redis

OWN_LOGIN = "REDIS_USER and REDIS_PASS"

DROP_WHAT_EXPIRES = (
    "let it drop what expires anyway: redis-cli CONFIG SET maxmemory-policy volatile-lru"
)
PRINT_THE_RULE = "give it LiteLLM's rule: 'hx-gateway-db provision --print' shows it"

_Recognizes = Callable[[Exception], bool]


def _says(*words: str) -> _Recognizes:
    return lambda error: any(some in str(error) for some in words)


def _is(*classes: type[Exception]) -> _Recognizes:
    return lambda error: isinstance(error, classes)


def _has_number(*numbers: int) -> _Recognizes:
    return lambda error: isinstance(error, OSError) and error.errno in numbers


def _any_of(*ways: _Recognizes) -> _Recognizes:
    return lambda error: any(way(error) for way in ways)


def _all_of(*ways: _Recognizes) -> _Recognizes:
    return lambda error: all(way(error) for way in ways)


_NO_ANSWER = Sentence(
    "redis.port",
    "{place} does not answer in time",
    "",
    "check REDIS_HOST, REDIS_PORT and the firewall",
)
_CLUSTER = Sentence(
    "redis.server",
    "{place} is a node of a cluster",
    "over REDIS_URL LiteLLM asks this one node, which refuses most keys",
    "answer REDIS_HOST and REDIS_PORT of a Redis that is none",
)
_REPLICA = Sentence(
    "redis.role",
    "{place} is a replica{of_primary}",
    "what LiteLLM writes would be refused or lost",
    "answer REDIS_HOST and REDIS_PORT of the primary{its_address}",
)

# The network's, of which redis-py makes errors of its own. The first row that fits counts.
_NETWORK: tuple[tuple[_Recognizes, Sentence], ...] = (
    (
        _is(socket.gaierror),
        Sentence(
            "redis.name",
            "the host name {host} does not resolve",
            "",
            "check REDIS_HOST and the DNS",
        ),
    ),
    (_is(TimeoutError), _NO_ANSWER),
    (
        _has_number(errno.ECONNREFUSED),
        Sentence(
            "redis.port",
            "{place} refuses connections",
            "",
            "check REDIS_PORT and that the server runs",
        ),
    ),
    (
        _has_number(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL),
        Sentence(
            "redis.port",
            "there is no route to {place}",
            "",
            "check REDIS_HOST and the network",
        ),
    ),
)

# What a server answers to anybody.
_TO_ANYBODY: tuple[tuple[_Recognizes, Sentence], ...] = (
    (
        _is(exceptions.BusyLoadingError),
        Sentence("redis.server", "{place} is still loading its data", "", "try again in a moment"),
    ),
    (_is(exceptions.ReadOnlyError), _REPLICA),
    (
        _is(exceptions.NoPermissionError),
        Sentence(
            "redis.permissions",
            "{place} does not let the user {user} select a database",
            "",
            PRINT_THE_RULE,
            Cure.REDIS_ADMINISTRATOR,
        ),
    ),
    (_says("SELECT is not allowed in cluster mode", "MOVED ", "Hash slot not served"), _CLUSTER),
    (
        _says("DB index", "invalid DB"),
        Sentence(
            "redis.database",
            "{place} has no database number {database}",
            "",
            "answer REDIS_DB=0, or raise 'databases' in its redis.conf",
        ),
    ),
    (
        _says("max number of clients"),
        Sentence(
            "redis.server",
            "{place} has no connection left",
            "",
            "raise maxclients there: redis-cli CONFIG SET maxclients 10000",
        ),
    ),
    (
        _says("in protected mode"),
        Sentence(
            "redis.server",
            "{place} is in protected mode and refuses other machines",
            "",
            "set requirepass in its redis.conf, and answer REDIS_PASS",
        ),
    ),
    (
        _says("running a script"),
        Sentence(
            "redis.server",
            "{place} is busy with somebody's script",
            "",
            "wait for it, or end it there: redis-cli SCRIPT KILL",
        ),
    ),
    (
        _says("MASTER is down"),
        Sentence(
            "redis.role",
            "{place} is a replica that has lost its primary",
            "",
            "answer REDIS_HOST and REDIS_PORT of the primary",
        ),
    ),
    (
        _says("used memory >"),
        Sentence(
            "redis.write",
            "{place} is full and refuses writes",
            "its maxmemory is reached and its maxmemory-policy drops nothing",
            DROP_WHAT_EXPIRES,
        ),
    ),
    (
        _says("unable to persist", "AOF file"),
        Sentence(
            "redis.write",
            "{place} refuses writes, since it can't save its data to disk",
            "",
            "mend what its log says about it, then: redis-cli BGSAVE",
        ),
    ),
    (
        _says("good replicas"),
        Sentence(
            "redis.write",
            "{place} refuses writes, since too few replicas follow it",
            "",
            "bring them back, or lower min-replicas-to-write there",
        ),
    ),
)

# What it answers to a login besides, and redis-py's own complaints.
_ANSWERS: tuple[tuple[_Recognizes, Sentence], ...] = (
    *_TO_ANYBODY,
    (
        _says("without any password configured", "no password is set"),
        Sentence(
            "redis.login",
            "{place} has no password for the default user, but {password_answer} is one",
            "",
            "set it there with requirepass, or answer {no_password}",
        ),
    ),
    (
        _all_of(_is(exceptions.AuthenticationError), _says("uthentication required")),
        Sentence(
            "redis.login",
            "{place} asks for a password",
            "",
            "answer {answers}",
            Cure.REDIS_ADMINISTRATOR,
        ),
    ),
    (
        _any_of(_is(exceptions.AuthenticationError), _says("WRONGPASS")),
        Sentence(
            "redis.login",
            "{place} refuses the login of the user {user}",
            "the password is wrong, or there is no such user, or it is switched off",
            "check {answers}",
            Cure.REDIS_ADMINISTRATOR,
        ),
    ),
    (_is(exceptions.TimeoutError), _NO_ANSWER),
    (
        # The second is redis-py's own, for whatever else than OK is answered to SELECT.
        _any_of(_is(exceptions.InvalidResponse), _says("Invalid Database")),
        Sentence(
            "redis.server",
            "{place} does not answer as a Redis does",
            "",
            "check REDIS_HOST and REDIS_PORT",
        ),
    ),
    (
        _is(exceptions.ConnectionError),
        Sentence(
            "redis.port",
            "{place} closes the connection",
            "",
            "check REDIS_PORT, REDIS_TLS and the server's log",
        ),
    ),
)
_UNKNOWN = Sentence(
    "redis.server", "{place} can't be used{detail}", "", "look into the server's log"
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
            said = exceptions.ResponseError(first_words.decode(errors="replace"))
            return _recognized(_TO_ANYBODY, redis, said)
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
        if isinstance(cause, OSError) and (found := _recognized(_NETWORK, redis, cause)):
            return found
    return _recognized(_ANSWERS, redis, error, answers) or _UNKNOWN.finding(
        place(redis), {"place": place(redis), "detail": detail(redis, str(error))}
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _recognized(
    rows: Iterable[tuple[_Recognizes, Sentence]],
    redis: Redis,
    error: Exception,
    answers: str = OWN_LOGIN,
) -> Finding | None:
    found = (sentence for recognizes, sentence in rows if recognizes(error))
    sentence = next(found, None)
    return sentence.finding(place(redis), _names(redis, answers)) if sentence else None


def _names(redis: Redis, answers: str = OWN_LOGIN, primary: str = "") -> Mapping[str, object]:
    password = answers.split()[-1]
    return {
        "place": place(redis),
        "host": redis.host,
        "user": user_name(redis),
        "database": redis.database,
        "answers": answers,
        "password_answer": password,
        "no_password": f"{password}=none" if answers == OWN_LOGIN else f"an empty {password}",
        "of_primary": f" of {primary}" if primary else "",
        "its_address": f", {primary}" if primary else "",
    }


def cluster_node(redis: Redis) -> Finding:
    """A server that answers for some keys only."""
    return _CLUSTER.finding(place(redis), _names(redis))


def replica(redis: Redis, primary: str = "") -> Finding:
    """A server that takes no writes."""
    return _REPLICA.finding(place(redis), _names(redis, primary=primary))
