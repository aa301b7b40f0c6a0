"""Redis: what the check says of servers that are wrong, and the gateway's user, made and kept.

Everything runs inside a machine through the installed package, against real servers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hx_gateway_db.settings.values import REDIS_USER
from tests.machine.installation import chat, make_database
from tests.machine.machine import (
    BASE,
    CONFIG_YAML,
    LITELLM_UNIT,
    LITELLM_URL,
    MASTER_KEY,
    Machine,
)
from tests.machine.redis_servers import (
    AUTHORITY,
    CERTIFICATES,
    OTHER_AUTHORITY,
    make_certificates,
    start_servers,
)
from tests.machine.strangers import BUSY, ELSEWHERE, FULL, SILENT, SSH, TRICKLING, WEB

pytestmark = pytest.mark.sample_release("bookworm")

PASSWORD = "pa ss:w/%#?&+ä;$\\\"'@€"

INSPECT = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from hx_gateway_db.redis.check import inspect_redis
from hx_gateway_db.settings.values import Redis

def look(fields):
    start = time.monotonic()
    found = inspect_redis(Redis(**{"host": "127.0.0.1", **fields}))
    said = [[finding.name, finding.level.value, finding.sentence] for finding in found]
    return said, time.monotonic() - start

with ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(look, json.load(sys.stdin)))))
"""

Fields = dict[str, Any]


class Looked(NamedTuple):
    """What an inspection found, as name, level and sentence, and how long it took."""

    found: list[list[str]]
    seconds: float

    @property
    def failure(self) -> list[str]:
        """The name and sentence of the only failure."""
        failed = [[name, said] for name, level, said in self.found if level == "failed"]
        assert len(failed) == 1, self.found
        return failed[0]

    @property
    def levels(self) -> dict[str, str]:
        return {name: level for name, level, _ in self.found}


def python(machine: Machine, script: str, data: object = None) -> Any:
    """Run a script with the package's library, and read what it prints."""
    done = machine.run(["/usr/bin/python3", "-c", script], input=json.dumps(data))
    return json.loads(done.stdout)


def inspect(machine: Machine, *settings: Fields) -> list[Looked]:
    return [Looked(*looked) for looked in python(machine, INSPECT, settings)]


def redis_cli(machine: Machine, port: int, *words: str) -> str:
    return machine.run(["redis-cli", "-p", str(port), *words]).stdout.strip()


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A machine with the package, certificates and servers."""
    shared_machine.install(deb)
    make_certificates(shared_machine)
    start_servers(shared_machine)
    return shared_machine


# A login that is wrong, a server that is, or something else on the port

TLS: Fields = {"host": "localhost", "tls": True, "ca_file": AUTHORITY}
DROP = "let it drop what expires anyway: redis-cli CONFIG SET maxmemory-policy volatile-lru"

FAILURES: dict[str, tuple[Fields, str, str]] = {
    "a name that does not resolve": (
        {"host": "redis.invalid"},
        "redis.name",
        "the host name redis.invalid does not resolve: check REDIS_HOST and the DNS.",
    ),
    "a port that nobody listens on": (
        {"port": 7999},
        "redis.port",
        "Redis at 127.0.0.1:7999 refuses connections: check REDIS_PORT and that the server runs.",
    ),
    "a network without a way to it": (
        {"host": "192.0.2.1"},
        "redis.port",
        "there is no route to Redis at 192.0.2.1:6379: check REDIS_HOST and the network.",
    ),
    "a port that is filtered": (
        {"port": FULL},
        "redis.port",
        f"Redis at 127.0.0.1:{FULL} does not answer in time:"
        " check REDIS_HOST, REDIS_PORT and the firewall.",
    ),
    "a server that accepts and hangs": (
        {"port": SILENT},
        "redis.port",
        f"Redis at 127.0.0.1:{SILENT} does not answer in time:"
        " check REDIS_HOST, REDIS_PORT and the firewall.",
    ),
    "a server that answers a byte a second": (
        {"port": TRICKLING},
        "redis.port",
        f"Redis at 127.0.0.1:{TRICKLING} does not answer in time:"
        " check REDIS_HOST, REDIS_PORT and the firewall.",
    ),
    "a web server": (
        {"port": WEB},
        "redis.server",
        f"on 127.0.0.1:{WEB} is a web server, no Redis: check REDIS_HOST and REDIS_PORT.",
    ),
    "an SSH server": (
        {"port": SSH},
        "redis.server",
        f"on 127.0.0.1:{SSH} is an SSH server, no Redis: check REDIS_HOST and REDIS_PORT.",
    ),
    "PostgreSQL": (
        {"port": 5432},
        "redis.server",
        "on 127.0.0.1:5432 is a PostgreSQL server, no Redis: check REDIS_HOST and REDIS_PORT.",
    ),
    "no password": (
        {"port": 7001},
        "redis.login",
        "Redis at 127.0.0.1:7001 asks for a password: answer REDIS_USER and REDIS_PASS.",
    ),
    "a wrong password": (
        {"port": 7001, "password": PASSWORD},
        "redis.login",
        "Redis at 127.0.0.1:7001 refuses the login of the user default (the password is wrong,"
        " or there is no such user, or it is switched off): check REDIS_USER and REDIS_PASS.",
    ),
    "a user that is switched off": (
        {"port": 7019, "user": "off", "password": PASSWORD},
        "redis.login",
        "Redis at 127.0.0.1:7019 refuses the login of the user off (the password is wrong,"
        " or there is no such user, or it is switched off): check REDIS_USER and REDIS_PASS.",
    ),
    "a password where there is none": (
        {"password": PASSWORD},
        "redis.login",
        "Redis at 127.0.0.1:6379 has no password for the default user, but REDIS_PASS is one:"
        " set it there with requirepass, or answer REDIS_PASS=none.",
    ),
    "a database that it has not": (
        {"port": 7020, "database": 4},
        "redis.database",
        "Redis at 127.0.0.1:7020 has no database number 4:"
        " answer REDIS_DB=0, or raise 'databases' in its redis.conf.",
    ),
    "TLS to a plain port": (
        {**TLS, "port": 6379},
        "redis.tls",
        "Redis at localhost:6379 does not speak TLS:"
        " answer REDIS_TLS=false, or its tls-port in REDIS_PORT.",
    ),
    "no TLS to a TLS port": (
        {"port": 7002},
        "redis.tls",
        "Redis at 127.0.0.1:7002 speaks only TLS: answer REDIS_TLS=true.",
    ),
    "an authority that the system does not know": (
        {**TLS, "port": 7002, "ca_file": ""},
        "redis.tls",
        "Redis at localhost:7002 presents a certificate of an authority that this system does not"
        " know: answer REDIS_CACERT with the file of that authority's certificate.",
    ),
    "another authority": (
        {**TLS, "port": 7002, "ca_file": OTHER_AUTHORITY},
        "redis.tls",
        "Redis at localhost:7002 presents a certificate that the authority in"
        f" {OTHER_AUTHORITY} has not signed:"
        " answer REDIS_CACERT with the file of the authority that has.",
    ),
    "an expired certificate": (
        {**TLS, "port": 7003},
        "redis.tls",
        "Redis at localhost:7003 presents a certificate that has expired:"
        " renew it there, and compare both clocks.",
    ),
    "a certificate for another name": (
        {**TLS, "port": 7004},
        "redis.tls",
        "Redis at localhost:7004 presents a certificate for another name than localhost:"
        " answer REDIS_HOST with a name that it is for.",
    ),
    "a certificate for another address": (
        {**TLS, "port": 7004, "host": "127.0.0.1"},
        "redis.tls",
        "Redis at 127.0.0.1:7004 presents a certificate for another name than 127.0.0.1:"
        " answer REDIS_HOST with a name that it is for.",
    ),
    "a server that wants certificates of clients": (
        {**TLS, "port": 7005},
        "redis.tls",
        "Redis at localhost:7005 wants a certificate from its clients (LiteLLM's REDIS_URL logs"
        " in with a password instead): set tls-auth-clients to no in its redis.conf.",
    ),
    "a file of certificates that is not there": (
        {**TLS, "port": 7002, "ca_file": "/etc/no such.pem"},
        "redis.tls",
        "there is no file /etc/no such.pem (it should hold the certificates that are trusted for"
        " Redis): answer REDIS_CACERT with a PEM file.",
    ),
    "a file of certificates that is none": (
        {**TLS, "port": 7002, "ca_file": f"{CERTIFICATES}/empty.pem"},
        "redis.tls",
        f"{CERTIFICATES}/empty.pem holds no certificate in PEM form (it should hold the"
        " certificates that are trusted for Redis): answer REDIS_CACERT with a PEM file.",
    ),
    "a folder of certificates": (
        {**TLS, "port": 7002, "ca_file": CERTIFICATES},
        "redis.tls",
        f"{CERTIFICATES} can't be read (it should hold the certificates that are trusted for"
        " Redis): answer REDIS_CACERT with a PEM file.",
    ),
    "a replica": (
        {"port": 7006},
        "redis.role",
        "Redis at 127.0.0.1:7006 is a replica of 127.0.0.1:6379 (what LiteLLM writes would be"
        " refused or lost): answer REDIS_HOST and REDIS_PORT of the primary, 127.0.0.1:6379.",
    ),
    "a replica without its primary": (
        {"port": 7018},
        "redis.role",
        "Redis at 127.0.0.1:7018 is a replica that has lost its primary:"
        " answer REDIS_HOST and REDIS_PORT of the primary.",
    ),
    "a full server": (
        {"port": 7007},
        "redis.write",
        "Redis at 127.0.0.1:7007 is full and refuses writes (its maxmemory is reached and its"
        f" maxmemory-policy drops nothing): {DROP}.",
    ),
    "a server that can't save": (
        {"port": 7009},
        "redis.write",
        "Redis at 127.0.0.1:7009 refuses writes, since it can't save its data to disk:"
        " mend what its log says about it, then: redis-cli BGSAVE.",
    ),
    "a server without its replicas": (
        {"port": 7014},
        "redis.write",
        "Redis at 127.0.0.1:7014 refuses writes, since too few replicas follow it:"
        " bring them back, or lower min-replicas-to-write there.",
    ),
    "a server that is loading": (
        {"port": 7010},
        "redis.server",
        "Redis at 127.0.0.1:7010 is still loading its data: try again in a moment.",
    ),
    "a node of a cluster": (
        {"port": 7011},
        "redis.server",
        "Redis at 127.0.0.1:7011 is a node of a cluster (over REDIS_URL LiteLLM asks this one"
        " node, which refuses most keys): answer REDIS_HOST and REDIS_PORT of a Redis that is"
        " none.",
    ),
    "a Sentinel": (
        {"port": 7012},
        "redis.server",
        "Redis at 127.0.0.1:7012 is a Sentinel, which keeps no data: answer REDIS_HOST and"
        " REDIS_PORT of the Redis that it watches: redis-cli -p 7012 SENTINEL MASTERS.",
    ),
    "no connection left": (
        {"port": 7013},
        "redis.server",
        "Redis at 127.0.0.1:7013 has no connection left:"
        " raise maxclients there: redis-cli CONFIG SET maxclients 10000.",
    ),
    "somebody's endless script": (
        {"port": 7015},
        "redis.server",
        "Redis at 127.0.0.1:7015 is busy with somebody's script:"
        " wait for it, or end it there: redis-cli SCRIPT KILL.",
    ),
    "a command that was renamed": (
        {"port": 7016},
        "redis.permissions",
        "Redis at 127.0.0.1:7016 does not know the command eval (LiteLLM needs it, and it was"
        " renamed or is switched off there): take its rename-command out of the server's"
        " redis.conf.",
    ),
    "protected mode": (
        {"port": 7017, "host": ELSEWHERE},
        "redis.server",
        f"Redis at {ELSEWHERE}:7017 is in protected mode and refuses other machines:"
        " set requirepass in its redis.conf, and answer REDIS_PASS.",
    ),
}


@pytest.fixture(scope="module")
def failures(machine: Machine) -> dict[str, Looked]:
    """Every failure of the table, looked at at once."""
    redis_cli(machine, 7019, "ACL", "SETUSER", "off", f">{PASSWORD}", "~*", "+@all")
    looked = inspect(machine, *(fields for fields, _, _ in FAILURES.values()))
    redis_cli(machine, BUSY, "SCRIPT", "KILL")
    return dict(zip(FAILURES, looked, strict=True))


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_one_sentence_with_its_cure(failures: dict[str, Looked], failure: str) -> None:
    _, name, sentence = FAILURES[failure]
    assert failures[failure].failure == [name, sentence]
    assert failures[failure].seconds < 7.5  # six, and what a busy machine adds


def test_servers_that_are_in_order_pass_and_a_small_memory_is_a_warning(machine: Machine) -> None:
    addresses = [{**TLS, "port": 7002, "host": host} for host in ("localhost", "127.0.0.1", "::1")]
    *others, small = inspect(
        machine,
        *addresses,
        {},
        {"host": "::1", "port": 7019},
        {"port": 7001, "password": "secret-of-7001"},
        {"port": 7001, "password": "secret-of-7001", "user": "default", "database": 15},
        {"port": 7008},
    )
    assert [set(looked.levels.values()) for looked in others] == [{"ok"}] * len(others)
    assert "redis.tls" in others[0].levels
    assert [said for name, level, said in small.found if level == "warning"] == [
        "Redis at 127.0.0.1:7008 refuses writes once it has used 100.00M"
        f" (its maxmemory-policy is noeviction): {DROP}."
    ]


def test_an_inspection_leaves_no_key_behind(machine: Machine) -> None:
    inspect(machine, {"port": 7020})
    assert redis_cli(machine, 7020, "DBSIZE") == "0"


# Rights

NAMED_AND_MORE = "the keys {*}:window, {*}:requests, {*}:tokens, {*}:max_parallel_requests"
LACKING = {
    "-eval": (
        "the command eval",
        "LiteLLM needs all of it",
        "redis-cli ACL SETUSER lacking +eval",
    ),
    "-exec": (
        "the command exec",
        "LiteLLM needs all of it",
        "redis-cli ACL SETUSER lacking +exec",
    ),
    "-script|load -zadd": (
        "the commands zadd and script|load",
        "LiteLLM needs all of it",
        "redis-cli ACL SETUSER lacking +zadd '+script|load'",
    ),
    "-@all": (
        "the commands set, get, mget, exists, incr and 31 more",
        "LiteLLM needs all of it",
        "give it LiteLLM's rule: 'hx-gateway-db provision --print' shows it",
    ),
    "resetkeys ~other:* ~{*}:* ~litellm_* ~cronjob_lock:* ~[0-9a-f]*": (
        "the key litellm:*",
        "LiteLLM needs all of it",
        "redis-cli ACL SETUSER lacking '~litellm:*'",
    ),
    "resetchannels": (
        "the channel litellm:*",
        "LiteLLM needs all of it",
        "redis-cli ACL SETUSER lacking '&litellm:*'",
    ),
    "resetkeys ~litellm:*": (
        f"{NAMED_AND_MORE}, litellm_*spend_update_buffer and 2 more",
        "LiteLLM 1.74 uses keys outside its namespace as well, and answers 500 without them",
        "give it LiteLLM's rule: 'hx-gateway-db provision --print' shows it",
    ),
}


def give_rule(machine: Machine, port: int, user: str, *changes: str) -> None:
    """A user as our rule makes it, and then changed."""
    fields = {"port": port, **login(user)}
    said = administer(machine, "acl_commands", fields, server_version=version(machine, port))
    setuser = next(line for line in said.splitlines() if line.startswith("redis-cli"))
    machine.run(["sh", "-c", setuser])
    if changes:
        redis_cli(machine, port, "ACL", "SETUSER", user, *changes)


def version(machine: Machine, port: int) -> str:
    info = redis_cli(machine, port, "INFO", "server").splitlines()
    return next(line for line in info if line.startswith("redis_version:")).split(":")[1].strip()


def login(user: str, password: str = PASSWORD) -> Fields:
    return {"user": user, "password": password}


@pytest.mark.parametrize("changes", LACKING)
def test_a_right_that_is_missing_is_named(machine: Machine, changes: str) -> None:
    missing, why, cure = LACKING[changes]
    give_rule(machine, 7019, "lacking", *changes.split())
    (looked,) = inspect(machine, {"port": 7019, **login("lacking")})
    assert looked.failure == [
        "redis.permissions",
        f"Redis at 127.0.0.1:7019 does not let the user lacking use {missing} ({why}): {cure}.",
    ]


def test_the_least_privileged_user_passes_and_leaves_nothing_in_the_acl_log(
    machine: Machine,
) -> None:
    redis_cli(machine, 7019, "ACL", "LOG", "RESET")
    give_rule(machine, 7019, "odd:@%*ä€")
    (looked,) = inspect(machine, {"port": 7019, **login("odd:@%*ä€")})
    assert set(looked.levels.values()) == {"ok"}
    assert redis_cli(machine, 7019, "ACL", "LOG") == ""


# The gateway's user on this machine

ADMINISTER = """
import dataclasses, json, sys
from hx_gateway_db.redis import administration
from hx_gateway_db.errors import HxError
from hx_gateway_db.settings.values import Login, Redis

call, fields, more = json.load(sys.stdin)
if "administrator" in more:
    more["administrator"] = Login(*more["administrator"])
try:
    result = getattr(administration, call)(Redis(**fields), **more)
except HxError as error:
    result = {"refused": str(error)}
print(json.dumps(dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result))
"""
DROP_IN = """
import json
from hx_gateway_db.settings.templates import rendered
print(json.dumps(rendered("redis-user.conf.j2", command="/usr/local/sbin/remake")))
"""
OURS = login(REDIS_USER)
REDIS = "redis-server.service"
CONF = "/etc/redis/redis.conf"


def restart_redis(machine: Machine) -> None:
    machine.run(["systemctl", "reset-failed", REDIS])  # it may start five times in ten seconds
    machine.run(["systemctl", "restart", REDIS])


def administer(machine: Machine, call: str, fields: Fields, **more: object) -> Any:
    """Call a function of redis_administration; what it refuses is its result."""
    return python(machine, ADMINISTER, [call, {"host": "127.0.0.1", **fields}, more])


def logs_in(machine: Machine, fields: Fields) -> bool:
    (looked,) = inspect(machine, fields)
    return set(looked.levels.values()) == {"ok"}


def test_a_user_is_made_here_and_again_whenever_redis_starts(machine: Machine) -> None:
    before = machine.read(CONF)
    assert administer(machine, "server_here", OURS) is True
    assert administer(machine, "persistence", OURS) == {"acl_file": "", "unit": REDIS}
    made = administer(machine, "provision_local", OURS, ours=False)
    said = f"Redis at 127.0.0.1:6379 has a user {REDIS_USER} for the gateway."
    assert made == {"ours": True, "done": [said]}
    assert logs_in(machine, OURS)

    restart_redis(machine)
    assert not logs_in(machine, OURS)
    arguments = ["provision_local", {"host": "127.0.0.1", **OURS}, {"ours": True}]
    machine.write("/usr/local/lib/administer.py", ADMINISTER)
    machine.write("/usr/local/lib/arguments.json", json.dumps(arguments), mode=0o600)
    remake = "exec /usr/bin/python3 /usr/local/lib/administer.py </usr/local/lib/arguments.json"
    machine.write("/usr/local/sbin/remake", f"#!/bin/sh\n{remake}\n", mode=0o755)
    machine.run(["mkdir", "-p", f"/etc/systemd/system/{REDIS}.d"])
    machine.write(f"/etc/systemd/system/{REDIS}.d/hx.conf", python(machine, DROP_IN))
    machine.run(["systemctl", "daemon-reload"])
    restart_redis(machine)
    assert logs_in(machine, OURS)
    machine.run(["systemctl", "kill", "--signal=KILL", REDIS])
    machine.wait_until(lambda: logs_in(machine, OURS), 20, what="a login after Redis was killed")

    machine.write("/usr/local/sbin/remake", "#!/bin/sh\nexit 1\n", mode=0o755)
    restart_redis(machine)
    assert redis_cli(machine, 6379, "PING") == "PONG"
    assert machine.read(CONF) == before
    machine.run(["rm", f"/etc/systemd/system/{REDIS}.d/hx.conf"])
    machine.run(["systemctl", "daemon-reload"])


def test_what_is_done_again_changes_nothing_but_the_password(machine: Machine) -> None:
    administer(machine, "provision_local", OURS, ours=False)
    rule = redis_cli(machine, 6379, "ACL", "GETUSER", REDIS_USER)
    assert administer(machine, "provision_local", OURS, ours=True)["ours"] is True
    assert redis_cli(machine, 6379, "ACL", "GETUSER", REDIS_USER) == rule

    changed = login(REDIS_USER, "another one")
    administer(machine, "provision_local", changed, ours=True)
    assert logs_in(machine, changed)
    assert not logs_in(machine, OURS)


def test_a_user_that_is_not_ours_is_used_if_it_can_be_and_never_changed(machine: Machine) -> None:
    redis_cli(machine, 6379, "ACL", "SETUSER", "theirs", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    used = administer(machine, "provision_local", login("theirs"), ours=False)
    said = "Redis at 127.0.0.1:6379 had the user theirs already: it is used."
    assert used == {"ours": False, "done": [said]}

    refused = administer(machine, "provision_local", login("theirs", "a guess"), ours=False)
    assert refused["refused"] == (
        "Redis at 127.0.0.1:6379 refuses the login of the user theirs (that user was there already,"
        " and is not of our making): answer its password in REDIS_PASS, or another name in"
        " REDIS_USER."
    )
    redis_cli(machine, 6379, "ACL", "SETUSER", "theirs", "-eval")
    refused = administer(machine, "provision_local", login("theirs"), ours=False)
    assert refused["refused"] == (
        "Redis at 127.0.0.1:6379 does not let the user theirs use the command eval (that user was"
        " there already, and is not of our making): redis-cli ACL SETUSER theirs +eval."
    )


def test_a_user_of_ours_is_taken_away(machine: Machine) -> None:
    administer(machine, "provision_local", login("gone"), ours=False)
    administer(machine, "forget_local", login("gone"))
    administer(machine, "forget_local", login("gone"))
    assert "gone" not in redis_cli(machine, 6379, "ACL", "USERS").split()


def test_a_user_that_would_not_work_is_not_left_behind(machine: Machine) -> None:
    said = administer(machine, "provision_local", {"port": 7006, **OURS}, ours=False)
    assert said["refused"].startswith("Redis at 127.0.0.1:7006 is a replica of 127.0.0.1:6379")
    assert redis_cli(machine, 7006, "ACL", "USERS") == "default"


def test_the_administrator_s_password_is_read_as_redis_reads_it_and_the_aclfile_is_used(
    machine: Machine,
) -> None:
    before = machine.read(CONF)
    machine.write(
        "/etc/redis/secret.inc", 'requirepass "a \\"secret\\" \\x41"\n', owner="redis:redis"
    )
    machine.write("/etc/redis/users.acl", "", owner="redis:redis", mode=0o640)
    more = "include /etc/redis/*.inc\naclfile /etc/redis/users.acl\n"
    machine.write(CONF, before + more, owner="redis:redis", mode=0o640)
    restart_redis(machine)
    # With an aclfile Redis wants the default user's password in there.
    acl = ["redis-cli", "--no-auth-warning", "ACL"]
    machine.run([*acl, "SETUSER", "default", "resetpass", '>a "secret" A'])
    env = {"REDISCLI_AUTH": 'a "secret" A'}
    machine.run([*acl, "SAVE"], env=env)
    assert "NOAUTH" in redis_cli(machine, 6379, "PING")

    kept = {"acl_file": "/etc/redis/users.acl", "unit": ""}
    assert administer(machine, "persistence", OURS) == kept
    assert administer(machine, "provision_local", OURS, ours=False)["ours"] is True
    restart_redis(machine)
    assert logs_in(machine, OURS)
    administer(machine, "forget_local", OURS)
    restart_redis(machine)
    assert REDIS_USER not in machine.run([*acl, "USERS"], env=env).stdout.split()

    machine.write("/etc/redis/secret.inc", "")
    said = administer(machine, "provision_local", OURS, ours=False)
    assert said["refused"] == (
        "Redis at 127.0.0.1:6379 asks for a password: answer REDIS_ADMIN_USER and REDIS_ADMIN_PASS."
    )
    assert administer(machine, "server_here", OURS) is False

    # Over a socket file as well, with a password or without.
    socket = "unixsocket /run/redis/redis.sock\nbind 127.0.0.2\n"
    machine.run(["rm", "/etc/redis/secret.inc", "/etc/redis/users.acl"])
    machine.write(CONF, before + socket, owner="redis:redis", mode=0o640)
    restart_redis(machine)
    assert administer(machine, "server_here", OURS) is True
    machine.write(CONF, before, owner="redis:redis", mode=0o640)
    restart_redis(machine)


# While Redis is down, anybody on this machine can listen on its port

STRANGER = """
import os, socket, sys, threading
heard = sys.argv[1]

def talk(client):
    while words := client.recv(65536):
        with open(heard, "ab", buffering=0) as file:
            file.write(words)
        auth = b"AUTH" in words
        client.sendall(b"+OK\\r\\n" if auth else b"-NOAUTH Authentication required.\\r\\n")

servers = [socket.create_server(("127.0.0.1", 6379))]
if len(sys.argv) > 2:
    servers.append(socket.socket(socket.AF_UNIX))
    servers[-1].bind(sys.argv[2])
    servers[-1].listen()

def serve(server):
    while True:
        threading.Thread(target=talk, args=(server.accept()[0],)).start()

for server in servers:
    threading.Thread(target=serve, args=(server,)).start()
"""
SECRET = "secret-of-the-administrator"


@pytest.fixture
def requirepass(machine: Machine) -> Iterator[None]:
    """A Redis that wants a password, and is down."""
    machine.run(["sh", "-c", "id mallory 2>/dev/null || useradd --create-home mallory"])
    before = machine.read(CONF)
    more = f"requirepass {SECRET}\nunixsocket /home/mallory/redis.sock\n"
    machine.write(CONF, before + more, owner="redis:redis", mode=0o640)
    machine.run(["systemctl", "stop", REDIS])
    try:
        yield
    finally:
        machine.write(CONF, before, owner="redis:redis", mode=0o640)
        restart_redis(machine)


@contextmanager
def stranger(machine: Machine, user: str) -> Iterator[str]:
    """A process of this user that answers instead of Redis; the file that holds what it heard."""
    heard = f"/var/tmp/heard-{user}"
    machine.write("/usr/local/lib/stranger.py", STRANGER, mode=0o644)
    machine.write(heard, "", owner=f"{user}:{user}", mode=0o644)
    unit = f"stranger-{user}.service"
    run = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--uid={user}"]
    sockets = ["/home/mallory/redis.sock"] if user == "mallory" else []
    python3 = ["/usr/bin/python3", "/usr/local/lib/stranger.py", heard, *sockets]
    machine.run([*run, "--", *python3])
    try:
        machine.wait_until(lambda: machine.run(["redis-cli", "PING"], check=False).stdout, 20)
        machine.write(heard, "", owner=f"{user}:{user}", mode=0o644)
        yield heard
    finally:
        machine.run(["systemctl", "stop", unit])
        machine.run(["rm", "-f", *sockets])


@pytest.mark.usefixtures("requirepass")
@pytest.mark.parametrize("user", ["mallory", "hx-gateway"])
def test_no_password_is_told_to_who_listens_instead_of_redis(machine: Machine, user: str) -> None:
    calls: tuple[tuple[str, Fields], ...] = (
        ("provision_local", {"ours": True}),
        ("persistence", {}),
        ("provision_as", {"administrator": ["boss", SECRET], "ours": False}),
    )
    with stranger(machine, user) as heard:
        (looked,) = inspect(machine, OURS)
        refused = [administer(machine, call, OURS, **more) for call, more in calls]
        told = machine.read(heard)
    hashed = hashlib.sha256(PASSWORD.encode()).hexdigest()
    assert [secret for secret in (SECRET, PASSWORD, hashed) if secret in told] == []
    name, sentence = looked.failure
    assert name == "redis.process"
    for said in (sentence, *(each["refused"] for each in refused)):
        assert "is the process python3 (" in said and f") of the user {user}" in said


@pytest.mark.usefixtures("requirepass")
def test_a_system_service_gets_the_password_of_a_file_only_if_it_can_read_that(
    machine: Machine,
) -> None:
    with stranger(machine, "messagebus") as heard:
        said = administer(machine, "provision_local", OURS, ours=True)["refused"]
        assert f"it may not read {CONF}, which the password is in" in said
        assert SECRET not in machine.read(heard)


# With an administrator's login, and by the administrator


def test_an_administrator_s_login_makes_the_user_and_says_how_long_it_lasts(
    machine: Machine,
) -> None:
    redis_cli(machine, 7019, "ACL", "SETUSER", "boss", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    boss = ["boss", PASSWORD]
    kept = administer(
        machine, "provision_as", {"port": 7019, **OURS}, administrator=boss, ours=False
    )
    assert kept == {
        "ours": True,
        "done": [
            f"Redis at 127.0.0.1:7019 has a user {REDIS_USER} for the gateway.",
            "It is kept in the server's /var/tmp/redis-servers/7019/users.acl.",
        ],
    }
    assert logs_in(machine, {"port": 7019, **OURS})

    tls = {**TLS, "port": 7002, **OURS}
    made = administer(machine, "provision_as", tls, administrator=["default", ""], ours=False)
    assert made["done"][1] == (
        "It lasts until that server restarts: add the line that 'hx-gateway-db provision --print'"
        " shows to the server's redis.conf."
    )
    assert logs_in(machine, tls)


def test_an_administrator_s_login_adds_what_a_user_lacks_and_no_password(machine: Machine) -> None:
    words = ("on", f">{PASSWORD}", "~other:*", "+get", "+time")
    redis_cli(machine, 7020, "ACL", "SETUSER", "theirs", *words)
    fields = {"port": 7020, **login("theirs")}
    boss = {"administrator": ["default", ""], "ours": False}
    added = administer(machine, "provision_as", fields, **boss)
    assert added["ours"] is False
    assert added["done"][0] == (
        "Redis at 127.0.0.1:7020 lets its user theirs do all that LiteLLM does."
    )
    assert logs_in(machine, fields)
    assert "~other:*" in redis_cli(machine, 7020, "ACL", "GETUSER", "theirs")
    refused = administer(machine, "provision_as", {**fields, **login("theirs", "a guess")}, **boss)
    assert "that user was there already" in refused["refused"]


ADMINISTRATORS = {
    ("wrong", "wrong"): (
        "Redis at 127.0.0.1:7019 refuses the login of the user wrong (the password is wrong, or"
        " there is no such user, or it is switched off): check REDIS_ADMIN_USER and"
        " REDIS_ADMIN_PASS."
    ),
    ("clerk", PASSWORD): (
        "Redis at 127.0.0.1:7019 does not let the user clerk make users: answer REDIS_ADMIN_USER"
        " and REDIS_ADMIN_PASS."
    ),
}


@pytest.mark.parametrize("administrator", ADMINISTRATORS)
def test_an_administrator_who_is_none_is_refused(
    machine: Machine, administrator: tuple[str, str]
) -> None:
    redis_cli(machine, 7019, "ACL", "SETUSER", "clerk", "on", f">{PASSWORD}", "~*", "+@read")
    fields = {"port": 7019, **login("new")}
    said = administer(
        machine, "provision_as", fields, administrator=list(administrator), ours=False
    )
    assert said["refused"] == ADMINISTRATORS[administrator]


def test_a_name_that_redis_does_not_take_is_refused(machine: Machine) -> None:
    said = administer(machine, "provision_local", login("two words"), ours=False)
    assert said["refused"] == (
        "Redis at 127.0.0.1:6379 accepts no user of that name: answer another in REDIS_USER."
    )


def test_the_printed_commands_work_and_tell_no_password(machine: Machine) -> None:
    fields = {"port": 7019, **login("printed")}
    said = administer(machine, "acl_commands", fields, server_version=version(machine, 7019))
    assert PASSWORD not in said
    done = machine.run(["sh", "-ec", said])
    assert done.stdout.split() == ["OK", "OK"]
    assert logs_in(machine, fields)

    line = said.splitlines()[-1].removeprefix("# ")
    folder = "/var/tmp/redis-servers/printed"
    machine.run(["mkdir", "-p", folder])
    conf = f"port 7021\ndir {folder}\ndaemonize yes\n{line}\n"
    machine.write(f"{folder}/server.conf", conf)
    machine.run(["redis-server", f"{folder}/server.conf"])
    machine.wait_until(lambda: logs_in(machine, {**fields, "port": 7021}), 10)


# LiteLLM itself

CLIENTS = """
import asyncio, json, sys
import redis, redis.asyncio

def sync(url):
    redis.Redis.from_url(url).ping()

def later(url):
    async def ping():
        await redis.asyncio.Redis.from_url(url).ping()
    asyncio.run(ping())

def works(ping, url):
    try:
        ping(url)
    except redis.ConnectionError:
        return False
    return True

print(json.dumps([[works(sync, url), works(later, url)] for url in json.load(sys.stdin)]))
"""
URLS = """
import json, sys
from hx_gateway_db.settings.values import Redis
from hx_gateway_db.settings.urls import redis_url
print(json.dumps([redis_url(Redis(**fields)) for fields in json.load(sys.stdin)]))
"""
VENV = BASE / "gateway/venv/bin/python"


def test_litellm_s_own_client_checks_certificate_and_name(machine: Machine) -> None:
    settings = [
        *({**TLS, "port": 7002, "host": host} for host in ("localhost", "127.0.0.1", "::1")),
        {**TLS, "port": 7003},
        {**TLS, "port": 7004},
        {**TLS, "port": 7002, "ca_file": OTHER_AUTHORITY},
        {**TLS, "port": 7002, "ca_file": ""},
    ]
    urls = python(machine, URLS, settings)
    done = machine.run([str(VENV), "-c", CLIENTS], input=json.dumps(urls))
    assert json.loads(done.stdout) == [[True, True]] * 3 + [[False, False]] * 4


LITELLM_SETTINGS = """
litellm_settings:
  cache: true
  cache_params: {type: redis, namespace: litellm}
"""


def test_litellm_works_over_tls_as_the_least_privileged_user(machine: Machine) -> None:
    """With all that this package can switch on: cache, shared limits, shared spend."""
    tls = {**TLS, "port": 7002, **OURS}
    made = administer(machine, "provision_as", tls, administrator=["default", ""], ours=True)
    assert made["ours"] is True, made
    cli = ["redis-cli", "-h", "localhost", "-p", "7002", "--tls", "--cacert", AUTHORITY]
    machine.run([*cli, "ACL", "LOG", "RESET"])
    (url,) = python(machine, URLS, [tls])
    make_database(machine, "pw")
    drop_in = (
        "[Service]\nEnvironment=DATABASE_URL=postgresql://hx_gateway:pw@127.0.0.1/hx_gateway\n"
        f"Environment=REDIS_URL={url.replace('%', '%%')}\n"
        "Environment=EXPERIMENTAL_MULTI_INSTANCE_RATE_LIMITING=true\n"
    )
    machine.run(["mkdir", "-p", f"/etc/systemd/system/{LITELLM_UNIT}.d"])
    machine.write(f"/etc/systemd/system/{LITELLM_UNIT}.d/99-test.conf", drop_in)
    general = "general_settings:\n  use_redis_transaction_buffer: true\n"
    general += "  proxy_batch_write_at: 2\n"
    config = machine.read(CONFIG_YAML).replace("general_settings:\n", general, 1)
    machine.write(CONFIG_YAML, config + LITELLM_SETTINGS)
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "restart", LITELLM_UNIT])
    machine.wait_for_gateway()

    ping = machine.http("GET", f"{LITELLM_URL}/cache/ping", key=MASTER_KEY)
    assert ping.status == 200, ping
    assert ping.json["status"] == "healthy"
    assert ping.json["set_cache_response"] == "success"
    key = machine.http(
        "POST", f"{LITELLM_URL}/key/generate", key=MASTER_KEY, body={"rpm_limit": 2}
    ).json["key"]
    assert [chat(machine, key, content).status for content in ("1", "1", "2", "3")][-1] == 429
    update = {"key": key, "rpm_limit": 60}
    answer = machine.http("POST", f"{LITELLM_URL}/key/update", key=MASTER_KEY, body=update)
    assert answer.status == 200, answer
    lock = [*cli, "EXISTS", "litellm:cronjob_lock:db_spend_update_job"]
    machine.wait_until(lambda: machine.run(lock).stdout.strip() == "1", 30, what="a spend update")
    machine.wait_until(
        lambda: machine.psql('SELECT count(*) FROM "LiteLLM_DailyUserSpend"', database="hx_gateway")
        != "0",
        30,
        what="the spend in the database",
    )
    keys = machine.run([*cli, "--scan"]).stdout.split()
    assert any(key.startswith("litellm:") for key in keys)
    assert any(key.endswith("}:requests") for key in keys)
    assert machine.run([*cli, "ACL", "LOG"]).stdout.strip() == ""
