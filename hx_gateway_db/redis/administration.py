"""A Redis user of the gateway's own: made on this machine or on another, kept, taken away."""

import ipaddress
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from redis import exceptions

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, failures
from hx_gateway_db.redaction import said
from hx_gateway_db.redis.check import inspect_redis
from hx_gateway_db.redis.conf import Secret, configurations
from hx_gateway_db.redis.connection import Connection, connected
from hx_gateway_db.redis.peer import for_an_administrator, for_readers, for_the_gateway
from hx_gateway_db.redis.place import Withheld, place
from hx_gateway_db.redis.rule import HAS_USERS, grants, parse_version, password_hash, rule
from hx_gateway_db.redis.sentences import OWN_LOGIN, explain
from hx_gateway_db.redis.unit import unit_of
from hx_gateway_db.settings.values import Login, Redis

_ADMINISTRATORS_LOGIN = "REDIS_ADMIN_USER and REDIS_ADMIN_PASS"
# All that one call says to a server, with two inspections between.
_SECONDS = 20.0
_NEEDS_NO_QUOTES = re.compile(r"[^\s\"'\\]+")


@dataclass(frozen=True)
class Provisioned:
    """What came of it: whether the user is of our making, and what was done, in sentences."""

    ours: bool
    done: tuple[str, ...]


@dataclass(frozen=True)
class Persistence:
    """How a user outlives a restart of this machine's server.

    With an `acl_file` the server keeps it. Otherwise its `unit` needs a drop-in that makes the
    user again. Both are empty when the server is no service of this machine: nothing keeps it.
    """

    acl_file: str = ""
    unit: str = ""


def server_here(redis: Redis) -> bool:
    """Whether we can make users on a Redis of this machine."""
    try:
        with local_server(redis):
            return True
    except Refused:
        return False


def provision_local(redis: Redis, *, ours: bool, present: str = "") -> Provisioned:
    """Make the user on this machine's server; make it anew if it is `ours`.

    One that is in use keeps the password `present` beside the new one.

    A user of that name that is not ours is used as it is, if it can log in and may do enough.
    Raises Refused with the reason.
    """
    with local_server(redis) as server:
        if _exists(redis, server) and not ours:
            return _reuse(redis)
        _make(redis, server, present)
    return Provisioned(True, (f"{place(redis)} has a user {redis.user} for the gateway.",))


def persistence(redis: Redis) -> Persistence:
    """How the user is kept on this machine's server. Raises Refused as provision_local."""
    with local_server(redis) as server:
        acl_file = _acl_file(server)
        return (
            Persistence(acl_file=acl_file)
            if acl_file
            else Persistence(unit=unit_of(server.peer.process))
        )


def forget_local(redis: Redis) -> None:
    """Take a user that we made away. Raises Refused when the server can't be asked to."""
    with local_server(redis) as server:
        server.ask("ACL", "DELUSER", redis.user)
        save(redis, server)


def provision_as(redis: Redis, administrator: Login, *, ours: bool) -> Provisioned:
    """Make the user with an administrator's login, over the same address and TLS.

    A user of that name that is not ours keeps its password and what it may do, and is given what
    LiteLLM needs on top. Raises Refused with the reason.
    """
    with administered(redis, administrator) as server:
        if not _exists(redis, server) or ours:
            acl_file = _make(redis, server)
            done = f"{place(redis)} has a user {redis.user} for the gateway."
            return Provisioned(True, (done, kept(redis, acl_file)))
        lacking = failures(inspect_redis(redis))
        if not lacking or lacking[0].name != "redis.permissions":
            return _reuse(redis)
        server.ask("ACL", "SETUSER", redis.user, *grants(_version(server)))
        acl_file = save(redis, server)
    _reuse(redis)
    done = f"{place(redis)} lets its user {redis.user} do all that LiteLLM does."
    return Provisioned(False, (done, kept(redis, acl_file)))


def acl_commands(redis: Redis, server_version: str) -> str:
    """The commands for the administrator of a server of this version, empty when unknown.

    The password is in them as its SHA-256 only: it need not be told to the administrator, has
    no odd characters to quote, and comes into no shell history, MONITOR or SLOWLOG. A password
    that can be guessed can be found from that, and the text says so. Raises Refused without a
    user's name.
    """
    check_login(redis)
    version = parse_version(server_version)
    if version and version < HAS_USERS:
        return f"# {place(redis)} is older than Redis 6, which LiteLLM needs: upgrade it.\n"
    words = rule(redis.password, version)
    tls = ["--tls", *(["--cacert", redis.ca_file] if redis.ca_file else [])] if redis.tls else []
    cli = ["redis-cli", "-h", redis.host, "-p", str(redis.port), *tls]
    return "\n".join(
        (
            f"# LiteLLM's user for {place(redis)}, to be made by an administrator of it",
            "# (with a login of yours: --user NAME --askpass before ACL).",
            "# The password is here as its SHA-256 only. If it is one that can be guessed, keep",
            "# this text as secret as the password.",
            shlex.join([*cli, "ACL", "SETUSER", redis.user, "reset", *words]),
            "",
            "# To keep the user over a restart of the server, if it has an aclfile:",
            shlex.join([*cli, "ACL", "SAVE"]),
            "# If it has none, add this line to its redis.conf:",
            f"# {' '.join(map(_configuration_word, ('user', redis.user, *words)))}",
            "",
        )
    )


# Making a user on a server that lets us


def _make(redis: Redis, server: Connection, present: str = "") -> str:
    """Make it and see that it works, or leave nothing. Returns the server's aclfile, if any."""
    before = _exists(redis, server)
    words = rule(redis.password, _version(server))
    # In one command, of which a client sees all or nothing: who still logs in as before can.
    beside = [password_hash(present)] if before and present else []
    server.ask("ACL", "SETUSER", redis.user, "reset", *words, *beside)
    try:
        for failure in failures(inspect_redis(redis)):
            raise Refused(failure.sentence)
        return save(redis, server)
    except BaseException:
        if not before:
            with suppress(exceptions.RedisError):
                server.ask("ACL", "DELUSER", redis.user)
        raise


def _reuse(redis: Redis) -> Provisioned:
    """Use a user that is not ours. Raises Refused when it can't be used."""
    for failure in failures(inspect_redis(redis)):
        raise Refused(_of_others(failure).sentence)
    return Provisioned(False, (f"{place(redis)} had the user {redis.user} already: it is used.",))


def _of_others(failure: Finding) -> Finding:
    why = "that user was there already, and is not of our making"
    if failure.name == "redis.login":
        cure = "answer its password in REDIS_PASS, or another name in REDIS_USER"
        return replace(failure, why=why, cure=cure)
    return replace(failure, why=why) if failure.name == "redis.permissions" else failure


def _exists(redis: Redis, server: Connection) -> bool:
    return server.words("ACL", "GETUSER", redis.user) is not None


def _version(server: Connection) -> tuple[int, ...]:
    return parse_version(server.information().get("redis_version", ""))


def _acl_file(server: Connection) -> str:
    """The file that the server keeps its users in; empty when none, or when it does not tell."""
    try:
        answer = server.words("CONFIG", "GET", "aclfile") or []
    except exceptions.ResponseError:
        return ""
    return said(str(answer[1])) if len(answer) > 1 else ""


def save(redis: Redis, server: Connection) -> str:
    """Have the server keep its users. Returns its aclfile, empty if it has none. Raises Refused."""
    acl_file = _acl_file(server)
    if acl_file:
        try:
            server.ask("ACL", "SAVE")
        except exceptions.ResponseError:
            raise Refused(
                f"{place(redis)} can't write its aclfile {acl_file}: make it writable for the"
                " server, or the user is gone when that restarts."
            ) from None
    return acl_file


def kept(redis: Redis, acl_file: str) -> str:
    """How a user on another machine outlives a restart of its server, in a sentence."""
    if acl_file:
        return f"It is kept in the server's {acl_file}."
    return (
        "It lasts until that server restarts: add the line that 'hx-gateway-db provision --print'"
        " shows to the server's redis.conf."
    )


# Ways in


@contextmanager
def administered(redis: Redis, administrator: Login | None) -> Iterator[Connection]:
    """An administrator's connection: with a login, or on this machine without. Raises Refused."""
    if administrator is None:
        with local_server(redis) as server:
            yield server
        return
    check_login(redis)
    # Where there is no password to give, Redis has its default user log in by itself.
    user = administrator.user if administrator.password else ""
    login = replace(redis, user=user, password=administrator.password, database=0)
    asked = _explained(login, _ADMINISTRATORS_LOGIN)
    deadline = time.monotonic() + _SECONDS
    with asked, connected(login, deadline, for_an_administrator(login)) as server:
        yield server


@contextmanager
def local_server(redis: Redis) -> Iterator[Connection]:
    """An administrator's connection to this machine's server. Raises Refused."""
    check_login(redis)
    if not _is_loopback(redis.host):
        raise Refused(f"{place(redis)} is not on this machine: an administrator has to log in.")
    problem: Exception | None = None
    deadline = time.monotonic() + _SECONDS
    for login, unix_socket, secret in _ways_in(redis):
        peers = for_readers(login, secret) if secret else for_the_gateway(login)
        with ExitStack() as stack:
            try:
                server = stack.enter_context(connected(login, deadline, peers, unix_socket))
                _exists(redis, server)
            except exceptions.RedisError as error:
                problem = error
                continue
            with _explained(login, OWN_LOGIN):
                yield server
            return
    assert problem is not None
    raise _refusal(replace(redis, user="", password=""), problem, _ADMINISTRATORS_LOGIN)


def _ways_in(redis: Redis) -> Iterator[tuple[Redis, str, Secret | None]]:
    """Logins as the default user, over socket files first: who reaches those is the server.

    Each with the socket file, empty for none, and where its password is from.
    """
    fitting = [found for found in configurations() if redis.port in found.ports]
    sockets = [found.unix_socket for found in fitting if Path(found.unix_socket).is_socket()]
    secrets = [secret for found in fitting for secret in found.secrets]
    for unix_socket in (*sockets, ""):
        for secret in (None, *secrets):
            password = secret.password if secret else ""
            login = replace(redis, user="", password=password, database=0)
            yield login, unix_socket, secret


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _explained(login: Redis, answers: str) -> Iterator[None]:
    try:
        yield
    except exceptions.RedisError as error:
        raise _refusal(login, error, answers) from None


def _refusal(login: Redis, error: Exception, answers: str) -> Refused:
    text, where = str(error), place(login)
    if isinstance(error, Withheld):
        return Refused(error.finding.sentence)
    if "unknown command" in text.lower():
        return Refused(
            f"{where} knows no users, being older than Redis 6 or without ACL: set requirepass"
            " there, and answer it in REDIS_PASS with REDIS_USER=none."
        )
    if isinstance(error, exceptions.NoPermissionError):
        user = login.user or "default"
        return Refused(f"{where} does not let the user {user} make users: answer {answers}.")
    if "ACL SETUSER" in text or "Usernames" in text:
        return Refused(f"{where} accepts no user of that name: answer another in REDIS_USER.")
    return Refused(explain(login, error, answers).sentence)


def check_login(redis: Redis) -> None:
    """See that there is a user that can be made. Raises Refused."""
    if redis.user in ("", "default") or not redis.password:
        raise Refused(
            "REDIS_USER and REDIS_PASS have to name a user to be made: answer hxgateway and a"
            " password."
        )


def _configuration_word(word: str) -> str:
    if _NEEDS_NO_QUOTES.fullmatch(word):
        return word
    return '"{}"'.format(word.replace("\\", "\\\\").replace('"', '\\"'))
