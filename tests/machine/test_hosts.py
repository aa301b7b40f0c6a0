"""Hosts of many kinds: a dialog, a local database, missing or stopped units, no systemd.

Most are one machine: `host` is one whose gateway has no database and no package of ours when a
test begins, `wired` the same one with both.
"""

from pathlib import Path

import pexpect
import pytest

from tests.machine.installation import (
    DROP_INS,
    GATEWAY_ENV,
    UNITS,
    assert_a_virtual_key_works,
    assert_no_password_in_debconf,
    assert_only_the_salt_is_left,
    existing,
    main_pids,
    make_database,
    no_connected_db,
    preseed,
    reconfigure,
    stopped,
)
from tests.machine.machine import CONFIG_YAML, MASTER_KEY, Machine

pytestmark = pytest.mark.sample_release("bookworm")

PASSWORD = "correct horse"
DOWN, ENTER, TAB = "\x1b[B", "\r", "\t"
LITELLM, WRAPPER = UNITS
ML_ENV = "/etc/hx-gateway/ml.env"
POSTINST = "/var/lib/dpkg/info/hx-gateway-db.postinst"


@pytest.fixture(scope="module")
def with_database(shared_machine: Machine) -> Machine:
    """A gateway without a database, and one beside it that it could have."""
    make_database(shared_machine, PASSWORD)
    return shared_machine


@pytest.fixture
def host(with_database: Machine) -> Machine:
    """The same, from which the package is purged where the test before has left it."""
    if with_database.exists(DROP_INS[0]):
        with stopped(with_database):
            purge(with_database)
    elif with_database.exists(POSTINST):
        purge(with_database)
    return with_database


@pytest.fixture
def idle(with_database: Machine) -> Machine:
    """As `host`, but both units are stopped."""
    with_database.run(["systemctl", "stop", *UNITS])
    if with_database.exists(POSTINST):
        purge(with_database)
    return with_database


@pytest.fixture
def wired(with_database: Machine, deb: Path) -> Machine:
    """The same, wired by the package where the test before has left no wiring."""
    if not with_database.exists(DROP_INS[0]):
        preseed(with_database, existing(PASSWORD))
        with stopped(with_database):
            with_database.install(deb)
    return with_database


def purge(machine: Machine) -> str:
    """Purge the package; returns what is said."""
    said = machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    return said.stdout + said.stderr


@pytest.mark.sample_release("trixie")
def test_a_person_installs_through_the_dialog(machine: Machine, deb: Path) -> None:
    make_database(machine, PASSWORD)
    machine.put(deb, "/root/hx.deb")
    dialog = machine.spawn(
        ["apt-get", "install", "--yes", "/root/hx.deb"],
        env={"DEBIAN_FRONTEND": "dialog", "TERM": "xterm"},
    )
    dialog.expect("Database for the gateway")
    # The list opens on its default, the last entry.
    dialog.send("existing"[0] + TAB + ENTER)
    dialog.expect("host name or address")
    dialog.send("no such host!" + TAB + ENTER)
    dialog.expect("no such host!")
    dialog.send(ENTER)
    dialog.expect("host name or address")
    dialog.send("\x15" + "127.0.0.1" + TAB + ENTER)
    dialog.expect("[Pp]assword")
    dialog.send(PASSWORD + TAB + ENTER)
    dialog.expect("A virtual key works", timeout=300)
    dialog.expect(pexpect.EOF)
    dialog.close()
    assert dialog.exitstatus == 0
    assert_a_virtual_key_works(machine)
    assert_no_password_in_debconf(machine, PASSWORD)


def test_an_install_without_answers_configures_nothing_and_says_how(
    host: Machine, deb: Path
) -> None:
    config = host.read(CONFIG_YAML)
    before = main_pids(host)
    said = host.install(deb)
    assert "dpkg-reconfigure hx-gateway-db" in said.stdout + said.stderr
    assert main_pids(host) == before
    assert host.read(CONFIG_YAML) == config
    assert not host.exists(GATEWAY_ENV)
    host.run([POSTINST, "abort-remove"])
    assert not host.exists(GATEWAY_ENV)
    purge(host)
    assert main_pids(host) == before


def test_verify_tells_a_gateway_without_a_database(host: Machine, deb: Path) -> None:
    host.install(deb)
    said = host.run(["hx-gateway-db", "verify"], check=False)
    assert said.returncode == 6
    assert "LiteLLM on port 4000 runs without a database" in said.stdout
    assert "or run 'dpkg-reconfigure hx-gateway-db' if none is wired" in said.stdout
    assert "journalctl -u hx-litellm-gateway" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


def test_ctrl_c_while_the_gateway_restarts_puts_everything_back(host: Machine, deb: Path) -> None:
    host.install(deb)
    config = host.read(CONFIG_YAML)
    # Once a second LiteLLM has run with a new salt key, that stays.
    answers = f"PG_HOST=127.0.0.1\nPG_PASS={PASSWORD}\nTRIAL=false\n"
    host.write("/root/answers", answers, mode=0o600)
    command = "hx-gateway-db apply --answers /root/answers; echo exit status $?; sleep 600"
    host.run(["tmux", "new-session", "-d", "-s", "s", "-x", "80", "-y", "24", command])

    def seen(text: str) -> bool:
        return text in host.run(["tmux", "capture-pane", "-p", "-t", "s"]).stdout

    host.wait_until(lambda: seen("Waiting for hx-litellm-gateway"), 120)
    host.run(["tmux", "send-keys", "-t", "s", "C-c"])
    host.wait_until(lambda: seen("exit status 130"), 300)
    assert seen("everything is as it was")
    assert no_connected_db(host)
    assert host.read(CONFIG_YAML) == config
    assert not host.exists(GATEWAY_ENV)
    assert host.run(["ls", "/var/lib/hx-gateway-db"]).stdout == "lock\n"
    host.run(["tmux", "kill-session", "-t", "s"])


def test_a_gateway_that_does_not_start_with_its_database_is_put_back(
    host: Machine, deb: Path
) -> None:
    config = host.read(CONFIG_YAML)
    drop_in = f"/etc/systemd/system/{LITELLM}.d/10-site.conf"
    host.run(["mkdir", "-p", str(Path(drop_in).parent)])
    host.write(drop_in, "[Service]\nEnvironment=PRISMA_QUERY_ENGINE_BINARY=/nowhere\n")
    # The check would have said so before: this is about what a check does not see.
    preseed(host, existing(PASSWORD, check_failed="continue"))
    said = host.install(deb, check=False)
    assert said.returncode != 0
    assert "Everything was put back." in said.stdout + said.stderr
    assert PASSWORD not in said.stdout + said.stderr
    assert no_connected_db(host)
    assert host.read(CONFIG_YAML) == config
    assert not host.exists(GATEWAY_ENV)
    assert not any(host.exists(path) for path in DROP_INS)

    host.run(["rm", drop_in])
    host.run(["dpkg", "--configure", "--pending"], env={"DEBIAN_FRONTEND": "noninteractive"})
    assert_a_virtual_key_works(host)


def test_a_gateway_that_is_broken_does_not_keep_the_package_from_being_removed(
    wired: Machine,
) -> None:
    drop_in = f"/etc/systemd/system/{LITELLM}.d/99-site.conf"
    wired.write(drop_in, "[Service]\nExecStart=\nExecStart=/bin/false\n")
    wired.run(["systemctl", "daemon-reload"])
    wired.run(["systemctl", "restart", LITELLM])
    gave_up = ["systemctl", "is-failed", "--quiet", LITELLM]
    wired.wait_until(lambda: wired.run(gave_up, check=False).returncode == 0, 120)
    assert "did not answer before" in purge(wired)
    assert not any(wired.exists(path) for path in DROP_INS)
    assert_only_the_salt_is_left(wired)
    wired.run(["rm", drop_in])
    wired.run(["systemctl", "daemon-reload"])
    wired.run(["systemctl", "reset-failed", LITELLM])
    wired.run(["systemctl", "start", LITELLM])
    wired.wait_for_gateway()


def test_policy_rc_d_is_respected_and_the_restart_made_up_for_later(
    host: Machine, deb: Path
) -> None:
    host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", mode=0o755)
    preseed(host, existing(PASSWORD))
    before = main_pids(host)
    said = host.install(deb)
    assert "policy-rc.d forbids restarting" in said.stdout + said.stderr
    assert main_pids(host) == before
    assert "restart pending" in host.run(["hx-gateway-db", "status"]).stdout
    host.run(["rm", "/usr/sbin/policy-rc.d"])
    host.run(["hx-gateway-db", "apply"])
    assert_a_virtual_key_works(host)
    assert "restart pending" not in host.run(["hx-gateway-db", "status"]).stdout


def test_a_wrapper_with_a_key_of_its_own_is_proven_with_that_key(host: Machine, deb: Path) -> None:
    keys = f"HX_AUTHORIZATION=own-key\nHX_MASTER_KEY=sk-own-1\nHX_UPSTREAM_KEY={MASTER_KEY}\n"
    before = host.read(ML_ENV)
    host.write(ML_ENV, keys, mode=0o600)
    host.run(["systemctl", "restart", WRAPPER])
    host.wait_for_gateway()
    preseed(host, existing(PASSWORD))
    said = host.install(deb)
    assert "A virtual key works" in said.stdout + said.stderr
    assert "its own key" in host.run(["hx-gateway-db", "verify"]).stdout
    host.run(["systemctl", "stop", WRAPPER])
    host.write(ML_ENV, before, mode=0o600)


def test_a_masked_wrapper_is_left_alone(idle: Machine, deb: Path) -> None:
    unit_file = f"/etc/systemd/system/{WRAPPER}"
    idle.run(["mv", unit_file, "/root/"])
    idle.run(["systemctl", "mask", WRAPPER])
    preseed(idle, existing(PASSWORD))
    said = idle.install(deb)
    assert f"{WRAPPER} is masked: left alone." in said.stdout + said.stderr
    idle.run(["systemctl", "unmask", WRAPPER])
    idle.run(["mv", f"/root/{WRAPPER}", unit_file])
    idle.run(["systemctl", "daemon-reload"])


def test_a_stopped_litellm_stays_stopped_and_a_missing_wrapper_is_reported(
    idle: Machine, deb: Path
) -> None:
    idle.run(["systemctl", "disable", WRAPPER])
    idle.run(["mv", f"/etc/systemd/system/{WRAPPER}", "/root/"])
    idle.run(["systemctl", "daemon-reload"])
    preseed(idle, existing(PASSWORD))
    said = idle.install(deb)
    text = said.stdout + said.stderr
    assert f"{LITELLM} is stopped: left stopped" in text
    assert f"{WRAPPER} is not installed" in text
    assert not idle.is_active(LITELLM)

    idle.run(["mv", f"/root/{WRAPPER}", "/etc/systemd/system/"])
    idle.run(["systemctl", "daemon-reload"])
    idle.run(["systemctl", "start", LITELLM, WRAPPER])
    idle.wait_for_gateway()
    assert_a_virtual_key_works(idle)


def test_a_local_database_needs_no_network_and_is_made_again_by_nobody(
    host: Machine, deb: Path
) -> None:
    host.psql("DROP DATABASE hx_gateway; DROP ROLE hx_gateway")
    assert len(host.read("/proc/net/route").splitlines()) == 1, "there is a route"
    assert host.run(["getent", "hosts", "deb.debian.org"], check=False).stdout == ""
    before = main_pids(host)
    preseed(host, {"database": "later"})
    host.install(deb)
    assert main_pids(host) == before
    preseed(host, {"database": "local", "redis": "true"})
    reconfigure(host)
    assert_a_virtual_key_works(host)
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'hx_gateway'"
    assert host.psql(owner) == "hx_gateway"
    line = next(x for x in host.read(GATEWAY_ENV).splitlines() if x.startswith("DATABASE_URL="))
    password = line.split(":")[2].split("@")[0]
    assert len(password) == 32 and password.isalnum()
    assert password not in host.run(["cat", "/var/log/postgresql/" + log(host)]).stdout

    before = main_pids(host)
    assert "Nothing to change" in reconfigure(host)
    assert main_pids(host) == before

    host.run(["apt-get", "remove", "--yes", "hx-gateway-db"])
    assert no_connected_db(host)
    host.install(deb)
    assert line in host.read(GATEWAY_ENV).splitlines()
    assert_a_virtual_key_works(host)


def log(machine: Machine) -> str:
    return machine.run(["ls", "/var/log/postgresql"]).stdout.split()[0]


def test_without_systemd_the_files_are_written_and_taken_away(
    cold_machine: Machine, deb: Path
) -> None:
    original = cold_machine.read(CONFIG_YAML)
    preseed(cold_machine, existing(PASSWORD))
    said = cold_machine.install(deb)
    assert "Nothing was checked or restarted" in said.stdout + said.stderr
    assert "DATABASE_URL=postgresql://hx_gateway:correct%20horse@127.0.0.1:5432/hx_gateway" in (
        cold_machine.read(GATEWAY_ENV)
    )
    assert "Nothing to change" in reconfigure(cold_machine)
    wired = cold_machine.read(CONFIG_YAML)
    cold_machine.run(["hx-gateway-db", "rollback"])
    assert cold_machine.read(CONFIG_YAML) != wired
    cold_machine.run([POSTINST, "abort-remove"])
    assert cold_machine.read(CONFIG_YAML) == wired
    assert all(cold_machine.exists(path) for path in DROP_INS)
    cold_machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert cold_machine.read(CONFIG_YAML) == original
    assert not cold_machine.exists(GATEWAY_ENV)


def test_on_a_machine_without_a_gateway_everything_succeeds(
    cold_machine: Machine, deb: Path
) -> None:
    cold_machine.run(["rm", "-r", "/opt/HX-Infrastructure-"])
    cold_machine.run(["sh", "-c", "rm /etc/systemd/system/hx-*.service"])
    cold_machine.run(["userdel", "hx-gateway"])
    for answers in (None, existing(PASSWORD), {"database": "local"}):
        if answers:
            preseed(cold_machine, answers)
        said = cold_machine.install(deb)
        assert "Traceback" not in said.stdout + said.stderr
        if answers == existing(PASSWORD):
            assert cold_machine.stat(GATEWAY_ENV) == "root:hx-gateway 640"
            assert "config.yaml is not there" in said.stdout + said.stderr
        reconfigure(cold_machine)
        cold_machine.run(["apt-get", "remove", "--yes", "hx-gateway-db"])
        cold_machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
        assert not cold_machine.exists("/opt/HX-Infrastructure-")
        assert not cold_machine.exists("/var/lib/hx-gateway-db")
        assert cold_machine.run(["getent", "group", "hx-gateway"], check=False).returncode != 0
