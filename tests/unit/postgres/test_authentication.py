"""Logins to servers that are after the password, or that are not who they should be."""

import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hx_gateway_db.postgres.authentication import LoginFailed, log_in
from hx_gateway_db.postgres.certificates import trusted
from hx_gateway_db.postgres.channel import Channel
from hx_gateway_db.postgres.explanations import explain
from hx_gateway_db.postgres.scram import end_point
from hx_gateway_db.postgres.target import Target, administrator_target, target_of
from hx_gateway_db.settings.values import Login, Postgres
from hx_gateway_db.systemd import listeners
from hx_gateway_db.systemd.listeners import Listener
from tests.fake_postgres import (
    AUTHENTICATED,
    CLEAR_TEXT,
    GREETING,
    MD5,
    PASSWORD,
    READY,
    SASL,
    Client,
    Script,
    demanding,
    error,
    message,
    parameter,
    scram,
    serving,
)

POSTGRES = Postgres("db1", "hx", "hx", PASSWORD)
TARGET = target_of(POSTGRES)
ELSEWHERE, HERE = "192.0.2.7", "127.0.0.1"


class Attempt:
    """A login to a server that goes by `script`, at an address as if it were there."""

    def __init__(
        self,
        script: Script,
        address: str = ELSEWHERE,
        target: Target = TARGET,
        *,
        verified: bool = False,
        seconds: float = 2.0,
    ) -> None:
        ours, theirs = socket.socketpair()
        self.heard: list[bytes] = []
        self.client = Client(theirs, self.heard)

        def serve() -> None:
            with theirs, suppress(OSError, struct.error, ValueError, IndexError):
                script(self.client)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        self.greeting, self.sentence = b"", ""
        started = time.monotonic()
        with ours:
            channel = Channel(ours, address, target, started + seconds)
            channel.verified = verified
            try:
                self.greeting = log_in(channel, target)
            except LoginFailed as failed:
                self.sentence = _sentence(target, failed)
        self.seconds = time.monotonic() - started
        serving.join(2)

    @property
    def told(self) -> bool:
        return any(PASSWORD.encode() in heard for heard in self.heard)


def _sentence(target: Target, failed: LoginFailed) -> str:
    if failed.finding:
        return failed.finding.sentence
    return explain(target, failed.failure).sentence if failed.failure else "the time was up"


# Passwords that somebody asks for


@pytest.mark.parametrize(("demand", "how"), [(CLEAR_TEXT, "in clear text"), (MD5, "as MD5")])
def test_a_stranger_who_asks_for_the_password_does_not_get_it(demand: bytes, how: str) -> None:
    attempt = Attempt(demanding(demand))
    assert len(attempt.heard) == 2, "the startup message alone: its length and its content"
    assert not attempt.told
    assert attempt.sentence == (
        f"PostgreSQL at db1:5432 asks for the password of hx {how} over a connection that is not"
        " verified (who answers there or sits in between would learn it, so that it was not sent):"
        " answer PG_SSLMODE=verify-full, with the CA's file as PG_SSLROOTCERT; or have"
        " scram-sha-256 in its pg_hba.conf and as its password_encryption, then set the password"
        " anew."
    )


@pytest.mark.parametrize(
    "script",
    [
        demanding(SASL, CLEAR_TEXT),
        demanding(SASL, MD5),
        demanding(SASL, SASL, CLEAR_TEXT),
        demanding(CLEAR_TEXT, CLEAR_TEXT),
    ],
)
def test_a_second_demand_in_the_same_segment_is_not_answered(script: Script) -> None:
    attempt = Attempt(script)
    assert attempt.sentence and not attempt.told and not attempt.greeting


@pytest.mark.parametrize("first", [CLEAR_TEXT, MD5])
def test_who_has_been_answered_gets_no_second_answer(first: bytes) -> None:
    attempt = Attempt(demanding(first, CLEAR_TEXT), HERE)
    assert "is not PostgreSQL" in attempt.sentence
    answers = [heard for heard in attempt.heard if heard.endswith(b"\0") and len(heard) > 10]
    assert len(answers) == 2, "the startup message and one answer"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_on_this_host_an_old_server_gets_what_it_asks_for(address: str) -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(message(b"R", CLEAR_TEXT))
        client.hear()
        client.say(GREETING)

    attempt = Attempt(script, address)
    assert attempt.told and attempt.greeting == GREETING


@pytest.mark.parametrize("demand", [CLEAR_TEXT, MD5])
def test_on_this_host_an_ordinary_user_who_asks_gets_nothing(
    demand: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Listener(8, "python\x1b[31m3", "/user.slice/x.scope", 4242)
    monkeypatch.setattr(listeners, "other_end", lambda line, deadline: stranger)
    attempt = Attempt(demanding(demand), HERE)
    assert len(attempt.heard) == 2, "the startup message alone: its length and its content"
    assert "asks for the password of hx itself, is python" in attempt.sentence
    assert "(8) of the user 4242" in attempt.sentence
    assert "\x1b" not in attempt.sentence


@pytest.mark.parametrize("address", ["::ffff:192.0.2.7", "fe80::1", "10.0.0.1", "128.0.0.1"])
def test_no_other_address_is_this_host(address: str) -> None:
    assert not Attempt(demanding(CLEAR_TEXT), address).told


def test_a_server_that_has_been_verified_gets_what_it_asks_for() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(message(b"R", MD5))
        client.hear()
        client.say(GREETING)

    attempt = Attempt(script, verified=True)
    # md5(md5("of the role" + "hx") + "salt")
    assert attempt.heard[-1] == b"md553ea3cb7e13c37b56e35bfa587d4cd0b\0"
    assert attempt.greeting == GREETING and not attempt.told


# An administrator's


@pytest.mark.parametrize("demand", [CLEAR_TEXT, MD5, SASL])
def test_an_administrator_says_nothing_at_all_to_another_host_unencrypted(demand: bytes) -> None:
    target = administrator_target(POSTGRES, Login("dba", PASSWORD), "postgres")
    attempt = Attempt(demanding(demand), target=target)
    assert attempt.heard == []
    assert attempt.sentence == (
        "the connection to PostgreSQL at db1:5432 is not encrypted, and an administrator's password"
        " does not leave this host on one (who sits in between could use it, so that nothing was"
        " sent): switch TLS on there (ssl = on) and answer PG_SSLMODE=require, or give its"
        " administrator what 'hx-gateway-db provision --print' prints."
    )


# Servers that prove nothing


def test_a_server_that_lets_in_without_its_own_proof_is_none() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        scram(client)
        client.say(GREETING)

    attempt = Attempt(script)
    assert "does not prove that it knows the password of hx" in attempt.sentence


@pytest.mark.parametrize(
    "final", [b"v=", b"v=AAAA", b"e=other-error", b"", b"v=\xff", b"v=" + b"A" * 44]
)
def test_nor_is_one_with_a_false_proof(final: bytes) -> None:
    def script(client: Client) -> None:
        client.hear_start()
        scram(client)
        client.say(message(b"R", struct.pack(">i", 12) + final), GREETING)

    assert "does not prove that it knows" in Attempt(script).sentence


def test_a_server_that_proves_it_is_logged_into() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(scram(client), GREETING)

    attempt = Attempt(script)
    assert attempt.client.proven and attempt.greeting == GREETING and not attempt.told


def test_a_server_that_demands_nothing_lets_in() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(message(b"N", b"SNOTICE\0C00000\0Mhello\0\0"), GREETING)

    assert Attempt(script).greeting == GREETING


@pytest.mark.parametrize("iterations", ["0", "-1", "x", "", "1,i=1", "99999999999"])
def test_what_is_no_number_of_iterations_ends_the_login(iterations: str) -> None:
    assert "is not PostgreSQL" in Attempt(_counting(iterations)).sentence


def test_more_iterations_than_anybody_should_count_are_not_counted() -> None:
    attempt = Attempt(_counting("2147483647"))
    assert "asks for millions of iterations of SCRAM-SHA-256 for hx" in attempt.sentence
    assert attempt.seconds < 1


def _counting(iterations: str) -> Script:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(message(b"R", SASL))
        nonce = client.hear().split(b"r=")[1]
        first = b"r=" + nonce + b"more,s=c2FsdA==,i=" + iterations.encode()
        client.say(message(b"R", struct.pack(">i", 11) + first))
        client.hear()

    return script


@pytest.mark.parametrize("kind", [2, 6, 7, 9, 99])
def test_another_way_to_log_in_is_not_gone(kind: int) -> None:
    attempt = Attempt(demanding(struct.pack(">i", kind)))
    assert "asks for a way to log in that" in attempt.sentence and not attempt.told


# Time and memory


@pytest.mark.parametrize(
    "flood",
    [
        message(b"N", b"SNOTICE\0C00000\0Mx\0\0"),
        parameter("name", "value"),
        message(b"K", bytes(8)),
        b"S\x7f\xff\xff\xff" + bytes(1000),
        b"S\xff\xff\xff\xff",
        b"S\0\0\0\0",
        bytes(1000),
    ],
)
@pytest.mark.parametrize("before", [b"", AUTHENTICATED])
def test_an_endless_greeting_ends(flood: bytes, before: bytes) -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(before)
        while True:
            client.say(flood * 100)

    attempt = Attempt(script)
    assert "is not PostgreSQL" in attempt.sentence and attempt.seconds < 1


def test_a_greeting_that_drips_ends_at_the_deadline() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.drip(GREETING * 100)

    attempt = Attempt(script, seconds=0.3)
    assert attempt.sentence == "the time was up" and attempt.seconds < 1


def test_a_server_that_hangs_up_or_is_silent_is_told_apart() -> None:
    assert "breaks off the login" in Attempt(lambda client: None).sentence
    assert "breaks off the login" in Attempt(lambda client: client.say(READY[:3])).sentence
    assert Attempt(demanding(), seconds=0.2).sentence == "the time was up"


def test_an_error_is_what_the_server_says_by_its_number() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(error("3D000", 'database "hx" does not exist'))

    assert Attempt(script).sentence.startswith("PostgreSQL at db1:5432 has no database hx")


def test_an_error_without_fields_and_one_that_is_endless_are_cut() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(message(b"E", b'role "' * 10_000))

    started = time.monotonic()
    assert len(Attempt(script).sentence) < 500
    assert time.monotonic() - started < 1


# TLS


@pytest.mark.parametrize("mechanisms", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS SCRAM-SHA-256"])
def test_over_tls_a_login_is_bound_to_the_certificate(certificate: Path, mechanisms: str) -> None:
    bound: list[bytes] = []

    def script(client: Client) -> None:
        client.hear_start()
        final = scram(client, mechanisms=mechanisms)
        bound.append(client.bound_to)
        client.say(final, GREETING)

    with (
        serving(script, tls=certificate) as server,
        socket.create_connection((HERE, server.target.port)) as connection,
    ):
        channel = Channel(connection, ELSEWHERE, server.target, time.monotonic() + 2)
        assert channel.offers_tls()
        channel.encrypt("")
        assert log_in(channel, server.target) == GREETING
        binding = b"p=tls-server-end-point,," + end_point(channel.certificate)
        channel.close()
    # "y": a server that does offer it would know that somebody has taken the offer away.
    assert bound == [binding if "PLUS" in mechanisms else b"y,,"]


@pytest.mark.parametrize("administrator", [True, False])
@pytest.mark.parametrize("demand", [CLEAR_TEXT, MD5])
def test_encrypted_to_somebody_whose_certificate_nobody_checks_is_not_verified(
    certificate: Path, demand: bytes, administrator: bool
) -> None:
    with (
        serving(demanding(demand), tls=certificate) as server,
        socket.create_connection((HERE, server.target.port)) as connection,
    ):
        dba = administrator_target(server.postgres, Login("dba", PASSWORD), "postgres")
        target = dba if administrator else server.target
        channel = Channel(connection, ELSEWHERE, target, time.monotonic() + 2)
        assert channel.offers_tls()
        channel.encrypt("")
        with pytest.raises(LoginFailed) as failed:
            log_in(channel, target)
        channel.close()
    assert failed.value.finding and "that is not verified" in failed.value.finding.what
    assert not server.knows(PASSWORD) and not server.knows("md5")


def test_with_the_certificate_checked_it_is(certificate: Path) -> None:
    with (
        serving(demanding(CLEAR_TEXT), tls=certificate) as server,
        socket.create_connection((HERE, server.target.port)) as connection,
    ):
        channel = Channel(connection, ELSEWHERE, server.target, time.monotonic() + 0.3)
        assert channel.offers_tls()
        channel.encrypt(trusted(str(certificate)))
        with pytest.raises(LoginFailed):
            log_in(channel, server.target)
        channel.close()
    assert server.knows(PASSWORD)
