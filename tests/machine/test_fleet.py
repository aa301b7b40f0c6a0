"""Two gateways on one PostgreSQL and one Redis, rolled out by Ansible; each test a chapter.

Ansible is Debian 12's at the first roll-out, and the newest afterwards.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machine.fleet.control import Control, Played
from tests.machine.fleet.network import Network
from tests.machine.fleet.servers import serve
from tests.machine.image import cache_directory
from tests.machine.installation import (
    GATEWAY_ENV,
    assert_a_virtual_key_works,
    chat,
    main_pids,
    no_connected_db,
    raised_version,
)
from tests.machine.machine import Machine

pytestmark = pytest.mark.sample_release("bookworm")

BALANCER = Path(__file__).parent / "fleet/balancer"
PG_PASS, REDIS_PASS = "Geheim p@ss:w/rd%'\"", "auch-geheim-4711"
DBA_PASS = "dba-geheim"
SECRETS = {"FLEET_PG_PASS": PG_PASS, "FLEET_REDIS_PASS": REDIS_PASS}
UNCHANGED = {"gw1": (0, 0, 0), "gw2": (0, 0, 0)}


@dataclass(frozen=True)
class Fleet:
    """The gateways by their names in the inventory; the first has the servers."""

    gateways: dict[str, Machine]
    control: Control

    @property
    def first(self) -> Machine:
        return self.gateways["gw1"]

    def play(self, playbook: str, *arguments: str, ansible: str = "newest") -> Played:
        return self.control.play(playbook, *arguments, ansible=ansible, secrets=SECRETS)

    def pids(self) -> list[list[int]]:
        return [main_pids(machine) for machine in self.gateways.values()]

    def balanced(self) -> list[str]:
        """What the balancer was told, in its order."""
        lines = self.first.read("/root/balancer.log").splitlines()
        return [line.partition(" ")[2] for line in sorted(lines)]


@pytest.fixture(scope="module")
def shared_fleet(
    image: Path, deb: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        machines = {name: stack.enter_context(Machine(image)) for name in ("gw1", "gw2")}
        addresses = {}
        for name, machine in machines.items():
            machine.boot()
            addresses[name] = network.join(machine)
        fleet = Fleet(
            machines, Control(tmp_path_factory.mktemp("control"), cache_directory().parent)
        )
        serve(fleet.first, PG_PASS, REDIS_PASS)
        fleet.first.run(["mkdir", "/root/balancer"])
        fleet.control.inventory(
            machines,
            {
                "gateway_db_deb": str(deb.resolve()),
                "gateway_db_pg_host": addresses["gw1"],
                "gateway_db_pg_pass": "{{ lookup('env', 'FLEET_PG_PASS') }}",
                "gateway_db_redis": True,
                "gateway_db_redis_host": addresses["gw1"],
                "gateway_db_redis_pass": "{{ lookup('env', 'FLEET_REDIS_PASS') }}",
                "gateway_db_redis_transaction_buffer": True,
                "gateway_db_balancer_out": str(BALANCER / "out.yml"),
                "gateway_db_balancer_in": str(BALANCER / "in.yml"),
            },
        )
        for machine in machines.values():
            machine.wait_for_gateway()
        yield fleet


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Fleet:
    return shared_fleet


def test_a_check_of_what_is_new_changes_nothing(fleet: Fleet) -> None:
    before = fleet.pids()
    played = fleet.play("deploy", "--check", "--diff", ansible="bookworm")
    assert played.status == 0, played.said
    assert "would be installed" in played.said
    assert fleet.pids() == before
    for machine in fleet.gateways.values():
        assert not machine.exists("/usr/sbin/hx-gateway-db")
        assert not machine.exists("/usr/bin/hx-gateway-db")
        assert no_connected_db(machine)


def test_one_gateway_after_the_other_is_wired_and_proven(fleet: Fleet) -> None:
    played = fleet.play("deploy", "-vvv", "--diff", ansible="bookworm")
    assert played.status == 0, played.said
    assert fleet.balanced() == ["out gw1", "in gw1", "out gw2", "in gw2"]

    key = assert_a_virtual_key_works(fleet.first)
    assert chat(fleet.gateways["gw2"], key).status == 200
    assert len({salt_key(machine) for machine in fleet.gateways.values()}) == 1
    assert fleet.gateways["gw2"].stat(GATEWAY_ENV) == "root:hx-gateway 640"
    assert_no_secret_is_left(fleet, played)


def salt_key(machine: Machine) -> str:
    lines = machine.read(GATEWAY_ENV).splitlines()
    (line,) = (line for line in lines if line.startswith("LITELLM_SALT_KEY="))
    return line


def assert_no_secret_is_left(fleet: Fleet, played: Played) -> None:
    """Neither said, nor on the control machine, nor in a log or a temporary file of a gateway."""
    salt = salt_key(fleet.first).partition("=")[2]
    for secret in (PG_PASS, REDIS_PASS, salt):
        assert secret not in played.said
        home = [path for path in fleet.control.home.rglob("*") if path.is_file()]
        assert not [path for path in home if secret in path.read_text(errors="replace")]
        for machine in fleet.gateways.values():
            assert secret not in machine.run(["journalctl", "--no-pager"]).stdout
            places = ["/root", "/tmp", "/var/tmp", "/var/log", "/var/cache/debconf"]
            found = machine.run(
                ["grep", "-rlaF", "-f", "-", *places], input=f"{secret}\n", check=False
            )
            assert found.stdout == ""


def test_a_second_run_changes_nothing_and_restarts_nothing(fleet: Fleet) -> None:
    before, told = fleet.pids(), fleet.balanced()
    played = fleet.play("deploy")
    assert (played.status, played.hosts) == (0, UNCHANGED), played.said
    assert (fleet.pids(), fleet.balanced()) == (before, told)


def test_a_check_shows_what_a_changed_answer_would_change(fleet: Fleet) -> None:
    before = fleet.pids()
    change = ("-e", "gateway_db_disable_admin_ui=false")
    played = fleet.play("deploy", "--check", "--diff", "--tags", "wire", *change)
    assert played.status == 0, played.said
    assert "-DISABLE_ADMIN_UI=true\n+DISABLE_ADMIN_UI=false\n" in played.said
    assert [played.changed(host) for host in ("gw1", "gw2")] == [1, 1]
    assert not any(secret in played.said for secret in SECRETS.values())
    assert fleet.pids() == before


def test_the_first_failure_stops_the_roll_out_with_the_others_untouched(fleet: Fleet) -> None:
    before, told = fleet.pids(), fleet.balanced()
    played = fleet.play("deploy", "-e", "gateway_db_pg_pass=wrong")
    assert played.status == 2 and "refuses the password" in played.said, played.said
    assert played.hosts["gw1"][2] == 1 and "TASK [hx.gateway_db" in played.said
    assert (
        "gw2"
        not in played.said.partition("Wire one gateway after the other")[2].partition("PLAY RECAP")[
            0
        ]
    )
    # It serves as before, and so it serves again.
    assert fleet.balanced() == [*told, "out gw1", "in gw1"]
    assert fleet.pids() == before


def test_an_answer_that_cannot_be_is_refused_before_a_gateway_is_touched(fleet: Fleet) -> None:
    played = fleet.play("deploy", "--tags", "preflight", "-e", "gateway_db_server_connections=15")
    assert played.status != 0 and "database_connection_pool_limit" in played.said
    assert " 7 at most" in " ".join(played.said.split())
    played = fleet.play("deploy", "--tags", "preflight", "-e", "gateway_db_pg_sslmode=full")
    assert played.status != 0 and "must be one of" in played.said


def test_gateways_with_different_salt_keys_are_refused_before_one_is_touched(fleet: Fleet) -> None:
    second = fleet.gateways["gw2"]
    kept = second.read(GATEWAY_ENV)
    other = kept.replace("LITELLM_SALT_KEY=", "LITELLM_SALT_KEY=other")
    second.write(GATEWAY_ENV, other, mode=0o640, owner="root:hx-gateway")
    played = fleet.play("deploy", "--tags", "preflight")
    second.write(GATEWAY_ENV, kept, mode=0o640, owner="root:hx-gateway")
    assert played.status != 0 and "different LITELLM_SALT_KEYs" in played.said


def test_the_package_is_upgraded_without_a_restart(fleet: Fleet, deb: Path, tmp_path: Path) -> None:
    before = fleet.pids()
    newer = raised_version(deb, tmp_path, "99.0")
    played = fleet.play("deploy", "-e", f"gateway_db_deb={newer}")
    assert played.status == 0, played.said
    assert fleet.pids() == before
    for machine in fleet.gateways.values():
        shown = machine.run(["dpkg-query", "--show", "--showformat=${Version}", "hx-gateway-db"])
        assert shown.stdout == "99.0"


def test_verify_looks_at_each_and_names_what_fails(fleet: Fleet) -> None:
    played = fleet.play("verify")
    assert (played.status, played.hosts) == (0, UNCHANGED), played.said
    fleet.gateways["gw2"].run(["systemctl", "stop", "hx-gateway-ml"])
    played = fleet.play("verify")
    assert played.hosts["gw1"][2] == 0 and played.hosts["gw2"][2] == 1
    assert "hx-gateway-ml" in played.said
    fleet.gateways["gw2"].run(["systemctl", "start", "hx-gateway-ml"])


def test_credentials_rotate_over_all_and_the_old_ones_are_closed(fleet: Fleet) -> None:
    fleet.first.psql(f"CREATE ROLE dba LOGIN SUPERUSER PASSWORD '{DBA_PASS}'")
    key = assert_a_virtual_key_works(fleet.first)
    before = {database_url(machine) for machine in fleet.gateways.values()}
    admin = ("-e", "gateway_db_pg_admin_user=dba", "-e", f"gateway_db_pg_admin_pass={DBA_PASS}")
    played = fleet.play("rotate", *admin)
    assert played.status == 0, played.said
    after = {database_url(machine) for machine in fleet.gateways.values()}
    assert len(before) == len(after) == 1 and before != after
    may_log_in = "SELECT rolcanlogin FROM pg_roles WHERE rolname = "
    assert fleet.first.psql(f"{may_log_in}'hx_gateway'") == "f"
    assert fleet.first.psql(f"{may_log_in}'hx_gateway_b'") == "t"
    for machine in fleet.gateways.values():
        assert chat(machine, key).status == 200


def database_url(machine: Machine) -> str:
    lines = machine.read(GATEWAY_ENV).splitlines()
    (line,) = (line for line in lines if line.startswith("DATABASE_URL="))
    return line


def test_a_removal_leaves_gateways_without_a_database(fleet: Fleet) -> None:
    told = fleet.balanced()
    played = fleet.play("remove")
    assert played.status == 0, played.said
    assert fleet.balanced() == [*told, "out gw1", "out gw2"]
    for machine in fleet.gateways.values():
        assert no_connected_db(machine)
    played = fleet.play("remove")
    assert (played.status, played.hosts) == (0, UNCHANGED), played.said
