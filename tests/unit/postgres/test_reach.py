"""The way to a server, with small listeners in place of servers."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from hx_gateway_db.findings import Level
from hx_gateway_db.postgres.reach import reach
from hx_gateway_db.postgres.target import Target, target_of
from hx_gateway_db.settings.values import Postgres


@contextmanager
def listener(greeting: bytes) -> Iterator[Target]:
    """A server that answers anything with `greeting`, and how to reach it."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            with connection:
                connection.recv(100)
                connection.sendall(greeting)

    threading.Thread(target=serve, daemon=True).start()
    with server:
        port = server.getsockname()[1]
        yield target_of(Postgres("127.0.0.1", "hx", "hx", "secret", port=port))
        server.shutdown(socket.SHUT_RDWR)


def look(target: Target) -> tuple[str, bool]:
    found, reached = reach(target, time.monotonic() + 5)
    return found[-1].sentence, reached is not None


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "it looks like a web server"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "it looks like an SSH server"),
        (b"J\0\0\0\x0a5.5.5-10.11.6-MariaDB\0", "it looks like MySQL"),
        (b"-ERR unknown command", "it looks like Redis"),
        (b"\xff\xfe", "it does not speak PostgreSQL's protocol"),
    ],
)
def test_another_service_is_recognized(greeting: bytes, kind: str) -> None:
    with listener(greeting) as target:
        sentence, reached = look(target)
        assert f"what answers at {target.address} is not PostgreSQL ({kind})" in sentence
        assert not reached


def test_a_server_that_says_no_more_than_an_error_is_quoted() -> None:
    with listener(b"Ecould not fork new process for connection\n\0") as target:
        sentence, reached = look(target)
        assert 'detail, as it came: "could not fork new process' in sentence and not reached


def test_no_tls_is_well_on_this_host() -> None:
    with listener(b"N") as target:
        found, reached = reach(target, time.monotonic() + 5)
        assert [finding.level for finding in found] == [Level.OK] * 3
        assert reached and not reached.encrypted and not reached.tls_offered


def test_a_handshake_that_comes_to_nothing_is_said() -> None:
    with listener(b"S") as target:
        assert "offers TLS but the handshake fails" in look(target)[0]


def test_the_deadline_holds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        target = target_of(Postgres("127.0.0.1", "hx", "hx", "secret", port=port))
        started = time.monotonic()
        _, reached = reach(target, started + 0.3)
        assert reached is None and time.monotonic() - started < 1


def test_a_greeting_that_drips_is_no_greeting() -> None:
    with raw(lambda connection: drip(connection, b"J" * 100)) as target:
        started = time.monotonic()
        assert "does not speak PostgreSQL's protocol" in look(target)[0]
        assert time.monotonic() - started < 4


@pytest.mark.parametrize("record", [b"\x16\x03\x03\x40\x00" + b"\x02" * 1000, b"\x16"])
def test_a_handshake_that_drips_ends_in_time(record: bytes) -> None:
    with raw(lambda connection: drip(connection, b"S", record * 1000)) as target:
        started = time.monotonic()
        found, reached = reach(target, started + 0.4)
        assert "offers TLS but the handshake fails" in found[-1].sentence and not reached
        assert time.monotonic() - started < 1


def test_what_comes_before_the_handshake_is_not_taken_for_what_comes_in_it() -> None:
    with listener(b"SE" + b"x" * 40) as target:
        assert not look(target)[1]


def test_a_server_that_resets_the_connection_is_a_finding() -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"S")

    with raw(reset) as target:
        assert "the handshake fails" in look(target)[0] or "closes the" in look(target)[0]


def test_an_error_in_the_greeting_is_cut_and_shown_without_the_password() -> None:
    with listener(b"E" + b"secret\x1b[2J " * 5) as target:
        sentence, _ = look(target)
        assert "secret" not in sentence and "\x1b" not in sentence


@contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[Target]:
    """A server whose connections are all given to `talk`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                connection.recv(100)
                talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        yield target_of(Postgres("127.0.0.1", "hx", "hx", "secret", port=port))
        server.shutdown(socket.SHUT_RDWR)


def drip(connection: socket.socket, *parts: bytes) -> None:
    for part in parts:
        for number in range(len(part)):
            connection.sendall(part[number : number + 1])
            time.sleep(0.01)
