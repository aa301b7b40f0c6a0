"""A change under load: tried on a second gateway, which serves while the first one restarts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.machine.installation import (
    GATEWAY_ENV,
    UNITS,
    assert_a_virtual_key_works,
    main_pids,
    preseed,
)
from tests.machine.load import SLOW_MODEL, Load, Tally, Way, serve_slow_model
from tests.machine.machine import BASE, CONFIG_YAML, Machine

SECOND_UNITS = ("hxgatewaydb-litellm.service", "hxgatewaydb-wrapper.service")
STATE = "/var/lib/hx-gateway-db"
# Seconds of asking before and after a change, so that a loss at either end shows.
BESIDE = 3
# LiteLLM's own Python does not start with a password that says so (site, on .pth files).
REFUSAL = (
    "import os; 'does-not-start' in os.environ.get('DATABASE_URL', '')"
    " and (os.write(2, b'this one does not start'), os._exit(3))\n"
)

# Kill a command as soon as something is so; its status is then that of one that was killed.
KILL = """\
$2 & run=$!
while ! eval "$1"; do kill -0 $run || exit 1; done
kill -9 $run
wait $run
"""
# How long a port is not given out anew after a connection of it (TIME_WAIT).
KERNEL_FORGETS_SECONDS = 60
# A stream of the model that takes its time; the unit has the 90 s to end that systemd gives it.
STREAM_SECONDS = 15

pytestmark = pytest.mark.sample_release("bookworm")


@pytest.fixture(scope="module")
def shared_machine(image: Path) -> Iterator[Machine]:
    """A machine whose gateway has a model that takes its time."""
    with Machine(image) as machine:
        machine.run(["sh", "-c", 'cat >>"$1"', "sh", str(CONFIG_YAML)], input=SLOW_MODEL)
        machine.boot()
        serve_slow_model(machine, STREAM_SECONDS)
        machine.wait_for_gateway()
        yield machine


def under_load(machine: Machine, command: list[str], said: str = "", status: int = 0) -> str:
    """Run a change while clients ask; nothing of theirs is lost on a new connection."""
    load = Load(machine, rate=5, streams=True)
    machine.run(["sleep", str(BESIDE)])
    began = time.monotonic()
    done = machine.run(command, input=said or None, check=False, timeout=900)
    took = time.monotonic() - began
    machine.run(["sleep", str(BESIDE)])
    tallies = load.end()
    words = done.stdout + done.stderr
    assert done.returncode == status, words
    for tally in tallies.values():
        print(tally)
    assert lost(tallies, took) == {}, words
    return words


def lost(tallies: Mapping[Way, Tally], took: float) -> dict[Way, list[Any]]:
    """What was lost that should not be, in a change that took so many seconds."""
    # uvicorn closes an idle connection in the instant in which its client may just be sending: once
    # where the real unit stops, and once where the second does. And after a minute, a new
    # connection can have the number of one that was ending when the table came.
    allowed = {True: 2, False: 1 if took > KERNEL_FORGETS_SECONDS else 0, None: 0}
    return {
        way: tally.lost for way, tally in tallies.items() if len(tally.lost) > allowed[tally.kept]
    }


def assert_nothing_is_left(machine: Machine) -> None:
    """No second gateway, no table, no staged file, no journal."""
    assert not any(machine.is_active(unit) for unit in SECOND_UNITS)
    assert "hx_gateway_db" not in machine.run(["nft", "list", "tables"]).stdout
    folders = [str(BASE / "config"), STATE, "/run/systemd/system"]
    names = ["-name", "*second*", "-o", "-name", "hxgatewaydb*"]
    assert machine.run(["find", *folders, *names]).stdout == ""


def test_an_installation_loses_no_request(shared_machine: Machine, deb: Path) -> None:
    shared_machine.put(deb, "/root/hx.deb")
    preseed(shared_machine, {"database": "local", "trial": "true"})
    words = under_load(
        shared_machine,
        ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "/root/hx.deb"],
    )
    assert "A second LiteLLM works with it, on port 4001" in words
    assert "New requests go to the second gateway now." in words
    assert_a_virtual_key_works(shared_machine)
    assert_nothing_is_left(shared_machine)


def test_a_changed_password_loses_no_request(shared_machine: Machine) -> None:
    before = main_pids(shared_machine)
    under_load(
        shared_machine,
        ["hx-gateway-db", "apply", "--answers", "-"],
        "DATABASE=local\nPG_PASS=another geheim\n",
    )
    assert "another%20geheim" in shared_machine.read(GATEWAY_ENV)
    assert all(now != then for now, then in zip(main_pids(shared_machine), before, strict=True))
    assert_a_virtual_key_works(shared_machine)
    assert_nothing_is_left(shared_machine)


def test_a_change_that_fails_costs_nothing(shared_machine: Machine) -> None:
    packages = shared_machine.run(
        ["sh", "-c", f"echo {BASE}/gateway/venv/lib/python3*/site-packages"]
    )
    refusal = f"{packages.stdout.strip()}/refusal.pth"
    shared_machine.write(refusal, REFUSAL)
    before, env = main_pids(shared_machine), shared_machine.read(GATEWAY_ENV)
    shared_machine.psql("ALTER ROLE hx_gateway PASSWORD 'does-not-start'")
    words = under_load(
        shared_machine,
        ["hx-gateway-db", "apply", "--answers", "-"],
        "DATABASE=existing\nPG_HOST=127.0.0.1\nPG_PASS=does-not-start\n",
        status=3,
    )
    assert "does not work on a second LiteLLM" in words
    assert "this one does not start" in words
    assert main_pids(shared_machine) == before
    assert shared_machine.read(GATEWAY_ENV) == env
    assert_nothing_is_left(shared_machine)
    shared_machine.run(["rm", refusal])
    shared_machine.psql("ALTER ROLE hx_gateway PASSWORD 'another geheim'")


@pytest.mark.parametrize("moment", ["hxgatewaydb-litellm", "redirect", "hx-litellm-gateway"])
def test_killed_on_the_way_it_goes_on_serving_and_recovers(
    shared_machine: Machine, moment: str
) -> None:
    """At a start of the second one, while the table is put, and while the real one restarts."""
    before = shared_machine.read(GATEWAY_ENV)
    began = time.monotonic()
    load = Load(shared_machine, rate=5)
    seen = {
        "redirect": "nft list map inet hx_gateway_db second 2>/dev/null | grep -q '4000 : 4001'",
        "hxgatewaydb-litellm": "systemctl is-active --quiet hxgatewaydb-litellm",
        "hx-litellm-gateway": "nft list map inet hx_gateway_db second 2>/dev/null"
        " | grep -q '4000 : 4001' && ! systemctl is-active --quiet hx-gateway-ml",
    }[moment]
    shared_machine.write("/root/answers", "DATABASE=local\nPG_PASS=a third geheim\n")
    done = shared_machine.run(
        ["sh", "-c", KILL, "sh", seen, "hx-gateway-db apply --answers /root/answers"], check=False
    )
    assert done.returncode == 137, done.stdout + done.stderr
    recovered = shared_machine.run(["hx-gateway-db", "recover"])
    tallies = load.end()
    assert lost(tallies, time.monotonic() - began) == {}, recovered.stdout + recovered.stderr
    assert shared_machine.read(GATEWAY_ENV) == before
    assert all(shared_machine.is_active(unit) for unit in UNITS)
    # The role had the new password already.
    assert_a_virtual_key_works(shared_machine)
    assert_nothing_is_left(shared_machine)


def test_a_removal_loses_no_request(shared_machine: Machine) -> None:
    under_load(shared_machine, ["apt-get", "remove", "--yes", "hx-gateway-db"])
    assert "disable_spend_logs: true" in shared_machine.read(CONFIG_YAML)
    assert all(shared_machine.is_active(unit) for unit in UNITS)
    assert_nothing_is_left(shared_machine)
