"""No password goes to a process that is no server of this system."""

import os
import pwd
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import exceptions

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Level
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.redis import check
from hx_gateway_db.redis import peer as redis_peer
from hx_gateway_db.redis.administration import provision_as, provision_local
from hx_gateway_db.redis.check import inspect_redis
from hx_gateway_db.redis.conf import Secret
from hx_gateway_db.redis.peer import Peer, for_an_administrator, for_readers, for_the_gateway
from hx_gateway_db.redis.place import Withheld
from hx_gateway_db.redis.rule import password_hash
from hx_gateway_db.settings.values import Login, Redis
from hx_gateway_db.systemd import listeners, units
from hx_gateway_db.systemd.listeners import Listener
from tests.fake_redis import PASS, fake_redis

REDIS = Redis("r1", user="hx", password=PASS)
SERVER = Listener(7, "redis-server", "/system.slice/redis-server.service", 110, frozenset({117}))
SOMEBODY = Listener(8, "python\x1b[31m3", "/user.slice/x.scope", 4242, frozenset({4242}))
NOBODY = Listener(9, "nc", "/", 65534)
DYNAMIC = Listener(10, "valkey-server", "/system.slice/valkey.service", 61200)
GROUP = "/gateway.slice/hx-litellm-gateway.service"


@pytest.fixture(autouse=True)
def _gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that runs as user 997 in a control group of its own."""
    known = {"ControlGroup": GROUP, "User": "997"}
    monkeypatch.setattr(units, "available", lambda: True)
    monkeypatch.setattr(units, "properties", lambda unit, names: list(known.items()))


@contextmanager
def answered_by(process: Listener | None, *listening: Listener) -> Iterator[None]:
    """Have the kernel say that this process has accepted a connection."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listeners, "other_end", lambda line, deadline: process)
        patch.setattr(listeners, "on_port", lambda port: list(listening))
        yield


def refusal(rule: redis_peer.Rule, peer: Peer) -> str:
    with pytest.raises(Withheld) as refused:
        rule(peer)
    return refused.value.finding.sentence


def test_a_server_of_this_system_is_told_the_login() -> None:
    for process in (SERVER, DYNAMIC, Listener(1, "docker-proxy", "/", 0)):
        for_the_gateway(REDIS)(Peer(True, False, process))
        for_an_administrator(REDIS)(Peer(True, False, process))
    for_the_gateway(REDIS)(Peer(True, False))
    for_the_gateway(REDIS)(Peer(False, False))


def test_an_ordinary_user_s_process_is_not() -> None:
    for rule in (for_the_gateway(REDIS), for_an_administrator(REDIS)):
        assert refusal(rule, Peer(True, True, SOMEBODY)) == (
            "who answers as Redis at r1:6379 is the process python\ufffd[31m3 (8) of the user 4242"
            " (a process of an ordinary user would get to know the password): stop it if it does"
            " not belong there, and start Redis as a service of this system; who listens is shown"
            " by: ss -ltnp 'sport = :6379'."
        )
        assert "of the user nobody" in refusal(rule, Peer(True, False, NOBODY))
        assert "a process of the user 4242" in refusal(rule, Peer(True, False, Listener(user=4242)))


def test_the_gateway_s_own_process_is_not() -> None:
    for process in (Listener(5, "sh", f"{GROUP}/sub", 0), Listener(5, "sh", "/", 997)):
        said = refusal(for_the_gateway(REDIS), Peer(True, False, process))
        assert "a process of the gateway's own is no server" in said
    namesake = Listener(5, "redis-server", f"/system.slice/{LITELLM_UNIT}", 110)
    for_the_gateway(REDIS)(Peer(True, False, namesake))


def test_without_systemd_the_gateway_is_known_by_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "available", lambda: False)
    account = pwd.struct_passwd(("hx-gateway", "x", 990, 990, "", "/", ""))
    monkeypatch.setattr(pwd, "getpwnam", {"hx-gateway": account}.__getitem__)
    refusal(for_the_gateway(REDIS), Peer(True, False, Listener(5, "sh", "/", 990)))
    for_the_gateway(REDIS)(Peer(True, False, SERVER))


def test_where_the_other_end_is_out_of_sight_those_who_listen_count() -> None:
    with fake_redis() as fake, answered_by(None, SERVER, SOMEBODY):
        (failed,) = inspect_redis(Redis("127.0.0.1", fake.port, password=PASS))
        assert failed.name == "redis.process"
        assert not fake.heard
    with fake_redis() as fake, answered_by(None):
        assert {
            each.level for each in inspect_redis(Redis("127.0.0.1", fake.port, password=PASS))
        } == {Level.OK}


def test_an_administrator_s_password_crosses_no_network_in_the_clear() -> None:
    for peer in (Peer(True, False, SERVER), Peer(False, True), Peer(True, False)):
        for_an_administrator(REDIS)(peer)
    assert refusal(for_an_administrator(REDIS), Peer(False, False)) == (
        "Redis at r1:6379 is on another machine, and is reached without TLS (whoever is on the way"
        " could read an administrator's password): answer REDIS_TLS=true, or let its administrator"
        " run what 'hx-gateway-db provision --print' shows."
    )
    unchecked = Redis("r1", tls=True, parameters=(("ssl_cert_reqs", "none"),))
    assert "take ssl_cert_reqs out" in refusal(for_an_administrator(unchecked), Peer(False, False))


def test_a_password_of_a_file_goes_to_who_can_read_that_file() -> None:
    file = Path("/etc/redis/redis.conf")
    open_folder = (0, 0, 0o40755)
    secret = Secret(PASS, file, (open_folder, (110, 117, 0o100640)))
    for process in (
        SERVER,
        Listener(1, "systemd", "/", 0),
        Listener(3, "x", "/", 5, frozenset({117})),
    ):
        for_readers(REDIS, secret)(Peer(True, False, process))
    said = refusal(for_readers(REDIS, secret), Peer(True, False, Listener(3, "x", "/", 5)))
    assert "it may not read /etc/redis/redis.conf, which the password is in" in said
    assert PASS not in said
    refusal(for_readers(REDIS, secret), Peer(True, False))
    shut = Secret(PASS, file, ((110, 117, 0o42770), (110, 117, 0o100644)))
    refusal(for_readers(REDIS, shut), Peer(True, False, Listener(3, "x", "/", 5)))
    excluded = Secret(PASS, file, (open_folder, (0, 117, 0o100604)))
    refusal(for_readers(REDIS, excluded), Peer(True, False, SERVER))


def test_neither_login_nor_hash_reaches_an_ordinary_user_s_process() -> None:
    with fake_redis() as fake, answered_by(SOMEBODY):
        redis = Redis("127.0.0.1", fake.port, user="hx", password=PASS)
        (failed,) = inspect_redis(redis)
        assert failed.name == "redis.process"
        for login in (Login("boss", "boss-4711"), Login("", "")):
            with pytest.raises(Refused, match="ordinary user"):
                provision_as(redis, login, ours=False)
        with pytest.raises(Refused, match="ordinary user"):
            provision_local(redis, ours=True)
        assert PASS.encode() not in fake.heard
        assert password_hash(PASS)[1:].encode() not in fake.heard
        assert not fake.heard


def test_the_gateway_s_login_to_another_machine_in_the_clear_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_peer, "_is_here", lambda line: False)
    with fake_redis() as fake, answered_by(None):
        found = inspect_redis(Redis("127.0.0.1", fake.port, password=PASS))
        assert [each.name for each in found if each.level is Level.WARNING] == ["redis.tls"]
        with pytest.raises(Refused, match="without TLS"):
            provision_as(
                Redis("127.0.0.1", fake.port, user="hx", password=PASS),
                Login("boss", "boss-4711"),
                ours=False,
            )
        assert b"boss-4711" not in fake.heard


def test_a_connection_that_nobody_takes_is_told_nothing_and_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        (failed,) = inspect_redis(Redis("127.0.0.1", server.getsockname()[1], password=PASS))
        assert time.monotonic() - started < 2
        assert "does not answer in time" in failed.what
        server.setblocking(False)
        heard = b""
        while True:
            try:
                client, _ = server.accept()
            except BlockingIOError:
                break
            with client:
                heard += client.recv(1000)
        assert PASS.encode() not in heard


def test_who_closes_before_it_is_told_anything_closes_the_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"-ERR max number of clients reached\r\n")
        with answered_by(Listener()), pytest.raises(exceptions.ConnectionError):
            redis_peer.look(ours, False, time.monotonic() + 1)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_an_address_of_this_machine_is_known(family: int) -> None:
    server = socket.socket(family)
    with server:
        try:
            server.bind(("127.0.0.3" if family == socket.AF_INET else "::1", 0))
        except OSError:
            pytest.skip("this machine has no such address")
        server.listen()
        with socket.create_connection(server.getsockname()[:2]) as line, server.accept()[0]:
            peer = redis_peer.look(line, False, time.monotonic() + 5)
            assert peer.here
            assert peer.process is not None


def test_the_accepting_process_is_seen() -> None:
    with fake_redis() as fake, socket.create_connection(("127.0.0.1", fake.port)) as line:
        peer = redis_peer.look(line, False, time.monotonic() + 5)
        assert peer.process is not None
        assert peer.process.pid == os.getpid()
