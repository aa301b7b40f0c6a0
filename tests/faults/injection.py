"""A program killed at, or failed by, one chosen system call: strace(1) does it from outside."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Everything that changes a file or makes a change last. Of openat only what creates a file.
CALLS = (
    *("write", "pwrite64", "ftruncate", "fsync", "fdatasync"),
    *("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat"),
    *("fsetxattr", "setxattr", "fremovexattr", "removexattr"),
    "openat",
)
ERRORS = ("ENOSPC", "EIO", "EROFS", "EACCES")
KILL = "SIGKILL"
_LINE = re.compile(r"^(?:\d+ +)?(?P<name>\w+)\((?P<arguments>.*)")


@dataclass(frozen=True)
class Call:
    """The `number`-th call of that name in a run, counted from 1, as strace counts them."""

    name: str
    number: int


@dataclass(frozen=True)
class Fault:
    """What happens at a call: `KILL`, or an error number's name.

    A lasting one fails this and every later call of `calls`: the disk is gone for good.
    """

    what: str
    calls: tuple[Call, ...]
    lasting: bool = False

    def __str__(self) -> str:
        first = self.calls[0]
        return f"{self.what}{' for good' if self.lasting else ''} at {first.name} {first.number}"


def calls_of(command: Sequence[str], log: Path, **options: object) -> list[Call]:
    """The calls in CALLS that an undisturbed run of `command` makes, in their order.

    Raises AssertionError when the run fails.
    """
    done = _strace(command, log, [], options)
    assert done.returncode == 0, done.stderr
    counts: Counter[str] = Counter()
    calls = []
    for line in log.read_text(errors="replace").splitlines():
        found = _LINE.match(line)
        if found and found["name"] in CALLS:
            counts[found["name"]] += 1
            if found["name"] != "openat" or "O_CREAT" in found["arguments"]:
                calls.append(Call(found["name"], counts[found["name"]]))
    return calls


def all_faults_of(calls: Sequence[Call]) -> list[Fault]:
    """A kill and each error at every call, and a disk that fails from there on for good."""
    faults = [Fault(what, (call,)) for call in calls for what in (KILL, *ERRORS)]
    for position, call in enumerate(calls):
        if call.name != "openat":
            later = {
                each.name: each for each in reversed(calls[position:]) if each.name != "openat"
            }
            later.pop(call.name)
            faults.append(Fault("EROFS", (call, *later.values()), lasting=True))
    return faults


def run_with(
    command: Sequence[str], fault: Fault, log: Path, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run `command` with the fault. Raises AssertionError when the run never got to it."""
    inject = []
    for call in fault.calls:
        effect = "signal=KILL" if fault.what == KILL else f"error={fault.what}"
        when = f"{call.number}+" if fault.lasting else str(call.number)
        inject.append(f"--inject={call.name}:{effect}:when={when}")
    done = _strace(command, log, inject, options)
    hit = done.returncode == -9 if fault.what == KILL else "(INJECTED)" in log.read_text("utf-8")
    assert hit, f"{fault} did not happen"
    return done


def _strace(
    command: Sequence[str], log: Path, inject: list[str], options: dict[str, object]
) -> subprocess.CompletedProcess[str]:
    traced = f"--trace={','.join(CALLS)}"
    return subprocess.run(  # type: ignore[no-any-return, call-overload]
        ["strace", "-qq", f"--output={log}", traced, *inject, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
