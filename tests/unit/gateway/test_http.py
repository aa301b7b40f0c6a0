"""What a gateway that has been broken into can answer, without doing us any harm."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress

import pytest

from hx_gateway_db.gateway import http
from hx_gateway_db.gateway.answerer import Service
from hx_gateway_db.gateway.http import NotAnswering, ProofFailed, call, models
from hx_gateway_db.layout import WRAPPER_UNIT
from hx_gateway_db.settings.values import Redis

pytestmark = pytest.mark.usefixtures("own_group")


class Server:
    """Answers one connection with these bytes; slowly, if asked to."""

    def __init__(self, answer: bytes, pause: float = 0.0) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.service = Service(WRAPPER_UNIT, self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, args=(answer, pause), daemon=True)
        self._thread.start()

    def _serve(self, answer: bytes, pause: float) -> None:
        # Nobody may come, or the client may have gone.
        with suppress(OSError):
            connection, _ = self._socket.accept()
            with connection:
                connection.recv(65536)
                step = 1 if pause else len(answer)
                for position in range(0, len(answer), step):
                    connection.sendall(answer[position : position + step])
                    time.sleep(pause)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.close()


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_json_comes_back_decoded(servers: list[Server]) -> None:
    servers.append(Server(answer(b'{"db": "connected"}')))
    assert call(servers[0].service, "GET", "/").body == {"db": "connected"}


def test_an_answer_that_drips_is_cut_off_at_the_time_limit(servers: list[Server]) -> None:
    servers.append(Server(answer(b"x" * 1000), pause=0.05))
    with pytest.raises(NotAnswering, match="did not answer within 1 s"):
        call(servers[0].service, "GET", "/", seconds=1.0)


def test_an_endless_answer_is_read_only_so_far(servers: list[Server]) -> None:
    servers.append(Server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 6 * 1024 * 1024))
    assert len(call(servers[0].service, "GET", "/").text) == 4 * 1024 * 1024


def test_deep_json_is_no_answer_that_is_looked_into(servers: list[Server]) -> None:
    servers.append(Server(answer(b"[" * 100_000)))
    assert call(servers[0].service, "GET", "/").body is None


@pytest.mark.parametrize("body", [{"data": 1}, {"data": None}, [], {"data": {"id": 1}}])
def test_a_list_of_models_that_is_none_is_said_to_be_none(
    servers: list[Server], body: object
) -> None:
    servers.append(Server(answer(json.dumps(body).encode())))
    with pytest.raises(ProofFailed, match="lists no models") as failed:
        models(servers[0].service, "sk-any")
    assert failed.value.port == servers[0].service.port


@pytest.mark.parametrize("key", ["sk-1\r\nHost: elsewhere", "sk-\N{SNOWMAN}"])
def test_a_key_that_is_no_header_is_not_sent(servers: list[Server], key: str) -> None:
    servers.append(Server(answer(b"{}")))
    with pytest.raises(NotAnswering, match="was not asked"):
        call(servers[0].service, "GET", "/", key)


def test_nobody_answering_is_said_in_one_line() -> None:
    with pytest.raises(NotAnswering, match="^port 1 does not answer: nobody listens there$"):
        call(Service(WRAPPER_UNIT, 1), "GET", "/")


def test_what_speaks_no_http_is_said_in_one_line(servers: list[Server]) -> None:
    servers.append(Server(b"220 mail.example.org ESMTP\r\n"))
    with pytest.raises(NotAnswering, match="ends the connection without an HTTP answer"):
        call(servers[0].service, "GET", "/")


@pytest.mark.parametrize(("answers", "reached"), [((503, 200), True), ((503, 503), False)])
def test_a_connection_that_redis_has_closed_is_no_failure_of_the_cache(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[int, ...], reached: bool
) -> None:
    left = list(answers)
    monkeypatch.setattr(http, "call", lambda *_, **__: http.Answer(left.pop(0), {}, "closed"))
    with nullcontext() if reached else pytest.raises(ProofFailed, match="does not reach"):
        http.check_cache("sk-master", Redis("r1"))
    assert left == []


def test_what_litellm_says_of_its_database_is_one_short_line() -> None:
    said = http.state_in(http.Answer(200, {"db": "a\033[2J\nb" + "c" * 1_000_000}, ""))
    assert said.startswith("a\N{REPLACEMENT CHARACTER}[2J bccc") and len(said) < 400
