"""Hosts of many kinds: a dialog, a local database, missing or stopped units, no systemd."""

from pathlib import Path

import pexpect

from tests.machine.installation import (
    DROP_INS,
    GATEWAY_ENV,
    UNITS,
    assert_a_virtual_key_works,
    assert_no_password_in_debconf,
    existing,
    main_pids,
    make_database,
    no_connected_db,
    preseed,
    reconfigure,
)
from tests.machine.machine import CONFIG_YAML, MASTER_KEY, Machine

PASSWORD = "correct horse"
DOWN, ENTER, TAB = "\x1b[B", "\r", "\t"
LITELLM, WRAPPER = UNITS
POSTINST = "/var/lib/dpkg/info/hx-gateway-db.postinst"


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
    dialog.expect("A virtual key works", timeout=120)
    dialog.expect(pexpect.EOF)
    dialog.close()
    assert dialog.exitstatus == 0
    assert_a_virtual_key_works(machine)
    assert_no_password_in_debconf(machine, PASSWORD)


def test_a_local_database_is_made_and_made_again_by_nobody(machine: Machine, deb: Path) -> None:
    preseed(machine, {"database": "local", "redis": "true"})
    machine.install(deb)
    assert_a_virtual_key_works(machine)
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'hx_gateway'"
    assert machine.psql(owner) == "hx_gateway"
    line = next(x for x in machine.read(GATEWAY_ENV).splitlines() if x.startswith("DATABASE_URL="))
    password = line.split(":")[2].split("@")[0]
    assert len(password) == 32 and password.isalnum()
    assert password not in machine.run(["cat", "/var/log/postgresql/" + log(machine)]).stdout

    before = main_pids(machine)
    assert "Nothing to change" in reconfigure(machine)
    assert main_pids(machine) == before

    machine.run(["apt-get", "remove", "--yes", "hx-gateway-db"])
    assert no_connected_db(machine)
    machine.install(deb)
    assert line in machine.read(GATEWAY_ENV).splitlines()
    assert_a_virtual_key_works(machine)


def test_a_local_database_needs_no_network(machine: Machine, deb: Path) -> None:
    assert len(machine.read("/proc/net/route").splitlines()) == 1, "there is a route"
    assert machine.run(["getent", "hosts", "deb.debian.org"], check=False).stdout == ""
    before = main_pids(machine)
    preseed(machine, {"database": "later"})
    machine.install(deb)
    assert main_pids(machine) == before
    preseed(machine, {"database": "local"})
    reconfigure(machine)
    assert_a_virtual_key_works(machine)


def log(machine: Machine) -> str:
    return machine.run(["ls", "/var/log/postgresql"]).stdout.split()[0]


def test_a_gateway_that_does_not_start_with_its_database_is_put_back(
    machine: Machine, deb: Path
) -> None:
    make_database(machine, PASSWORD)
    config = machine.read(CONFIG_YAML)
    drop_in = f"/etc/systemd/system/{LITELLM}.d/10-site.conf"
    machine.run(["mkdir", "-p", str(Path(drop_in).parent)])
    machine.write(drop_in, "[Service]\nEnvironment=PRISMA_QUERY_ENGINE_BINARY=/nowhere\n")
    # The check would have said so before: this is about what a check does not see.
    preseed(machine, existing(PASSWORD, check_failed="continue"))
    said = machine.install(deb, check=False)
    assert said.returncode != 0
    assert "Everything was put back." in said.stdout + said.stderr
    assert PASSWORD not in said.stdout + said.stderr
    assert no_connected_db(machine)
    assert machine.read(CONFIG_YAML) == config
    assert not machine.exists(GATEWAY_ENV)
    assert not any(machine.exists(path) for path in DROP_INS)

    machine.run(["rm", drop_in])
    machine.run(["dpkg", "--configure", "--pending"], env={"DEBIAN_FRONTEND": "noninteractive"})
    assert_a_virtual_key_works(machine)


def test_ctrl_c_while_the_gateway_restarts_puts_everything_back(
    machine: Machine, deb: Path
) -> None:
    make_database(machine, PASSWORD)
    machine.install(deb)
    config = machine.read(CONFIG_YAML)
    machine.write("/root/answers", f"PG_HOST=127.0.0.1\nPG_PASS={PASSWORD}\n", mode=0o600)
    command = "hx-gateway-db apply --answers /root/answers; echo exit status $?; sleep 600"
    machine.run(["tmux", "new-session", "-d", "-s", "s", "-x", "80", "-y", "24", command])

    def seen(text: str) -> bool:
        return text in machine.run(["tmux", "capture-pane", "-p", "-t", "s"]).stdout

    machine.wait_until(lambda: seen("Waiting for hx-litellm-gateway"), 30)
    machine.run(["tmux", "send-keys", "-t", "s", "C-c"])
    machine.wait_until(lambda: seen("exit status 130"), 120)
    assert seen("everything is as it was")
    assert no_connected_db(machine)
    assert machine.read(CONFIG_YAML) == config
    assert not machine.exists(GATEWAY_ENV)
    assert machine.run(["ls", "/var/lib/hx-gateway-db"]).stdout == "lock\n"


def test_a_gateway_that_is_broken_does_not_keep_the_package_from_being_removed(
    machine: Machine, deb: Path
) -> None:
    make_database(machine, PASSWORD)
    preseed(machine, existing(PASSWORD))
    machine.install(deb)
    drop_in = f"/etc/systemd/system/{LITELLM}.d/99-site.conf"
    machine.write(drop_in, "[Service]\nExecStart=\nExecStart=/bin/false\n")
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "restart", LITELLM])
    gave_up = ["systemctl", "is-failed", "--quiet", LITELLM]
    machine.wait_until(lambda: machine.run(gave_up, check=False).returncode == 0, 30)
    said = machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert "did not answer before" in said.stdout + said.stderr
    assert not any(machine.exists(path) for path in (*DROP_INS, GATEWAY_ENV))


def test_a_wrapper_with_a_key_of_its_own_is_proven_with_that_key(
    machine: Machine, deb: Path
) -> None:
    make_database(machine, PASSWORD)
    keys = f"HX_AUTHORIZATION=own-key\nHX_MASTER_KEY=sk-own-1\nHX_UPSTREAM_KEY={MASTER_KEY}\n"
    machine.write("/etc/hx-gateway/ml.env", keys, mode=0o600)
    machine.run(["systemctl", "restart", WRAPPER])
    machine.wait_for_gateway()
    preseed(machine, existing(PASSWORD))
    said = machine.install(deb)
    assert "A virtual key works" in said.stdout + said.stderr
    assert "its own key" in machine.run(["hx-gateway-db", "verify"]).stdout


def test_a_stopped_litellm_stays_stopped_and_a_missing_wrapper_is_reported(
    machine: Machine, deb: Path
) -> None:
    make_database(machine, PASSWORD)
    machine.run(["systemctl", "stop", LITELLM])
    machine.run(["systemctl", "disable", "--now", WRAPPER])
    machine.run(["mv", f"/etc/systemd/system/{WRAPPER}", "/root/"])
    machine.run(["systemctl", "daemon-reload"])
    preseed(machine, existing(PASSWORD))
    said = machine.install(deb)
    text = said.stdout + said.stderr
    assert f"{LITELLM} is stopped: left stopped" in text
    assert f"{WRAPPER} is not installed" in text
    assert not machine.is_active(LITELLM)

    machine.run(["mv", f"/root/{WRAPPER}", "/etc/systemd/system/"])
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "start", LITELLM, WRAPPER])
    machine.wait_for_gateway()
    assert_a_virtual_key_works(machine)


def test_a_masked_wrapper_is_left_alone(machine: Machine, deb: Path) -> None:
    make_database(machine, PASSWORD)
    unit_file = f"/etc/systemd/system/{WRAPPER}"
    machine.run(["systemctl", "stop", LITELLM, WRAPPER])
    machine.run(["mv", unit_file, "/root/"])
    machine.run(["systemctl", "mask", WRAPPER])
    preseed(machine, existing(PASSWORD))
    said = machine.install(deb)
    assert f"{WRAPPER} is masked: left alone." in said.stdout + said.stderr


def test_policy_rc_d_is_respected_and_the_restart_made_up_for_later(
    machine: Machine, deb: Path
) -> None:
    make_database(machine, PASSWORD)
    machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", mode=0o755)
    preseed(machine, existing(PASSWORD))
    before = main_pids(machine)
    said = machine.install(deb)
    assert "policy-rc.d forbids restarting" in said.stdout + said.stderr
    assert main_pids(machine) == before
    assert "restart pending" in machine.run(["hx-gateway-db", "status"]).stdout
    machine.run(["rm", "/usr/sbin/policy-rc.d"])
    machine.run(["hx-gateway-db", "apply"])
    assert_a_virtual_key_works(machine)
    assert "restart pending" not in machine.run(["hx-gateway-db", "status"]).stdout


def test_an_install_without_answers_configures_nothing_and_says_how(
    machine: Machine, deb: Path
) -> None:
    config = machine.read(CONFIG_YAML)
    before = main_pids(machine)
    said = machine.install(deb)
    assert "dpkg-reconfigure hx-gateway-db" in said.stdout + said.stderr
    assert main_pids(machine) == before
    assert machine.read(CONFIG_YAML) == config
    assert not machine.exists(GATEWAY_ENV)
    machine.run([POSTINST, "abort-remove"])
    assert not machine.exists(GATEWAY_ENV)
    machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert main_pids(machine) == before


def test_verify_tells_a_gateway_without_a_database(machine: Machine, deb: Path) -> None:
    machine.install(deb)
    said = machine.run(["hx-gateway-db", "verify"], check=False)
    assert said.returncode == 6
    assert "LiteLLM on port 4000 runs without a database" in said.stdout
    assert "or run 'dpkg-reconfigure hx-gateway-db' if none is wired" in said.stdout
    assert "journalctl -u hx-litellm-gateway" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


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
