"""Whatever a Redis answers, or leaves out, is a finding, and comes to an end."""

import time
import unicodedata

import pytest

from hx_gateway_db.findings import Finding, Level, failures
from hx_gateway_db.redis import check
from hx_gateway_db.redis.check import inspect_redis
from hx_gateway_db.settings.values import Redis
from tests.fake_redis import (
    DRIP,
    FLOOD,
    LETTERS,
    PASS,
    SILENCE,
    FakeRedis,
    bulk,
    fake_redis,
    information,
)

SECONDS = 0.6
HOSTILE: dict[str, object] = {
    "a number": b":7\r\n",
    "a list": b"*2\r\n+a\r\n:1\r\n",
    "nothing": b"$-1\r\n",
    "no list": b"*-1\r\n",
    "an empty text": b"$0\r\n\r\n",
    "bytes": bulk(bytes(range(256))),
    "control characters": b"-ERR \x1b[31m\x07\xc2\x9b31m\x00 x\r\n",
    "fields that are none": bulk("redis_version\r\nrole\r\n:::\r\n\x85x:1\r\n"),
    "a number that is none": b":seven\r\n",
    "a number of many digits": b":" + b"9" * 5000 + b"\r\n",
    "a length that is none": b"$x\r\n",
    "a negative length": b"$-7\r\n",
    "a list of a negative length": b"*-7\r\n",
    "a length of many digits": b"*" + b"9" * 5000 + b"\r\n",
    "a text of 512 MB": (b"$536870912\r\n", LETTERS),
    "a list of 10^18": (b"*1000000000000000000\r\n", FLOOD),
    "a line without an end": (b"+", LETTERS),
    "lists in lists": b"*1\r\n" * 10_000 + b"+x\r\n",
    "a map": b"%1\r\n+server\r\n+redis\r\n",
    "a push": b">2\r\n+message\r\n+x\r\n",
    "a big number": b"(3492890328409238509324850943850943825024385\r\n",
    "a null of RESP3": b"_\r\n",
    "a truth": b"#t\r\n",
    "a verbatim text": b"=7\r\ntxt:abc\r\n",
    "a redirection that leads nowhere": b"-MOVED\r\n",
    "another": b"-ASK x y z\r\n",
    "an error without words": b"-\r\n",
    "an error of many words": b"-ERR " + b"://:" * 50_000 + b"\r\n",
    "an end": (b"", None),
    "a drip": DRIP,
    "silence": SILENCE,
    "a flood": FLOOD,
}
COMMANDS = ("AUTH", "CLIENT SETINFO", "SELECT", "PING", "INFO", "SET", "SCAN", "EXEC", "DEL")
INFO: dict[str, dict[str, str | None]] = {
    "a replica of nobody": {"role": "slave"},
    "a replica of half an address": {"role": "slave", "master_host": "r2"},
    "a replica of a command": {"role": "slave", "master_host": "$(id)", "master_port": "6379"},
    "a replica of no number": {"role": "slave", "master_host": "r2", "master_port": "²"},
    "a memory without words": {"maxmemory": "1", "maxmemory_policy": "noeviction"},
    "a memory of many words": {
        "maxmemory": "1",
        "maxmemory_policy": "noeviction",
        "maxmemory_human": "'; id #" * 1000,
    },
    "a version of odd digits": {"redis_version": "7.²"},
    "a version of a million digits": {"redis_version": "7." + "1" * 900_000},
    "a version of a million parts": {"redis_version": "7" + ".1" * 400_000},
    "a version that writes to a terminal": {"redis_version": "7\x1b]0;x\x07"},
    "no version": {"redis_version": None},
    "an unknown mode": {"redis_mode": "\x1b"},
}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_SECONDS", SECONDS)


def look(fake: FakeRedis, **more: object) -> tuple[Finding, ...]:
    """What is found, which is fit to be shown and comes in time."""
    started = time.monotonic()
    redis = Redis("127.0.0.1", fake.port, **{"password": PASS, "database": 1, **more})  # type: ignore[arg-type]
    found = inspect_redis(redis)
    assert time.monotonic() - started < SECONDS + 1.5
    assert found
    for each in found:
        assert len(each.sentence) < 1000
        assert not [letter for letter in each.sentence if unicodedata.category(letter)[0] == "C"]
        assert PASS not in each.sentence
    return found


def test_a_redis_that_is_in_order_passes() -> None:
    with fake_redis() as fake:
        assert {each.level for each in look(fake)} == {Level.OK}


@pytest.mark.parametrize("answer", HOSTILE)
def test_an_answer_that_is_none_is_a_finding_in_time(answer: str) -> None:
    # One at a time is enough for those that take all of the time.
    commands = COMMANDS if isinstance(HOSTILE[answer], bytes) else ("INFO", "AUTH")
    for command in commands:
        with fake_redis({command: HOSTILE[answer]}) as fake:
            look(fake)
    if not isinstance(HOSTILE[answer], bytes):
        with fake_redis({"INFO": HOSTILE[answer]}) as fake:
            assert failures(look(fake))


@pytest.mark.parametrize("fields", INFO)
def test_what_a_server_says_of_itself_is_shown_as_data(fields: str) -> None:
    with fake_redis({"INFO": information(**INFO[fields])}) as fake:
        for each in look(fake):
            assert "id" not in each.cure.split()
            assert "$(" not in each.sentence


def test_a_drip_within_tls_ends_in_time() -> None:
    with fake_redis(handshake=DRIP) as fake:
        started = time.monotonic()
        assert failures(inspect_redis(Redis("127.0.0.1", fake.port, tls=True)))
        assert time.monotonic() - started < SECONDS + 1.5


def test_two_dots_at_the_end_of_a_name_are_a_finding() -> None:
    (found,) = inspect_redis(Redis("localhost.."))
    assert found.name == "redis.name"
