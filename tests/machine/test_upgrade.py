"""What 0.1.0 has left on a host, in the hands of this version.

One machine lives through three upgrades, each test a chapter: from an installation that a check
has stopped, from a gateway that is wired, and from a run that was killed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.machine.installation import (
    CACHE_DROP_IN,
    DROP_INS,
    GATEWAY_ENV,
    assert_a_virtual_key_works,
    assert_no_password_in_debconf,
    existing,
    main_pids,
    make_database,
    no_connected_db,
    preseed,
    reconfigure,
    stopped,
)
from tests.machine.machine import BASE, CONFIG_YAML, Machine
from tests.machine.released import NoHistory, build_released
from tests.machine.test_prisma import AS_PIP_LEFT_IT, PREPARATIONS

pytestmark = pytest.mark.sample_release("bookworm")

STATE = "/var/lib/hx-gateway-db/state"
JOURNAL = "/var/lib/hx-gateway-db/journal"
PASSWORD = "p@ss of 0.1.0"
PREPARED = {"prepare-prisma": "true"}
# What all but the first chapter leave, by this version's hands at last.
WIRED = (GATEWAY_ENV, *DROP_INS, CACHE_DROP_IN, str(CONFIG_YAML), STATE)
# New on each host, or at each preparation.
_DRAWN = re.compile(
    rf"(?<=^salt )\S+$|(?<=^(?:left|line) )(\S+) \S+$|(?<={PREPARATIONS}/)\w+", re.MULTILINE
)
# An apply of 0.1.0 is killed once its files are written and the first unit is about to restart.
KILLED = f"""
echo DISABLE_ADMIN_UI=false | hx-gateway-db apply --answers - & pid=$!
until test -e {JOURNAL}/services; do sleep 0.05; done
kill -9 $pid
"""


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package file of 0.1.0."""
    try:
        return build_released("0.1.0", tmp_path_factory.mktemp("released"))
    except NoHistory as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def machine(released: Path, shared_machine: Machine) -> Machine:
    """A gateway whose venv is as pip has left it: Prisma's client was never generated."""
    shared_machine.run(["python3", "-c", AS_PIP_LEFT_IT, f"{BASE}/gateway"])
    return shared_machine


@pytest.fixture(scope="module", autouse=True)
def original(machine: Machine) -> str:
    """config.yaml before the package came."""
    return machine.read(CONFIG_YAML)


@pytest.fixture(scope="module")
def new(machine: Machine, original: str, released: Path, deb: Path) -> dict[str, str]:
    """What this version writes on a host that 0.1.0 has only failed on."""
    answers = existing(PASSWORD, redis="true", redis_host="127.0.0.1", cache="true")
    preseed(machine, answers | {"disable-admin-ui": "false"} | PREPARED)
    failed = machine.install(released, check=False)
    assert failed.returncode != 0
    assert "refuses the password of the user hx_gateway" in failed.stdout + failed.stderr
    make_database(machine, PASSWORD)
    # PREPARED was for one attempt; a key like that is on no host that 0.1.0 has wired.
    preseed(machine, PREPARED | {"salt": "false"})
    machine.install(deb)
    return wiring(machine)


def wiring(machine: Machine) -> dict[str, str]:
    """The files of ours, each with owner and mode, but for what is drawn by lot.

    Of gateway.env, in which a line that is new stands last, the paragraphs in one order.
    """
    files = {path: machine.read(path) for path in WIRED if machine.exists(path)}
    if GATEWAY_ENV in files:
        files[GATEWAY_ENV] = "\n\n".join(sorted(files[GATEWAY_ENV].strip().split("\n\n")))
    return {
        path: machine.stat(path) + "\n" + _DRAWN.sub(r"\1 ...", text)
        for path, text in files.items()
    }


def purge(machine: Machine) -> None:
    said = machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert "dpkg: warning" not in said.stdout + said.stderr


def assert_nothing_is_left(machine: Machine, original: str) -> None:
    assert no_connected_db(machine)
    assert machine.read(CONFIG_YAML) == original
    left = ["find", "/", "-xdev", "-name", "*hx-gateway-db*", "-not", "-path", "/root/*"]
    assert machine.run(left).stdout == ""
    assert not any(machine.exists(path) for path in WIRED if path != str(CONFIG_YAML))


def version(machine: Machine) -> str:
    query = ["dpkg-query", "--show", "--showformat=${Version} ${Status}", "hx-gateway-db"]
    return machine.run(query).stdout


def test_answers_that_wait_since_a_check_failed_wire_the_gateway(
    machine: Machine, new: dict[str, str], original: str
) -> None:
    assert new.keys() == set(WIRED)
    assert PREPARATIONS in new[DROP_INS[0]]
    assert_a_virtual_key_works(machine)
    assert_no_password_in_debconf(machine, PASSWORD)
    with stopped(machine):
        purge(machine)
    assert_nothing_is_left(machine, original)


def test_a_wired_gateway_is_upgraded_with_no_restart_and_no_change(
    machine: Machine, original: str, released: Path, deb: Path
) -> None:
    answers = existing(PASSWORD, redis="true", redis_host="127.0.0.1", cache="true")
    # 0.1.0 asked nothing about a trial: that it is wanted is no change then.
    preseed(machine, answers | PREPARED | {"trial": "true"})
    with stopped(machine):
        machine.install(released)
    before = (main_pids(machine), [machine.read(path) for path in WIRED])
    said = machine.install(deb)
    assert "Nothing to change" in said.stdout
    assert (main_pids(machine), [machine.read(path) for path in WIRED]) == before
    assert version(machine).startswith("0.2") and version(machine).endswith(" installed")
    assert_a_virtual_key_works(machine)


def test_the_first_change_writes_what_this_version_would_have_written(
    machine: Machine, new: dict[str, str]
) -> None:
    preseed(machine, {"disable-admin-ui": "false"})
    reconfigure(machine)
    assert wiring(machine) == new
    assert "\nPG_URL=" in new[GATEWAY_ENV]
    before = main_pids(machine)
    assert "Nothing to change" in reconfigure(machine)
    assert main_pids(machine) == before


def test_removal_and_purge_are_as_exact_as_without_the_upgrade(
    machine: Machine, original: str
) -> None:
    machine.run(["apt-get", "remove", "--yes", "hx-gateway-db"])
    assert no_connected_db(machine)
    assert machine.read(CONFIG_YAML) == original
    assert not any(machine.exists(path) for path in (*DROP_INS, CACHE_DROP_IN, PREPARATIONS))
    purge(machine)
    assert_nothing_is_left(machine, original)


def test_a_run_of_0_1_0_that_was_killed_is_undone(
    machine: Machine, released: Path, deb: Path
) -> None:
    machine.psql("DROP DATABASE IF EXISTS hx_gateway; DROP ROLE IF EXISTS hx_gateway")
    preseed(machine, {"database": "local", "trial": "true"} | PREPARED)
    with stopped(machine):
        machine.install(released)
    before = wiring(machine)
    machine.run(["sh", "-c", KILLED], check=False)
    assert "DISABLE_ADMIN_UI=false\n" in machine.read(GATEWAY_ENV)
    # Not by apt, whose configuration takes what the files say for what is wanted.
    machine.put(deb, "/root/new.deb")
    machine.run(["dpkg", "--unpack", "/root/new.deb"])
    assert "as it was before" in machine.run(["hx-gateway-db", "recover"]).stdout
    assert not machine.exists(JOURNAL)
    assert wiring(machine) == before
    pids = main_pids(machine)
    configure = ["dpkg", "--configure", "hx-gateway-db"]
    said = machine.run(configure, env={"DEBIAN_FRONTEND": "noninteractive"})
    assert "Nothing to change" in said.stdout + said.stderr
    assert main_pids(machine) == pids
    assert_a_virtual_key_works(machine)


def test_the_database_that_0_1_0_has_made_goes_at_a_purge_that_is_told_to_drop(
    machine: Machine, original: str
) -> None:
    preseed(machine, {"drop": "true"})
    with stopped(machine):
        purge(machine)
    assert_nothing_is_left(machine, original)
    assert "hx_gateway" not in machine.psql("SELECT rolname FROM pg_roles")
    assert machine.psql("SELECT 1 FROM pg_database WHERE datname = 'hx_gateway'") == ""
