"""Services, servers and disks that fail while a wired gateway is changed, on a booted machine.

What must hold after each: the files are those of before, and the gateway serves a virtual key.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.tally import Tally, chosen, in_full
from tests.machine.installation import (
    DROP_INS,
    GATEWAY_ENV,
    UNITS,
    assert_a_virtual_key_works,
    assert_only_the_salt_is_left,
    chat,
    existing,
    make_database,
    no_connected_db,
    preseed,
    stopped,
)
from tests.machine.machine import BASE, CONFIG_YAML, Machine

pytestmark = pytest.mark.sample_release("bookworm")

LITELLM, WRAPPER = UNITS
PASSWORD = "pass of before"
STATE = "/var/lib/hx-gateway-db"
FAILING = "/usr/local/bin/failing_service.py"
# A change that the checks before it let through, and that restarts both units.
CHANGE = "DISABLE_ADMIN_UI=false\n"
# Four minutes are for LiteLLM's migrations; what hangs with the new settings is waited for no
# longer than the last argument of this program says.
IMPATIENT = """
import sys
from pathlib import Path
from hx_gateway_db.errors import HxError
from hx_gateway_db.gateway.readiness import Patience, Readiness
from hx_gateway_db.wiring.apply import Request, apply
from hx_gateway_db.wiring.outside import Outside
gateway_env, unit, seconds = sys.argv[1:]
class Impatient(Readiness):
    def wait_until_ready(self, restarted, progress):
        new = "DISABLE_ADMIN_UI=false" in Path(gateway_env).read_text()
        patience = Patience(ready=float(seconds)) if new and restarted.name == unit else Patience()
        Readiness(patience=patience).wait_until_ready(restarted, progress)
class News:
    def say(self, line): print(line)
    def waiting(self, what, seconds): pass
# The checks see that what is started here is no LiteLLM.
request = Request({"DISABLE_ADMIN_UI": "false"}, anyway=True)
try:
    apply(Path("/"), request, News(), Outside(readiness=Impatient()))
except HxError as error:
    print(error)
    sys.exit(error.exit_status)
"""
HANGS = "was not ready after"
PORTS = {LITELLM: 4000, WRAPPER: 4010}


@pytest.fixture(scope="module")
def key(shared_machine: Machine, deb: Path) -> str:
    """A virtual key of a gateway that the package has wired."""
    machine = shared_machine
    make_database(machine, PASSWORD)
    preseed(machine, existing(PASSWORD, redis="true", redis_host="127.0.0.1"))
    machine.install(deb)
    return assert_a_virtual_key_works(machine)


@pytest.fixture
def machine(shared_machine: Machine, key: str, tally: Tally) -> Iterator[Machine]:
    """The wired machine; when the test has ended it must be as it was, and serve."""
    before = files(shared_machine)
    tally.injected += 1
    yield shared_machine
    now = files(shared_machine)
    tally.files_torn += sum(now[path] != before[path] for path in before)
    served = chat(shared_machine, key)
    if served.status != 200:
        print(f"A chat was answered by {served}")
        tally.gateways_down += 1


def files(machine: Machine) -> dict[str, str]:
    paths = [GATEWAY_ENV, *DROP_INS, str(CONFIG_YAML), f"{STATE}/state"]
    found = {path: machine.read(path) if machine.exists(path) else "" for path in paths}
    return found | {STATE: machine.run(["ls", "-A", STATE]).stdout}


def apply(machine: Machine, answers: str, status: int, *flags: str) -> str:
    """Apply, which has to end with this exit status; returns what it said."""
    command = ["hx-gateway-db", "apply", "--answers", "-", *flags]
    done = machine.run(command, input=answers, check=False, timeout=400)
    said = without_secrets(done.stdout + done.stderr)
    assert done.returncode == status, said
    return said


def without_secrets(said: str) -> str:
    assert "Traceback" not in said and "pass%20of" not in said and PASSWORD not in said
    return said


@pytest.fixture
def failing(machine: Machine) -> Iterator[Machine]:
    """The machine, on which `break_with` has made a unit fail."""
    machine.put(Path(__file__).parent / "failing_service.py", FAILING)
    yield machine
    machine.run(["rm", "-f", *map(drop_in, UNITS)])
    machine.run(["systemctl", "daemon-reload"])


def break_with(machine: Machine, unit: str, fault: str) -> None:
    """From now on `unit` fails in this way when it has new settings."""
    machine.write("/etc/fault", fault)
    shown = machine.run(["systemctl", "cat", unit]).stdout.splitlines()
    command = next(x.removeprefix("ExecStart=") for x in shown if x.startswith("ExecStart="))
    start = f"ExecStart=/usr/bin/python3 {FAILING} {PORTS[unit]} {command}"
    machine.write(drop_in(unit), f"[Service]\nExecStart=\n{start}\n")
    machine.run(["systemctl", "daemon-reload"])


def drop_in(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d/99-fault.conf"


SERVICE_FAULTS = {
    "LiteLLM exits": (LITELLM, "exits", "ended while it was starting"),
    "LiteLLM has no database": (LITELLM, "has no database", "has lost its database"),
    "LiteLLM ends late": (LITELLM, "ends late", "came up and ended"),
    "LiteLLM hangs": (LITELLM, "hangs", HANGS),
    "LiteLLM says 500": (LITELLM, "says 500 to everything", HANGS),
    "the wrapper exits": (WRAPPER, "exits", "ended while it was starting"),
    "the wrapper ends late": (WRAPPER, "ends late", "came up and ended"),
    "the wrapper hangs": (WRAPPER, "hangs", HANGS),
}


@pytest.mark.parametrize("what", chosen(SERVICE_FAULTS, "LiteLLM ends late", "the wrapper exits"))
def test_a_service_that_fails_with_the_new_settings_gets_the_old_ones_back(
    failing: Machine, what: str
) -> None:
    unit, fault, reason = SERVICE_FAULTS[what]
    break_with(failing, unit, fault)
    seconds = "10" if reason == HANGS else "240"
    command = ["python3", "-Ic", IMPATIENT, GATEWAY_ENV, unit, seconds]
    done = failing.run(command, check=False, timeout=600)
    said = without_secrets(done.stdout + done.stderr)
    assert done.returncode == 4, said
    assert reason in said
    assert "Everything was put back." in said
    assert f"failing on purpose: {fault}" in said


# Servers that go between the check and the restart

# Between the two looks at the servers, and gone before the apply goes on.
KILLING = """#!/bin/sh
if [ "$1" = daemon-reload ]; then
    /usr/bin/systemctl kill --kill-whom=all --signal=KILL {unit}
    /usr/bin/systemctl stop {unit}
fi
exec /usr/bin/systemctl "$@"
"""


@contextmanager
def killed_in_mid_apply(machine: Machine, unit: str) -> Iterator[None]:
    """An apply in here loses this server once its files are written; afterwards it runs again."""
    machine.write("/usr/local/sbin/systemctl", KILLING.format(unit=unit), mode=0o755)
    try:
        yield
    finally:
        machine.run(["rm", "/usr/local/sbin/systemctl"])
        machine.run(["systemctl", "restart", unit])


def test_a_database_that_goes_after_the_check_costs_no_running_gateway(machine: Machine) -> None:
    cluster = machine.run(["sh", "-c", "ls /etc/postgresql"]).stdout.strip()
    pids = [machine.main_pid(unit) for unit in UNITS]
    with killed_in_mid_apply(machine, f"postgresql@{cluster}-main.service"):
        said = apply(machine, CHANGE, status=3)
    assert "Everything is as it was." in said
    assert [machine.main_pid(unit) for unit in UNITS] == pids


def test_a_redis_that_goes_after_the_check_costs_no_running_gateway(machine: Machine) -> None:
    pids = [machine.main_pid(unit) for unit in UNITS]
    with killed_in_mid_apply(machine, "redis-server.service"):
        said = apply(machine, CHANGE + "CACHE=true\n", status=3)
    # One that is about to end accepts a connection and closes it.
    assert re.search("Redis at 127.0.0.1:6379 (refuses connections|closes the connection)", said)
    assert [machine.main_pid(unit) for unit in UNITS] == pids


# systemctl, disks

HANGING = '#!/bin/sh\n[ "$1" != "{verb}" ] || exec sleep 3600\nexec /usr/bin/systemctl "$@"\n'


@pytest.mark.parametrize("verb", ["daemon-reload"])
def test_a_systemctl_that_hangs_is_given_up_in_time(machine: Machine, verb: str) -> None:
    machine.write("/usr/local/sbin/systemctl", HANGING.format(verb=verb), mode=0o755)
    said = apply(machine, CHANGE, status=3)
    machine.run(["rm", "/usr/local/sbin/systemctl"])
    assert f"'systemctl {verb}' did not end in 20 s." in said


GONE = """#!/bin/sh
if [ "$1" = show ] && [ -e {state}/journal/services ]; then
    echo 'Failed to connect to bus: Connection refused' >&2
    exit 1
fi
exec /usr/bin/systemctl "$@"
"""


def test_a_systemd_that_goes_away_is_not_taken_for_one_without_the_units(machine: Machine) -> None:
    """As when the machine is going down just then: nothing restarted must not pass for done."""
    machine.write("/usr/local/sbin/systemctl", GONE.format(state=STATE), mode=0o755)
    said = apply(machine, CHANGE, status=3)
    machine.run(["rm", "/usr/local/sbin/systemctl"])
    assert "Failed to connect to bus" in said
    assert "Everything is as it was." in said


FULL = """
mkdir /root/kept && cp -a {folder}/. /root/kept
mount -t tmpfs -o size=64k,mode={mode} full {folder} && cp -a /root/kept/. {folder}
chown --reference=/root/kept {folder}
cat /dev/zero >{folder}/filling 2>/dev/null || true
"""


def shell(machine: Machine, script: str) -> None:
    machine.run(["sh", "-ec", script])


@pytest.mark.parametrize(("folder", "mode"), [(STATE, "0700"), (f"{CONFIG_YAML.parent}", "0755")])
def test_a_full_disk_is_one_sentence_and_no_change(
    machine: Machine, folder: str, mode: str
) -> None:
    shell(machine, FULL.format(folder=shlex.quote(folder), mode=mode))
    before = files(machine)
    said = apply(machine, CHANGE, status=3)
    went_on = apply(machine, CHANGE, 3, "--anyway")
    assert files(machine) == before
    shell(machine, f"umount {folder} && rm -r /root/kept")
    assert f"{folder}, on which {folder} is, has 0 KiB" in said
    assert "No space left on device" in went_on
    assert len(said.splitlines()) <= 2


def test_a_read_only_opt_is_one_sentence_and_no_change(machine: Machine) -> None:
    shell(machine, "mount --bind /opt /opt && mount -o remount,bind,ro /opt")
    said = apply(machine, CHANGE, status=3)
    went_on = apply(machine, CHANGE, 3, "--anyway")
    shell(machine, "umount /opt")
    assert "/opt, on which" in said and "is mounted read-only" in said
    assert f"{BASE}" in went_on and "Read-only file system" in went_on


# Two runs, and a killed one


def test_of_two_applies_at_once_one_is_told_who_is_at_work(machine: Machine) -> None:
    both = (
        "for value in false false; do"
        " echo DISABLE_ADMIN_UI=$value | hx-gateway-db apply --answers - 2>&1 & done; wait"
    )
    said = machine.run(["sh", "-c", both]).stdout
    assert said.count("is at work on this host: try again when it has ended.") == 1
    assert said.count("The gateway is wired to its database.") == 1
    apply(machine, "DISABLE_ADMIN_UI=true\n", status=0)


def test_a_killed_apply_is_undone_by_the_next_run(machine: Machine) -> None:
    kill = (
        f"echo DISABLE_ADMIN_UI=false | hx-gateway-db apply --answers - & pid=$!;"
        f" until test -e {STATE}/journal/services; do sleep 0.1; done; sleep 1; kill -9 $pid"
    )
    machine.run(["sh", "-c", kill], check=False)
    assert "DISABLE_ADMIN_UI=false\n" in machine.read(GATEWAY_ENV)
    assert "as it was before" in machine.run(["hx-gateway-db", "recover"]).stdout


# The last ones here: they take the package away and install it again.


@pytest.fixture
def purged(shared_machine: Machine, key: str, deb: Path) -> Machine:
    """A gateway without its database, and what the package needs to be installed again."""
    with stopped(shared_machine):
        shared_machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    preseed(shared_machine, existing(PASSWORD, redis="true", redis_host="127.0.0.1"))
    shared_machine.put(deb, "/root/hx.deb")
    return shared_machine


@in_full
def test_ctrl_c_in_apt_waits_for_the_installation_to_end(purged: Machine, tally: Tally) -> None:
    tally.injected += 1
    # apt keeps it to itself until dpkg has finished.
    said = interrupted_in_the_restart(purged, "apt-get install --yes /root/hx.deb")
    assert "Operation was interrupted" in said
    assert_a_virtual_key_works(purged)


def test_an_install_that_is_interrupted_or_dies_leaves_the_gateway_of_before(
    purged: Machine, key: str, tally: Tally
) -> None:
    machine = purged
    env = {"DEBIAN_FRONTEND": "noninteractive"}

    tally.injected += 1
    said = interrupted_in_the_restart(machine, "dpkg --install /root/hx.deb")
    assert "exit status 0" not in said
    # dpkg does not wait for who is still putting things back.
    machine.run(["flock", "--timeout", "120", f"{STATE}/lock", "true"])
    assert_as_before_the_install(machine)

    tally.injected += 1
    dpkg = machine.spawn(["dpkg", "--configure", "--pending"], env=env)
    wait_for_the_restart(machine)
    machine.kill()
    dpkg.close()
    machine.boot()
    machine.wait_for_gateway()
    assert_as_before_the_install(machine)

    machine.run(["dpkg", "--configure", "--pending"], env=env)
    assert chat(machine, key).status == 200


def interrupted_in_the_restart(machine: Machine, command: str) -> str:
    """Type Ctrl-C on the terminal of a command; returns what stands there in the end."""
    script = f"DEBIAN_FRONTEND=noninteractive {command}; echo exit status $?; sleep 600"
    machine.run(["tmux", "new-session", "-d", "-s", "s", "-x", "200", "-y", "50", script])

    def shown() -> str:
        return machine.run(["tmux", "capture-pane", "-p", "-t", "s"]).stdout

    wait_for_the_restart(machine)
    machine.run(["tmux", "send-keys", "-t", "s", "C-c"])
    machine.wait_until(lambda: "exit status" in shown(), 120, what="the command's end")
    said = shown()
    machine.run(["tmux", "kill-session", "-t", "s"])
    return said


def wait_for_the_restart(machine: Machine) -> None:
    machine.wait_until(lambda: machine.exists(f"{STATE}/journal/services"), 60)


def assert_as_before_the_install(machine: Machine) -> None:
    left = [path for path in (*DROP_INS, f"{STATE}/journal") if machine.exists(path)]
    assert left == []
    if machine.exists(GATEWAY_ENV):  # LiteLLM had run with it
        assert_only_the_salt_is_left(machine)
    assert no_connected_db(machine)
