"""Who listens on a port, asked of this machine's own /proc."""

import os
import socket
import time
from pathlib import Path

import pytest

from hx_gateway_db.systemd.listeners import Listener, _accepted_by, on_port, other_end


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_listening_process_is_found_by_its_port(family: int, address: str) -> None:
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        port = server.getsockname()[1]
        assert on_port(port) == []
        server.listen()
        assert [listener.pid for listener in on_port(port)] == [os.getpid()]
        with socket.create_connection((address, port)) as client:
            assert on_port(client.getsockname()[1]) == []


def test_the_unit_is_the_innermost_one_of_the_group() -> None:
    assert Listener(1, "n", "/system.slice/a.service/b.service").unit == "b.service"
    assert Listener(1, "n", "/user.slice/user-0.slice/session-1.scope").unit == "session-1.scope"
    assert Listener(1, "n", "/").unit == ""


def test_a_group_holds_those_below_it_and_no_namesakes() -> None:
    listener = Listener(1, "n", "/system.slice/a.service/worker")
    assert listener.within("/system.slice/a.service")
    assert not listener.within("/system.slice/a")
    assert not listener.within("")


def test_who_passes_its_end_of_a_connection_on_is_still_who_accepted_it() -> None:
    """A table of the kernel says who that was; a process can give a descriptor to anybody."""
    giver = Listener(1, "nc", "/", 4242)
    other = Listener(2, "dbus-daemon", "/", 101)
    assert _accepted_by(4242, [other]) == Listener(user=4242)
    assert _accepted_by(4242, [other, giver]) == giver
    assert _accepted_by(0, [other]) == other  # as systemd does for a service
    assert _accepted_by(4242, []) == Listener(user=4242)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_the_other_end_of_a_connection_is_found(family: int, tmp_path: Path) -> None:
    with socket.socket(family) as server, socket.socket(family) as client:
        server.bind(str(tmp_path / "s") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
        with server.accept()[0]:
            found = other_end(client, time.monotonic() + 5)
        assert found is not None
        assert (found.pid, found.user) == (os.getpid(), os.getuid())


def test_a_connection_that_nobody_has_accepted_is_nobody_s() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert other_end(client, time.monotonic()) == Listener()
