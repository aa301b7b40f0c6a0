"""What a server can do to us once it has let us in: through psycopg, as everything of ours goes."""

import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import failures
from hx_gateway_db.postgres import administration, check
from hx_gateway_db.postgres.check import NotUsable
from hx_gateway_db.postgres.facts import Pool
from hx_gateway_db.postgres.relay import accepted
from hx_gateway_db.settings.values import Login
from tests.fake_postgres import (
    AUTHENTICATED,
    GREETING,
    PASSWORD,
    READY,
    Client,
    Script,
    message,
    parameter,
    scram,
    serving,
)

CUT = "answers with more than there can be"
NAMES = tuple("abcdefghijklm")


IN_TRANSACTION = b"Z\0\0\0\x05T"
DONE = message(b"C", b"ROLLBACK\0") + READY


def answering(*answers: bytes, endless: bytes = b"", greeting: bytes = GREETING) -> Script:
    """Let anybody in, answer one query after the other, and then say `endless` for ever."""

    def script(client: Client) -> None:
        client.hear_start()
        client.say(greeting)
        left = list(answers)
        while said := client.hear():
            if said[:1] in (b"Q", b"S"):  # a query, or the end of one with values
                client.say(left.pop(0) if left else DONE if not endless else b"")
            while not left and endless and said[:1] in (b"Q", b"S"):
                client.say(endless)

    return script


def rows(*values: bytes | None, kind: int = 25, number: int = 1, simple: bool = False) -> bytes:
    """An answer of that many equal rows, all of whose columns claim to be of a type."""
    columns = b"".join(
        name.encode() + b"\0" + struct.pack(">ihihih", 0, 0, kind, -1, -1, 0)
        for name in NAMES[: len(values)]
    )
    row = b"".join(
        struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value
        for value in values
    )
    count = struct.pack(">h", len(values))
    return (
        (b"" if simple else message(b"1") + message(b"2"))
        + message(b"T", count + columns)
        + message(b"D", count + row) * number
        + message(b"C", b"SELECT 1\0")
        + IN_TRANSACTION
    )


BEGUN = message(b"C", b"BEGIN\0") + IN_TRANSACTION
SET = rows(b"2000ms")
PID = rows(b"7", simple=True)
RIGHTS = (b"UTF8", b"f", b"f", b"%d", None, b"t", b"t", b"public", b"", b"0", b"", b"", b"0")


def inspected(script: Script) -> tuple[str, float]:
    """The sentences of what fails, and how long it took."""
    started = time.monotonic()
    with serving(script) as server:
        found = check.inspect_postgres(server.postgres, Pool()).findings
    said = " ".join(finding.sentence for finding in failures(found))
    return said, time.monotonic() - started


# Floods and drips


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(message(b"N", b"SNOTICE\0C00000\0Mx\0\0") * 1000, id="notices"),
        pytest.param(message(b"A", struct.pack(">i", 7) + b"x\0x\0") * 1000, id="notifications"),
        pytest.param(message(b"D", struct.pack(">hi", 1, 1) + b"x") * 1000, id="rows"),
        pytest.param(message(b"T", struct.pack(">h", 0)) * 1000, id="columns"),
        pytest.param(READY * 1000, id="readiness"),
        pytest.param(message(b"C", b"SELECT 1\0") * 1000, id="ends"),
        pytest.param(b"D\x7f\xff\xff\xff" + bytes(1000), id="a huge message"),
        pytest.param(b"D\0\0\0\0" * 1000, id="messages of no length"),
        pytest.param(b"D\xff\xff\xff\xff" * 1000, id="messages of negative length"),
        pytest.param(bytes(100_000), id="zeros"),
    ],
)
def test_an_endless_answer_is_cut_off(endless: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said, seconds = inspected(answering(BEGUN, endless=endless))
    assert CUT in said or "can't be used as hx" in said or "breaks off" in said, said
    assert seconds < 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_endless_parameters_do_not_keep_libpq_busy() -> None:
    # It walks the whole list of them for each one: 4 MiB of them would take a minute.
    many = b"".join(parameter(f"p{number}", "") for number in range(2000))
    said, seconds = inspected(answering(BEGUN, endless=many))
    assert CUT in said and seconds < 2


def test_a_drip_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_LOGIN_SECONDS", 0.6)

    def script(client: Client) -> None:
        client.hear_start()
        client.say(GREETING)
        client.hear()
        client.drip(message(b"N", b"SNOTICE\0C00000\0Mx\0\0") * 1000)

    said, seconds = inspected(script)
    assert "does not answer a query within 1 s" in said and 0.5 < seconds < 2


def test_provisioning_ends_at_its_deadline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "_SECONDS", 1)
    monkeypatch.setattr(check, "_LOGIN_SECONDS", 0.3)

    def script(client: Client) -> None:
        client.hear_start()
        client.say(scram(client), GREETING)
        if client.hear():
            client.drip(message(b"N", b"SNOTICE\0C00000\0Mx\0\0") * 1000)

    started = time.monotonic()
    with serving(script) as server, pytest.raises(Refused):
        administration.provision_as(server.postgres, Login("dba", PASSWORD))
    assert time.monotonic() - started < 3


# Answers that are none


@pytest.mark.parametrize(
    "rights",
    [
        (),
        (b"UTF8",),
        (None,) * 11,
        (b"\xff",) + RIGHTS[1:],
        RIGHTS[:1] + (b"maybe",) + RIGHTS[2:],
        RIGHTS[:3] + (b"nan",) + RIGHTS[4:],
        RIGHTS[:3] + (b"1e999",) + RIGHTS[4:],
        RIGHTS[:9] + (b"9" * 5000,) + RIGHTS[10:],
        RIGHTS[:9] + (b"[" * 5000,) + RIGHTS[10:],
    ],
)
@pytest.mark.parametrize("kind", [25, 20, 114, 1184, 2950, 999999])
def test_an_answer_of_another_shape_is_a_finding(
    rights: tuple[bytes | None, ...], kind: int
) -> None:
    said, _ = inspected(answering(BEGUN, SET, PID, rows(*rights, kind=kind)))
    assert "PostgreSQL at 127.0.0.1" in said and "can't be used as hx on hx" in said


@pytest.mark.parametrize("until", [b"1e18", b"-1e18", b"9999999999999"])
def test_a_password_that_lasts_for_ages_is_no_trouble(until: bytes) -> None:
    now = str(time.time()).encode()
    rights = RIGHTS[:3] + (now, until) + RIGHTS[5:]
    said, _ = inspected(answering(BEGUN, SET, rows(b"8", simple=True), rows(*rights)))
    assert said == ""


def test_names_that_the_server_tells_are_cut_and_made_printable() -> None:
    odd = b"x\x1b[31m$(reboot)\n" + b"y" * 1000
    rights = RIGHTS[:3] + (str(time.time()).encode(), *RIGHTS[4:8], odd, *RIGHTS[9:])
    with serving(answering(BEGUN, SET, rows(b"8", simple=True), rows(*rights))) as server:
        found = check.inspect_postgres(server.postgres, Pool()).findings
    (tables,) = (one for one in found if one.name == "postgres.tables")
    assert "belong to the role x\ufffd[31m$(reboot) yyy" in tables.what
    assert len(tables.what) < 200 and "reboot" not in tables.cure
    assert 'make "hx" a member of that role' in tables.cure


def test_an_encoding_that_nobody_asked_for_is_a_finding() -> None:
    greeting = GREETING.replace(b"UTF8", b"UHC\0")
    said, _ = inspected(answering(BEGUN, greeting=greeting))
    assert "can't be used" in said or "breaks off" in said


@pytest.mark.parametrize("answer", [message(b"G", bytes(3)), message(b"H", bytes(3)), b"x", READY])
def test_an_answer_of_another_kind_is_a_finding(answer: bytes) -> None:
    said, seconds = inspected(answering(BEGUN, answer + READY))
    assert "PostgreSQL at 127.0.0.1" in said and seconds < 6


def test_the_tables_and_rows_of_a_stranger_are_findings_too() -> None:
    flood = message(b"D", struct.pack(">hi", 1, 1) + b"x") * 1000
    with serving(answering(endless=flood)) as server:
        with pytest.raises(NotUsable):
            check.missing_tables(server.postgres)
        with pytest.raises(NotUsable), check.spend_rows(server.postgres, 1) as written:
            written("request", "")
    with serving(answering(rows(b"\xff"))) as server, pytest.raises(NotUsable):
        check.missing_tables(server.postgres)


def test_a_schema_with_odd_characters_is_looked_into() -> None:
    with serving(answering(rows(b"1", kind=23))) as server:
        settings = server.postgres
        odd = type(settings)(
            settings.host,
            "hx",
            "hx",
            PASSWORD,
            settings.port,
            parameters=(("schema", 'a"%s%(b)s{}'),),
        )
        with check.spend_rows(odd, 1) as written:
            assert written("request", "")
    assert server.knows('"a""%s%(b)s{}"."LiteLLM_SpendLogs"')


# The way to libpq


def test_another_process_that_connects_to_our_socket_is_hung_up_on() -> None:
    name = f"\0hx-test-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as ours:
        listener.bind(name)
        listener.listen()
        program = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('\\0' + sys.argv[1])"
        )
        subprocess.run([sys.executable, "-c", program, name[1:]], check=True)
        ours.connect(name)
        assert accepted(listener) is None
        near = accepted(listener)
        assert near
        with near:
            near.sendall(b"x")
            assert ours.recv(1) == b"x"


def test_nothing_is_left_of_a_connection() -> None:
    threads = threading.active_count()
    with serving(answering()) as server, check.spend_rows(server.postgres, 5):
        pass
    deadline = time.monotonic() + 2
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    assert b"X" in server.heard, "the server knows that this was the end"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is one also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_who_loses_patience_is_let_go() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(GREETING)
        client.hear()
        time.sleep(0.1)
        signal.raise_signal(signal.SIGINT)
        time.sleep(3)

    started = time.monotonic()
    with serving(script) as server, pytest.raises(KeyboardInterrupt):
        check.inspect_postgres(server.postgres, Pool())
    assert time.monotonic() - started < 2.5


def test_the_server_s_greeting_is_what_psycopg_knows() -> None:
    version = AUTHENTICATED + GREETING[len(AUTHENTICATED) :].replace(b"15.0", b"17.2")
    now = str(time.time()).encode()
    rights = RIGHTS[:3] + (now, *RIGHTS[4:])
    script = answering(BEGUN, SET, rows(b"8", simple=True), rows(*rights), greeting=version)
    with serving(script) as server:
        found = {
            one.name: one.what for one in check.inspect_postgres(server.postgres, Pool()).findings
        }
    assert found["postgres.version"].endswith("is version 17.2")
    assert "a pooler (PgBouncer) stands in front" in found["postgres.pooler"]
