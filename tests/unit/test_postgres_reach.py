"""The way to a server, with small listeners in place of servers."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hx_gateway_db.findings import Level
from hx_gateway_db.postgres_certificates import UnusableFile, hidden_from_the_units, trusted
from hx_gateway_db.postgres_reach import reach
from hx_gateway_db.postgres_target import Target, target_of
from hx_gateway_db.settings import Postgres


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


# The file of trusted certificates


def test_only_the_first_certificate_of_a_file_is_trusted(tmp_path: Path) -> None:
    system = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    file = tmp_path / "ca.crt"
    file.write_text(f"# a comment\n{system}")
    assert trusted(str(file)).count("BEGIN CERTIFICATE") == 1
    assert trusted("") == system


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it holds no certificate in PEM format"),
        (
            "-----BEGIN CERTIFICATE-----\nabcd\n-----END CERTIFICATE-----\n",
            "its first certificate is damaged",
        ),
    ],
)
def test_a_file_without_a_certificate_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(text)
    with pytest.raises(UnusableFile, match=why):
        trusted(str(file))
    with pytest.raises(UnusableFile, match="no such file or directory"):
        trusted(str(tmp_path / "none.crt"))
    with pytest.raises(UnusableFile, match="is a directory"):
        trusted(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "hidden"), [("/root/ca.crt", True), ("/etc/ssl/ca.crt", False), ("/rooted/x", False)]
)
def test_what_the_sandbox_hides_is_known(file: str, hidden: bool) -> None:
    assert hidden_from_the_units(file) is hidden
