"""What the check says of the gateway's own host, on a booted machine where it is really so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.machine.installation import GATEWAY_ENV
from tests.machine.machine import BASE, CONFIG_YAML, LITELLM_UNIT, WRAPPER_UNIT, Machine

pytestmark = pytest.mark.sample_release("trixie")

VENV = BASE / "gateway/venv"
PYTHON = VENV / "bin/python3"
PREPARE = "run 'hx-gateway-db apply --prepare-prisma'"
INSPECT = """
import json, sys
from pathlib import Path
from hx_gateway_db.checks.host_checks import inspect_host
from hx_gateway_db.host.host import read_host
from hx_gateway_db.settings.values import Postgres, Redis, Settings
given = json.load(sys.stdin)
postgres = Postgres("127.0.0.1", "hx_gateway", "hx_gateway", "geheim", **given.get("postgres", {}))
redis = Redis("127.0.0.1", **given["redis"]) if "redis" in given else None
found = inspect_host(read_host(Path("/")), Settings(postgres, redis))
print(json.dumps([[f.name, f.level.value, f.sentence, f.by.value] for f in found]))
"""


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A machine with the package, that has configured nothing."""
    shared_machine.install(deb)
    return shared_machine


@pytest.fixture
def quick(machine: Machine) -> Iterator[Machine]:
    """The same, whose LiteLLM is no Python script by its unit: nothing is asked of Prisma."""
    with drop_in(machine, "ExecStart=\nExecStart=/bin/sleep infinity", "99-quick"):
        yield machine


@contextmanager
def drop_in(
    machine: Machine, lines: str, name: str = "20-site", unit: str = LITELLM_UNIT
) -> Iterator[None]:
    folder = f"/etc/systemd/system/{unit}.d"
    path = f"{folder}/{name}.conf"
    machine.run(["mkdir", "-p", folder])
    machine.write(path, f"[Service]\n{lines}\n")
    machine.run(["systemctl", "daemon-reload"])
    yield
    machine.run(["rm", path])
    machine.run(["systemctl", "daemon-reload"])


@contextmanager
def moved_away(machine: Machine, path: str) -> Iterator[None]:
    machine.run(["mv", path, f"{path}.away"])
    yield
    machine.run(["mv", f"{path}.away", path])


@contextmanager
def file(machine: Machine, path: str, text: str, mode: int = 0o644) -> Iterator[None]:
    machine.write(path, text, mode=mode)
    yield
    machine.run(["rm", path])


@contextmanager
def config(machine: Machine, text: str) -> Iterator[None]:
    before = machine.read(CONFIG_YAML)
    machine.write(CONFIG_YAML, text, owner="hx-gateway:hx-gateway")
    yield
    machine.write(CONFIG_YAML, before, owner="hx-gateway:hx-gateway")


class Found:
    """The findings, by name."""

    def __init__(self, rows: list[list[str]]) -> None:
        self.rows = rows

    def levels(self, name: str) -> list[str]:
        return [level for found, level, _, _ in self.rows if found == name]

    def said(self, name: str) -> str:
        """The sentences of a check that did not find all well."""
        return "\n".join(row[2] for row in self.rows if row[0] == name and row[1] != "ok")

    @property
    def not_ok(self) -> list[str]:
        return [name for name, level, _, _ in self.rows if level != "ok"]

    def curable(self, name: str) -> bool:
        return any(row[0] == name and row[3] == "prisma" for row in self.rows)


def inspect(machine: Machine, **settings: dict[str, Any]) -> Found:
    done = machine.run(["python3", "-c", INSPECT], input=json.dumps(settings))
    assert "geheim" not in done.stdout + done.stderr
    return Found(json.loads(done.stdout))


def site_packages(machine: Machine) -> str:
    return machine.run(["sh", "-c", f"echo {VENV}/lib/python3.*/site-packages"]).stdout.strip()


def test_all_is_well(machine: Machine) -> None:
    found = inspect(machine)
    assert found.not_ok == [], found.rows


# Prisma


def test_a_venv_without_the_package_prisma_is_told_how_to_get_it(machine: Machine) -> None:
    with moved_away(machine, f"{site_packages(machine)}/prisma"):
        found = inspect(machine)
    assert found.said("gateway.prisma-client") == (
        f"the package prisma is not installed for {PYTHON}, which {LITELLM_UNIT} runs (LiteLLM does"
        f" not start with a database then): run '{PYTHON} -m pip install prisma==0.11.0'."
    )
    assert found.levels("gateway.prisma-engine") == ["skipped"]


def test_what_the_gateway_s_own_python_prints_is_no_command_for_root(machine: Machine) -> None:
    answer = {"installed": False, "python": "bash -c id #", "requirement": "prisma;id"}
    evil = f"#!/bin/sh\ncat >/dev/null\necho '{json.dumps(answer)}'\n"
    with moved_away(machine, str(PYTHON)):
        machine.write(str(PYTHON), evil)
        machine.run(["chmod", "755", str(PYTHON)])
        machine.run(["chown", "hx-gateway:", str(PYTHON)])
        found = inspect(machine)
        machine.run(["rm", str(PYTHON)])
    cure = found.said("gateway.prisma-client").partition("database then): ")[2]
    command = f"runuser -u hx-gateway --pty -- {PYTHON} -m pip install prisma"
    assert cure == f"run '{command}'."
    # What it is run for, without the network that pip needs.
    asked = command.replace("-m pip install prisma", "-c 'import os; print(os.getuid())'")
    uid = machine.run(["id", "-u", "hx-gateway"]).stdout.strip()
    assert machine.run(["sh", "-c", asked]).stdout.strip() == uid


def test_a_client_that_was_never_generated_is_found(machine: Machine) -> None:
    with moved_away(machine, f"{site_packages(machine)}/prisma/client.py"):
        found = inspect(machine)
    assert found.said("gateway.prisma-client") == (
        f"Prisma's client was never generated for {PYTHON}, which {LITELLM_UNIT} runs (LiteLLM does"
        f" not start with a database then): {PREPARE}."
    )
    assert found.curable("gateway.prisma-client")
    assert found.levels("gateway.prisma-cli") == ["ok"]


def test_a_client_that_lacks_a_library_is_told_from_one_that_was_not_generated(
    machine: Machine,
) -> None:
    with moved_away(machine, f"{site_packages(machine)}/tomlkit"):
        said = inspect(machine).said("gateway.prisma-client")
    assert "can't be loaded (ModuleNotFoundError tomlkit)" in said


def test_a_client_of_another_litellm_is_a_warning_and_an_engine_for_root_alone_a_failure(
    machine: Machine,
) -> None:
    schema = f"{site_packages(machine)}/prisma/schema.prisma"
    text = machine.read(schema)
    machine.write(schema, text.replace("model LiteLLM_Config", "model LiteLLM_Konfig"))
    machine.run(["chmod", "0700", "/opt/prisma-engines/query-engine"])
    found = inspect(machine)
    machine.run(["chmod", "0755", "/opt/prisma-engines/query-engine"])
    machine.write(schema, text)
    assert found.levels("gateway.prisma-client") == ["warning"]
    assert "was generated for another version of LiteLLM" in found.said("gateway.prisma-client")
    assert found.said("gateway.prisma-engine").startswith(
        f"Prisma's query engine /opt/prisma-engines/query-engine can't be run by the user of"
        f" {LITELLM_UNIT}"
    )


def test_engines_that_are_not_where_the_unit_says_are_found(machine: Machine) -> None:
    gone = (
        "Environment=PRISMA_QUERY_ENGINE_BINARY=/opt/gone/query-engine"
        " PRISMA_SCHEMA_ENGINE_BINARY=/opt/gone/schema-engine"
    )
    with drop_in(machine, gone):
        found = inspect(machine)
    assert found.said("gateway.prisma-engine") == (
        "Prisma's query engine is not at /opt/gone/query-engine (LiteLLM does not start with a"
        f" database then): {PREPARE}."
    )
    said = found.said("gateway.prisma-cli")
    assert said.startswith("PRISMA_QUERY_ENGINE_BINARY names /opt/gone/query-engine, which is not")


def test_a_schema_engine_that_would_have_to_be_downloaded_is_found(machine: Machine) -> None:
    with drop_in(machine, "Environment=PRISMA_SCHEMA_ENGINE_BINARY="):
        found = inspect(machine)
    assert found.said("gateway.prisma-cli").startswith(
        f"Prisma's command line program has no schema-engine in {BASE}/gateway/prisma/.cache/"
    )
    assert found.levels("gateway.prisma-engine") == ["ok"]


def test_a_command_line_program_that_is_in_another_cache_is_found(machine: Machine) -> None:
    with drop_in(machine, "Environment=PRISMA_HOME_DIR=/srv"):
        found = inspect(machine)
    said = found.said("gateway.prisma-cli")
    assert said.startswith("Prisma's command line program is not in /srv/.cache/prisma-python/")
    assert found.levels("gateway.prisma-client") == ["ok"]


def test_a_machine_without_node_is_found(machine: Machine) -> None:
    with moved_away(machine, "/usr/bin/node"):
        found = inspect(machine)
    assert found.said("gateway.prisma-cli").startswith("Node.js, which Prisma's command line")


def test_a_sandbox_that_hides_the_client_counts(machine: Machine) -> None:
    with drop_in(machine, f"InaccessiblePaths={site_packages(machine)}/prisma/models.py"):
        found = inspect(machine)
    assert "can't be loaded (PermissionError" in found.said("gateway.prisma-client")


# The other checks


def test_a_unit_that_starts_no_python_script_leaves_the_others_their_findings(
    quick: Machine,
) -> None:
    found = inspect(quick)
    assert found.said("gateway.prisma-client") == (
        f"not looked at: {LITELLM_UNIT} starts /bin/sleep, which is no Python script."
    )
    assert found.levels("gateway.service-user") == ["ok", "ok"]


def test_a_ca_file_that_the_sandbox_hides_or_only_root_reads_is_found(quick: Machine) -> None:
    both = {"sslmode": "verify-full", "ca_file": "/root/ca.pem"}
    with file(quick, "/root/ca.pem", "-"), file(quick, "/etc/ca.pem", "-", 0o600):
        found = inspect(quick, postgres=both, redis={"tls": True, "ca_file": "/etc/ca.pem"})
    assert found.said("gateway.ca-file") == (
        f"/root/ca.pem (PG_SSLROOTCERT) can't be read by {LITELLM_UNIT}, which runs as hx-gateway"
        " (ProtectHome= hides it, so LiteLLM could not check PostgreSQL's certificate): run"
        " 'install -m 0644 /root/ca.pem /etc/ssl/ca.pem' and set PG_SSLROOTCERT to"
        " /etc/ssl/ca.pem.\n"
        f"/etc/ca.pem (REDIS_CACERT) can't be read by {LITELLM_UNIT}, which runs as hx-gateway"
        " (LiteLLM could not check Redis's certificate): run"
        " 'install -m 0644 /etc/ca.pem /etc/ssl/ca.pem' and set REDIS_CACERT to /etc/ssl/ca.pem."
    )
    with file(quick, "/etc/ca.pem", "-"):
        found = inspect(quick, redis={"tls": True, "ca_file": "/etc/ca.pem"})
    assert found.levels("gateway.ca-file") == ["ok"]


RESTART = "then run 'systemctl restart hx-litellm-gateway'"
APPLY = "then run 'hx-gateway-db apply'"


def test_keys_of_config_yaml_that_override_gateway_env_are_found(quick: Machine) -> None:
    text = quick.read(CONFIG_YAML).replace(
        "general_settings:\n", "general_settings:\n  database_url: postgresql://u@elsewhere/d\n"
    )
    text += "environment_variables:\n  DATABASE_URL: postgresql://u@third/d\n  OTHER: x\n"
    text += "  REDIS_URL: os.environ/REDIS_URL\n"
    with config(quick, text):
        said = inspect(quick, redis={}).said("gateway.config-overrides")
    assert said == (
        f"{CONFIG_YAML} sets general_settings.database_url (LiteLLM prefers it to the DATABASE_URL"
        f" of gateway.env): remove general_settings.database_url from {CONFIG_YAML}, {RESTART}.\n"
        f"{CONFIG_YAML} sets environment_variables.DATABASE_URL (LiteLLM prefers it to the"
        " DATABASE_URL of gateway.env): remove environment_variables.DATABASE_URL from"
        f" {CONFIG_YAML}, {RESTART}."
    )


OTHER = "DATABASE_URL=postgresql://u@elsewhere/d\nLITELLM_SALT_KEY=sk-salt\n"
SEEN = """
from hx_gateway_db.systemd.sandbox import run, sandbox_of
print(run(sandbox_of("{unit}"), ("/usr/bin/env",), seconds=10).output)
"""


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("10-early", "EnvironmentFile=/etc/site.env", ""),
        ("90-late", "Environment=DATABASE_URL=postgresql://u@elsewhere/d", ""),
        (
            "90-late",
            "EnvironmentFile=-/etc/site.env",
            f"{LITELLM_UNIT} takes DATABASE_URL from /etc/site.env, which /etc/systemd/system/"
            f"{LITELLM_UNIT}.d/90-late.conf names (systemd reads it after gateway.env): remove"
            f" DATABASE_URL from /etc/site.env, {APPLY}.",
        ),
        (
            "90-late",
            "UnsetEnvironment=FOO DATABASE_URL",
            f"/etc/systemd/system/{LITELLM_UNIT}.d/90-late.conf takes DATABASE_URL away from"
            f" {LITELLM_UNIT} (UnsetEnvironment= wins): remove DATABASE_URL from UnsetEnvironment="
            f" in /etc/systemd/system/{LITELLM_UNIT}.d/90-late.conf, {APPLY}.",
        ),
        (
            "90-late",
            "EnvironmentFile=",
            f"/etc/systemd/system/{LITELLM_UNIT}.d/90-late.conf empties EnvironmentFile= of"
            f" {LITELLM_UNIT} ({LITELLM_UNIT} does not read {GATEWAY_ENV} then): remove the empty"
            f" EnvironmentFile= from /etc/systemd/system/{LITELLM_UNIT}.d/90-late.conf, {APPLY}.",
        ),
    ],
)
def test_what_is_said_of_a_drop_in_is_what_systemd_makes_of_it(
    quick: Machine, name: str, lines: str, said: str
) -> None:
    with file(quick, "/etc/site.env", OTHER, 0o600), drop_in(quick, lines, name):
        assert inspect(quick).said("gateway.config-overrides") == said
        ours = f"EnvironmentFile={GATEWAY_ENV}"
        with file(quick, GATEWAY_ENV, "DATABASE_URL=ours\n"), drop_in(quick, ours, "30-db"):
            seen = quick.run(["python3", "-c", SEEN.format(unit=LITELLM_UNIT)]).stdout
    assert ("DATABASE_URL=ours\n" in seen) == (said == "")


LOOK_FOR_SALT = """
from pathlib import Path
from hx_gateway_db.host.host import read_host
from hx_gateway_db.wiring.salt import look
print(look(read_host(Path("/")), True, {}).what)
"""


def test_a_salt_that_litellm_has_already_is_seen(quick: Machine) -> None:
    with file(quick, "/etc/site.env", OTHER), drop_in(quick, "EnvironmentFile=/etc/site.env"):
        said = quick.run(["python3", "-c", LOOK_FOR_SALT]).stdout
    assert said == "/etc/site.env has a LITELLM_SALT_KEY\n"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "LiteLLM has no master key"),
        ("  master_key: sk-1234\n", "LiteLLM has the published sk-1234 as master key"),
    ],
)
def test_a_master_key_that_newer_versions_refuse_is_a_warning(
    quick: Machine, key: str, said: str
) -> None:
    text = quick.read(CONFIG_YAML).replace("  master_key: sk-hx-dev-1234\n", key)
    with config(quick, text):
        found = inspect(quick)
    assert found.levels("gateway.master-key") == ["warning"]
    assert found.said("gateway.master-key") == (
        f"{said} (LiteLLM 1.104.0 and newer do not start with that): set"
        f" general_settings.master_key in {CONFIG_YAML}."
    )


PACKAGE = """
set -e
mkdir -p /tmp/p/DEBIAN /tmp/p{folder}
cp {config} /tmp/p{folder}
echo {config} >/tmp/p/DEBIAN/conffiles
printf 'Package: site-gateway\\nVersion: 1\\nArchitecture: all\\nMaintainer: M <m@example.org>\\n'\
'Description: a gateway\\n' >/tmp/p/DEBIAN/control
dpkg-deb --root-owner-group --build /tmp/p /tmp/p.deb
cp -a {folder} /tmp/kept
dpkg --install --force-confnew /tmp/p.deb
"""


def test_a_conffile_of_another_package_is_found_unless_it_was_diverted(quick: Machine) -> None:
    script = PACKAGE.format(folder=CONFIG_YAML.parent, config=CONFIG_YAML)
    quick.run(["sh", "-c", script])
    said = inspect(quick).said("gateway.config-conffile")
    divert = ["dpkg-divert", "--local", "--no-rename", "--add", str(CONFIG_YAML)]
    quick.run(divert)
    diverted = inspect(quick).said("gateway.config-conffile")
    quick.run(["dpkg-divert", "--local", "--no-rename", "--remove", str(CONFIG_YAML)])
    quick.run(["dpkg", "--purge", "site-gateway"])
    # That removed it, and its folders as well.
    quick.run(["mkdir", "-p", str(CONFIG_YAML.parent.parent)])
    quick.run(["cp", "-aT", "/tmp/kept", str(CONFIG_YAML.parent)])
    assert said == (
        f"{CONFIG_YAML} is a conffile of the package site-gateway (another package must not change"
        f" it (Debian policy 10.7.4)): run '{' '.join(divert)}' to make it your own."
    )
    assert diverted == ""


def test_a_port_that_another_service_has_taken_is_found(quick: Machine) -> None:
    quick.run(["systemctl", "stop", LITELLM_UNIT])
    serve = ["python3", "-m", "http.server", "4000", "--directory", "/srv"]
    quick.run(["systemd-run", "--quiet", "--unit=squatter", *serve])
    quick.wait_until(lambda: "not by" in inspect(quick).said("gateway.ports"), 20)
    found = inspect(quick)
    quick.run(["systemctl", "stop", "squatter"])
    assert found.said("gateway.ports") == (
        f"port 4000 is taken by squatter.service, not by {LITELLM_UNIT} (LiteLLM would silently"
        " choose another port): run 'systemctl disable --now squatter.service', or give it another"
        " port."
    )
    assert inspect(quick).said("gateway.ports") == ""


# Tests that start a unit often have its count reset first (StartLimitBurst=).
LEAVES_ONE = (
    "KillMode=process\nExecStart=\n"
    'ExecStart=/bin/sh -c "python3 -m http.server 4000 --directory /srv & exec sleep infinity"'
)


@pytest.mark.parametrize("started_anew", [False, True])
def test_a_port_that_a_process_of_the_unit_itself_holds_which_that_left_behind_is_found(
    quick: Machine, started_anew: bool
) -> None:
    with drop_in(quick, LEAVES_ONE, "99-site"):
        quick.run(["systemctl", "reset-failed", LITELLM_UNIT])
        quick.run(["systemctl", "restart", LITELLM_UNIT])
        quick.wait_until(lambda: inspect(quick).levels("gateway.ports") == ["ok", "ok"], 20)
        quick.run(["systemctl", "stop", LITELLM_UNIT])
    with drop_in(quick, "ExecStart=\nExecStart=/bin/sleep infinity", "99-site"):
        if started_anew:
            quick.run(["systemctl", "start", LITELLM_UNIT])
        said = inspect(quick).said("gateway.ports")
        assert re.fullmatch(
            rf"port 4000 is held by a process that {LITELLM_UNIT} left behind \(python3, process"
            r" \d+, user \d+\) \(another one can't have it, and LiteLLM listens on a random port\):"
            r" run 'systemctl kill hx-litellm-gateway', then 'systemctl start hx-litellm-gateway'.",
            said,
        )
        for command in re.findall("'(.*?)'", said.rpartition(": ")[2]):
            quick.run(["sh", "-c", command])
        quick.wait_until(lambda: "left behind" not in inspect(quick).said("gateway.ports"), 20)


def test_a_unit_that_runs_and_does_not_listen_is_a_warning(quick: Machine) -> None:
    quick.run(["systemctl", "reset-failed", LITELLM_UNIT])
    quick.run(["systemctl", "restart", LITELLM_UNIT])
    found = inspect(quick)
    assert found.levels("gateway.ports") == ["warning", "ok"]
    assert found.said("gateway.ports").startswith(f"{LITELLM_UNIT} runs, but does not listen on")


def test_a_port_other_than_the_usual_is_found(quick: Machine) -> None:
    other = "ExecStart=\nExecStart=/bin/true --port=5010"
    with drop_in(quick, other, "99-quick", WRAPPER_UNIT):
        said = inspect(quick).said("gateway.ports")
    assert f"{WRAPPER_UNIT} is started with --port 5010, not 4010" in said


FULL = "mount -t tmpfs -o size=64k full {folder} && cat /dev/zero >{folder}/f 2>/dev/null; true"


def test_no_room_and_a_read_only_mount_are_found(quick: Machine) -> None:
    state = "/var/lib/hx-gateway-db"
    quick.run(["sh", "-c", FULL.format(folder=state)])
    quick.run(["sh", "-c", "mount --bind /etc /etc && mount -o remount,bind,ro /etc"])
    found = inspect(quick)
    quick.run(["umount", "/etc"])
    quick.run(["umount", state])
    said = found.said("gateway.space")
    assert (
        f"/etc, on which /etc/systemd/system/{LITELLM_UNIT}.d is, is mounted read-only (nothing can"
        " be written): run 'mount -o remount,rw /etc'.\n"
    ) in said
    assert f"{state}, on which {state} is, has 0 KiB and " in said
    assert said.endswith(": make room there: 2 MiB are needed.")


def test_a_service_user_that_is_not_there_is_found(machine: Machine) -> None:
    with drop_in(machine, "User=hx-gone\nGroup=hx-gone"):
        found = inspect(machine)
    assert found.said("gateway.service-user") == (
        f"the user hx-gone, as whom {LITELLM_UNIT} runs, does not exist ({LITELLM_UNIT} can't be"
        " restarted then): run 'useradd --system --no-create-home hx-gone'."
    )
    assert found.said("gateway.prisma-client") == (
        f"not looked at: {LITELLM_UNIT} could not be started: its user does not exist."
    )


def test_a_user_that_exists_only_while_the_unit_runs_needs_a_home_for_prisma(
    machine: Machine,
) -> None:
    with drop_in(machine, "DynamicUser=yes\nUser=hx-dynamic\nGroup="):
        found = inspect(machine)
        assert found.said("gateway.prisma-client").split(" (")[0] == (
            f"Prisma asks where the home is of the user that {LITELLM_UNIT} runs as, and nobody"
            " knows"
        )
        assert not found.curable("gateway.prisma-client")
        cure = found.said("gateway.prisma-client").rpartition(" and ")[2].rstrip(".\n")
        with drop_in(machine, cure, "30-home"):
            assert inspect(machine).said("gateway.prisma-client") == ""


# The sandbox itself

STRICT = """[Service]
Type=oneshot
User=hx-gateway
Group=hx-gateway
SupplementaryGroups=adm
WorkingDirectory=/srv
Environment="A=b c" 'B=$x "q" \\\\' C=%n
EnvironmentFile=/etc/probe.env
EnvironmentFile=-/etc/nothing.env
UnsetEnvironment=GONE
UMask=0027
ProtectSystem=strict
ProtectHome=tmpfs
PrivateTmp=yes
PrivateDevices=yes
ReadWritePaths=/srv -/var/none
InaccessiblePaths=/opt/prisma-engines
BindReadOnlyPaths=/etc/hostname:/etc/bound
TemporaryFileSystem=/var/spool:ro
NoNewPrivileges=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_UNIX
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=CAP_CHOWN
LimitNOFILE=4096
StateDirectory=probe
ExecStart=/usr/local/bin/probe
"""
PROBE = """#!/bin/sh
id; umask; pwd; ulimit -n
env | grep -vE '^(INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|STATE_DIRECTORY|MEMORY_)' | sort
grep -E 'NoNewPrivs|Seccomp:|CapBnd' /proc/self/status
for place in /srv /var/lib /var/lib/probe /tmp /root /home /opt/prisma-engines /etc/bound \\
    /var/spool /dev/kmsg /proc/1/status; do
    test -r "$place" && printf 'r'; test -w "$place" && printf 'w'; echo " $place"
done
unshare --user true; python3 -c 'import socket; socket.socket(socket.AF_INET6)' 2>&1 | tail -n 1
"""
RUN = """
from hx_gateway_db.systemd.sandbox import run, sandbox_of
print(run(sandbox_of("probe.service"), ("/usr/local/bin/probe",), seconds=20).output, end="")
"""


def test_a_program_in_the_sandbox_sees_what_the_unit_itself_sees(machine: Machine) -> None:
    machine.write("/usr/local/bin/probe", PROBE, mode=0o755)
    machine.write("/etc/bound", "")
    machine.write("/etc/probe.env", "D='e f'\nGONE=1\nA=from the file\n", mode=0o600)
    machine.write("/etc/systemd/system/probe.service", STRICT)
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["chown", "hx-gateway:", "/srv"])
    machine.run(["systemctl", "start", "probe.service"])
    machine.run(["journalctl", "--sync"])
    logged = machine.run(
        ["journalctl", "--unit=probe.service", "--identifier=probe", "--output=cat"]
    )
    said = machine.run(["python3", "-c", RUN]).stdout
    assert said.splitlines() == logged.stdout.splitlines()
    assert "A=from the file\n" in said and 'B=$x "q" \\\n' in said and "C=probe.service" in said
    assert {"rw /srv", "r /var/lib", "rw /var/lib/probe"} <= set(said.splitlines())


SECRET = """
import json, subprocess, sys
from pathlib import Path
from hx_gateway_db.systemd.sandbox import run, sandbox_of
found = []
def look(seconds):
    if seconds < 1:
        return
    shown = subprocess.run(["systemctl", "show", "run-hxgatewaydb*"], capture_output=True).stdout
    found.append(b"User=hx-gateway" in shown)
    places = [shown, *(p.read_bytes() for p in Path("/run/systemd/transient").iterdir())]
    for process in Path("/proc").glob("[0-9]*"):
        places.append((process / "cmdline").read_bytes())
    found.append(any(b"ge%" b"heim" in place for place in places))
command = ("/bin/sh", "-c", 'sleep 1.5; echo "$DATABASE_URL"')
url = sys.stdin.read()
sandbox = sandbox_of(sys.argv[1])
said = run(sandbox, command, overrides={"DATABASE_URL": url}, seconds=9, waiting=look)
print(json.dumps([said.output.strip() == url, found[0::2], found[1::2]]))
"""


def test_a_secret_in_the_environment_is_in_no_argument_and_no_file(machine: Machine) -> None:
    url = "postgresql://u:ge%heim@h/d"
    arrived, seen, leaked = json.loads(
        machine.run(["python3", "-c", SECRET, WRAPPER_UNIT], input=url).stdout
    )
    assert arrived
    assert any(seen)
    assert not any(leaked)


HANGING = """
from hx_gateway_db.systemd.sandbox import run, sandbox_of
run(sandbox_of("hx-gateway-ml.service"), ("/bin/sleep", "77"), seconds=1)
"""


def test_a_program_that_hangs_is_stopped_in_time(machine: Machine) -> None:
    done = machine.run(["python3", "-c", HANGING], check=False)
    assert done.stderr.rstrip().endswith("ServiceFailed: '/bin/sleep' did not end in 1 s.")
    assert machine.run(["pgrep", "-f", "sleep 77"], check=False).stdout == ""
