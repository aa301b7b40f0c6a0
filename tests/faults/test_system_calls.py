"""A run that is killed at, or failed by, any system call that changes a file.

On a tree of files (`--root`), so that thousands of faults take minutes. What must hold after each:
every file is exactly as before or exactly as after; the next run finishes or undoes the work; and
the end is that of an undisturbed run.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.injection import KILL, Call, Fault, all_faults_of, calls_of, run_with
from tests.faults.tally import Tally, sample

PROJECT = Path(__file__).resolve().parents[2]
BASE = "opt/HX-Infrastructure-/api-gateway"
OTHER_BASE = "srv/gateway"
GATEWAY_GROUP = 64987
ORIGINAL = """\
# site configuration
general_settings:
  master_key: sk-test-key   # do not tell

model_list:
  - model_name: hx-chat
    litellm_params: {model: ollama/x, api_base: "http://h:1"}
"""
FIRST = "PG_HOST=db1\nPG_PASS=geh@im-1 %\nREDIS_HOST=r1\nREDIS_PASS=rot-1\nCACHE=true\n"
SECOND = "PG_PASS=geh@im-2 %\nCACHE=false\n"
SECRETS = ("geh@im", "geh%40im", "rot-")
STATE = "var/lib/hx-gateway-db"
# A name to type in a state: kind, mode, owner, group, content or target, extended attributes.
Listing = dict[str, tuple[object, ...]]
# Each first install draws a salt of its own.
_SALTED = re.compile(rb"^(salt|left \S+|line \S+) \S+$", re.MULTILINE)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners can only be given away by root")


@dataclass(frozen=True)
class Operation:
    """A command on a tree: the trees it leads from and to, and the calls it makes."""

    name: str
    arguments: tuple[str, ...]
    tree: Path
    before: Listing
    after: Listing
    calls: tuple[Call, ...]


def python(tree: Path, *arguments: str) -> list[str]:
    program = ["/usr/bin/python3", "-B", "-m", "hx_gateway_db", "--root", str(tree)]
    return [*program, *arguments]


def environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8"}


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python(tree, *arguments),
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def listing(tree: Path) -> Listing:
    """Everything below `tree`: an open journal too, and files left lying around.

    But not the lock, nor what only spares a run its plan: where that is missing or torn, the run
    makes it.
    """
    found: Listing = {}
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if name in (f"{STATE}/lock", f"{STATE}/settled", STATE):
            continue
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        if name == f"{STATE}/state":
            content = _SALTED.sub(rb"\1", content)
        attributes = tuple((key, os.getxattr(path, key)) for key in sorted(os.listxattr(path)))
        found[name] = (status.st_mode, status.st_uid, status.st_gid, content, attributes)
    return found


def new_tree(tree: Path) -> None:
    """A gateway's files, with what must not get lost on them: an owner, an ACL, an attribute."""
    for base in (BASE, OTHER_BASE):
        config = tree / base / "config/api-gateway/config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text(ORIGINAL)
        config.chmod(0o640)
        os.chown(config, GATEWAY_GROUP, GATEWAY_GROUP)
        subprocess.run(["setfacl", "--modify", "u:64999:r", config], check=True)
        os.setxattr(config, "user.note", b"mine")
    (tree / "etc/systemd/system").mkdir(parents=True)
    (tree / "etc/group").write_text(f"root:x:0:\nhx-gateway:x:{GATEWAY_GROUP}:\n")
    # In the trees already, so that coming into being is not one of the differences.
    (tree / "var/lib").mkdir(parents=True)
    answers = tree / "root"
    answers.mkdir(mode=0o700)
    (answers / "first").write_text(FIRST)
    (answers / "second").write_text(SECOND)
    (answers / "moved").write_text(f"BASE=/{OTHER_BASE}\nPG_PASS=geh@im-3 %\n")


def copy(tree: Path, target: Path) -> Path:
    subprocess.run(["cp", "--archive", tree, target], check=True)
    return target


def kill_late(tree: Path, work: Path) -> None:
    """Leave an apply's journal open: killed when every file was written and before the close."""
    arguments = ("apply", "--answers", f"{tree}/root/first")
    trial = copy(tree, work / "trial")
    calls = calls_of(python(trial, *arguments), work / "log", env=environment())
    shutil.rmtree(trial)
    closing = [call for call in calls if call.name == "rename"][-1]
    run_with(python(tree, *arguments), Fault(KILL, (closing,)), work / "log", env=environment())
    assert (tree / STATE / "journal").is_dir()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the trees are: in memory, since an fsync to a disk costs more than all the rest."""
    root = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path_factory.mktemp("trees")
    folder = root / f"hx-faults-{os.getpid()}"
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(
    scope="module", params=["install", "repeat", "reconfigure", "move", "rollback", "recover"]
)
def operation(request: pytest.FixtureRequest, folder: Path) -> Operation:
    """Each operation, with the undisturbed run that the disturbed ones are compared with."""
    name = str(request.param)
    tree = folder / name
    new_tree(tree)
    original = listing(tree)
    if name in ("repeat", "reconfigure", "move", "rollback"):
        assert run(tree, "apply", "--answers", f"{tree}/root/first").returncode == 0
    elif name == "recover":
        kill_late(tree, folder)
    answers = {"install": "first", "repeat": "first", "reconfigure": "second", "move": "moved"}.get(
        name
    )
    arguments = ("apply", "--answers", f"{tree}/root/{answers}") if answers else (name,)
    before = listing(tree)
    trial = copy(tree, folder / "trial")
    calls = calls_of(python(trial, *arguments), folder / "log", env=environment())
    after = listing(trial)
    shutil.rmtree(trial)
    if name == "recover":
        assert after == original
    assert (after == before) == (name == "repeat")
    return Operation(name, arguments, tree, before, after, tuple(calls))


def test_a_fault_at_any_call_leaves_every_file_whole_and_the_next_run_ends_the_same(
    operation: Operation, folder: Path, tally: Tally
) -> None:
    faults = sample(all_faults_of(operation.calls), 30)
    problems = [
        f"{operation.name}, {fault}: {problem}"
        for fault in faults
        for problem in problems_after(operation, fault, folder, tally)
    ]
    assert problems == []


def problems_after(operation: Operation, fault: Fault, folder: Path, tally: Tally) -> Iterator[str]:
    """Inject the fault into a fresh copy of the tree, and tell what is not as it has to be."""
    tree = copy(operation.tree, folder / "disturbed")
    try:
        tally.injected += 1
        command = python(tree, *operation.arguments)
        done = run_with(command, fault, folder / "log", env=environment())
        now = listing(tree)
        yield from torn(operation, now, tally)
        if fault.what != KILL:
            yield from not_as_said(operation, done, now, fault)
        said = done.stdout + done.stderr
        if any(secret in said for secret in SECRETS):
            tally.secrets_leaked += 1
            yield "a secret was printed"
        yield from not_made_good(operation, tree, tally)
    finally:
        shutil.rmtree(tree)


def torn(operation: Operation, now: Listing, tally: Tally) -> Iterator[str]:
    """Files that are neither as before nor as after; our own names beside them do not count."""
    for name in {*operation.before, *operation.after, *now}:
        if name.startswith(STATE) or Path(name).name.endswith(".hx-gateway-db"):
            continue
        if now.get(name) not in (operation.before.get(name), operation.after.get(name)):
            tally.files_torn += 1
            yield f"{name} is torn"


def not_as_said(
    operation: Operation, done: subprocess.CompletedProcess[str], now: Listing, fault: Fault
) -> Iterator[str]:
    """What the exit status and the message of a run that got an error do not get right."""
    # Python's own status where not even the messages can be written any more.
    unheard = (120,) if fault.lasting else ()
    if done.returncode not in (0, 2, 3, 5, *unheard):
        yield f"exit status {done.returncode}: {done.stderr}"
    if "Traceback" in done.stderr:
        yield f"a traceback: {done.stderr}"
    if done.returncode == 0 and without_state(now) != without_state(operation.after):
        yield "exit status 0, but the work is not done"
    if done.returncode in (2, 3) and without_state(now) != without_state(operation.before):
        yield f"exit status {done.returncode}, but something was changed"
    writes_fail = fault.calls[0].name == "write" or fault.lasting
    last = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    if done.returncode and not writes_fail and not "".join(last).startswith("hx-gateway-db: "):
        yield f"the last line is no message of ours: {last}"


def not_made_good(operation: Operation, tree: Path, tally: Tally) -> Iterator[str]:
    """What the next two runs do not put right: a recovery, and the same command again."""
    recovered = run(tree, "recover")
    now = listing(tree)
    ends = [operation.after] if operation.name == "recover" else [operation.before, operation.after]
    if recovered.returncode != 0 or now not in ends:
        tally.files_torn += 1
        yield f"not recovered ({recovered.stderr}): {different(now, ends)}"
        return
    again = run(tree, *operation.arguments)
    if again.returncode != 0 or listing(tree) != operation.after:
        tally.files_torn += 1
        yield f"not the same end ({again.stderr}): {different(listing(tree), [operation.after])}"


def without_state(state: Listing) -> Listing:
    return {name: entry for name, entry in state.items() if not name.startswith(STATE)}


def different(now: Listing, ends: list[Listing]) -> list[str]:
    """The names that differ from the nearest of the ends."""
    return min(
        ([name for name in {*now, *end} if now.get(name) != end.get(name)] for end in ends), key=len
    )
