"""Attackers on a booted machine, while root does with the package what one does with a package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.siege import COMMAND, GATEWAY_USER, ORDINARY_USER, VENV, Siege
from tests.faults.tally import Tally, chosen, in_full
from tests.faults.tls_redis import TLS_REDIS, start_redis_with_tls
from tests.machine import strangers
from tests.machine.installation import (
    DROP_INS,
    GATEWAY_ENV,
    UNITS,
    existing,
    make_database,
    preseed,
)
from tests.machine.machine import BASE, CONFIG_YAML, Machine
from tests.machine.redis_servers import CERTIFICATES
from tests.machine.test_prisma import AS_PIP_LEFT_IT, PREPARATIONS

DEB = "/root/hx.deb"
INSTALL = f"apt-get install --yes {DEB}"
REMOVE = f"apt-get remove --yes {COMMAND}"
PURGE = f"apt-get purge --yes {COMMAND}"
PASSWORD = "password-of-the-database"


pytestmark = pytest.mark.sample_release("bookworm")


@pytest.fixture
def siege(machine: Machine, deb: Path, tally: Tally) -> Iterator[Siege]:
    """A gateway without a database, and nobody on the machine yet but who may be."""
    machine.put(deb, DEB)
    siege = Siege(machine)
    tally.injected += 1
    yield siege
    entries = siege.judge()
    tally.entered += len(entries)
    print(siege.shown.replace("\x1b", "^["), *entries, sep="\nentered: ")
    siege.assert_attacked()


def wire(siege: Siege, **more: str) -> None:
    """A gateway with its database and Redis, as an administrator has it who knows of nothing."""
    machine = siege.machine
    make_database(machine, PASSWORD)
    answers = existing(PASSWORD, redis="true", redis_host="127.0.0.1", **more)
    # A check of a busy host that takes too long is not what this is about.
    preseed(machine, answers | {"check-failed": "continue"})
    machine.run(INSTALL.split(), env={"DEBIAN_FRONTEND": "noninteractive"})


def install_only(siege: Siege) -> None:
    """The package, and a gateway that is left without a database for now."""
    preseed(siege.machine, {"database": "later"})
    siege.machine.run(INSTALL.split(), env={"DEBIAN_FRONTEND": "noninteractive"})


@in_full
def test_who_is_made_to_work_for_root_learns_and_gets_nothing_of_root_s(siege: Siege) -> None:
    """A whole life; everybody whom root could start a process as gets into each of his own."""
    start_redis_with_tls(siege.machine)
    for user in (GATEWAY_USER, "postgres"):
        siege.attack(user, "processes")
    preseed(siege.machine, {"database": "local", "redis": "true", "redis-host": "127.0.0.1"})
    siege.root(INSTALL, 120, statuses=[0])
    siege.expect_package("installed")
    for _ in range(3):
        siege.root(f"{COMMAND} check --answers -", 60, answers=TLS_REDIS)
    siege.root(f"{COMMAND} verify", 60)
    siege.root(f"{COMMAND} status", 30)
    siege.root(f"{COMMAND} provision", 60)
    siege.root(f"{COMMAND} apply --prepare-prisma --answers /dev/null", 120, statuses=[0])
    preseed(siege.machine, {"disable-admin-ui": "false"})
    siege.root(f"dpkg-reconfigure {COMMAND}", 120, statuses=[0])
    siege.root(REMOVE, 120, statuses=[0])
    siege.expect_package("config-files")
    preseed(siege.machine, {"drop": "true"})
    siege.root(PURGE, 60, statuses=[0])
    siege.expect_package("not-installed")
    siege.assert_attacked("environment")


@in_full
def test_who_is_made_to_work_for_root_and_never_ends_keeps_root_from_nothing(siege: Siege) -> None:
    start_redis_with_tls(siege.machine)
    wire(siege)
    siege.attack(GATEWAY_USER, "processes", "hold")
    siege.attack("postgres", "processes", "hold")
    siege.root(f"{COMMAND} check --answers -", 120, answers=TLS_REDIS)
    siege.root(f"{COMMAND} provision --answers -", 150, answers="DATABASE=local\n")


# Who is where LiteLLM, the wrapper and Redis should be

PORTS = {
    "LiteLLM's": ("4000", ""),
    "LiteLLM's by a unit of its name": ("4000", "hx-litellm-gateway.service"),
    "the wrapper's": ("4010", "hx-gateway-ml.service"),
}


@pytest.mark.parametrize("taken", chosen(PORTS, "LiteLLM's by a unit of its name"))
def test_who_takes_a_port_of_the_gateway_is_told_no_key(siege: Siege, taken: str) -> None:
    port, group = PORTS[taken]
    wire(siege)
    siege.attack(ORDINARY_USER, "http", "127.0.0.1", port, group=group)
    new = "next-password-of-the-database"
    siege.machine.psql(f"ALTER ROLE hx_gateway PASSWORD '{new}'")
    preseed(siege.machine, {"pg-pass": new, "check-failed": "continue"})
    said = siege.root(f"dpkg-reconfigure {COMMAND}", 900, statuses=range(10))
    siege.assert_attacked("port")
    if "A virtual key works" in said:
        siege.entries.append("an impostor's answers passed for a proof")
    siege.root(f"{COMMAND} verify", 60)
    siege.root(f"{COMMAND} status", 30)


def stop_redis(siege: Siege) -> None:
    siege.machine.run(["systemctl", "stop", "redis-server"])


@in_full
def test_who_takes_the_port_of_redis_is_told_no_password_of_redis_conf(siege: Siege) -> None:
    machine = siege.machine
    siege.secrets.add("requirepass-of-redis")
    line = "requirepass requirepass-of-redis"
    machine.run(["sh", "-c", f"echo {line} >>/etc/redis/redis.conf; systemctl restart redis"])
    preseed(machine, {"database": "local", "redis": "true", "redis-host": "127.0.0.1"})
    machine.run(INSTALL.split(), env={"DEBIAN_FRONTEND": "noninteractive"})
    stop_redis(siege)
    siege.attack(ORDINARY_USER, "redis", "127.0.0.1", "6379")
    siege.machine.wait_until(lambda: siege.kept(), 20)
    for command, seconds in (("check", 60), ("verify", 60), ("provision", 60)):
        siege.root(f"{COMMAND} {command}", seconds)
    preseed(machine, {"redis-db": "3"})
    siege.root(f"dpkg-reconfigure {COMMAND}", 300, statuses=range(10))
    siege.root(f"{COMMAND} apply --answers -", 300, answers="DATABASE=local\nREDIS_DB=4\n")
    siege.root(REMOVE, 300, statuses=[0])
    preseed(machine, {"drop": "true"})
    siege.root(PURGE, 60, statuses=[0])
    siege.expect_package("not-installed")


LIES = {
    "a process of mine": "process_id:../tmp/x",
    "a replica of nobody": "role:slave",
    "no numbers": "role:slave\nmaster_host:a\nmaster_port:\x1b]0;entered\x07\nredis_version:x.y",
    "no memory": "maxmemory:1\nmaxmemory_policy:noeviction",
    "a number of digits": f"redis_version:{'9' * 5000}",
}


@in_full
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_what_a_redis_says_of_itself_is_not_believed(siege: Siege, lie: str) -> None:
    install_only(siege)
    stop_redis(siege)
    program = "mkdir /tmp/x; echo redis-server >/tmp/x/comm; echo 0::/evil.service >/tmp/x/cgroup"
    siege.as_user(ORDINARY_USER, program)
    siege.attack(ORDINARY_USER, "redis", "127.0.0.1", "6379", lie)
    answers = "DATABASE=local\nREDIS=true\nREDIS_HOST=127.0.0.1\n"
    siege.root(f"{COMMAND} check --answers -", 60, answers=answers)
    siege.root(f"{COMMAND} apply --answers -", 300, answers=answers)
    siege.root(f"{COMMAND} status", 60)
    if found := siege.machine.run(["find", "/etc/systemd", "-name", "evil*"]).stdout:
        siege.entries.append(f"root wrote for a unit that the ordinary user named: {found}")


# A gateway that has been broken into

STRANGE_PORT = 5999
OWN_ENV = f"""DATABASE_URL=postgresql://hx_gateway:x@127.0.0.1:{STRANGE_PORT}/hx_gateway
REDIS_URL=redis://%1b%5d0;entered%07:x@127.0.0.1:6379/0
LITELLM_REDIS_URL=redis://%1b%5d0;entered%07:x@127.0.0.1:6379/0
HX_NOTE="\x1b]0;entered\x07"
"""
ADMINISTRATOR = "PG_ADMIN_USER=boss\nPG_ADMIN_PASS=password-of-the-boss\n"


@in_full
def test_a_gateway_env_of_the_gateway_s_user_leads_nobody_anywhere(siege: Siege) -> None:
    wire(siege)
    siege.take_the_gateway()
    siege.secrets.add("password-of-the-boss")
    own = f"mv {GATEWAY_ENV} {GATEWAY_ENV}.away; cat >{GATEWAY_ENV} <<'EOF'\n{OWN_ENV}EOF"
    siege.as_user(GATEWAY_USER, own)
    siege.attack(GATEWAY_USER, "postgres", "127.0.0.1", str(STRANGE_PORT), "clear")
    siege.attack(GATEWAY_USER, "redis", "127.0.0.1", "6380")
    for command in ("answers", "status", "check", "verify", "plan", "provision --print"):
        siege.root(f"{COMMAND} {command}", 60)
    siege.root(f"{COMMAND} provision --answers -", 60, answers=ADMINISTRATOR)
    siege.root(f"{COMMAND} apply --answers -", 120, answers=ADMINISTRATOR)
    shown = {"DEBIAN_FRONTEND": "noninteractive"}
    siege.root(f"dpkg-reconfigure {COMMAND}", 300, env=shown, statuses=range(256))
    siege.root(REMOVE, 300, statuses=[0])
    siege.expect_package("config-files")


UNENDING = ("drip", "drip headers", "pour")


@in_full
@pytest.mark.parametrize("how", UNENDING)
def test_a_gateway_that_never_ends_an_answer_is_waited_for_no_longer_than_said(
    siege: Siege, how: str
) -> None:
    wire(siege)
    siege.take_the_gateway()
    siege.gateway(how)
    if how != "drip headers":
        siege.root(f"{COMMAND} apply --answers -", 400, answers="DISABLE_ADMIN_UI=false\n")
    siege.machine.run(["systemctl", "restart", *UNITS], check=False)
    siege.root(f"{COMMAND} status", 60)
    siege.root(f"{COMMAND} verify", 120)
    siege.root(f"{COMMAND} check", 60)
    siege.root(REMOVE, 300, statuses=[0])
    siege.expect_package("config-files")


@in_full
@pytest.mark.parametrize("how", ["flood", "speak"])
def test_what_a_gateway_logs_and_says_is_shown_as_harmless_text_and_soon(
    siege: Siege, how: str
) -> None:
    wire(siege)
    siege.take_the_gateway()
    siege.gateway(how)
    siege.root(f"{COMMAND} apply --answers -", 120, answers="DISABLE_ADMIN_UI=false\n")
    siege.machine.run(["systemctl", "restart", *UNITS], check=False)
    siege.root(f"{COMMAND} status", 60)
    siege.root(f"{COMMAND} verify", 120)
    siege.root(f"{COMMAND} check", 60)
    siege.expect_harmless_cures("verify")
    siege.root(REMOVE, 300, statuses=[0])
    siege.expect_package("config-files")


@in_full
def test_no_cure_is_what_the_attacker_says_nor_runs_what_is_the_attacker_s(siege: Siege) -> None:
    wire(siege)
    siege.take_the_gateway()
    # LiteLLM does not listen there.
    group = "x$(cd; touch entered).service"
    siege.attack(ORDINARY_USER, "http", "::1", "4000", group=group)
    for how in ("", "lie"):
        siege.gateways_python(how)
        siege.as_user(GATEWAY_USER, f"cd {VENV}/lib/python3*/site-packages; rm -rf prisma")
        siege.root(f"{COMMAND} check", 90)
        siege.root(f"{COMMAND} apply --prepare-prisma --answers /dev/null", 180)
        for command in ("check", "verify"):
            siege.expect_harmless_cures(command)


# Removal taken hostage

CONFIGS = {
    "no YAML": "echo 'a: [' >config.yaml",
    "a pipe": "rm config.yaml; mkfifo config.yaml",
    "a link to a secret": "ln -sf /etc/shadow config.yaml",
    "a link to nowhere": "ln -sf /nowhere config.yaml",
    "an endless file": "ln -sf /dev/zero config.yaml",
    "a folder": "rm config.yaml; mkdir config.yaml",
    "nothing": "rm config.yaml",
    "a second name": "ln config.yaml other",
    "a folder in between": "cd ..; mv api-gateway away; ln -s /etc api-gateway",
    "too much": "truncate -s 8G config.yaml",
    "a bomb": 'python3 -c \'print("a: " + "[" * 100000)\' >config.yaml',
    "a kept lease": "",
}


@pytest.mark.parametrize("config", chosen(CONFIGS, "no YAML"))
def test_who_owns_config_yaml_keeps_root_from_removing_nothing(siege: Siege, config: str) -> None:
    wire(siege)
    siege.take_the_gateway()
    siege.as_user(GATEWAY_USER, f"cd {CONFIG_YAML.parent}; {CONFIGS[config]}")
    if config == "a kept lease":
        siege.attack(GATEWAY_USER, "leases", str(CONFIG_YAML))
    shadow = siege.machine.read("/etc/shadow")
    for command in ("status", "check", "verify"):
        siege.root(f"{COMMAND} {command}", 60)
    siege.root(REMOVE, 300, statuses=[0])
    siege.expect_package("config-files")
    left = [path for path in DROP_INS if siege.machine.exists(path)]
    if left:
        siege.entries.append(f"removed, but still there: {left}")
    siege.root(PURGE, 60, statuses=[0])
    siege.expect_package("not-installed")
    assert siege.machine.read("/etc/shadow") == shadow


@in_full
@pytest.mark.parametrize("how", ["nest", "keep"])
def test_what_is_put_into_a_preparation_hinders_nothing_and_stays_nobody_s(
    siege: Siege, how: str
) -> None:
    wire(siege)
    siege.take_the_gateway()
    siege.as_user(GATEWAY_USER, f"python3 - {BASE}/gateway <<'EOF'\n{AS_PIP_LEFT_IT}EOF")
    siege.gateways_python(how)
    siege.attack(GATEWAY_USER, "descriptors", "prepared", "import os  # entered\n")
    siege.secrets.add("password-of-the-proxy")
    siege.attack(GATEWAY_USER, "processes")
    env = {"https_proxy": "http://root:password-of-the-proxy@127.0.0.1:9"}
    siege.root(f"{COMMAND} apply --prepare-prisma --answers /dev/null", 300, env=env)
    others = ["find", PREPARATIONS, "(", "!", "-user", "root", "-o", "-perm", "/022", ")"]
    found = siege.machine.run([*others, "!", "-type", "l"], check=False).stdout
    if found:
        siege.entries.append(f"prepared, and not root's alone: {found[:300]}")
    siege.gateways_python("")
    siege.root(f"{COMMAND} apply --answers -", 300, answers="DISABLE_ADMIN_UI=false\n")
    siege.root(REMOVE, 300, statuses=[0])
    siege.expect_package("config-files")
    siege.root(PURGE, 60, statuses=[0])
    siege.expect_package("not-installed")
    if siege.machine.exists(PREPARATIONS):
        siege.entries.append(f"purged, and {PREPARATIONS} is there")


AUTHORITY = BASE / "ca.pem"
AUTHORITIES = {
    "a pipe": "mkfifo ca.pem",
    "a link to an endless file": "ln -s /dev/zero ca.pem",
    "an endless file": "truncate -s 20G ca.pem",
    "a link to a secret": "ln -s /etc/shadow ca.pem",
}


@in_full
@pytest.mark.parametrize("authority", AUTHORITIES)
def test_a_file_of_authorities_is_not_read_without_an_end(siege: Siege, authority: str) -> None:
    start_redis_with_tls(siege.machine)
    copy = ["install", "-m", "644", "/etc/ssl/certs/ssl-cert-snakeoil.pem", str(AUTHORITY)]
    siege.machine.run(copy)
    wire(siege)
    siege.take_the_gateway()
    siege.as_user(GATEWAY_USER, f"cd {BASE}; rm ca.pem; {AUTHORITIES[authority]}")
    by_both = TLS_REDIS.replace(f"{CERTIFICATES}/authority.pem", str(AUTHORITY))
    by_both += f"PG_SSLMODE=verify-full\nPG_SSLROOTCERT={AUTHORITY}\n"
    siege.root(f"{COMMAND} check --answers -", 60, answers=by_both)
    siege.root(f"{COMMAND} verify", 60)
    siege.root(f"{COMMAND} status", 30)
    siege.root(f"{COMMAND} provision --answers -", 90, answers=by_both + ADMINISTRATOR)
    siege.root(f"{COMMAND} apply --answers -", 240, answers=by_both)
    siege.root(REMOVE, 300, statuses=[0])
    siege.expect_package("config-files")


# Passwords on the wire

ELSEWHERE = "10.9.9.9"


@in_full
@pytest.mark.parametrize("way", ["clear", "md5", "scram"])
def test_no_password_goes_over_a_network_that_anybody_could_read(siege: Siege, way: str) -> None:
    install_only(siege)
    siege.machine.put(Path(strangers.__file__), "/root/strangers.py")
    add = f"import strangers; strangers.add_address('{ELSEWHERE}')"
    siege.machine.run(["env", "PYTHONPATH=/root", "python3", "-c", add])
    siege.attack(ORDINARY_USER, "postgres", ELSEWHERE, "5432", way)
    siege.secrets |= {"PostgreSQL"}
    answers = f"DATABASE=existing\nPG_HOST={ELSEWHERE}\nPG_PASS={PASSWORD}\n"
    for sslmode in ("prefer", "disable"):
        given = f"{answers}PG_SSLMODE={sslmode}\n"
        siege.root(f"{COMMAND} check --answers -", 60, answers=given)
        siege.root(f"{COMMAND} provision --answers -", 60, answers=given + ADMINISTRATOR)
        siege.root(f"{COMMAND} apply --answers -", 120, answers=given + ADMINISTRATOR)
