"""The built package under apt and dpkg, on a machine that is not booted: a chroot, an image build.

dpkg, debconf and the command are real; services, databases and proofs are for tests/machine.
"""

from pathlib import Path

import pytest

from tests.machine.installation import (
    DROP_INS,
    GATEWAY_ENV,
    assert_no_password_in_debconf,
    existing,
    preseed,
    raised_version,
    reconfigure,
)
from tests.machine.machine import CONFIG_YAML, Machine

pytestmark = pytest.mark.sample_release("bookworm")

PASSWORD = r"a \n b  %s"
OURS = ("/var/lib/hx-gateway-db", "/usr/lib/python3/dist-packages/hx_gateway_db", *DROP_INS)


def password_in_url(machine: Machine) -> bool:
    return "a%20%5Cn%20b%20%20%25s@" in machine.read(GATEWAY_ENV)


def state(machine: Machine) -> str:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", "hx-gateway-db"]
    return machine.run(query, check=False).stdout.strip()


def apt(machine: Machine, *arguments: str, check: bool = True) -> str:
    done = machine.run(
        ["apt-get", "--yes", *arguments], env={"DEBIAN_FRONTEND": "noninteractive"}, check=check
    )
    assert check or done.returncode != 0
    return done.stdout + done.stderr


def test_without_answers_the_package_installs_and_says_in_one_line_how_to_configure_it(
    cold_machine: Machine, deb: Path
) -> None:
    original = cold_machine.read(CONFIG_YAML)
    done = cold_machine.install(deb)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "dpkg-reconfigure" in line]
    assert len(said) == 1
    assert state(cold_machine) == "ii"
    assert cold_machine.read(CONFIG_YAML) == original
    assert not any(cold_machine.exists(path) for path in (GATEWAY_ENV, *DROP_INS))


def test_a_password_preseeded_for_a_reconfiguration_is_used_and_forgotten(
    cold_machine: Machine, deb: Path
) -> None:
    preseed(cold_machine, existing("the-earlier-one"))
    cold_machine.install(deb)
    preseed(cold_machine, {"pg-pass": PASSWORD})
    reconfigure(cold_machine)
    assert password_in_url(cold_machine)
    assert "@127.0.0.1:5432/" in cold_machine.read(GATEWAY_ENV)
    assert_no_password_in_debconf(cold_machine, PASSWORD)
    assert_no_password_in_debconf(cold_machine, "the-earlier-one")
    assert "Nothing to change" in reconfigure(cold_machine)


def test_a_password_preseeded_as_a_string_is_in_no_file_of_debconf_afterwards(
    cold_machine: Machine, deb: Path
) -> None:
    line = f"hx-gateway-db hx-gateway-db/pg-pass string {PASSWORD}\n"
    preseed(cold_machine, {"database": "existing", "pg-host": "127.0.0.1"})
    cold_machine.run(["debconf-set-selections"], input=line)
    cold_machine.install(deb)
    assert password_in_url(cold_machine)
    assert_no_password_in_debconf(cold_machine, PASSWORD)
    cold_machine.run(["debconf-set-selections"], input=line.replace(PASSWORD, "the-later-one"))
    reconfigure(cold_machine)
    assert_no_password_in_debconf(cold_machine, "the-later-one")


def test_what_an_administrator_changed_on_the_host_survives_a_reconfiguration(
    cold_machine: Machine, deb: Path
) -> None:
    preseed(cold_machine, existing(PASSWORD))
    cold_machine.install(deb)
    edit = ["sed", "-i", "s/127.0.0.1/db2.example.org/", GATEWAY_ENV]
    cold_machine.run(edit)
    reconfigure(cold_machine)
    assert "@db2.example.org:5432/" in cold_machine.read(GATEWAY_ENV)


def test_a_wrong_answer_fails_the_installation_and_a_right_one_finishes_it(
    cold_machine: Machine, deb: Path
) -> None:
    preseed(cold_machine, existing(PASSWORD, pg_port="70000"))
    done = cold_machine.install(deb, check=False)
    assert done.returncode != 0
    assert "PG_PORT is 70000" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert state(cold_machine) == "iF"
    preseed(cold_machine, {"pg-port": "5433"})
    cold_machine.run(
        ["dpkg", "--configure", "--pending"], env={"DEBIAN_FRONTEND": "noninteractive"}
    )
    assert state(cold_machine) == "ii"
    assert "@127.0.0.1:5433/" in cold_machine.read(GATEWAY_ENV)
    assert password_in_url(cold_machine)
    assert_no_password_in_debconf(cold_machine, PASSWORD)


def test_an_upgrade_changes_nothing(cold_machine: Machine, deb: Path, tmp_path: Path) -> None:
    preseed(cold_machine, existing(PASSWORD, redis="true", redis_host="cache1", redis_db="3"))
    cold_machine.install(deb)
    files = (GATEWAY_ENV, str(CONFIG_YAML), *DROP_INS)
    before = [cold_machine.read(path) for path in files]
    done = cold_machine.install(raised_version(deb, tmp_path, "99"))
    assert "Nothing to change" in done.stdout + done.stderr
    assert [cold_machine.read(path) for path in files] == before


def test_after_a_removal_a_new_installation_finds_the_credentials(
    cold_machine: Machine, deb: Path
) -> None:
    preseed(cold_machine, existing(PASSWORD))
    cold_machine.install(deb)
    wired = cold_machine.read(GATEWAY_ENV)
    apt(cold_machine, "remove", "hx-gateway-db")
    assert not any(cold_machine.exists(path) for path in DROP_INS)
    assert "disable_spend_logs: true" in cold_machine.read(CONFIG_YAML)
    cold_machine.install(deb)
    assert cold_machine.read(GATEWAY_ENV) == wired
    assert all(cold_machine.exists(path) for path in DROP_INS)
    assert "disable_spend_logs: false" in cold_machine.read(CONFIG_YAML)


@pytest.mark.parametrize("removed_first", [True, False])
def test_purge_leaves_nothing(cold_machine: Machine, deb: Path, removed_first: bool) -> None:
    original = cold_machine.read(CONFIG_YAML)
    owner = cold_machine.stat(CONFIG_YAML)
    preseed(cold_machine, existing(PASSWORD))
    cold_machine.install(deb)
    assert cold_machine.read(CONFIG_YAML) != original
    if removed_first:
        apt(cold_machine, "remove", "hx-gateway-db")
    apt(cold_machine, "purge", "hx-gateway-db")
    assert (cold_machine.read(CONFIG_YAML), cold_machine.stat(CONFIG_YAML)) == (original, owner)
    assert not any(cold_machine.exists(path) for path in (GATEWAY_ENV, *OURS))
    assert "hx-gateway-db" not in cold_machine.run(["debconf-show", "hx-gateway-db"]).stdout


def test_who_owns_config_yaml_can_not_refuse_the_removal(cold_machine: Machine, deb: Path) -> None:
    preseed(cold_machine, existing(PASSWORD))
    cold_machine.install(deb)
    mend = cold_machine.read(CONFIG_YAML)
    broken = mend + "not: [yaml\n"
    cold_machine.write(CONFIG_YAML, broken, owner="hx-gateway:hx-gateway")
    said = apt(cold_machine, "remove", "hx-gateway-db")
    assert f"{CONFIG_YAML} is left as it is: " in said
    assert "Traceback" not in said
    assert cold_machine.read(CONFIG_YAML) == broken
    assert not any(cold_machine.exists(path) for path in DROP_INS)
    cold_machine.write(CONFIG_YAML, mend, owner="hx-gateway:hx-gateway")
    cold_machine.install(deb)
    assert all(cold_machine.exists(path) for path in DROP_INS)
    apt(cold_machine, "purge", "hx-gateway-db")
    assert not any(cold_machine.exists(path) for path in DROP_INS)


def test_purge_removes_the_group_that_the_package_made(cold_machine: Machine, deb: Path) -> None:
    cold_machine.run(["rm", "-r", "/opt/HX-Infrastructure-"])
    cold_machine.run(["userdel", "hx-gateway"])
    preseed(cold_machine, existing(PASSWORD))
    cold_machine.install(deb)
    assert cold_machine.run(["getent", "group", "hx-gateway"]).stdout
    apt(cold_machine, "purge", "hx-gateway-db")
    assert cold_machine.run(["getent", "group", "hx-gateway"], check=False).stdout == ""
    assert not cold_machine.exists("/opt/HX-Infrastructure-")


def test_the_loaders_cache_need_not_know_libpq_yet(cold_machine: Machine, deb: Path) -> None:
    # As when apt installs libpq5 in the same run.
    cold_machine.run(["rm", "/etc/ld.so.cache"])
    preseed(cold_machine, existing(PASSWORD))
    cold_machine.install(deb)
    assert password_in_url(cold_machine)
