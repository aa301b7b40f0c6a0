"""Prisma's client prepared for a gateway that has none, with the real tools, and taken away again.

The tests are the chapters of one story on one machine. LiteLLM, prisma-client-py and Prisma's own
command line program are the real ones; npm's registry and Prisma's mirror are on the machine's
loopback (prisma_server.py), and the engines that it hands out are the image's stand-ins.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.tally import chosen, in_full
from tests.machine.installation import DROP_INS, GATEWAY_ENV, make_database, new_key
from tests.machine.machine import BASE, LITELLM_UNIT, LITELLM_URL, Machine

pytestmark = pytest.mark.sample_release("trixie")

GATEWAY = BASE / "gateway"
PREPARATIONS = "/var/lib/hx-gateway-db-prisma"
SITE = f"/etc/systemd/system/{LITELLM_UNIT}.d/10-prisma.conf"
SERVER = "http://127.0.0.1:4873"
FROM_SERVER = {"npm_config_registry": SERVER, "PRISMA_ENGINES_MIRROR": SERVER}
# As strict as units of gateways are, with an engine that is named and gone.
STRICT = """[Service]
ProtectSystem=strict
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
UMask=0077
Environment=LITELLM_LOCAL_MODEL_COST_MAP=True
Environment=PRISMA_QUERY_ENGINE_BINARY=/opt/gone/query-engine
"""
# A venv as pip leaves it: what `prisma generate` had added is not in the list of its files.
AS_PIP_LEFT_IT = """
import pathlib, shutil, sys
site = next(pathlib.Path(sys.argv[1]).glob("venv/lib/python3*/site-packages"))
record = next(site.glob("prisma-*.dist-info")) / "RECORD"
files = {line.split(",")[0] for line in record.read_text().splitlines()}
for file in (site / "prisma").rglob("*"):
    if file.is_file() and str(file.relative_to(site)) not in files:
        file.unlink()
"""
PREPARE = """
import json
from hx_gateway_db.prisma import prepare
from hx_gateway_db.errors import Refused
class Progress:
    def say(self, line): pass
    def waiting(self, what, seconds): pass
try:
    prepared = prepare.prepare(Progress())
    print(json.dumps([prepare.drop_in_lines(prepared.environment), prepared.done]))
except Refused as refused:
    print(json.dumps([str(refused), []]))
"""
FINDINGS = """
import json
from hx_gateway_db.prisma import check
from hx_gateway_db.systemd.sandbox import sandbox_of
unit = "hx-litellm-gateway.service"
found = check.findings(check.probe(sandbox_of(unit)), unit)
print(json.dumps([finding.sentence for finding in found if finding.level.value != "ok"]))
"""
TIDY = "from hx_gateway_db.prisma.prepare import tidy; tidy()"


@pytest.fixture(scope="module")
def without_client(shared_machine: Machine, deb: Path) -> Machine:
    """A machine with the package and a database, whose venv is as pip has left it."""
    machine = shared_machine
    machine.install(deb)
    make_database(machine, "geheim")
    url = "postgresql://hx_gateway:geheim@127.0.0.1:5432/hx_gateway"
    machine.write(GATEWAY_ENV, f"DATABASE_URL={url}\n", mode=0o640)
    machine.run(["python3", "-c", AS_PIP_LEFT_IT, str(GATEWAY)])
    wire(machine)
    return machine


@pytest.fixture(scope="module")
def machine(without_client: Machine) -> Machine:
    """The same, where Prisma's own programs and what names them are gone as well."""
    machine = without_client
    cli = machine.run(["sh", "-c", f"echo {GATEWAY}/prisma/.cache/*/binaries/*/*/node_modules"])
    machine.run(["mv", cli.stdout.strip(), "/srv/node_modules"])
    machine.run(["rm", "-r", f"{GATEWAY}/prisma"])
    machine.write(SITE, STRICT)
    wire(machine)
    return machine


def wire(machine: Machine, *lines: str) -> None:
    """What an apply writes into the unit's drop-in."""
    text = "\n".join(("[Service]", f"EnvironmentFile={GATEWAY_ENV}", *lines, ""))
    machine.write(DROP_INS[0], text)
    machine.run(["systemctl", "daemon-reload"])


def prepare(machine: Machine, env: dict[str, str]) -> tuple[list[str] | str, list[str]]:
    """The lines that the drop-in needs, or why there are none; and what was done."""
    done = machine.run(["python3", "-c", PREPARE], env=env)
    lines, said = json.loads(done.stdout)
    return lines, said


def findings(machine: Machine) -> list[str]:
    found: list[str] = json.loads(machine.run(["python3", "-c", FINDINGS]).stdout)
    return found


def digest(machine: Machine) -> str:
    """All files of the venv, and who owns them."""
    list_them = f"cd {GATEWAY} && find . -printf '%p %u %m %T@ %l\\n' | sort"
    return machine.run(["sh", "-c", list_them]).stdout


def prepared(machine: Machine) -> list[str]:
    """What there is of preparations, finished or not."""
    folders = (PREPARATIONS, "/var/lib/hx-gateway-db/prisma")
    command = ["find", *folders, "-mindepth", "1", "-maxdepth", "1"]
    return machine.run(command, check=False).stdout.splitlines()


def test_a_site_that_has_the_programs_needs_no_network_for_the_client(
    without_client: Machine,
) -> None:
    machine = without_client
    before = digest(machine)
    lines, _ = prepare(machine, {})
    assert [line.split("=")[1] for line in lines] == [
        *('"PYTHONPATH', '"PRISMA_HIDE_UPDATE_MESSAGE', '"CHECKPOINT_DISABLE')
    ]
    wire(machine, *lines)
    assert findings(machine) == []
    assert digest(machine) == before
    wire(machine)
    machine.run(["python3", "-c", TIDY])
    assert not machine.exists(PREPARATIONS)


def test_litellm_does_not_start_and_the_check_says_why(machine: Machine) -> None:
    machine.run(["systemctl", "restart", LITELLM_UNIT])
    python = f"{GATEWAY}/venv/bin/python3"
    assert findings(machine)[::2] == [
        f"Prisma's client was never generated for {python}, which {LITELLM_UNIT} runs (LiteLLM does"
        " not start with a database then): run 'hx-gateway-db apply --prepare-prisma'.",
        f"the command 'prisma' is not on the PATH of {LITELLM_UNIT} (LiteLLM makes its tables with"
        " it when it starts): run 'hx-gateway-db apply --prepare-prisma'.",
    ]
    machine.wait_until(lambda: "Unable to find Prisma binaries" in log(machine), 60)
    machine.run(["systemctl", "stop", LITELLM_UNIT])


def serve_packages(machine: Machine) -> None:
    serve = ["python3", "/srv/prisma_server.py", "4873", "/srv/node_modules"]
    machine.put(Path(__file__).parent / "prisma_server.py", "/srv/prisma_server.py")
    machine.run(["systemd-run", "--quiet", "--unit=prisma-server", "--setenv=HOME=/root", *serve])
    ask = ["curl", "--silent", "--fail", f"{SERVER}/prisma"]
    machine.wait_until(lambda: machine.run(ask, check=False).returncode == 0, 30)


def log(machine: Machine) -> str:
    return machine.journal(LITELLM_UNIT, 400)


def test_without_a_network_one_sentence_says_so_and_nothing_is_left(machine: Machine) -> None:
    before = digest(machine)
    refused, _ = prepare(machine, {"npm_config_registry": "http://u:geheim@127.0.0.1:9"})
    assert refused == (
        "Prisma's client could not be generated: 127.0.0.1:9 can't be reached (ECONNREFUSED): set"
        " https_proxy, or name a mirror in npm_config_registry."
    )
    assert prepared(machine) == []
    assert digest(machine) == before


def test_without_node_and_a_network_one_sentence_says_so(machine: Machine) -> None:
    machine.run(["mv", "/usr/bin/node", "/usr/bin/node.away"])
    refused, _ = prepare(machine, {})
    machine.run(["mv", "/usr/bin/node.away", "/usr/bin/node"])
    assert refused == (
        "Prisma's client could not be generated: Node.js is not installed and could not be"
        " downloaded: run 'apt install nodejs npm'."
    )


def test_a_mirror_without_the_engines_is_named(machine: Machine) -> None:
    serve_packages(machine)
    refused, _ = prepare(machine, {**FROM_SERVER, "PRISMA_ENGINES_MIRROR": f"{SERVER}/none"})
    assert refused == (
        "Prisma's client could not be generated: 127.0.0.1:4873 does not have it: name another in"
        " PRISMA_ENGINES_MIRROR."
    )


def test_a_killed_preparation_leaves_nothing_after_the_next_run(machine: Machine) -> None:
    script = f"python3 -c '{PREPARE}' & sleep 4; kill -9 $!; systemctl list-units 'run-hxg*'"
    done = machine.run(["sh", "-c", script], env=FROM_SERVER, check=False)
    assert "run-hxgatewaydb" in done.stdout
    assert prepared(machine)
    machine.run(["python3", "-c", TIDY])
    assert prepared(machine) == []
    assert "run-hxg" not in machine.run(["systemctl", "list-units", "run-hxg*"]).stdout


def test_a_prepared_gateway_serves_a_virtual_key(machine: Machine) -> None:
    before = digest(machine)
    lines, done = prepare(machine, FROM_SERVER)
    assert not isinstance(lines, str), lines
    assert done == [f"Prisma's client is in {prepared(machine)[0]}."]
    wire(machine, *lines)
    assert findings(machine) == []
    # As it goes on without a network, and without having been told of one.
    machine.run(["systemctl", "stop", "prisma-server"])
    machine.run(["systemctl", "start", LITELLM_UNIT])
    machine.wait_for_gateway()
    key = str(new_key(machine).json["key"])
    assert machine.http("GET", f"{LITELLM_URL}/v1/models", key=key).status == 200
    assert digest(machine) == before


def test_what_was_prepared_is_root_s_alone(machine: Machine) -> None:
    others = ["find", PREPARATIONS, "(", "!", "-user", "root", "-o", "-perm", "/022", ")"]
    assert machine.run([*others, "!", "-type", "l"]).stdout == ""
    scratch = ["find", "/var/lib/hx-gateway-db", PREPARATIONS, "-name", "scratch"]
    assert machine.run(scratch).stdout == ""


def test_a_prepared_gateway_is_not_prepared_again(machine: Machine) -> None:
    before = machine.read(DROP_INS[0])
    lines, done = prepare(machine, {})
    assert done == []
    wire(machine, *lines)
    assert machine.read(DROP_INS[0]) == before
    machine.run(["python3", "-c", TIDY])
    assert len(prepared(machine)) == 1


def test_what_the_drop_in_names_no_more_goes_and_with_it_every_trace(machine: Machine) -> None:
    before = digest(machine)
    machine.run(["rm", DROP_INS[0]])
    machine.run(["systemctl", "daemon-reload"])
    # The old process runs on with what it was started with.
    machine.run(["python3", "-c", TIDY])
    assert len(prepared(machine)) == 1
    machine.run(["systemctl", "restart", LITELLM_UNIT])
    machine.run(["python3", "-c", TIDY])
    assert not machine.exists(PREPARATIONS)
    machine.wait_for_gateway()
    assert digest(machine) == before


def test_an_apply_refuses_or_prepares_and_a_rollback_takes_it_all_away(machine: Machine) -> None:
    before = digest(machine)
    serve_packages(machine)

    def apply(*flags: str) -> tuple[int, str]:
        command = ["hx-gateway-db", "apply", "--answers", "-", *flags]
        answers = "PG_HOST=127.0.0.1\nPG_PASS=geheim\n"
        done = machine.run(command, input=answers, env=FROM_SERVER, check=False)
        return done.returncode, done.stdout + done.stderr

    status, said = apply()
    assert status == 3 and "run 'hx-gateway-db apply --prepare-prisma'" in said
    status, said = apply("--prepare-prisma")
    assert status == 0, said
    assert f"Prisma's client is in {prepared(machine)[0]}." in said
    assert new_key(machine).status == 200
    assert apply()[1] == "Nothing to change: the gateway is wired as answered.\n"
    machine.run(["hx-gateway-db", "rollback"])
    assert not machine.exists(PREPARATIONS) and not machine.exists(DROP_INS[0])
    assert digest(machine) == before


# What a gateway that has been broken into has in the place of its own command `prisma`.
HOSTILE = """#!/bin/sh
if [ "$1" = generate ]; then cd "$(dirname "$3")/.." && ({evil}); fi
exec {tools}/prisma.real "$@"
"""
# Below the folder that the client is generated into; its path is longer than any may be.
NEST = """
import os, sys
os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
for _ in range(1500):
    os.mkdir("nested")
    os.chdir("nested")
"""


@pytest.fixture
def served(machine: Machine) -> Machine:
    """The machine while npm's registry and Prisma's mirror are there."""
    if not machine.is_active("prisma-server"):
        serve_packages(machine)
    return machine


def generate(machine: Machine, evil: str, env: dict[str, str]) -> list[str] | str:
    """Prepare with a hostile `prisma`, which runs `evil` in the folder that it generates into."""
    tools = f"{GATEWAY}/venv/bin"
    wire(machine)
    machine.run(["mv", f"{tools}/prisma", f"{tools}/prisma.real"])
    machine.write(f"{tools}/prisma", HOSTILE.format(evil=evil, tools=tools), mode=0o755)
    try:
        return prepare(machine, FROM_SERVER | env)[0]
    finally:
        machine.run(["mv", f"{tools}/prisma.real", f"{tools}/prisma"])


EVILS = {
    "its folders are nested more than 64 deep.": f"python3 -c '{NEST}' client",
    "client/pipe is no plain file.": "mkdir -p client && mkfifo client/pipe",
    "it is larger than 1024 MiB.": "mkdir -p client && truncate -s 4G client/sparse",
    "client/link is a link out of it.": "mkdir -p client && ln -s /tmp client/link",
}


@pytest.mark.parametrize("reason", chosen(EVILS, "client/link is a link out of it."))
def test_what_a_broken_into_gateway_generates_is_refused_in_a_sentence_and_leaves_nothing(
    served: Machine, reason: str
) -> None:
    machine = served
    refused = generate(machine, EVILS[reason], {})
    assert refused == f"Prisma's client as it was generated is not taken over: {reason}"
    assert prepared(machine) == []


def test_no_login_of_root_s_reaches_the_gateway_s_user(served: Machine) -> None:
    machine = served
    proxies = {"https_proxy": "http://root:geheim@127.0.0.1:9", "no_proxy": "127.0.0.1"}
    lines = generate(machine, "mkdir -p client && env >client/told && ls >>client/told", proxies)
    assert not isinstance(lines, str), lines
    told = machine.run(["sh", "-c", f"cat {PREPARATIONS}/*/client/told"]).stdout
    assert "https_proxy=http://127.0.0.1:9\n" in told and "geheim" not in told
    assert "DATABASE_URL=postgresql://unused\n" in told
    machine.run(["python3", "-c", TIDY])
    assert prepared(machine) == []


@in_full
@pytest.mark.parametrize("folder", ["/var/lib/hx-gateway-db/prisma", f"{PREPARATIONS}/0a/client"])
def test_nested_folders_keep_nobody_from_applying_or_removing(served: Machine, folder: str) -> None:
    machine = served
    nest = ["python3", "-c", NEST, folder]
    answers = "PG_HOST=127.0.0.1\nPG_PASS=geheim\n"
    apply = ["hx-gateway-db", "apply", "--answers", "-", "--prepare-prisma", "--anyway"]
    machine.run(nest)
    done = machine.run(apply, input=answers, env=FROM_SERVER, check=False)
    assert done.returncode == 0, done.stderr
    machine.run(nest)
    machine.run(["hx-gateway-db", "rollback"])
    assert prepared(machine) == []


@in_full
def test_nested_folders_keep_nobody_from_removing_and_purging_the_package(
    served: Machine,
) -> None:
    machine = served
    work = "/var/lib/hx-gateway-db/prisma"
    answers = "PG_HOST=127.0.0.1\nPG_PASS=geheim\n"
    apply = ["hx-gateway-db", "apply", "--answers", "-", "--prepare-prisma", "--anyway"]
    machine.run(apply, input=answers, env=FROM_SERVER)
    machine.run(["python3", "-c", NEST, work])
    machine.run(["apt-get", "remove", "--yes", "hx-gateway-db"])
    assert prepared(machine) == []
    machine.run(["python3", "-c", NEST, work])
    machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert not machine.exists("/var/lib/hx-gateway-db") and not machine.exists(PREPARATIONS)
