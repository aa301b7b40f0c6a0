"""An image is built with the package in it, in a chroot, and boots: what is left to do is done.

Before it boots, a machine is no more than a chroot: no systemd, no server, no network.
"""

from pathlib import Path

import pytest

from tests.machine.installation import (
    DROP_INS,
    GATEWAY_ENV,
    assert_a_virtual_key_works,
    existing,
    main_pids,
    make_database,
    preseed,
    reconfigure,
)
from tests.machine.machine import Machine

pytestmark = pytest.mark.sample_release("trixie")

PASSWORD = "of the image"
FINISHES = (
    "Files are written. Nothing was checked or restarted, since systemd does not run here:"
    " 'hx-gateway-db apply' on the live host finishes."
)
PROVEN = "A virtual key works: the gateway has its database."


def apply(machine: Machine) -> str:
    done = machine.run(["hx-gateway-db", "apply"])
    return done.stdout + done.stderr


def status(machine: Machine) -> str:
    return machine.run(["hx-gateway-db", "status"]).stdout


def test_services_that_booted_with_the_files_are_proven_and_not_restarted(
    machine: Machine, deb: Path
) -> None:
    make_database(machine, PASSWORD)
    machine.power_off()
    preseed(machine, existing(PASSWORD))
    assert FINISHES in machine.install(deb).stdout
    assert "'hx-gateway-db apply' on the live host finishes" in status(machine)
    assert "Nothing to change" in reconfigure(machine)
    assert "Nothing to change" in apply(machine)
    machine.boot()
    machine.wait_for_gateway()
    assert "pending" not in status(machine)
    before = main_pids(machine)
    said = apply(machine)
    assert "Checking servers" in said and PROVEN in said
    assert "Nothing to change" in apply(machine)
    assert main_pids(machine) == before
    assert_a_virtual_key_works(machine)


def test_services_that_run_with_their_old_files_are_restarted(machine: Machine, deb: Path) -> None:
    make_database(machine, PASSWORD)
    machine.install(deb)
    machine.write("/root/answers", f"PG_HOST=127.0.0.1\nPG_PASS={PASSWORD}\n", mode=0o600)
    before = main_pids(machine)
    # As in a chroot into the file system of a machine that runs.
    chroot = "mount -t tmpfs none /run/systemd && exec hx-gateway-db apply --answers /root/answers"
    assert FINISHES in machine.run(["unshare", "--mount", "sh", "-c", chroot]).stdout
    assert main_pids(machine) == before
    assert status(machine).count("restart pending") == 2
    assert PROVEN in apply(machine)
    assert all(old != new for old, new in zip(before, main_pids(machine), strict=True))
    assert "pending" not in status(machine)
    assert "Nothing to change" in apply(machine)


def test_a_database_of_the_machine_that_is_not_in_the_image_is_made(
    cold_machine: Machine, deb: Path
) -> None:
    cold_machine.put(deb, "/root/hx.deb")
    cluster = cold_machine.run(["pg_lsclusters", "--no-header"]).stdout.split()[:2]
    preseed(cold_machine, {"database": "local"})
    build = (
        'pg_ctlcluster "$@" start && apt-get install --yes /root/hx.deb;'
        ' pg_ctlcluster "$@" stop && pg_dropcluster "$@" && pg_createcluster "$@"'
    )
    said = cold_machine.run(
        ["sh", "-c", build, "sh", *cluster], env={"DEBIAN_FRONTEND": "noninteractive"}
    )
    assert FINISHES in said.stdout
    wired = cold_machine.read(GATEWAY_ENV)
    cold_machine.boot()
    assert "Making the role and database hx_gateway." in apply(cold_machine)
    # Hosts of one image share no salt: each makes its own.
    assert "LITELLM_SALT_KEY=" not in wired
    now = cold_machine.read(GATEWAY_ENV)
    assert now.startswith(wired) and "LITELLM_SALT_KEY=" in now.removeprefix(wired)
    assert_a_virtual_key_works(cold_machine)


@pytest.mark.parametrize("answers", [{}, {"database": "later"}, {"database": "local"}])
def test_where_no_server_runs_a_local_database_waits_for_the_live_host(
    cold_machine: Machine, deb: Path, answers: dict[str, str]
) -> None:
    preseed(cold_machine, answers)
    said = cold_machine.install(deb).stdout
    assert "run 'dpkg-reconfigure hx-gateway-db' to give it a database." in said
    assert not any(cold_machine.exists(path) for path in (GATEWAY_ENV, *DROP_INS))
    if answers == {"database": "local"}:
        assert "No PostgreSQL server runs here." in said
        cold_machine.boot()
        cold_machine.wait_for_gateway()
        assert "Making the role and database hx_gateway." in reconfigure(cold_machine)
        assert_a_virtual_key_works(cold_machine)
