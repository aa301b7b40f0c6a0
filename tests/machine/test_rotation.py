"""Credentials that rotate: killed after each step, held by others, by hand. One story.

A second pair of eyes logs in with what gateway.env says, five times a second, from the first
rotation to the last: it must never be refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.machine.installation import (
    GATEWAY_ENV,
    assert_a_virtual_key_works,
    chat,
    main_pids,
    preseed,
    reconfigure,
    stopped,
)
from tests.machine.machine import Machine

pytestmark = pytest.mark.sample_release("trixie")

LOGGING = "ALTER SYSTEM SET {} = '{}'"
# Kills itself after the step of that number; a look for sessions counts when none is left.
KILLED = """
import os, signal, sys
from hx_gateway_db.cli.parser import main
from hx_gateway_db.wiring import made, rotate, turns

left = int(sys.argv[1])
rotate._PATIENCE_SECONDS = 4.0

def step(owner, name):
    function = getattr(owner, name)
    def stepped(*arguments, **named):
        global left
        done = function(*arguments, **named)
        if name != "close" or done == []:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(owner, name, stepped)

step(made.Memory, "remember")
for kind in (turns.PostgresLogins, turns.RedisPasswords):
    step(kind, "open")
    step(kind, "close")
step(rotate, "apply")
if len(sys.argv) > 3:
    from hx_gateway_db.cli.terminal import Terminal
    say = Terminal.say
    def dying(self, line):
        say(self, line)
        if sys.argv[3] in line:
            os.kill(os.getpid(), signal.SIGKILL)
    Terminal.say = dying
sys.exit(main(["rotate", sys.argv[2]]))
"""
HELD = "application_name = 'a report'"
EYES = """
import json, sys, time
from urllib.parse import unquote
import psycopg, redis
tried, failed = 0, []
while True:
    lines = dict(line.rstrip().split("=", 1) for line in open(sys.argv[1]) if "=" in line)
    tried += 1
    try:
        with psycopg.connect(lines["DATABASE_URL"].split("?")[0], connect_timeout=5) as connection:
            connection.execute('SELECT count(*) FROM "LiteLLM_VerificationToken"')
        redis.Redis.from_url(lines["REDIS_URL"]).ping()
    except Exception as error:
        failed.append(str(error))
    with open("/root/eyes.json", "w") as file:
        json.dump([tried, failed], file)
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A gateway with a database and a Redis of this machine, which log all that they are told."""
    machine = shared_machine
    machine.psql(LOGGING.format("log_statement", "all"))
    machine.psql(LOGGING.format("shared_preload_libraries", "pg_stat_statements"))
    machine.run(["systemctl", "restart", "postgresql"])
    machine.psql("CREATE EXTENSION pg_stat_statements")
    machine.run(["redis-cli", "CONFIG", "SET", "slowlog-log-slower-than", "0"])
    machine.run(["redis-cli", "CONFIG", "SET", "slowlog-max-len", "10000"])
    answers = {"database": "local", "redis": "true", "cache": "true", "drop": "true"}
    preseed(machine, answers)
    machine.install(deb)
    machine.write("/root/killed.py", KILLED)
    machine.write("/root/eyes.py", EYES)
    watching = ["systemd-run", "--quiet", "--unit=eyes", "python3", "/root/eyes.py", GATEWAY_ENV]
    machine.run(watching)
    return machine


def env(machine: Machine) -> dict[str, str]:
    lines = machine.read(GATEWAY_ENV).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")


def login(machine: Machine) -> tuple[str, str]:
    """The user and the password of DATABASE_URL."""
    found = re.search("//([^:]+):([^@]+)@", env(machine)["DATABASE_URL"])
    assert found
    return found[1], found[2]


def open_logins(machine: Machine) -> str:
    query = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolcanlogin"
    return machine.psql(f"{query} AND rolname LIKE 'hx_gateway%'")


def passwords(machine: Machine) -> int:
    """How many the Redis user has."""
    listed = machine.run(["redis-cli", "ACL", "LIST"]).stdout.splitlines()
    return next(line for line in listed if line.startswith("user hxgateway ")).count(" #")


def status(machine: Machine) -> dict[str, Any]:
    found = json.loads(machine.run(["hx-gateway-db", "status", "--json"]).stdout)
    assert isinstance(found, dict)
    return found


def killed(machine: Machine, step: int, what: str = "all", *line: str) -> None:
    """A rotation that is killed after a step, or when it says a line."""
    program = ["python3", "/root/killed.py", str(step), what, *line]
    done = machine.run(program, check=False)
    assert done.returncode in (-9, 137), done.stdout + done.stderr


def rotate(machine: Machine, what: str = "all") -> tuple[int, str]:
    done = machine.run(["python3", "/root/killed.py", "0", what], check=False)
    return done.returncode, done.stdout + done.stderr


def hold(machine: Machine) -> None:
    """Let somebody else have a session of the login that is in use, from now on."""
    url = env(machine)["DATABASE_URL"].split("?")[0]
    machine.write("/root/holder.sql", "SET application_name = 'a report';\nSELECT pg_sleep(900);\n")
    machine.write("/root/holder.sh", f"exec psql -qf /root/holder.sql '{url}'\n", mode=0o600)
    machine.run(["systemd-run", "--quiet", "--unit=holder", "sh", "/root/holder.sh"])
    sleeping = f"SELECT count(*) FROM pg_stat_activity WHERE {HELD}"
    machine.wait_until(lambda: machine.psql(sleeping) == "1", 60, what="the session")


def test_killed_after_any_step_the_next_goes_on_and_nothing_that_is_used_is_lost(
    machine: Machine,
) -> None:
    key = assert_a_virtual_key_works(machine)
    first = login(machine)
    assert first[0] == "hx_gateway"
    pids = main_pids(machine)
    # It is remembered. In the next run, of which the first two steps forget this one's password:
    # PostgreSQL's login is open; in the one after that, Redis's second password is as well.
    for step, logins in ((1, "hx_gateway"), (3, "hx_gateway hx_gateway_b")):
        killed(machine, step)
        assert (open_logins(machine), passwords(machine)) == (logins, 1)
        assert login(machine) == first
    killed(machine, 4)
    assert (open_logins(machine), passwords(machine)) == ("hx_gateway hx_gateway_b", 2)
    assert "a change to hx_gateway_b has begun" in status(machine)["database login"]
    assert main_pids(machine) == pids
    hold(machine)
    # In the middle of the change, which the next run takes back and makes again.
    killed(machine, 0, "all", "hx-litellm-gateway.service is up again")
    assert login(machine)[0] == "hx_gateway_b"
    killed(machine, 5)
    second = login(machine)
    assert (second[0], open_logins(machine), passwords(machine)) == (
        "hx_gateway_b",
        "hx_gateway hx_gateway_b",
        2,
    )
    assert "hx_gateway is still open" in status(machine)["database login"]
    assert chat(machine, key).status == 200
    pids = main_pids(machine)
    # Somebody has a session of it.
    code, said = rotate(machine)
    assert code == 7
    assert "the login hx_gateway is still open, since one session from 127.0.0.1" in said
    assert "(a report) uses it" in said
    assert (open_logins(machine), passwords(machine)) == ("hx_gateway hx_gateway_b", 1)
    machine.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {HELD}")
    # The old login is closed and not yet forgotten.
    killed(machine, 1)
    assert open_logins(machine) == "hx_gateway_b"
    code, said = rotate(machine)
    assert code == 0 and "the old ones are closed" in said
    assert login(machine) == second and main_pids(machine) == pids
    assert chat(machine, key).status == 200
    now = status(machine)
    assert re.fullmatch("hx_gateway_b, in use since [-0-9]+ [:0-9]+ UTC", now["database login"])
    assert re.fullmatch("in use since [-0-9]+ [:0-9]+ UTC", now["redis password"])
    owners = (
        "SELECT string_agg(DISTINCT tableowner, ' ') FROM pg_tables WHERE schemaname = 'public'"
    )
    assert machine.psql(owners, database="hx_gateway") == "hx_gateway_owner"


def test_nothing_is_wrong_after_it_and_nothing_is_to_be_changed(machine: Machine) -> None:
    report = json.loads(machine.run(["hx-gateway-db", "check", "--json"]).stdout)
    assert [x for x in report["findings"] if x["level"] not in ("ok", "skipped")] == []
    pids, before = main_pids(machine), env(machine)
    answers = "DATABASE=local\nREDIS=true\n"
    machine.run(["hx-gateway-db", "apply", "--answers", "-"], input=answers)
    reconfigure(machine)
    assert (main_pids(machine), env(machine)) == (pids, before)
    assert open_logins(machine) == "hx_gateway_b"


def test_the_credentials_worked_all_the_time_and_no_log_has_them(machine: Machine) -> None:
    machine.run(["systemctl", "stop", "eyes"], check=False)
    tried, failed = json.loads(machine.read("/root/eyes.json"))
    assert failed == [] and tried > 50
    redis = re.search(":([^:@]+)@", env(machine)["REDIS_URL"])
    assert redis
    secrets = f"{login(machine)[1]}\n{redis[1]}\n"
    places = ["/var/log", "/var/lib/hx-gateway-db", "/var/cache/debconf"]
    found = machine.run(["grep", "-rlF", "-f", "-", *places], input=secrets, check=False)
    assert found.stdout == ""
    journal = machine.run(["journalctl", "--no-pager", "--output=cat"]).stdout
    told = machine.psql("SELECT query FROM pg_stat_statements")
    slow = machine.run(["redis-cli", "SLOWLOG", "GET", "-1"]).stdout
    for secret in secrets.split():
        assert secret not in journal and secret not in told and secret not in slow
    # They were told, as what they are checked against.
    assert "ALTER ROLE" in told and "SETUSER" in slow
    machine.run(["systemctl", "restart", "redis-server"])
    assert passwords(machine) == 1


BY_OTHERS = """
import json, sys
from dataclasses import replace
from hx_gateway_db.errors import Refused
from hx_gateway_db.postgres import logins
from hx_gateway_db.settings.values import Login, Postgres
asked = json.load(sys.stdin)
postgres = Postgres(host="127.0.0.1", database="second", **asked["login"])
access = logins.ByOthers(postgres)
if asked.get("administrator"):
    access = logins.Elsewhere(postgres, Login("dba", "of the dba"))
try:
    print(json.dumps(getattr(access, asked["call"])(*asked["arguments"])))
except Refused as refusal:
    print(json.dumps(str(refusal)))
"""


def call(machine: Machine, user: str, password: str, name: str, *arguments: str, dba: bool) -> Any:
    asked = {
        "login": {"user": user, "password": password},
        "call": name,
        "arguments": arguments,
        "administrator": dba,
    }
    done = machine.run(["python3", "-c", BY_OTHERS], input=json.dumps(asked))
    return json.loads(done.stdout)


def psql_as_dba(machine: Machine, script: str) -> str:
    machine.write("/root/step.sql", script)
    command = ["psql", "-X", "-h", "127.0.0.1", "-U", "dba", "-d", "second", "-f", "/root/step.sql"]
    done = machine.run(command, env={"PGPASSWORD": "of the dba"})
    return done.stdout + done.stderr


def test_an_administrator_without_all_rights_rotates_what_he_made(machine: Machine) -> None:
    machine.psql("CREATE ROLE dba LOGIN CREATEROLE CREATEDB PASSWORD 'of the dba'")
    make = "CREATE ROLE second LOGIN PASSWORD 'one'; GRANT second TO dba;"
    psql = ["psql", "-X", "-h", "127.0.0.1", "-U", "dba", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
    machine.run([*psql, "-c", make.split(";")[0]], env={"PGPASSWORD": "of the dba"})
    machine.psql("CREATE DATABASE second OWNER second")
    machine.psql("ALTER ROLE second SET search_path = public, second")
    assert call(machine, "second", "one", "other", dba=True) == "second_b"
    done = call(machine, "second", "one", "open", "two", "", dba=True)
    assert done == [
        "made second_owner of the role second, and second a login of it",
        "let the role second_b log in, which acts as second_owner",
    ]
    assert call(machine, "second", "one", "close", "second", dba=True) == []
    assert call(machine, "second_b", "two", "other", dba=True) == "second"
    shown = machine.run(
        ["psql", "-XAtq", "-h", "127.0.0.1", "-U", "second_b", "-d", "second"],
        input="SELECT current_user, session_user, current_setting('search_path')",
        env={"PGPASSWORD": "two"},
    )
    assert shown.stdout.strip() == "second_owner|second_b|public, second"


def test_who_has_no_administrator_s_login_prints_what_one_runs(machine: Machine) -> None:
    opening = call(machine, "second_b", "two", "to_open", "three", dba=False)
    assert "three" not in opening and "two" not in opening and "SCRAM-SHA-256$" in opening
    assert not call(machine, "second_b", "two", "lets_in", "second", "three", dba=False)
    psql_as_dba(machine, opening)
    assert call(machine, "second_b", "two", "lets_in", "second", "three", dba=False)
    assert call(machine, "second", "three", "holders", "second_b", dba=False) == []
    closing = call(machine, "second", "three", "to_close", "second_b", dba=False)
    psql_as_dba(machine, closing)
    assert call(machine, "second", "three", "holders", "second_b", dba=False) is None


def test_a_purge_that_drops_the_database_drops_its_logins(machine: Machine) -> None:
    with stopped(machine):
        machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert machine.psql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'hx_gateway%'") == ""
