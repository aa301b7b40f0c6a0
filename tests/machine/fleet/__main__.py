"""`make fleet`: three gateways behind an HAProxy, rolled out by Ansible while a client asks them.

Run as root with HX_DEB naming the package. Five machines on a network of their own: PostgreSQL and
Redis on one, three gateways, one HAProxy. HX_RATE is how often a second the client asks; two busy
cores manage few of the 50 that are meant.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.machine import step
from tests.machine.fleet import balancer
from tests.machine.fleet.control import PROJECT, Control, Played
from tests.machine.fleet.network import Network, ip
from tests.machine.fleet.servers import serve
from tests.machine.image import ImageError, build_image, cache_directory
from tests.machine.installation import UNITS, raised_version
from tests.machine.machine import LITELLM_URL, MASTER_KEY, CommandFailed, Machine

_GATEWAYS = ("gw1", "gw2", "gw3")
_SECRETS = {"FLEET_PG_PASS": "geheim-4711", "FLEET_REDIS_PASS": "auch-geheim-4711"}
_DBA_PASS = "dba-geheim"
_ROWS = 'SELECT count(*), count(DISTINCT request_id) FROM "LiteLLM_SpendLogs" WHERE api_key = '
_ROW_SECONDS = 90
_TOOK = {
    "connections of each address": "SELECT client_addr, count(*) FROM pg_stat_activity"
    " WHERE usename = 'hx_gateway' GROUP BY 1 ORDER BY 1",
    "bytes of a row with its indexes": "SELECT pg_total_relation_size('\"LiteLLM_SpendLogs\"')"
    ' / greatest(count(*), 1), count(*) FROM "LiteLLM_SpendLogs"',
    "transactions": "SELECT xact_commit, deadlocks FROM pg_stat_database"
    " WHERE datname = 'hx_gateway'",
}


@dataclass
class Fleet:
    """The machines, and what the client has seen."""

    servers: Machine
    gateways: dict[str, Machine]
    balancer: Machine
    network: Network
    control: Control
    addresses: dict[str, str]
    requests: int = 0
    answered: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def play(self, playbook: str, *arguments: str) -> Played:
        return self.control.play(playbook, *arguments, secrets=_SECRETS)

    def must(self, playbook: str, *arguments: str) -> None:
        """Run a playbook that has to end well. Raises CommandFailed."""
        played = self.play(playbook, *arguments)
        if played.status:
            raise CommandFailed(played.said)


def main() -> int:
    """Tell the story; returns the exit status."""
    deb = Path(os.environ.get("HX_DEB", "")).resolve()
    if os.geteuid() != 0 or not deb.is_file():
        print("The fleet boots containers: run 'sudo make fleet'.")
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="hx-fleet-") as folder, ExitStack() as stack:
            fleet = _boot(stack, Path(folder), deb)
            return _tell(fleet, deb, Path(folder))
    except (step.StepFailed, ImageError, CommandFailed) as error:
        print(error)
        return 1


def _boot(stack: ExitStack, folder: Path, deb: Path) -> Fleet:
    release = (os.environ.get("HX_RELEASES") or "bookworm").split()[0]
    image, of_balancer = build_image(release), balancer.build_image(release)
    network = stack.enter_context(Network())
    servers = stack.enter_context(Machine(image))
    servers.run(["systemctl", "disable", *UNITS])
    gateways = {name: stack.enter_context(Machine(image)) for name in _GATEWAYS}
    front = stack.enter_context(Machine(of_balancer))
    machines = {"servers": servers, **gateways, "lb": front}
    addresses = {}
    for name, machine in machines.items():
        with step.shown(f"start of {name}"):
            machine.boot()
            addresses[name] = network.join(machine)
    serve(servers, *_SECRETS.values())
    balancer.balance(front, {name: addresses[name] for name in _GATEWAYS})
    control = Control(folder, cache_directory().parent)
    variables = {
        "gateway_db_deb": str(deb),
        "gateway_db_pg_host": addresses["servers"],
        "gateway_db_pg_pass": "{{ lookup('env', 'FLEET_PG_PASS') }}",
        "gateway_db_redis": True,
        "gateway_db_redis_host": addresses["servers"],
        "gateway_db_redis_pass": "{{ lookup('env', 'FLEET_REDIS_PASS') }}",
        "gateway_db_balancer_out": "balancer/haproxy_out.yml",
        "gateway_db_balancer_in": "balancer/haproxy_in.yml",
        "gateway_db_balancers": ["lb"],
        "gateway_db_haproxy_socket": balancer.SOCKET,
        "gateway_db_haproxy_backend": balancer.BACKEND,
    }
    control.inventory(gateways, variables, {"lb": front})
    for name, machine in gateways.items():
        with step.shown(f"start of LiteLLM on {name}"):
            machine.wait_for_gateway()
    return Fleet(servers, gateways, front, network, control, addresses)


def _tell(fleet: Fleet, deb: Path, folder: Path) -> int:
    gw1 = fleet.gateways["gw1"]
    with step.shown("deploy on the first gateway, from nothing"):
        fleet.must("deploy", "--limit", "gw1")
    made = gw1.http("POST", f"{LITELLM_URL}/key/generate", key=MASTER_KEY, body={})
    key = str(made.json["key"])
    fleet.balancer.wait_until(lambda: balancer.up(fleet.balancer) == ["gw1"], 30, what="HAProxy")
    with _asked(fleet, key):
        with step.shown("deploy on the others, from nothing"):
            fleet.must("deploy")
        with step.shown("a changed answer"):
            fleet.must("deploy", "-e", "gateway_db_redis_transaction_buffer=true")
        with step.shown("a gateway that fails in the middle"):
            _fails_in_the_middle(fleet)
        with step.shown("upgrade of the package"):
            newer = raised_version(deb, folder, "99.0")
            fleet.must("deploy", "-e", f"gateway_db_deb={newer}")
        with step.shown("a rotation of the credentials"):
            fleet.servers.psql(f"CREATE ROLE dba LOGIN SUPERUSER PASSWORD '{_DBA_PASS}'")
            admin = ("gateway_db_pg_admin_user=dba", f"gateway_db_pg_admin_pass={_DBA_PASS}")
            fleet.must("rotate", "-e", admin[0], "-e", admin[1])
        with step.shown("removal of one gateway"):
            fleet.must("remove", "--limit", "gw3")
        assert balancer.up(fleet.balancer) == ["gw1", "gw2"]
    _print_what_it_took(fleet)
    lost = _lost_rows(fleet, key)
    failed = fleet.requests - fleet.answered
    print(f"answered {fleet.answered}, rows missing or twice: {lost}; failures: {fleet.failures}")
    print(f"fleet: {fleet.requests} requests, {failed} failed, 1 rotations, 3 gateways")
    return 1 if failed or lost else 0


def _fails_in_the_middle(fleet: Fleet) -> None:
    """PostgreSQL under a second address, which one gateway does not reach."""
    second, cut_off = "10.77.0.200", fleet.gateways["gw2"].leader
    ip(fleet.servers.leader, "address", "add", f"{second}/24", "dev", "host0")
    before = fleet.gateways["gw3"].main_pid(UNITS[0])
    ip(cut_off, "route", "add", "blackhole", second)
    played = fleet.play("deploy", "-e", f"gateway_db_pg_host={second}")
    ip(cut_off, "route", "delete", "blackhole", second)
    changed = {host: counts[0] for host, counts in played.hosts.items()}
    assert played.status != 0 and changed["gw1"] > 0, played.said
    assert fleet.gateways["gw3"].main_pid(UNITS[0]) == before
    assert balancer.up(fleet.balancer) == list(_GATEWAYS)
    fleet.must("deploy")


@contextmanager
def _asked(fleet: Fleet, key: str) -> Iterator[None]:
    """A client asks HAProxy in here; what it has seen is added up."""
    command = [*fleet.network.enter(), sys.executable, "-m", "tests.machine.fleet.load"]
    rate = os.environ.get("HX_RATE") or "50"
    client = subprocess.Popen(
        [*command, fleet.addresses["lb"], "4000", rate],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None
    client.stdin.write(key)
    client.stdin.close()
    client.stdin = None
    try:
        yield
    finally:
        client.send_signal(signal.SIGTERM)
        said = client.communicate()[0]
    seen = json.loads(said)
    print(said.strip())
    fleet.requests += seen["requests"]
    fleet.answered += seen["answered"]
    for name, count in seen["failures"].items():
        fleet.failures[name] = fleet.failures.get(name, 0) + count


def _lost_rows(fleet: Fleet, key: str) -> int:
    """How many answered requests have not exactly one row; LiteLLM gathers rows for a while."""
    sql = f"{_ROWS}'{hashlib.sha256(key.encode()).hexdigest()}'"
    ends = time.monotonic() + _ROW_SECONDS
    while True:
        rows, different = map(int, fleet.servers.psql(sql, database="hx_gateway").split("|"))
        if rows >= fleet.answered or time.monotonic() > ends:
            return abs(fleet.answered - rows) + rows - different
        time.sleep(2)


def _print_what_it_took(fleet: Fleet) -> None:
    """What docs/scale.md reckons with."""
    for what, sql in _TOOK.items():
        print(f"{what}: {fleet.servers.psql(sql, database='hx_gateway')}".replace("\n", ", "))
    for section, pattern in (("clients", "^connected_clients"), ("stats", "^total_commands")):
        ask = f"REDISCLI_AUTH={_SECRETS['FLEET_REDIS_PASS']} redis-cli INFO {section}"
        print(fleet.servers.run(["sh", "-c", f"{ask} | grep {pattern}"]).stdout.strip())


if __name__ == "__main__":
    sys.exit(main())
