"""Every process that becomes another user has a session of its own before: as the kernel saw it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.siege import COMMAND
from tests.faults.tally import Tally
from tests.faults.tls_redis import TLS_REDIS, start_redis_with_tls
from tests.machine.installation import preseed
from tests.machine.machine import Machine

pytestmark = pytest.mark.sample_release("trixie")
TRACE = "/run/traced"
CALLS = "setsid,setuid,setreuid,setresuid,setgroups,execve,ioctl"
STRACE = (
    *("strace", "--follow-forks", "--seccomp-bpf", "-qq"),
    *(f"--trace={CALLS}", f"--output={TRACE}"),
)
# Of those with several users, the effective one is the second.
_CALL = re.compile(r"^(?P<pid>\d+) +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_UNFINISHED = re.compile(r"^(?P<pid>\d+) +(?P<start>\w+\(.*?) <unfinished \.\.\.>")
LOCAL = "DATABASE=local\nREDIS=true\nREDIS_HOST=127.0.0.1\n"


@dataclass
class Trace:
    """What processes did: `changed` are those that became another user, `exposed` those of them
    that had no session of their own."""

    changed: list[str] = field(default_factory=list)
    exposed: list[str] = field(default_factory=list)


def read_trace(text: str) -> Trace:
    """Which processes became another user, and which of them too early."""
    trace, sessions, programs = Trace(), set(), dict[str, str]()
    for pid, name, arguments, result in _calls(text):
        if result < 0:
            continue
        if name == "setsid":
            sessions.add(pid)
        elif name == "execve":
            programs[pid] = arguments
        elif name in ("setuid", "setreuid", "setresuid"):
            users = {int(user) for user in arguments.split(", ")} - {0, -1, 2**32 - 1}
            if users:
                what = f"{name}({arguments}) after execve({programs.get(pid, '')})"
                trace.changed.append(what)
                if pid not in sessions:
                    trace.exposed.append(what)
    return trace


def _calls(text: str) -> list[tuple[str, str, str, int]]:
    """Process, name, arguments and result of each call, those that were interrupted as well."""
    begun: dict[str, str] = {}
    found = []
    for line in text.splitlines():
        whole = line
        if match := _UNFINISHED.match(line):
            begun[match["pid"]] = match["start"]
            continue
        if match := _RESUMED.match(line):
            whole = f"{match['pid']} {begun.pop(match['pid'], match['name'] + '(')}{match['rest']}"
        if match := _CALL.match(whole):
            call = (match["pid"], match["name"], match["arguments"], int(match["result"]))
            found.append(call)
    return found


def traced(machine: Machine, argv: Sequence[str], answers: str = "") -> Trace:
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    machine.run([*STRACE, *argv], input=answers, env=env, check=False, timeout=600)
    return read_trace(machine.read(TRACE))


@pytest.fixture
def installed(machine: Machine, deb: Path) -> Machine:
    start_redis_with_tls(machine)
    preseed(machine, {"database": "later"})
    machine.install(deb)
    return machine


def test_each_change_of_user_comes_after_a_new_session(installed: Machine, tally: Tally) -> None:
    machine = installed
    exposed: dict[str, list[str]] = {}
    changed: dict[str, int] = {}
    commands = {
        "apply": ([COMMAND, "apply", "--answers", "-"], LOCAL),
        "provision": ([COMMAND, "provision", "--answers", "-"], LOCAL),
        "check": ([COMMAND, "check", "--answers", "-"], TLS_REDIS),
        "verify": ([COMMAND, "verify"], ""),
        # Not by apt, which becomes a user of its own to download.
        "purge": (["dpkg", "--purge", COMMAND], ""),
    }
    preseed(machine, {"drop": "true"})
    for name, (argv, answers) in commands.items():
        tally.injected += 1
        trace = traced(machine, argv, answers)
        changed[name] = len(trace.changed)
        if trace.exposed:
            exposed[name] = trace.exposed
    tally.entered += sum(map(len, exposed.values()))
    assert exposed == {}
    assert changed["provision"] and changed["purge"], "the trace is blind"


def test_the_trace_tells_who_was_exposed() -> None:
    text = """\
11 setsid() = 11
11 setresuid(105, 105, 105) = 0
12 execve("/usr/sbin/runuser", ["runuser"], 0x1 /* 9 vars */ <unfinished ...>
13 setuid(0) = 0
12 <... execve resumed>) = 0
12 setuid(105) = 0
14 setsid() = -1 EPERM (Operation not permitted)
14 setreuid(4294967295, 64123) = 0
"""
    trace = read_trace(text)
    assert len(trace.changed) == 3
    assert [what.partition("(")[0] for what in trace.exposed] == ["setuid", "setreuid"]
