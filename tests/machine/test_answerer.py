"""An ordinary user takes a port of the gateway while it is free, and answers in its place.

His control group ends like the unit's. He must get no key, and nobody may take him for the gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.tally import chosen
from tests.machine.installation import (
    UNITS,
    existing,
    make_database,
    new_key,
    preseed,
)
from tests.machine.machine import MASTER_KEY, Machine

pytestmark = pytest.mark.sample_release("bookworm")

LITELLM, WRAPPER = UNITS
PORTS = {LITELLM: 4000, WRAPPER: 4010}
PASSWORD = "correct horse"
HEARD = "/srv/squatter/heard"
TAKEN = f"{HEARD}.from"
OWN_KEY = "sk-wrapper-own-1"
# A change that restarts both units.
CHANGE = "DISABLE_ADMIN_UI=false\n"
# Below the slice of users, where systemd lets each make groups of any name.
FORGE = """
set -e
group=$(sed -n 's/^[0-9]*:name=systemd://p' /proc/$1/cgroup)
root=/sys/fs/cgroup/systemd
[ -n "$group" ] || { group=$(sed -n 's/^0:://p' /proc/$1/cgroup); root=/sys/fs/cgroup; }
mkdir -p "$root${group%/*}/$2"
echo $1 >"$root${group%/*}/$2/cgroup.procs"
"""


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A wired gateway whose wrapper has a key of its own, and a user with a program."""
    own = f"HX_AUTHORIZATION=own-key\nHX_MASTER_KEY={OWN_KEY}\nHX_UPSTREAM_KEY={MASTER_KEY}\n"
    shared_machine.write("/etc/hx-gateway/ml.env", own, mode=0o600)
    make_database(shared_machine, PASSWORD)
    preseed(shared_machine, existing(PASSWORD))
    shared_machine.install(deb)
    shared_machine.run(["useradd", "--create-home", "mallory"])
    shared_machine.run(["install", "-d", "-o", "mallory", "/srv/squatter"])
    shared_machine.put(Path(__file__).parent / "squatter.py", "/srv/squatter.py")
    return shared_machine


@contextmanager
def waiting(machine: Machine, unit: str) -> Iterator[str]:
    """Somebody waits for the unit's port; yields what can be said of him."""
    command = ["/usr/bin/python3", "/srv/squatter.py", str(PORTS[unit]), HEARD]
    start = ["systemd-run", "--quiet", "--collect", "--unit=squatter", "--uid=mallory"]
    machine.run([*start, "--slice=user.slice", "--property=KillSignal=SIGKILL", *command])
    machine.wait_until(lambda: machine.exists(HEARD), 10)
    pid = machine.main_pid("squatter")
    machine.run(["sh", "-c", FORGE, "sh", str(pid), unit])
    user = machine.run(["id", "-u", "mallory"]).stdout.strip()
    try:
        yield f"python3, process {pid}, user {user}"
    finally:
        machine.run(["sh", "-c", f"kill -9 {pid}; rm -f {HEARD} {TAKEN}"])
        machine.run(["systemctl", "stop", "squatter"], check=False)
        machine.run(["systemctl", "reset-failed", *UNITS], check=False)
        machine.run(["systemctl", "restart", *UNITS])
        machine.wait_for_gateway(240)


@contextmanager
def taken(machine: Machine, unit: str) -> Iterator[str]:
    """Somebody has the unit's port already; the unit was restarted and runs as it can."""
    with waiting(machine, unit) as who:
        machine.run(["systemctl", "stop", unit])
        machine.wait_until(lambda: machine.exists(TAKEN), 10)
        machine.run(["systemctl", "start", unit])
        yield who


def assert_he_got_no_key(machine: Machine) -> None:
    heard = machine.read(HEARD)
    assert "Authorization" not in heard and "sk-" not in heard, heard


# LiteLLM's port is taken in test_attackers.py too.
@pytest.mark.parametrize("unit", chosen(UNITS, WRAPPER))
def test_apply_gives_him_no_key_and_proves_nothing(machine: Machine, unit: str) -> None:
    with waiting(machine, unit) as who:
        command = ["hx-gateway-db", "apply", "--answers", "-"]
        done = machine.run(command, input=CHANGE, check=False, timeout=400)
        said = done.stdout + done.stderr
        assert_he_got_no_key(machine)
        assert machine.exists(TAKEN)
        assert done.returncode == 5, said
        assert f"port {PORTS[unit]} is held by another program ({who})" in said
        assert "A virtual key works" not in said and "Traceback" not in said
        assert f"{unit} does not answer" in said
    machine.run(["hx-gateway-db", "recover"])
    assert new_key(machine).status == 200


@pytest.mark.parametrize("unit", UNITS)
def test_verify_check_and_status_name_him(machine: Machine, unit: str) -> None:
    port = PORTS[unit]
    with taken(machine, unit) as who:
        verify = machine.run(["hx-gateway-db", "verify"], check=False)
        check = machine.run(["hx-gateway-db", "check"], check=False)
        status = machine.run(["hx-gateway-db", "status"])
        assert_he_got_no_key(machine)
    held = f"port {port} is held by another program ({who})"
    assert verify.returncode == 6 and held in flat(verify.stdout), verify.stdout
    assert check.returncode == 6, check.stdout
    assert f"port {port} is taken by another program ({who}), not by {unit}" in flat(check.stdout)
    assert f"run 'kill {who.split()[2].rstrip(',')}', or give it another" in flat(check.stdout)
    assert (held in flat(status.stdout)) == (unit == LITELLM)


def flat(text: str) -> str:
    return " ".join(text.split())
