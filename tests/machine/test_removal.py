"""The package is removed from a gateway that has been broken into, or is half gone already.

All on one machine, which each test leaves so that the package can be installed again.
"""

from pathlib import Path

import pytest

from tests.faults.tally import chosen
from tests.machine.installation import (
    DROP_INS,
    GATEWAY_ENV,
    UNITS,
    assert_a_virtual_key_works,
    assert_only_the_salt_is_left,
    existing,
    main_pids,
    make_database,
    new_key,
    no_connected_db,
    preseed,
    stopped,
)
from tests.machine.machine import BASE, CONFIG_YAML, WRAPPER_URL, Machine

pytestmark = pytest.mark.sample_release("trixie")

LITELLM, WRAPPER = UNITS
PASSWORD = "geheim"
EVIL = {
    "no YAML": 'echo "a: [" >"$1"',
    "a pipe": 'rm "$1" && mkfifo "$1"',
    "a link": 'rm "$1" && ln -s /etc/shadow "$1"',
}


@pytest.fixture(scope="module")
def with_database(shared_machine: Machine) -> Machine:
    make_database(shared_machine, PASSWORD)
    return shared_machine


@pytest.fixture
def machine(with_database: Machine, deb: Path) -> Machine:
    """A gateway that is wired, once more where the test before has taken the package away."""
    machine = with_database
    if not machine.exists(DROP_INS[0]):
        # What the checks say of a machine that has much to do is of no interest here.
        preseed(machine, existing(PASSWORD, check_failed="continue"))
        with stopped(machine):
            machine.install(deb)
        machine.run(["chown", "hx-gateway:", str(CONFIG_YAML.parent)])
    return machine


def remove(machine: Machine, *, check: bool = True) -> str:
    done = machine.run(["apt-get", "remove", "--yes", "hx-gateway-db"], check=check)
    assert check or done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    # apt gives what it runs a terminal, on which lines end at words.
    return " ".join((done.stdout + done.stderr).split())


def assert_gone(machine: Machine) -> None:
    assert not any(machine.exists(path) for path in DROP_INS)
    shown = machine.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", "hx-gateway-db"]
    )
    assert shown.stdout == "config-files"


@pytest.mark.parametrize("evil", chosen(EVIL, "a link"))
def test_with_a_config_yaml_that_nobody_can_use_litellm_runs_on_and_the_package_goes(
    machine: Machine, deb: Path, evil: str
) -> None:
    original = machine.read(CONFIG_YAML)
    as_gateway = ["runuser", "-u", "hx-gateway", "--"]
    machine.run([*as_gateway, "sh", "-c", EVIL[evil], "sh", str(CONFIG_YAML)])
    litellm, wrapper = main_pids(machine)
    said = remove(machine)
    assert said.count(f"{CONFIG_YAML} is left as it is: ") == 1
    assert f"{LITELLM} is not restarted, since it might not start with {CONFIG_YAML}" in said
    assert_gone(machine)
    now = main_pids(machine)
    assert now[0] == litellm and now[1] not in (0, wrapper)
    # It runs with its database until somebody restarts it.
    assert new_key(machine).status == 200

    machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert_only_the_salt_is_left(machine)
    machine.run(["rm", str(CONFIG_YAML)])
    machine.write(CONFIG_YAML, original, owner="hx-gateway:hx-gateway", mode=0o640)
    preseed(machine, existing(PASSWORD))
    machine.install(deb)
    assert_a_virtual_key_works(machine)


def test_a_gateway_that_does_not_come_up_again_goes_when_it_is_stopped_as_the_sentence_says(
    machine: Machine,
) -> None:
    program = f"{BASE}/gateway/venv/bin/litellm"
    machine.run(["mv", program, f"{program}.away"])
    machine.write(program, "#!/bin/sh\nexit 1\n", mode=0o755)
    said = remove(machine, check=False)
    way_out = "systemctl stop hx-litellm-gateway"
    assert f"To go on without them, run '{way_out}', then this again" in said
    assert all(machine.exists(path) for path in DROP_INS)
    machine.run(way_out.split())
    # systemd leaves one that has failed too often just before as failed, also when it is stopped.
    said = remove(machine)
    assert f"{LITELLM} is stopped: left stopped" in said or "did not answer before" in said
    assert_gone(machine)
    machine.run(["mv", f"{program}.away", program])
    machine.run(["systemctl", "start", LITELLM])
    machine.wait_for_gateway()
    assert no_connected_db(machine)


def test_a_gateway_whose_folder_is_gone_runs_on_and_the_package_goes(machine: Machine) -> None:
    before = main_pids(machine)
    machine.run(["mv", "/opt/HX-Infrastructure-", "/opt/away"])
    said = remove(machine)
    assert f"{LITELLM} is not restarted, since {BASE}/gateway/venv/bin/litellm" in said
    assert main_pids(machine) == before
    assert_gone(machine)
    machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert not machine.exists("/var/lib/hx-gateway-db")
    machine.run(["mv", "/opt/away", "/opt/HX-Infrastructure-"])


def test_a_gateway_whose_user_is_gone_runs_on_and_the_package_goes(machine: Machine) -> None:
    before = main_pids(machine)
    machine.run(["sed", "-i.away", "/^hx-gateway:/d", "/etc/passwd"])
    said = remove(machine)
    assert f"{LITELLM} is not restarted, since its user hx-gateway does not exist" in said
    assert main_pids(machine) == before
    assert machine.http("GET", f"{WRAPPER_URL}/healthz").status == 200
    assert_gone(machine)
    machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    machine.run(["mv", "/etc/passwd.away", "/etc/passwd"])


def test_a_gateway_env_of_the_gateway_s_own_is_believed_by_nobody(machine: Machine) -> None:
    url = "postgresql://hx_gateway:geheim@evil.example:5432/hx_gateway"
    script = 'rm -f "$1" && echo "DATABASE_URL=$2" >"$1"'
    as_gateway = ["runuser", "-u", "hx-gateway", "--", "sh", "-c", script, "sh", GATEWAY_ENV, url]
    machine.run(as_gateway)
    administrator = "PG_ADMIN_USER=postgres\nPG_ADMIN_PASS=the-masters\n"
    statuses = {"check": 3, "provision": 3, "apply": 3, "verify": 6, "answers": 0, "status": 0}
    for command, status in statuses.items():
        given = ["--answers", "-"] if command in ("check", "provision", "apply") else []
        done = machine.run(["hx-gateway-db", command, *given], input=administrator, check=False)
        said = done.stdout + done.stderr
        assert (done.returncode, "evil.example" in said) == (status, False), said
        assert "nothing in it is believed" in " ".join(said.split()), said
    remove(machine)
    assert_gone(machine)
    machine.run(["rm", GATEWAY_ENV])
