"""A line to a server is opened by a deadline, and reading from it costs what was sent."""

import socket
import time
from types import SimpleNamespace

import pytest
from redis import exceptions

from hx_gateway_db.redis.line import Replies, opened, opened_here, time_left


def replies(data: bytes, seconds: float = 5.0) -> Replies:
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    found = Replies(1)
    found.on_connect(SimpleNamespace(_sock=ours, deadline=time.monotonic() + seconds))
    return found


def test_answers_are_read_one_after_the_other() -> None:
    found = replies(b"+OK\r\n:-7\r\n$5\r\na\r\nbc\r\n*2\r\n$-1\r\n*0\r\n-NOAUTH x\r\n")
    assert [found.read_response() for _ in range(4)] == ["OK", -7, "a\r\nbc", [None, []]]
    with pytest.raises(exceptions.AuthenticationError):
        found.read_response()
    with pytest.raises(exceptions.ConnectionError):
        found.read_response()


def test_an_error_that_ends_a_connection_is_raised_as_redis_py_does() -> None:
    with pytest.raises(exceptions.ConnectionError, match="max number"):
        replies(b"-ERR max number of clients reached\r\n").read_response()


def test_a_name_that_is_never_looked_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **how: time.sleep(30))
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        opened("r1", 6379, started + 0.1)
    assert time.monotonic() - started < 5


def test_a_name_of_a_thousand_addresses_takes_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    server = socket.socket()
    with server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        with socket.create_connection(address):  # who comes now waits
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)] * 1000
            monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **how: found)
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                opened("r1", address[1], started + 0.3, 0.1)
            assert time.monotonic() - started < 5


def test_a_socket_file_of_an_impossible_name_is_an_error_of_the_system() -> None:
    for path in ("/no/such", "/" + "a" * 200):
        with pytest.raises(OSError, match=r"."):
            opened_here(path, time.monotonic() + 1)


def test_no_time_left_is_an_error() -> None:
    assert time_left(time.monotonic() + 100, 2.5) == 2.5
    with pytest.raises(TimeoutError):
        time_left(time.monotonic())


def test_reading_takes_as_long_as_the_text_is_long() -> None:
    """Whole texts that come in small pieces: four times as much takes no sixteen times as long."""

    def seconds(size: int) -> float:
        found = replies(b"")
        text = b"+" + b"x" * size + b"\r\n"
        found._line = SimpleNamespace(
            settimeout=lambda left: None, recv=lambda most: text[len(found._read) :][:1]
        )
        started = time.process_time()
        assert found.read_response() == "x" * size
        return time.process_time() - started

    small = min(seconds(2_000) for _ in range(3))
    assert seconds(8_000) < 12 * small
