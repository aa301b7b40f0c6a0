"""A password is in gateway.env and in the units' own environment, and nowhere else.

One machine lives through an install, reconfigurations, failures, a removal and a purge. During
each of them all processes are watched, and every program that the command starts is traced. After
each, all files that have changed, the journal and all that was printed are searched for every
password that was ever used, in every way that it could be written.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import quote

import pytest

from tests.faults import secret_search
from tests.faults.secret_search import Find, Search, Secret
from tests.faults.tally import Tally
from tests.machine.installation import (
    GATEWAY_ENV,
    UNITS,
    assert_a_virtual_key_works,
    existing,
    make_database,
    no_connected_db,
    preseed,
)
from tests.machine.machine import Machine

pytestmark = pytest.mark.sample_release("trixie")

LITELLM, WRAPPER = UNITS
STATE = "/var/lib/hx-gateway-db"
JOURNAL = f"{STATE}/journal"
ANSWERS = "/var/cache/debconf/passwords.dat"
RECONFIGURE = ("dpkg-reconfigure", "--frontend=noninteractive", "hx-gateway-db")
NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive"}
COMMAND = "hx-gateway-db"
_PROGRAM = "/root/secret_search.py"
_TRACE = "/run/executed"
_STRACE = (
    *("strace", "--follow-forks", "--seccomp-bpf", "-qq", "--trace=execve", "--signal=none"),
    *("--no-abbrev", "--string-limit=1000000", f"--output={_TRACE}"),
)
# A command that has the time to restart something is seen some hundred times.
_MANY = 50
# Prisma's own doing, each time LiteLLM starts: its CLI names the database to its engine.
_PRISMA = ("node", "schema-engine")


@dataclass(frozen=True)
class Host:
    """The machine, the secrets by name, and the time since when they are known to anybody."""

    machine: Machine
    since: float
    secrets: Mapping[str, Secret] = field(repr=False)

    def password(self, name: str) -> str:
        return self.secrets[name].raw

    @cached_property
    def search(self) -> Search:
        return Search(list(self.secrets.values()))

    def masked(self, said: CompletedProcess[str]) -> str:
        """What a command said, for a test's own output."""
        text = said.stdout + said.stderr
        for secret in self.secrets.values():
            for form in secret.forms().values():
                text = text.replace(form, "(A SECRET)")
        return text

    def to_search(self) -> str:
        """What the searching program reads on its standard input."""
        return json.dumps([asdict(secret) for secret in self.secrets.values()])


@dataclass
class Stage:
    """What happened on the host for a while, and where secrets were seen.

    `programs` are those that the commands started; `samples` says how often processes were seen.
    """

    host: Host
    programs: set[str] = field(default_factory=set)
    finds: set[Find] = field(default_factory=set)
    samples: Counter[str] = field(default_factory=Counter)

    def run(self, argv: Sequence[str], *, input: str | None = None) -> CompletedProcess[str]:
        """Run a command, tracing the programs that it starts and searching what it says."""
        machine = self.host.machine
        done = machine.run([*_STRACE, *argv], input=input, env=NONINTERACTIVE, check=False)
        traced = machine.read(_TRACE).splitlines()
        machine.run(["rm", _TRACE])
        for line in traced:
            started = re.search(r'execve\("([^"]*)"', line)
            program = started[1] if started else "?"
            self.programs.add(program)
            self.look_at(line, "program started", program)
        self.look_at(done.stdout + done.stderr, "output", argv[0])
        return done

    def look_at(self, text: str, kind: str, place: str) -> None:
        """Search a text that has come out of the machine."""
        data = text.encode(errors="surrogateescape")
        self.finds.update(Find(*found, kind, place) for found in self.host.search(data))


@contextmanager
def watched(host: Host) -> Iterator[Stage]:
    """Watch all processes meanwhile; search the files and the journal at the end."""
    machine, stage = host.machine, Stage(host)
    folder = machine.run(["mktemp", "--directory", "/run/watch.XXXXXX"]).stdout.strip()
    with ThreadPoolExecutor(1) as executor:
        watching = executor.submit(search_inside, host, "processes", folder)
        try:
            machine.wait_until(lambda: watching.done() or machine.exists(f"{folder}/started"), 30)
            yield stage
        finally:
            machine.run(["touch", f"{folder}/stop"])
            finds, stage.samples = watching.result(30)
            machine.run(["rm", "-r", folder])
    stage.finds |= finds
    stage.finds |= search_inside(host, "files", str(host.since))[0]
    stage.look_at(journal(machine), "journal", "all of it")


def journal(machine: Machine) -> str:
    """All that was logged, but for what LiteLLM logged when it was made unwise."""
    text = machine.run(["journalctl", "--no-pager", "--output=export"]).stdout
    assert f"UNIT={LITELLM}" in text
    entries = text.split("\n\n")
    return "\n\n".join(entry for entry in entries if f"SYSLOG_IDENTIFIER={_UNWISE}\n" not in entry)


def search_inside(host: Host, *arguments: str) -> tuple[set[Find], Counter[str]]:
    """Run the searching program in the machine."""
    said = host.machine.run(
        ["/usr/bin/python3", _PROGRAM, *arguments], input=host.to_search(), timeout=600
    )
    report = json.loads(said.stdout)
    return {Find(**find) for find in report["finds"]}, Counter(report["samples"])


def new_secret(name: str) -> Secret:
    """A password that differs in each way of writing it down."""
    core = secrets.token_hex(12)
    return Secret(name, f"a/p@s:w {core} %4d+\"'\\$&;#?z", core)


@pytest.fixture(scope="module")
def host(shared_machine: Machine) -> Host:
    """A gateway without a database, beside PostgreSQL and Redis that ask for passwords."""
    names = ("pg 1", "pg 2", "pg wrong", "redis 1", "redis 2", "redis 3", "redis 4")
    host = Host(shared_machine, time.time(), {name: new_secret(name) for name in names})
    shared_machine.put(Path(secret_search.__file__), _PROGRAM)
    make_database(shared_machine, host.password("pg 1"))
    shared_machine.run(["redis-cli"], input=redis_acl(host, names))
    return host


def redis_acl(host: Host, names: Sequence[str]) -> str:
    """Redis commands that let the default user in with any of its passwords, kept in memory only.

    With several of them valid, going back to the one before works too.
    """
    passwords = [host.password(name) for name in names if name.startswith("redis")]
    return "ACL SETUSER default " + " ".join(json.dumps(f">{word}") for word in passwords) + "\n"


def put_up(host: Host, postgres: str, redis: str) -> None:
    """Preseed the answers for the database and Redis, with these passwords."""
    answers = existing(host.password(postgres), redis="true", cache="true")
    preseed(host.machine, answers | {"redis-pass": host.password(redis)})


def test_the_search_sees_a_secret_wherever_one_is(host: Host) -> None:
    machine = host.machine
    control = replace(host, secrets={"control": new_secret("control")})
    secret = control.password("control")
    files = ("/root/control", "/run/control", "/tmp/control", "/dev/shm/control")
    links = 'gzip /root/control && ln -s "$(cat)" /root/link'
    with watched(control) as stage:
        for path in files:
            machine.write(path, f"...{b64encode(secret.encode()).decode()}")
        machine.run(["sh", "-c", links], input=secret)
        machine.run(["systemd-cat"], input=quote(secret))
        stage.run(["sh", "-c", "/bin/sh -c 'sleep 0.05; :' \"$(cat)\""], input=secret)
        stage.run(["sh", "-c", 'p="$(cat)" sleep 0.05'], input=secret)
        stage.run(["cat"], input=secret[5:-5])
    machine.run(["rm", "/root/control.gz", "/root/link", *files[1:]])
    seen = {(find.kind, find.place) for find in stage.finds}
    assert seen >= {("file", path) for path in ("/root/control.gz", "/root/link", *files[1:])}
    assert seen >= {("journal", "all of it"), ("output", "cat")}
    assert seen >= {("argv", "sh"), ("environment", "sleep")}
    assert seen >= {("program started", "/bin/sh"), ("program started", "/usr/bin/sleep")}
    assert not any(of_the_units(find) for find in stage.finds)


def test_an_install_leaves_the_passwords_in_gateway_env_only(
    host: Host, deb: Path, tally: Tally
) -> None:
    host.machine.put(deb, "/root/hx.deb")
    with watched(host) as stage:
        put_up(host, "pg 1", "redis 1")
        said = stage.run(["apt-get", "install", "--yes", "/root/hx.deb"])
        assert said.returncode == 0, host.masked(said)
        assert_a_virtual_key_works(host.machine)
    assert_watched(stage)
    assert_private(host)
    judge(tally, stage, ("pg 1", GATEWAY_ENV), ("redis 1", GATEWAY_ENV))


def test_new_passwords_take_the_place_of_the_old(host: Host, tally: Tally) -> None:
    change_role(host, "pg 2")
    with watched(host) as stage:
        new = f"PG_PASS={host.password('pg 2')}\nREDIS_PASS={host.password('redis 2')}\n"
        for form in ((), ("--json",)):
            stage.run([COMMAND, "plan", "--answers", "-", *form], input=new)
        put_up(host, "pg 2", "redis 2")
        said = stage.run(RECONFIGURE)
        assert said.returncode == 0, host.masked(said)
        assert_a_virtual_key_works(host.machine)
        for command in ("status", "answers", "verify"):
            assert stage.run([COMMAND, command, "--json"]).returncode == 0
    assert_watched(stage)
    assert_private(host)
    judge(tally, stage, ("pg 2", GATEWAY_ENV), ("redis 2", GATEWAY_ENV))


def test_a_refused_password_waits_in_debconf_for_the_next_run(host: Host, tally: Tally) -> None:
    with watched(host) as stage:
        preseed(host.machine, {"pg-pass": host.password("pg wrong")})
        said = stage.run(RECONFIGURE)
        assert said.returncode != 0 and "refuses the password" in said.stdout + said.stderr
    wired = (("pg 2", GATEWAY_ENV), ("redis 2", GATEWAY_ENV))
    judge(tally, stage, *wired, ("pg wrong", ANSWERS))
    assert host.machine.stat(ANSWERS) == "root:root 600"


def test_killed_in_mid_restart_it_leaves_them_in_its_private_journal(
    host: Host, tally: Tally
) -> None:
    with watched(host) as stage, ThreadPoolExecutor(1) as executor:
        put_up(host, "pg 2", "redis 3")
        running = executor.submit(stage.run, RECONFIGURE)
        host.machine.wait_until(lambda: host.machine.exists(f"{JOURNAL}/services"), 90)
        pid = host.machine.run(["pgrep", "--exact", "--oldest", COMMAND]).stdout.strip()
        host.machine.run(["kill", "-KILL", pid])
        assert running.result(60).returncode != 0
    assert_watched(stage)
    assert_private(host)
    before = (("pg 2", f"{JOURNAL}/*.before"), ("redis 2", f"{JOURNAL}/*.before"))
    after = (("pg 2", f"{JOURNAL}/*.after"), ("redis 3", f"{JOURNAL}/*.after"))
    wired = (("pg 2", GATEWAY_ENV), ("redis 3", GATEWAY_ENV))
    judge(tally, stage, *before, *after, *wired, ("pg 2", ANSWERS), ("redis 3", ANSWERS))
    assert host.machine.stat(ANSWERS) == "root:root 600"


def test_the_next_run_clears_all_that_away(host: Host, tally: Tally) -> None:
    with watched(host) as stage:
        said = stage.run(RECONFIGURE)
        assert said.returncode == 0, host.masked(said)
        assert "An earlier run was interrupted" in said.stdout + said.stderr
        assert_a_virtual_key_works(host.machine)
    assert_watched(stage)
    assert not host.machine.exists(JOURNAL)
    judge(tally, stage, ("pg 2", GATEWAY_ENV), ("redis 3", GATEWAY_ENV))


def test_what_a_failing_litellm_says_of_them_is_told_masked(host: Host, tally: Tally) -> None:
    machine = host.machine
    make_litellm_fail_once(machine)
    # What is started then is no LiteLLM, which the check sees.
    preseed(machine, {"check-failed": "continue"})
    with watched(host) as stage:
        put_up(host, "pg 2", "redis 4")
        said = stage.run(RECONFIGURE)
        assert said.returncode != 0
    text = host.masked(said)
    assert text.count("cannot connect: ") >= 4 and "***" in text, text
    assert "Everything was put back." in text, text
    assert_watched(stage)
    machine.run(["rm", _UNWISE_DROP_IN])
    machine.run(["systemctl", "daemon-reload"])
    # What LiteLLM said goes with the old journal.
    machine.run(["journalctl", "--rotate", "--vacuum-time=1s"])
    by_litellm = (("pg 2", "/var/log/journal/*"), ("redis 4", "/var/log/journal/*"))
    wired = (("pg 2", GATEWAY_ENV), ("redis 3", GATEWAY_ENV))
    judge(tally, stage, *wired, *by_litellm, ("pg 2", ANSWERS), ("redis 4", ANSWERS))


def test_a_removal_leaves_them_in_gateway_env_only(host: Host, tally: Tally) -> None:
    with watched(host) as stage:
        said = stage.run(["apt-get", "remove", "--yes", COMMAND])
        assert said.returncode == 0, host.masked(said)
        assert no_connected_db(host.machine)
    assert_watched(stage)
    assert_private(host)
    judge(tally, stage, ("pg 2", GATEWAY_ENV), ("redis 3", GATEWAY_ENV))


def test_a_purge_leaves_them_nowhere(host: Host, tally: Tally) -> None:
    with watched(host) as stage:
        said = stage.run(["apt-get", "purge", "--yes", COMMAND])
        assert said.returncode == 0, host.masked(said)
    assert stage.samples["litellm"] > _MANY
    tally.secrets_leaked += sum(of_the_units(find) for find in stage.finds)
    judge(tally, stage)


_UNWISE = "unwise-litellm"
_UNWISE_DROP_IN = f"/etc/systemd/system/{LITELLM}.d/20-unwise.conf"
_UNWISE_PROGRAM = """\
#!/usr/bin/python3
import os, subprocess, sys
from urllib.parse import unquote

if "UNWISE" not in os.environ:
    os.execv(sys.argv[1], sys.argv[1:])
subprocess.run(sys.argv[1:])
for key in ("DATABASE_URL", "PG_URL", "REDIS_URL"):
    print("cannot connect:", os.environ[key])
    print("cannot connect:", unquote(os.environ[key]))
    print("cannot connect:", repr(unquote(os.environ[key])))
sys.exit(3)
"""


def make_litellm_fail_once(machine: Machine) -> None:
    """Let LiteLLM not start the next time, and then say which URLs it was given."""
    start = machine.run(["systemctl", "cat", LITELLM]).stdout
    command = re.findall("^ExecStart=(.*)$", start, re.MULTILINE)[-1]
    program, switch = f"/usr/local/bin/{_UNWISE}", f"/run/{_UNWISE}"
    machine.write(program, _UNWISE_PROGRAM, mode=0o755)
    machine.write(switch, "UNWISE=1\nPRISMA_QUERY_ENGINE_BINARY=/nowhere\n")
    machine.write(
        _UNWISE_DROP_IN,
        f"[Service]\nEnvironmentFile=-{switch}\nSyslogIdentifier={_UNWISE}\n"
        f"ExecStart=\nExecStart={program} {command}\nExecStartPost=+/bin/rm -f {switch}\n",
    )


def change_role(host: Host, name: str) -> None:
    host.machine.psql(f"ALTER ROLE hx_gateway PASSWORD $pw${host.password(name)}$pw$")


def judge(tally: Tally, stage: Stage, *expected: tuple[str, str]) -> None:
    """Count what is anywhere but where it must be: `expected` are a secret and a file's pattern."""
    tally.injected += 1
    met, leaks = set(), []
    for find in stage.finds:
        here = {pair for pair in expected if is_at(find, *pair)}
        met |= here
        if not here and not of_the_units(find):
            leaks.append(str(find))
    tally.secrets_leaked += len(leaks)
    assert not leaks, "\n".join(sorted(leaks))
    assert met == set(expected), "the search is blind"


def is_at(find: Find, secret: str, pattern: str) -> bool:
    """Whether a find is this secret in such a file, which not everybody may read."""
    if (find.kind, find.secret) != ("file", secret) or not fnmatch(find.place, pattern):
        return False
    return find.more.endswith("0")


def of_the_units(find: Find) -> bool:
    """Whether a find is in the environment of a unit, or on Prisma's command line."""
    if find.kind == "environment":
        return find.more in UNITS
    return find.kind == "argv" and find.more == LITELLM and find.place in _PRISMA


def assert_watched(stage: Stage) -> None:
    """The processes were watched: the command's own, and the gateway's with its environment."""
    assert stage.samples[COMMAND] > _MANY, stage.samples
    assert any(program.endswith(f"/{COMMAND}") for program in stage.programs)
    assert {find.more for find in stage.finds if of_the_units(find)} == set(UNITS)


def assert_private(host: Host) -> None:
    """What the package keeps for itself is for root alone."""
    listed = host.machine.run(["find", STATE, "-printf", "%M %u:%g %p\\n"]).stdout.splitlines()
    assert len(listed) > 2
    for line in listed:
        assert line.startswith(("drwx------ root:root ", "-rw------- root:root ")), line
