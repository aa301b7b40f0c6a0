"""What operators run into in the months after an installation, each caused for real on one machine.

`check` tells it with a cure, the cure is run as it stands there, and `check` is content again.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.machine.installation import (
    GATEWAY_ENV,
    UNITS,
    assert_a_virtual_key_works,
    preseed,
    reconfigure,
)
from tests.machine.machine import BASE, LITELLM_URL, MASTER_KEY, Machine

pytestmark = pytest.mark.sample_release("bookworm")

LITELLM, WRAPPER = UNITS
VENV = BASE / "gateway/venv"
MIGRATION = "20250508072103_add_status_to_spendlogs"
# Decrypts a credential as LiteLLM does, with the key that is handed in.
DECRYPT = """
import base64, hashlib, sys, nacl.secret
salt, stored = sys.stdin.read().split()
box = nacl.secret.SecretBox(hashlib.sha256(salt.encode()).digest())
print(box.decrypt(base64.b64decode(stored)).decode())
"""


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A gateway with a database and a Redis of its own, made by the installation."""
    answers = {"database": "local", "redis": "true", "redis-host": "127.0.0.1", "cache": "true"}
    preseed(shared_machine, {**answers, "redis-transaction-buffer": "true"})
    shared_machine.install(deb)
    return shared_machine


def check(machine: Machine) -> dict[str, dict[str, Any]]:
    """The findings that ask for attention, by name."""
    done = machine.run(["hx-gateway-db", "check", "--json"], check=False)
    assert "Traceback" not in done.stderr, done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert not any("mistake in hx-gateway-db" in f["what"] for f in findings), findings
    return {f["name"]: f for f in findings if f["level"] in ("warning", "failed")}


def sql(machine: Machine, text: str) -> str:
    return machine.psql(text, database="hx_gateway")


def salt_of(machine: Machine) -> str:
    (line,) = re.findall(r"(?m)^LITELLM_SALT_KEY=(.*)$", machine.read(GATEWAY_ENV))
    return str(line)


def restart(machine: Machine, cure: str) -> None:
    assert f"run 'systemctl restart {LITELLM.removesuffix('.service')}'" in cure
    machine.run(["systemctl", "reset-failed", LITELLM], check=False)
    machine.run(["systemctl", "restart", LITELLM])
    machine.wait_for_gateway()


def test_a_new_database_gets_a_salt_that_litellm_encrypts_with(machine: Machine) -> None:
    assert check(machine) == {}
    salt = salt_of(machine)
    assert re.fullmatch(r"sk-[A-Za-z0-9]{48}", salt)
    environment = machine.read(f"/proc/{machine.main_pid(LITELLM)}/environ").split("\0")
    assert f"LITELLM_SALT_KEY={salt}" in environment
    body = {"credential_name": "c", "credential_values": {"api_key": "abc"}, "credential_info": {}}
    made = machine.http("POST", f"{LITELLM_URL}/credentials", key=MASTER_KEY, body=body)
    assert made.status == 200, made
    assert decrypted(machine) == "abc"


def decrypted(machine: Machine) -> str:
    stored = sql(machine, "SELECT credential_values->>'api_key' FROM \"LiteLLM_CredentialsTable\"")
    asked = machine.run([f"{VENV}/bin/python", "-c", DECRYPT], input=f"{salt_of(machine)} {stored}")
    return asked.stdout.strip()


def test_no_run_changes_it_and_it_is_in_no_log(machine: Machine) -> None:
    salt = salt_of(machine)
    preseed(machine, {"pg-pass": "another password"})
    said = reconfigure(machine)
    assert salt_of(machine) == salt and decrypted(machine) == "abc"
    log = machine.run(["journalctl", "--no-pager"]).stdout
    found = machine.run(
        ["grep", "-rlF", salt, "/var/cache/debconf", "/var/lib/hx-gateway-db"], check=False
    ).stdout
    assert salt not in said + log and found == ""


def test_a_gateway_env_that_lost_it_is_given_it_back_by_apply(machine: Machine) -> None:
    """As after it was rendered anew from a template."""
    salt = salt_of(machine)
    machine.run(["sed", "-i", "/^LITELLM_SALT_KEY=/d", GATEWAY_ENV])
    lost = check(machine)["gateway.salt-key"]
    assert lost["level"] == "failed"
    before = machine.main_pid(LITELLM)
    machine.run(["hx-gateway-db", "apply"])
    assert salt_of(machine) == salt and check(machine) == {}
    assert machine.main_pid(LITELLM) == before


def test_a_migration_that_failed_is_told_and_tried_again(machine: Machine) -> None:
    sql(
        machine,
        "UPDATE _prisma_migrations SET finished_at = NULL, applied_steps_count = 0,"
        f" started_at = now() - interval '1 hour' WHERE migration_name = '{MIGRATION}';"
        ' ALTER TABLE "LiteLLM_SpendLogs" DROP COLUMN status',
    )
    found = check(machine)
    assert MIGRATION in found["postgres.migrations"]["what"]
    restart(machine, found["postgres.migrations"]["cure"])
    assert check(machine) == {}


def test_a_column_that_counts_as_there_is_told_and_comes_back(machine: Machine) -> None:
    sql(machine, 'ALTER TABLE "LiteLLM_SpendLogs" DROP COLUMN status')
    found = check(machine)["postgres.columns"]
    assert "LiteLLM_SpendLogs.status" in found["what"]
    delete = re.search(r"DELETE FROM .*?'[^']*'", found["cure"])
    assert delete
    sql(machine, delete[0])
    restart(machine, found["cure"])
    assert check(machine) == {}
    assert_a_virtual_key_works(machine)


def test_what_a_newer_litellm_left_is_told(machine: Machine) -> None:
    sql(
        machine,
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at,"
        " applied_steps_count) VALUES ('x', 'x', '20990101000000_newer', now(), now(), 1);"
        ' ALTER TABLE "LiteLLM_SpendLogs" ADD COLUMN agent_id text',
    )
    found = check(machine)["postgres.downgrade"]
    assert "20990101000000_newer, LiteLLM_SpendLogs.agent_id for one" in found["what"]
    sql(
        machine,
        "DELETE FROM _prisma_migrations WHERE migration_name = '20990101000000_newer';"
        ' ALTER TABLE "LiteLLM_SpendLogs" DROP COLUMN agent_id',
    )
    assert check(machine) == {}


def test_an_index_that_is_missing_is_told_and_made(machine: Machine) -> None:
    sql(machine, 'DROP INDEX "LiteLLM_SpendLogs_startTime_idx"')
    found = check(machine)["postgres.indexes"]
    sql(machine, found["cure"].removeprefix("in that database run "))
    assert check(machine) == {}
    assert "startTime_idx" in sql(machine, "SELECT indexname FROM pg_indexes")


def test_a_spend_log_that_grew_is_told_until_something_deletes(machine: Machine) -> None:
    folder = machine.psql("SHOW data_directory")
    file = sql(machine, "SELECT pg_relation_filepath('\"LiteLLM_SpendLogs\"')")
    size = sql(machine, "SELECT pg_relation_size('\"LiteLLM_SpendLogs\"')")
    # Pages of nothing: as after an extension that was cut off, and PostgreSQL skips them.
    machine.run(["truncate", "--size=1G", f"{folder}/{file}"])
    found = check(machine)["postgres.growth"]
    assert "takes 1.0 GiB" in found["what"] and "nothing deletes its rows" in found["why"]
    machine.run(["truncate", f"--size={size}", f"{folder}/{file}"])
    assert check(machine) == {}


def test_deadlocks_are_counted(machine: Machine) -> None:
    """With the spend buffer on they are not said to be wrong; without it they are."""
    script = (
        'BEGIN; UPDATE "LiteLLM_Locks" SET id = id WHERE id = {0}; SELECT pg_sleep(1);'
        ' UPDATE "LiteLLM_Locks" SET id = id WHERE id = {1}; COMMIT;'
    )
    sql(
        machine,
        'CREATE TABLE "LiteLLM_Locks" (id int); INSERT INTO "LiteLLM_Locks" VALUES (1), (2)',
    )
    for number, ids in enumerate(((1, 2), (2, 1))):
        beside = ["systemd-run", "--quiet", f"--unit=dead{number}", "--uid=postgres", "--"]
        machine.run([*beside, "psql", "-d", "hx_gateway", "-c", script.format(*ids)])
    machine.wait_until(
        lambda: sql(machine, "SELECT deadlocks FROM pg_stat_database WHERE datname = 'hx_gateway'")
        != "0",
        30,
        what="a deadlock",
    )
    sql(machine, 'DROP TABLE "LiteLLM_Locks"')
    assert check(machine) == {}
    off = machine.run(
        ["hx-gateway-db", "check", "--json", "--answers", "-"],
        input="REDIS_TRANSACTION_BUFFER=false\n",
        check=False,
    )
    assert "postgres.deadlocks" in off.stdout


def test_what_redis_refused_is_told_and_granted(machine: Machine) -> None:
    url = re.search(r"(?m)^REDIS_URL=(.*)$", machine.read(GATEWAY_ENV))
    assert url
    redis_cli = ["redis-cli", "--no-auth-warning", "-u", url[1]]
    machine.run([*redis_cli, "get", "litellm_elsewhere"])
    found = check(machine)["redis.denied"]
    assert "has refused the key litellm_elsewhere to hxgateway" in found["what"]
    # Each is in quotes of one kind.
    grant, reset = found["cure"].removeprefix("run ").split(", then ")
    for command in (grant, reset):
        machine.run(["sh", "-c", command[1:-1]])
    assert check(machine) == {}
    machine.run([*redis_cli, "flushall"])
    found = check(machine)["redis.denied"]
    assert "SETUSER" not in found["cure"]
    machine.run(["redis-cli", "ACL", "LOG", "RESET"])
    assert check(machine) == {}


def test_a_redis_that_drops_what_it_likes_is_told(machine: Machine) -> None:
    for key, value in (("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")):
        machine.run(["redis-cli", "CONFIG", "SET", key, value])
    found = check(machine)["redis.memory"]
    assert "spend that is gathered there is lost" in found["why"]
    machine.run(found["cure"].partition(": ")[2].split())
    assert check(machine) == {}


def test_a_litellm_that_steals_is_given_nothing(machine: Machine) -> None:
    site = machine.run(["sh", "-c", f"echo {VENV}/lib/python3*/site-packages"]).stdout.strip()
    machine.run(["mkdir", f"{site}/litellm-1.82.8.dist-info"])
    before = machine.read(GATEWAY_ENV)
    assert check(machine)["gateway.litellm"]["level"] == "failed"
    for options in ([], ["--anyway"]):
        done = machine.run(
            ["hx-gateway-db", "apply", *options, "--answers", "-"],
            input="PG_PASS=for nobody\n",
            check=False,
        )
        assert done.returncode == 3 and "24518" in done.stderr
    assert machine.read(GATEWAY_ENV) == before
    machine.run(["rmdir", f"{site}/litellm-1.82.8.dist-info"])


def test_it_outlives_a_purge_and_goes_with_its_database(machine: Machine, deb: Path) -> None:
    salt = salt_of(machine)
    done = machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert "nobody can read what LiteLLM has encrypted" in done.stdout + done.stderr
    assert salt_of(machine) == salt and "DATABASE_URL" not in machine.read(GATEWAY_ENV)
    preseed(machine, {"database": "local", "pg-pass": "another password"})
    machine.install(deb)
    assert salt_of(machine) == salt and decrypted(machine) == "abc"
