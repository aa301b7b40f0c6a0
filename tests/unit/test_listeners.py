"""Who listens on a port, asked of this machine's own /proc."""

import os
import socket

import pytest

from hx_gateway_db.listeners import Listener, on_port


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
