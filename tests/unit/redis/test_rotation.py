"""A second password for a Redis user: what is sent, who holds on to the old one, odd answers."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from hx_gateway_db.errors import Refused
from hx_gateway_db.redis.rotation import Administered, closing_commands, opening_commands
from hx_gateway_db.redis.rule import password_hash
from hx_gateway_db.settings.values import Login, Redis
from tests.fake_redis import FakeRedis, bulk, fake_redis

OLD, NEW = password_hash("of today"), password_hash("of tomorrow")
HASHES = [OLD.removeprefix("#"), NEW.removeprefix("#")]


def user(*hashes: str) -> bytes:
    """What ACL GETUSER answers, as far as it matters."""
    listed = b"".join(map(bulk, hashes))
    return (
        b"*4\r\n"
        + bulk("flags")
        + b"*0\r\n"
        + bulk("passwords")
        + b"*%d\r\n%b"
        % (
            len(hashes),
            listed,
        )
    )


CLIENTS = """\
id=3 addr=10.0.0.7:4711 laddr=10.0.0.1:6379 name= age=500 idle=1 db=0 cmd=get user=hx
id=4 addr=10.0.0.7:4712 name= age=500 user=hx lib-name=redis-py
id=5 addr=10.0.0.8:4712 name= age=7 user=hx
id=6 addr=10.0.0.9:4712 name= age=900 user=others
id=7 addr=[fd00::1]:4712 name= age=61 user=hx
id=8 odd
"""


@contextmanager
def server(**answers: object) -> Iterator[tuple[FakeRedis, Administered]]:
    names = {key.replace("_", " ").upper(): value for key, value in answers.items()}
    with fake_redis({"ACL GETUSER": user(*HASHES), **names}) as fake:
        redis = Redis("127.0.0.1", fake.port, "hx", "of today")
        yield fake, Administered(redis, Login("boss", "boss-4711"))


def sent(fake: FakeRedis) -> str:
    return fake.heard.decode(errors="replace")


def test_the_new_password_stands_beside_the_old_as_its_hash() -> None:
    with server() as (fake, administered):
        assert administered.open(NEW) == ("let the Redis user hx log in with a second password",)
    assert NEW in sent(fake) and "reset" not in sent(fake)
    assert "of today" not in sent(fake) and "of tomorrow" not in sent(fake)


def test_a_user_that_is_not_there_gets_no_password() -> None:
    with (
        server(acl_getuser=b"$-1\r\n") as (_, administered),
        pytest.raises(Refused, match="has no user hx"),
    ):
        administered.open(NEW)


def test_what_the_server_can_t_keep_is_taken_back() -> None:
    kept = b"*2\r\n" + bulk("aclfile") + bulk("/etc/redis/users.acl")
    answers: Mapping[str, object] = {"config_get": kept, "acl_save": b"-ERR no space\r\n"}
    with server(**answers) as (fake, administered), pytest.raises(Refused, match="can't write"):
        administered.open(NEW)
    assert f"!{HASHES[1]}" in sent(fake)


def test_who_is_connected_for_longer_than_the_change_keeps_the_old_one_open() -> None:
    with server(client_list=bulk(CLIENTS)) as (fake, administered):
        assert administered.close(OLD, 60) == [
            "2 clients from 10.0.0.7",
            "one client from [fd00::1]",
        ]
        assert "SETUSER" not in sent(fake)
        assert administered.close(OLD, 1000) == []
        assert f"!{HASHES[0]}" in sent(fake)


def test_a_password_that_is_gone_already_is_closed() -> None:
    with server(client_list=bulk(""), acl_getuser=user(HASHES[1])) as (fake, administered):
        assert administered.close(OLD, 0) == []
        assert "SETUSER" not in sent(fake)


@pytest.mark.parametrize("answer", [b":7\r\n", b"*0\r\n", b"$-1\r\n", b"-NOPERM no\r\n"])
def test_a_list_of_clients_that_is_none_closes_nothing(answer: bytes) -> None:
    with server(client_list=answer) as (fake, administered), pytest.raises(Refused):
        administered.close(OLD, 0)
    assert "SETUSER" not in sent(fake)


def test_an_administrator_is_told_hashes_and_no_password() -> None:
    redis = Redis("r1", 6379, "hx", "of today", tls=True)
    opening, closing = opening_commands(redis, NEW), closing_commands(redis, OLD)
    assert f"redis-cli -h r1 -p 6379 --tls ACL SETUSER hx '{NEW}'\n" in opening
    assert f"ACL SETUSER hx '!{HASHES[0]}'\n" in closing
    assert "of today" not in opening + closing


def test_without_a_new_password_the_commands_ask_for_it(tmp_path: Path) -> None:
    script = opening_commands(Redis("r1", 6379, "hx", "of today"), "")
    cli = tmp_path / "redis-cli"
    cli.write_text('#!/bin/sh\necho "$@"\n')
    cli.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script],
        input="pa $ss\n",
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    digest = hashlib.sha256(b"pa $ss").hexdigest()
    assert f"ACL SETUSER hx #{digest}" in done.stdout
