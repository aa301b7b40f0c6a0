"""Who gets what we say on a port: its unit, and never a stranger."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from hx_gateway_db.findings import Level
from hx_gateway_db.gateway import answerer, http, proof
from hx_gateway_db.gateway.answerer import (
    NotTheUnit,
    Service,
    Stranger,
    intruder,
    known,
    on_port,
    see,
    see_again,
)
from hx_gateway_db.gateway.http import HeldByAnother, NotAnswering, ProofFailed
from hx_gateway_db.gateway.readiness import Readiness
from hx_gateway_db.layout import LITELLM_UNIT, UNITS, WRAPPER_UNIT
from hx_gateway_db.progress import Progress
from hx_gateway_db.systemd import listeners, units
from hx_gateway_db.systemd.listeners import Listener
from hx_gateway_db.systemd.units import ServiceFailed, Unit

_SECONDS = 5.0
_GROUP = f"/system.slice/{WRAPPER_UNIT}"
# Answers like LiteLLM whatever it is asked, and prints what it was sent.
_STRANGER = """
import socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    request = client.recv(65536)
    print(request, flush=True)
    body = b'{"db": "connected", "key": "sk-made-up", "data": []}'
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    client.close()
"""


class Asked:
    """What systemd is asked in a test: the control group of each unit that there is."""

    def __init__(self, groups: dict[str, str]) -> None:
        self.groups = groups
        self.names: list[str] = []

    def properties(self, name: str, names: object) -> list[tuple[str, str]]:
        self.names.append(name)
        return [("ControlGroup", self.groups.get(name, ""))]


@pytest.mark.parametrize(
    ("state", "main", "left"),
    [
        ("inactive", 0, True),
        ("failed", 0, True),
        ("activating", 0, True),  # waits to be started again
        ("active", 0, False),
        ("active", "younger", True),
        ("active", "itself", False),
        ("active", 1, False),
    ],
)
def test_a_process_is_left_behind_by_a_unit_that_has_ended_or_been_started_since(
    monkeypatch: pytest.MonkeyPatch,
    stranger: tuple[int, "subprocess.Popen[str]"],
    state: str,
    main: int | str,
    left: bool,
) -> None:
    port, program = stranger
    time.sleep(0.02)  # two of the kernel's ticks
    with subprocess.Popen(["sleep", "60"]) as younger:
        pids = {"younger": younger.pid, "itself": program.pid}
        group = listeners.on_port(port)[0].group
        shown = {
            "ActiveState": state,
            "ControlGroup": group,
            "MainPID": str(pids.get(str(main), main)),
        }
        monkeypatch.setattr(units, "properties", lambda *_: list(shown.items()))
        found = answerer.left_behind(port)
        assert (found.process.pid if found else 0) == (program.pid if left else 0)
        shown["ControlGroup"] = f"/system.slice/{LITELLM_UNIT}"
        assert answerer.left_behind(port) is None
        younger.kill()


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A systemd by which no process of the test is of a unit."""
    asked = Asked({name: f"/system.slice/{name}" for name in UNITS})
    monkeypatch.setattr(units, "available", lambda: True)
    monkeypatch.setattr(units, "properties", asked.properties)
    monkeypatch.setattr(answerer, "_groups", {})
    return asked


@pytest.fixture
def stranger() -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """A program on a port, and the port."""
    with subprocess.Popen([sys.executable, "-c", _STRANGER], stdout=-1, text=True) as program:
        assert program.stdout
        yield int(program.stdout.readline()), program
        program.kill()


def heard(program: "subprocess.Popen[str]") -> list[str]:
    """What a stranger was sent, by all that have come to it."""
    program.terminate()
    return program.communicate()[0].splitlines()


def test_a_stranger_gets_no_key_and_is_named(
    systemd: Asked, stranger: tuple[int, "subprocess.Popen[str]"]
) -> None:
    port, program = stranger
    with pytest.raises(HeldByAnother) as held:
        http.call(
            Service(WRAPPER_UNIT, port), "POST", "/key/generate", "sk-master", {"duration": "10m"}
        )
    name = Path(f"/proc/{program.pid}/comm").read_text().strip()
    assert str(held.value) == (
        f"port {port} is held by another program"
        f" ({name}, process {program.pid}, user {os.getuid()})"
    )
    assert set(heard(program)) <= {"b''"}


def test_an_answer_of_a_stranger_is_none(
    systemd: Asked, stranger: tuple[int, "subprocess.Popen[str]"]
) -> None:
    port, program = stranger
    litellm, wrapper = (Service(unit, port) for unit in UNITS)
    readiness = Readiness(health=partial(http.health, litellm=litellm, wrapper=wrapper))
    assert [readiness.answers(name) for name in UNITS] == [False, False]
    assert readiness.answering() == ()
    assert not http.open_to_all(litellm)
    assert "held by another program" in http.database_state(litellm)
    found = proof.readiness({}, litellm)
    assert (found.name, found.level) == ("litellm.database", Level.FAILED)
    assert "held by another program" in found.what
    assert "stop that, then run 'systemctl restart" in found.cure
    with (
        pytest.raises(ProofFailed, match="held by another program"),
        http.virtual_key("sk-m", litellm),
    ):
        pass
    with pytest.raises(ProofFailed, match="held by another program"):
        http.wrapper_entry("sk-virtual", {"HX_MASTER_KEY": "sk-own"}, wrapper)
    assert set(heard(program)) <= {"b''"}


class Silent(Progress):
    def say(self, line: str) -> None: ...

    def waiting(self, what: str, seconds: float) -> None: ...


def test_a_wait_ends_at_once_when_a_stranger_has_the_port(
    systemd: Asked, stranger: tuple[int, "subprocess.Popen[str]"]
) -> None:
    litellm = Service(LITELLM_UNIT, stranger[0])
    unit = Unit(LITELLM_UNIT, "loaded", "active", "running", 7, "x")
    with pytest.raises(ServiceFailed, match=f"process {stranger[1].pid}") as failed:
        Readiness(health=partial(http.health, litellm=litellm)).wait_until_ready(unit, Silent())
    assert failed.value.unit == LITELLM_UNIT


def test_without_systemd_nobody_is_asked(
    stranger: tuple[int, "subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "available", lambda: False)
    with pytest.raises(
        NotAnswering, match="it can't be told who answers on port .*, since systemd"
    ):
        http.call(Service(WRAPPER_UNIT, stranger[0]), "GET", "/", "sk-master")
    assert heard(stranger[1]) == []


def test_a_systemd_that_does_not_tell_is_trusted_with_nothing(
    systemd: Asked,
    stranger: tuple[int, "subprocess.Popen[str]"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ServiceFailed("'systemctl show' failed: no bus.")

    monkeypatch.setattr(units, "properties", fail)
    with pytest.raises(
        NotAnswering, match=r"who answers on port \d+ \('systemctl show' failed: no bus"
    ):
        http.call(Service(WRAPPER_UNIT, stranger[0]), "GET", "/", "sk-master")
    assert set(heard(stranger[1])) <= {"b''"}


@contextmanager
def listening(family: int = socket.AF_INET, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            only = int(address != "::")
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        try:
            listener.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        listener.listen()
        yield listener


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")],
)
def test_the_unit_is_seen_on_each_address_that_a_connection_gets_to(
    own_group: str, family: int, address: str
) -> None:
    with listening(family, address) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            accepted, _ = listener.accept()
            with accepted:
                see(connection, Service(WRAPPER_UNIT, port), time.monotonic() + _SECONDS)
                see_again(connection, Service(WRAPPER_UNIT, port))
            see_again(
                connection, Service(WRAPPER_UNIT, port)
            )  # the unit has closed it, and still listens
        assert on_port(port) is None


def test_one_that_has_closed_the_connection_is_not_waited_for(own_group: str) -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            listener.accept()[0].close()
            started = time.monotonic()
            with pytest.raises(ConnectionError):
                see(connection, Service(WRAPPER_UNIT, port), started + _SECONDS)
            assert time.monotonic() - started < _SECONDS / 2


def test_a_port_passed_on_after_we_have_connected_is_seen_to_be(systemd: Asked) -> None:
    """The unit listens, as far as anybody can see; somebody else has accepted."""
    with listening() as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            number = listener.fileno()
            script = (
                f"import socket; a = socket.socket(fileno={number}).accept(); print(flush=True)"
            )
            command = [sys.executable, "-c", f"{script}; input()"]
            with subprocess.Popen(command, stdin=-1, stdout=-1, pass_fds=[number]) as other:
                assert other.stdout
                other.stdout.readline()
                with pytest.raises(NotTheUnit) as seen:
                    see(connection, Service(WRAPPER_UNIT, port), time.monotonic() + _SECONDS)
                assert seen.value.stranger.process.pid == other.pid
                other.communicate(b"\n")


def test_systemd_is_asked_once_for_a_unit_and_once_more_for_a_stranger(
    systemd: Asked, own_group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answerer, "_groups", {})
    systemd.groups[WRAPPER_UNIT] = own_group
    with listening() as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            accepted, _ = listener.accept()
            with accepted:
                for _ in range(3):
                    see(connection, Service(WRAPPER_UNIT, port), time.monotonic() + _SECONDS)
                assert systemd.names == [WRAPPER_UNIT]
                # With another Slice= since its restart, say.
                monkeypatch.setattr(answerer, "_groups", {WRAPPER_UNIT: "/of.before"})
                see(connection, Service(WRAPPER_UNIT, port), time.monotonic() + _SECONDS)
                assert systemd.names == [WRAPPER_UNIT] * 2


def test_a_stopped_unit_has_no_port_that_answers(systemd: Asked) -> None:
    systemd.groups[WRAPPER_UNIT] = ""
    with listening() as listener:
        found = on_port(listener.getsockname()[1])
    assert found and found.process.pid == os.getpid()


_BESIDE = """
import socket, sys
listener = socket.socket(socket.AF_INET6)
listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen()
print(flush=True)
input()
"""


@pytest.mark.parametrize("address", ["::1", "::"])
def test_somebody_beside_the_unit_on_another_address_is_let_be(address: str) -> None:
    with listening(socket.AF_INET6, "::1"), listening() as ours:
        port = ours.getsockname()[1]
        command = [sys.executable, "-c", _BESIDE, address, str(port)]
        with subprocess.Popen(command, stdin=-1, stdout=-1) as beside:
            assert beside.stdout
            beside.stdout.readline()
            everywhere = [one.pid for one in listeners.on_port(port)]
            there = [one.pid for one in listeners.on_port(port, address="127.0.0.1")]
            beside.communicate(b"\n")
    assert sorted(everywhere) == sorted([os.getpid(), beside.pid])
    assert there == [os.getpid()]


def test_where_the_unit_could_not_listen_somebody_beside_it_is_a_stranger(systemd: Asked) -> None:
    with listening(socket.AF_INET6, "::1") as beside:
        found = on_port(beside.getsockname()[1])
    assert found and found.process.pid == os.getpid()


FORGED = [
    f"/user.slice/user-1000.slice/user@1000.service/app.slice/{WRAPPER_UNIT}",
    f"/user.slice/{WRAPPER_UNIT}",
    f"/system.slice/{WRAPPER_UNIT}x",
    f"/system.slice/evil.service{_GROUP}",
    "",
    "/",
]


@pytest.mark.parametrize("group", FORGED)
def test_a_group_that_only_ends_like_the_unit_s_is_a_stranger_s(group: str) -> None:
    found = Listener(7, "uvicorn", group)
    assert intruder([found], _GROUP) is found


@pytest.mark.parametrize("group", [_GROUP, f"{_GROUP}/worker/1"])
def test_the_unit_and_the_groups_that_it_makes_are_the_unit(group: str) -> None:
    assert intruder([Listener(7, "uvicorn", group)], _GROUP) is None


def test_a_second_one_on_the_very_address_is_a_stranger_even_of_the_same_user() -> None:
    ours, other = Listener(7, "uvicorn", _GROUP), Listener(8, "uvicorn", "/user.slice")
    assert intruder([ours, other], _GROUP) is other


def test_a_socket_that_systemd_holds_is_the_unit_s() -> None:
    init = Listener(1, "systemd", "/init.scope")
    assert intruder([init, Listener(7, "uvicorn", _GROUP)], _GROUP) is None


def test_a_service_is_named_if_systemd_knows_it_by_that_very_group(systemd: Asked) -> None:
    systemd.groups["other.service"] = "/system.slice/other.service"
    found = known(Listener(812, "python3", "/system.slice/other.service", 33))
    assert found.words == "python3, process 812, other.service"
    assert found.ending == "systemctl disable --now other.service"


@pytest.mark.parametrize(
    "unit",
    [
        "other.service",
        "--host=evil.service",
        "$(id).service",
        "a';id;'.service",
        "*.service",
        "a b.service",
        f"{'a' * 300}.service",
    ],
)
def test_of_a_group_that_a_user_has_named_no_command_is_made(systemd: Asked, unit: str) -> None:
    systemd.groups["other.service"] = "/system.slice/other.service"
    found = known(Listener(812, "python3", f"/user.slice/user@7.service/{unit}", 7))
    assert found.words == "python3, process 812, user 7"
    assert found.ending == "kill 812"
    assert set(systemd.names) <= {"other.service"}


def test_a_name_with_control_characters_is_shown_without_them() -> None:
    found = Stranger(Listener(812, "\033[2Jpy\rthon", user=7))
    assert found.words == "\N{REPLACEMENT CHARACTER}[2Jpy thon, process 812, user 7"
