"""Making a user on a Redis that answers what it likes."""

import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from hx_gateway_db.errors import Refused
from hx_gateway_db.redis import administration, check
from hx_gateway_db.redis.administration import (
    Persistence,
    Provisioned,
    forget_local,
    persistence,
    provision_as,
    provision_local,
)
from hx_gateway_db.redis.conf import Secret, ServerConfiguration
from hx_gateway_db.settings.values import Login, Redis
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

SECONDS = 0.5
ADMINISTRATOR = Login("boss", "boss-4711")
HOSTILE: dict[str, object] = {
    "a number": b":7\r\n",
    "a text": b"+OK\r\n",
    "bytes": bulk(bytes(range(256))),
    "an empty list": b"*0\r\n",
    "a list of nothing": b"*2\r\n$-1\r\n*-1\r\n",
    "a list of lists": b"*2\r\n*1\r\n:1\r\n*1\r\n:2\r\n",
    "a list of errors": b"*2\r\n-ERR a\r\n-ERR b\r\n",
    "a path that writes to a terminal": b"*2\r\n$7\r\naclfile\r\n$9\r\n/a\x1b[31m\r\n\r\n",
    "a path of 900,000 letters": b"*2\r\n$7\r\naclfile\r\n" + bulk("/" + "a" * 900_000),
    "a map": b"%1\r\n+aclfile\r\n+/x\r\n",
    "lists in lists": b"*1\r\n" * 10_000 + b"+x\r\n",
    "a number that is none": b"*x\r\n",
    "an error": b"-ERR Usernames can't\x1b[31m ACL SETUSER\r\n",
    "a refusal": b"-NOPERM this user has no permissions\r\n",
    "a text of 512 MB": (b"$536870912\r\n", LETTERS),
    "a drip": DRIP,
    "silence": SILENCE,
    "a flood": FLOOD,
}
Call = Callable[[Redis], object]


def as_administrator(redis: Redis) -> Provisioned:
    return provision_as(redis, ADMINISTRATOR, ours=False)


def here(redis: Redis) -> Provisioned:
    return provision_local(redis, ours=True)


# What is answered oddly, and who asks it.
CALLS: dict[str, tuple[Call, ...]] = {
    "ACL GETUSER": (as_administrator, persistence, forget_local),
    "ACL SETUSER": (as_administrator, here),
    "ACL SAVE": (as_administrator,),
    "ACL DELUSER": (forget_local,),
    "CONFIG GET": (as_administrator, persistence),
    "INFO": (here,),
}
ACL_FILE = b"*2\r\n$7\r\naclfile\r\n" + bulk("/etc/redis/users.acl")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_SECONDS", SECONDS, raising=False)
    monkeypatch.setattr(administration, "_SECONDS", SECONDS, raising=False)
    monkeypatch.setattr(administration, "configurations", list)


def said(call: Call, fake: FakeRedis) -> list[str]:
    """What a call says, which is fit to be shown and comes in time."""
    started = time.monotonic()
    try:
        result = call(Redis("127.0.0.1", fake.port, user="hx", password=PASS))
    except Refused as refusal:
        sentences = [str(refusal)]
    else:
        sentences = list(result.done) if isinstance(result, Provisioned) else []
        sentences += [result.acl_file] if isinstance(result, Persistence) else []
    assert time.monotonic() - started < 3 * SECONDS + 1.5
    for sentence in sentences:
        assert len(sentence) < 1000
        assert not [letter for letter in sentence if unicodedata.category(letter)[0] == "C"]
        assert PASS not in sentence and ADMINISTRATOR.password not in sentence
    return sentences


@pytest.mark.parametrize("answer", HOSTILE)
def test_an_answer_that_is_none_is_refused_or_overlooked_in_time(answer: str) -> None:
    quick = isinstance(HOSTILE[answer], bytes)
    for command in CALLS if quick else ("ACL GETUSER", "CONFIG GET"):
        for call in CALLS[command] if quick else CALLS[command][:1]:
            with fake_redis({"CONFIG GET": ACL_FILE, command: HOSTILE[answer]}) as fake:
                said(call, fake)


def test_a_user_is_made_and_its_file_is_named() -> None:
    with fake_redis({"CONFIG GET": ACL_FILE}) as fake:
        assert said(as_administrator, fake)[1] == "It is kept in the server's /etc/redis/users.acl."


def test_a_password_of_a_file_is_shown_to_nobody_who_may_not_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While Redis is down, anybody can listen on its port and ask for a password."""
    with fake_redis({"ACL GETUSER": b"-NOAUTH Authentication required.\r\n"}) as fake:
        secret = Secret("requirepass-4711", Path("/x"), ((4242, 4242, 0o600),))
        found = ServerConfiguration((fake.port,), "", (secret,))
        monkeypatch.setattr(administration, "configurations", lambda: [found])
        monkeypatch.setattr(Secret, "readable_by", lambda *process: False)
        (sentence,) = said(here, fake)
        assert "it may not read /x" in sentence
        assert b"requirepass-4711" not in fake.heard


def test_the_process_that_a_server_says_to_be_is_not_looked_at(tmp_path: Path) -> None:
    """A number with a path in it made root read a user's files, and take a unit's name there."""
    (tmp_path / "comm").write_text("redis-server\n")
    (tmp_path / "cgroup").write_text("0::/system.slice/evil.service\n")
    answers = {
        "CONFIG GET": b"*0\r\n",
        "INFO": information(process_id=f"../{tmp_path}"),
    }
    with fake_redis(answers) as fake:
        redis = Redis("127.0.0.1", fake.port, user="hx", password=PASS)
        assert persistence(redis) == Persistence()
