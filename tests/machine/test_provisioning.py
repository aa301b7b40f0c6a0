"""What the package makes on servers, keeps there, and offers to take away: one story."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.machine.installation import (
    assert_a_virtual_key_works,
    assert_no_password_in_debconf,
    existing,
    main_pids,
    preseed,
    stopped,
)
from tests.machine.machine import Machine

pytestmark = pytest.mark.sample_release("bookworm")

DROP_IN = "/etc/systemd/system/redis-server.service.d/hx-gateway-db.conf"


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A gateway with a database and a Redis user that the package has made on its own machine."""
    preseed(shared_machine, {"database": "local", "redis": "true"})
    shared_machine.install(deb)
    return shared_machine


def users(machine: Machine) -> dict[str, str]:
    """Redis's users and their rules."""
    listed = machine.run(["redis-cli", "ACL", "LIST"]).stdout.splitlines()
    return {line.split()[1]: line for line in listed}


def roles(machine: Machine) -> set[str]:
    return set(machine.psql("SELECT rolname FROM pg_roles").split())


def apply(machine: Machine, answers: str) -> str:
    done = machine.run(["hx-gateway-db", "apply", "--answers", "-"], input=answers, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    return done.stderr


def test_a_local_database_comes_with_a_redis_user_that_may_only_what_litellm_does(
    machine: Machine,
) -> None:
    assert_a_virtual_key_works(machine)
    rule = users(machine)["hxgateway"]
    assert "-@all" in rule and "~litellm:*" in rule and "nopass" not in rule
    assert "hx-gateway-db" not in machine.read("/etc/redis/redis.conf")


def test_the_user_is_there_again_after_a_restart_of_redis(machine: Machine) -> None:
    before = users(machine)["hxgateway"]
    machine.run(["systemctl", "restart", "redis-server"])
    # Redis lists the commands in another order.
    assert sorted(users(machine)["hxgateway"].split()) == sorted(before.split())


def test_the_check_finds_nothing_wrong_and_says_so_as_json_too(machine: Machine) -> None:
    report = json.loads(machine.run(["hx-gateway-db", "check", "--json"]).stdout)
    assert report["ok"] is True
    names = {finding["name"] for finding in report["findings"]}
    assert {"postgres.schema", "redis.permissions", "gateway.prisma-client"} <= names
    assert {finding["level"] for finding in report["findings"]} <= {"ok", "warning"}


def test_a_wrong_password_is_refused_in_one_sentence_and_restarts_nothing(
    machine: Machine,
) -> None:
    before = main_pids(machine)
    said = apply(machine, "PG_PASS=wrong\n")
    assert "refuses the password of the user hx_gateway" in said
    assert machine.run(["hx-gateway-db", "check"]).returncode == 0
    assert main_pids(machine) == before


def test_a_purge_that_is_told_to_drop_leaves_nothing_on_the_servers(machine: Machine) -> None:
    preseed(machine, {"drop": "true"})
    machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert not machine.exists(DROP_IN)
    assert "hx_gateway" not in roles(machine)
    assert machine.psql("SELECT 1 FROM pg_database WHERE datname = 'hx_gateway'") == ""
    assert list(users(machine)) == ["default"]


def test_an_administrator_makes_what_is_missing_and_is_forgotten(
    machine: Machine, deb: Path
) -> None:
    machine.psql("CREATE ROLE dba LOGIN SUPERUSER PASSWORD 'of the dba'")
    preseed(machine, existing("new pass"))
    failed = machine.install(deb, check=False)
    assert failed.returncode != 0
    assert "refuses the password of the user hx_gateway" in failed.stdout + failed.stderr

    env = {"DEBIAN_FRONTEND": "noninteractive"}
    preseed(machine, {"pg-admin-user": "dba", "pg-admin-pass": "mistyped"})
    refused = machine.run(["dpkg", "--configure", "--pending"], env=env, check=False)
    said_of_both = refused.stdout + refused.stderr
    assert "refuses the password of the user dba" in said_of_both
    assert "check PG_ADMIN_USER and PG_ADMIN_PASS" in said_of_both
    assert "refuses the password of the user hx_gateway" in said_of_both

    preseed(machine, {"pg-admin-user": "dba", "pg-admin-pass": "of the dba"})
    said = machine.run(["dpkg", "--configure", "--pending"], env=env)
    assert "Made the role hx_gateway." in said.stdout + said.stderr
    assert_a_virtual_key_works(machine)
    assert_no_password_in_debconf(machine, "of the dba")
    with stopped(machine):
        machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert "hx_gateway" in roles(machine)


def test_a_failed_check_can_be_preseeded_to_install_and_configure_nothing(
    machine: Machine, deb: Path
) -> None:
    before = main_pids(machine)
    preseed(machine, existing("wrong pass", check_failed="later"))
    said = machine.install(deb)
    assert "The gateway is left as it is" in said.stdout
    shown = machine.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", "hx-gateway-db"]
    )
    assert shown.stdout == "installed"
    assert main_pids(machine) == before
    assert_no_password_in_debconf(machine, "wrong pass")
