"""A gateway that has been broken into owns BASE and works against us: it gets nothing.

No file outside the plan is read, written, chowned or chmodded; no secret can be read that could
not be before; each run ends soon, with a status of the manual and a short message.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from hx_gateway_db.cli.parser import main
from tests.faults.hostile_base import (
    CHECKOUT,
    ORIGINAL,
    SECRET,
    SERVICE_USER,
    STATE,
    HostileBase,
    Look,
    Outcome,
    Watch,
    as_service_user,
    ended,
    hostile_base,
    remove,
    stop,
    watched,
)
from tests.faults.racer import Score, Task, exchange
from tests.faults.tally import Tally, all_faults, seed

# The plan's files below BASE, and the names under which they come into being.
PLANNED = ("config.yaml", "gateway.env")
TEMPORARY = tuple(f".{name}.hx-gateway-db" for name in PLANNED)
POSTRM = CHECKOUT / "debian/hx-gateway-db.postrm"
REFUSED = 3
# An empty password keeps the present one, whatever that is.
SAME_PASSWORD = {"PG_PASS": ""}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is on disk is of no interest here, and would take most of the time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def hostile() -> Iterator[HostileBase]:
    with hostile_base() as base:
        yield base


@dataclass(frozen=True)
class Harm:
    """What a run of ours did to others, in words; nothing when all is well."""

    touched: tuple[str, ...]
    leaked: tuple[str, ...]

    def count(self, tally: Tally) -> None:
        tally.foreign_files_touched += len(self.touched)
        tally.secrets_leaked += len(self.leaked)
        assert not self.touched, self.touched
        assert not self.leaked, self.leaked


# What happens to a file when others make, rename and remove its hard links, and when we open one
# to see that it is none.
_BY_LINKING = ("opened", "attributes changed", "moved")


class Guard:
    """Everything that nobody may touch, as it was, and what the kernel says happened to it."""

    def __init__(self, hostile: HostileBase, watch: Watch, harmless: frozenset[str]) -> None:
        self._hostile = hostile
        self._watch = watch
        self._harmless = harmless
        self._before = hostile.foreign()
        watch.events()

    def harm(self) -> Harm:
        """What has happened since the beginning."""
        events = self._watch.events()
        touched = [f"{path}: {what}" for path, what in sorted(events) if self._counts(path, what)]
        now = self._hostile.foreign()
        touched += [
            f"{path}: {self._before.get(path)} became {now.get(path)}"
            for path in sorted({*self._before, *now})
            if self._before.get(path) != now.get(path)
        ]
        leaked = [str(path) for path in self._hostile.readable_secrets()]
        # Looking at the files was an event for each of them too.
        self._watch.events()
        return Harm(tuple(touched), tuple(leaked))

    def _counts(self, path: str, what: str) -> bool:
        return what not in self._harmless and (
            path != str(self._hostile.drop_box) or what not in _BY_LINKING
        )


@contextmanager
def guarded(
    hostile: HostileBase, *more: Path, harmless: frozenset[str] = frozenset()
) -> Iterator[Guard]:
    """Watch the victims and `more` files while our programs work."""
    with watched([*hostile.victims, hostile.drop_box, *more]) as watch:
        yield Guard(hostile, watch, harmless)


def here(hostile: HostileBase, command: str, **answers: str) -> Outcome:
    """Run the command in this process, which is fast enough for many runs."""
    arguments = ["--root", str(hostile.root), command]
    if command == "apply":
        arguments += ["--answers", str(hostile.answers(**answers))]
    said = io.StringIO()
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(10)
    try:
        with redirect_stdout(said), redirect_stderr(said):
            status = main(arguments)
    finally:
        signal.alarm(0)
    return Outcome(status, said.getvalue())


class _Hangs(BaseException):
    """A run in this process takes too long; nothing of ours may catch it as an error of its own."""


def _give_up(number: int, frame: FrameType | None) -> None:
    raise _Hangs


# A hard link can be told from a file with one name only by opening it.
OPENING = frozenset({"opened", "attributes changed"})


@dataclass(frozen=True)
class Plant:
    """Something that stands where a file of the plan should be."""

    name: str
    make: Callable[[HostileBase, Path], object]
    # Beyond the service user's rights on a machine with the kernel's protections.
    by_root: bool = False
    harmless: frozenset[str] = frozenset()


def _link_through_dots(hostile: HostileBase, path: Path) -> None:
    target = os.path.relpath(hostile.root / "etc/shadow", path.parent)
    path.symlink_to(f"../api-gateway/{target}")


def _bind(hostile: HostileBase, path: Path) -> None:
    # By a short name: the kernel takes no more than 107 bytes.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def _device(hostile: HostileBase, path: Path) -> None:
    # The numbers of /dev/null.
    os.mknod(path, 0o20666, os.makedev(1, 3))


def _hard_link_of_root(hostile: HostileBase, path: Path) -> None:
    os.link(hostile.root / "etc/shadow", path)


def _large_file(hostile: HostileBase, path: Path) -> None:
    # It takes no space.
    path.touch()
    os.truncate(path, 2**40)


PLANTS = (
    Plant("link", lambda tree, path: path.symlink_to(tree.root / "etc/shadow")),
    Plant("link to outside", lambda tree, path: path.symlink_to(tree.outside / "victim.yaml")),
    Plant("link through dots", _link_through_dots),
    Plant("dangling link", lambda tree, path: path.symlink_to(tree.root / "etc/new")),
    Plant(
        "hard link", lambda tree, path: os.link(tree.drop_box, path), harmless=frozenset({"opened"})
    ),
    Plant("hard link of root's", _hard_link_of_root, by_root=True, harmless=OPENING),
    Plant("pipe", lambda tree, path: os.mkfifo(path)),
    Plant("socket", _bind),
    Plant("device", _device, by_root=True),
    Plant("folder", lambda tree, path: path.mkdir()),
    Plant("large file", _large_file),
)


def plant(hostile: HostileBase, it: Plant, name: str) -> Path:
    """Put it in the place of the file called `name`."""
    path = hostile.config_folder / name
    remove(path)
    if it.by_root:
        it.make(hostile, path)
    else:
        with as_service_user():
            it.make(hostile, path)
    return path


def nothing(hostile: HostileBase) -> None:
    """The host has never been wired."""


def wire(hostile: HostileBase) -> None:
    """The host is wired."""
    assert here(hostile, "apply", CACHE="true", REDIS_HOST="r1").status == 0


def repeat(hostile: HostileBase) -> None:
    """The host is wired, and remembers that with the same password nothing is to be changed."""
    assert here(hostile, "apply").status == 0
    assert here(hostile, "apply", **SAME_PASSWORD).status == 0
    assert (hostile.root / STATE / "settled").is_file()


def cut_off(hostile: HostileBase) -> None:
    """An apply has written everything and was killed before it could close its journal."""
    process = os.fork()
    if process == 0:
        _die_before_closing()
        here(hostile, "apply")
        os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert (hostile.root / STATE / "journal").is_dir() and SECRET in hostile.env.read_text()


def _die_before_closing() -> None:
    rename = os.rename

    def last_rename(source: Any, target: Any, **folders: int) -> None:
        if os.path.basename(target) == "journal.old":
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target, **folders)

    os.rename = last_rename  # type: ignore[assignment]


@dataclass(frozen=True)
class Moment:
    """When something is planted, and the command that meets it."""

    name: str
    prepare: Callable[[HostileBase], None]
    command: str
    statuses: tuple[int, ...]
    answers: Mapping[str, str] = field(default_factory=dict)


MOMENTS = (
    Moment("an apply", nothing, "apply", (REFUSED,)),
    Moment("another apply", wire, "apply", (REFUSED,)),
    Moment("an apply with nothing to change", repeat, "apply", (REFUSED,), SAME_PASSWORD),
    # Who owns a file can't keep the package from being removed.
    Moment("a rollback", wire, "rollback", (0,)),
    # What stands there now may stay, or keep the files from being put back.
    Moment("a recovery", cut_off, "apply", (REFUSED, 5)),
)


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.name))
@pytest.mark.parametrize("it", PLANTS, ids=lambda it: str(it.name))
def test_what_is_planted_in_place_of_a_file_is_neither_followed_nor_touched(
    hostile: HostileBase, tally: Tally, it: Plant, moment: Moment, name: str
) -> None:
    moment.prepare(hostile)
    path = plant(hostile, it, name)
    device = [path] if it.name == "device" else []
    planted = Look.at(path)
    with guarded(hostile, *device, harmless=it.harmless) as guard:
        outcome = here(hostile, moment.command, **moment.answers)
        harm = guard.harm()
    tally.injected += 1
    harm.count(tally)
    assert outcome.fault() == ""
    assert outcome.status in moment.statuses and name in outcome.said, outcome
    assert Look.at(path) == planted


# What the service user does in the middle of a run: where, and what it puts there.
FOLDERS = ("config/api-gateway", "config", "")


@dataclass(frozen=True)
class Swap:
    """What stands at `path` (below BASE) is swapped before system call number `step` of ours.

    It stays until the end of the run, or just until the next call.
    """

    step: int
    path: str
    bait: str
    lasting: bool


BAITS: dict[str, Callable[[HostileBase, str, Path], object]] = {
    "link": lambda tree, path, bait: bait.symlink_to(_goal(tree, path)),
    "relative link": lambda tree, path, bait: bait.symlink_to(
        os.path.relpath(_goal(tree, path), (tree.base / path).parent)
    ),
    "pipe": lambda tree, path, bait: os.mkfifo(bait),
    "own": lambda tree, path, bait: _make_own(path, bait),
}
FILE_BAITS = {
    **BAITS,
    "hard link": lambda tree, path, bait: os.link(tree.drop_box, bait),
    "folder": lambda tree, path, bait: bait.mkdir(),
}


def _goal(tree: HostileBase, path: str) -> Path:
    return tree.folder_victim / path.replace(".hx-gateway-db", "").replace("/.", "/")


def _make_own(path: str, bait: Path) -> None:
    if path not in FOLDERS:
        bait.write_bytes(ORIGINAL + b"# planted\n")
        return
    folder = bait / Path("config/api-gateway").relative_to(path or ".")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_bytes(ORIGINAL + b"# planted\n")


class Adversary:
    """Counts the system calls that hx_gateway_db makes by name, and swaps before one of them."""

    CALLS = (
        *("open", "stat", "rename", "unlink", "mkdir", "rmdir", "readlink"),
        *("fstat", "fchown", "fchmod", "setxattr", "getxattr", "listxattr", "fsync"),
    )

    def __init__(self, hostile: HostileBase, swap: Swap | None = None) -> None:
        self.steps = 0
        self.swapped = False
        self._hostile = hostile
        self._swap = swap
        # A place of the service user's own, on the same file system.
        self._aside = hostile.base.parent / "aside"
        self._readlink = os.readlink

    @contextmanager
    def at_work(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name in self.CALLS:
                patch.setattr(os, name, self._disturbed(getattr(os, name)))
            yield

    def _disturbed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def disturbed(*arguments: Any, **options: Any) -> Any:
            caller = sys._getframe(1).f_globals["__name__"]
            if caller.startswith("hx_gateway_db.") and self._in_base(arguments, options):
                self._step()
            return call(*arguments, **options)

        return disturbed

    def _in_base(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
        opened = [it for it in (*arguments, *options.values()) if isinstance(it, int)]
        for descriptor in opened:
            with suppress(OSError):
                if str(self._hostile.base.parent) in self._readlink(f"/proc/self/fd/{descriptor}"):
                    return True
        return False

    def _step(self) -> None:
        self.steps += 1
        if self._swap is None:
            return
        if self.steps == self._swap.step:
            self._swap_in(self._swap)
        elif self.swapped and not self._swap.lasting and self.steps == self._swap.step + 1:
            with as_service_user():
                exchange(self._hostile.base / self._swap.path, self._aside)
                # With it goes the second name of a hard link.
                if self._aside.lstat().st_uid == SERVICE_USER or self._swap.bait == "hard link":
                    remove(self._aside)

    def _swap_in(self, swap: Swap) -> None:
        target = self._hostile.base / swap.path
        make = (BAITS if swap.path in FOLDERS else FILE_BAITS)[swap.bait]
        with as_service_user():
            make(self._hostile, swap.path, self._aside)
            if not exchange(target, self._aside):
                self._aside.rename(target)
        self.swapped = True


def swaps(steps: int) -> list[Swap]:
    """Each way to disturb a run of so many steps."""
    files = [f"config/api-gateway/{name}" for name in (*PLANNED, *TEMPORARY)]
    ways = [(path, bait) for path in files for bait in FILE_BAITS]
    ways += [(path, bait) for path in FOLDERS for bait in BAITS]
    return [
        Swap(step, path, bait, lasting)
        for step in range(1, steps + 1)
        for path, bait in ways
        for lasting in (False, True)
    ]


@pytest.mark.parametrize("command", ["apply", "rollback", "recovery"])
def test_a_swap_at_any_step_of_a_run_gains_nothing(
    hostile: HostileBase, tally: Tally, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    scene = Scene(hostile, command)
    counting = Adversary(hostile)
    with counting.at_work(monkeypatch):
        assert scene.run().status == 0
    assert counting.steps > 50
    ways = swaps(counting.steps)
    for swap in random.Random(seed()).sample(ways, 700 if all_faults() else 40):
        scene.reset()
        adversary = Adversary(hostile, swap)
        with guarded(hostile) as guard:
            with adversary.at_work(monkeypatch):
                outcome = scene.run()
            harm = guard.harm()
        tally.injected += adversary.swapped
        harm.count(tally)
        assert outcome.fault() == "", swap
        scene.make_peace()
        assert here(hostile, "apply").status == 0, (swap, outcome)


def test_a_swap_at_any_step_of_reading_gains_nothing(
    hostile: HostileBase, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Adversary(hostile)
    with counting.at_work(monkeypatch):
        here(hostile, "status")
    scene = Scene(hostile, "status")
    path = "config/api-gateway/config.yaml"
    ways = [(bait, lasting) for bait in FILE_BAITS for lasting in (False, True)]
    for swap in (Swap(step + 1, path, *way) for step in range(counting.steps) for way in ways):
        with guarded(hostile) as guard:
            with Adversary(hostile, swap).at_work(monkeypatch):
                outcome = scene.run()
            harm = guard.harm()
        tally.injected += 1
        harm.count(tally)
        assert outcome.fault() == "", swap
        scene.reset()


def test_a_folder_that_somebody_else_has_made_keeps_its_mode(
    hostile: HostileBase, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = hostile.config_folder.parent / "private"
    private.mkdir(mode=0o700)
    remove(hostile.config_folder)
    make_folder = os.mkdir

    def come_first(path: Any, *arguments: Any, **options: Any) -> None:
        if path == hostile.config_folder.name:
            with as_service_user():
                private.rename(hostile.config_folder)
        make_folder(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", come_first)
        outcome = here(hostile, "apply")
    tally.injected += 1
    assert outcome.fault() == ""
    mode = hostile.config_folder.stat().st_mode & 0o777
    tally.foreign_files_touched += mode != 0o700
    assert mode == 0o700


def wire_and_cut_off(hostile: HostileBase) -> None:
    """A change of a wired host was killed: its journal has the password of before."""
    wire(hostile)
    cut_off(hostile)


@pytest.mark.parametrize("command", ["apply", "rollback", "status"])
@pytest.mark.parametrize("prepare", [nothing, wire, cut_off, wire_and_cut_off])
def test_no_password_is_written_into_a_gateway_env_of_the_service_user_s_own(
    hostile: HostileBase, tally: Tally, prepare: Callable[[HostileBase], None], command: str
) -> None:
    prepare(hostile)
    remove(hostile.env)
    with as_service_user():
        hostile.env.write_text("# mine\nDATABASE_URL=postgresql://u:mine@h/d\n")
        hostile.env.chmod(0o644)
    with guarded(hostile) as guard:
        outcome = here(hostile, command)
        harm = guard.harm()
    tally.injected += 1
    harm.count(tally)
    assert outcome.fault() == ""


ACL_FOR_SERVICE_USER = ["setfacl", "--modify", f"user:{SERVICE_USER}:rw"]


def test_a_planted_gateway_env_can_not_say_who_reads_the_password(
    hostile: HostileBase, tally: Tally
) -> None:
    with as_service_user():
        hostile.env.write_text("")
    subprocess.run([*ACL_FOR_SERVICE_USER, hostile.env], check=True)
    outcome = here(hostile, "apply")
    tally.injected += 1
    leaked = hostile.readable_secrets()
    tally.secrets_leaked += len(leaked)
    assert leaked == [] and outcome.fault() == ""


def test_a_default_acl_of_the_folder_can_not_say_who_reads_the_password(
    hostile: HostileBase, tally: Tally
) -> None:
    folders = [hostile.config_folder, hostile.root / STATE]
    folders[1].mkdir(parents=True)
    subprocess.run(["setfacl", "--default", *ACL_FOR_SERVICE_USER[1:], folders[0]], check=True)
    assert here(hostile, "apply").status == 0
    tally.injected += 1
    leaked = hostile.readable_secrets()
    tally.secrets_leaked += len(leaked)
    assert leaked == []


@pytest.mark.parametrize("command", ["apply", "rollback", "recovery"])
@pytest.mark.parametrize("name", TEMPORARY)
@pytest.mark.parametrize("it", PLANTS, ids=lambda it: str(it.name))
def test_what_is_planted_under_our_temporary_name_stops_no_other_file_from_going_back(
    hostile: HostileBase, tally: Tally, it: Plant, name: str, command: str
) -> None:
    if command != "apply":
        wire(hostile)
    if command == "recovery":
        cut_off(hostile)
    plant(hostile, it, name)
    with guarded(hostile, harmless=it.harmless | {"attributes changed"}) as guard:
        outcome = here(hostile, "rollback" if command == "rollback" else "apply")
        harm = guard.harm()
    tally.injected += 1
    # Removing a hard link is what is right here, and it changes the number of its names.
    links = str(hostile.root / "etc/shadow")
    ours = [line for line in harm.touched if not (it.by_root and line.startswith(links))]
    Harm(tuple(ours), harm.leaked).count(tally)
    assert outcome.fault() == ""
    assert outcome.status in (0, REFUSED)
    assert not (hostile.root / STATE / "journal").exists()


@pytest.mark.parametrize("name", TEMPORARY)
@pytest.mark.parametrize("it", PLANTS, ids=lambda it: str(it.name))
def test_what_takes_our_temporary_name_just_before_we_do_is_not_written(
    hostile: HostileBase, tally: Tally, monkeypatch: pytest.MonkeyPatch, it: Plant, name: str
) -> None:
    planted: list[Path] = []
    open_file = os.open

    def come_first(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if path == name and flags & os.O_CREAT and not planted:
            planted.append(plant(hostile, it, name))
        return open_file(path, flags, *arguments, **options)

    with guarded(hostile, harmless=it.harmless | {"attributes changed"}) as guard:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", come_first)
            outcome = here(hostile, "apply")
        harm = guard.harm()
    tally.injected += len(planted)
    links = str(hostile.root / "etc/shadow")
    ours = [line for line in harm.touched if not (it.by_root and line.startswith(f"{links}: Look"))]
    Harm(tuple(ours), harm.leaked).count(tally)
    assert planted and outcome.fault() == "" and outcome.status == REFUSED


class Scene:
    """A host on which one command is run again and again, from the same beginning."""

    def __init__(self, hostile: HostileBase, command: str) -> None:
        self._hostile = hostile
        self._command = "apply" if command == "recovery" else command
        if command not in ("apply", "status"):
            wire(hostile)
        if command == "recovery":
            cut_off(hostile)
        self._kept = hostile.folder / "kept"
        self._copy(hostile.root, self._kept)

    def run(self) -> Outcome:
        return here(self._hostile, self._command)

    def reset(self) -> None:
        """What the command has changed and the adversary has left is as in the beginning."""
        for name in ("opt", "var", "etc/systemd"):
            remove(self._hostile.root / name)
            if (self._kept / name).exists():
                self._copy(self._kept / name, self._hostile.root / name)

    def make_peace(self) -> None:
        """BASE has its proper form again, as the refusals ask for; what else is there stays."""
        for name in FOLDERS[::-1]:
            folder = self._hostile.base / name
            if folder.is_symlink() or not folder.is_dir():
                remove(folder)
                folder.mkdir()
        for name in (*PLANNED, *TEMPORARY):
            path = self._hostile.config_folder / name
            if path.is_symlink() or not path.is_file() or path.stat().st_nlink != 1:
                remove(path)
        if self._hostile.env.exists():
            os.chown(self._hostile.env, 0, 0)
        if not self._hostile.config.exists():
            self._hostile.config.write_bytes(ORIGINAL)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        subprocess.run(["cp", "--archive", source, target], check=True)


class Racing:
    """The racer's process."""

    def __init__(self, hostile: HostileBase) -> None:
        # Every folder of the checkout may be closed to the service user.
        program = hostile.folder / "racer.py"
        shutil.copy(CHECKOUT / "tests/faults/racer.py", program)
        program.chmod(0o644)
        task = Task(
            base=str(hostile.base),
            folder_victim=str(hostile.folder_victim),
            file_victims=tuple(str(path) for path in hostile.victims),
            linkable=(str(hostile.drop_box),),
            secret=SECRET,
            temporary=TEMPORARY,
            seed=seed(),
        )
        self._process = subprocess.Popen(
            ["/usr/bin/python3", "-I", program, json.dumps(asdict(task))],
            user=SERVICE_USER,
            group=SERVICE_USER,
            extra_groups=[],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def race(self) -> None:
        """Let it begin."""
        self._say("race")

    def calm(self) -> Score:
        """Let it put everything back and wait."""
        return self._score("calm")

    def end(self) -> Score:
        score = self._score("end")
        self._process.communicate()
        return score

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _say(self, word: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _score(self, word: str) -> Score:
        self._say(word)
        assert self._process.stdout
        return Score(**json.loads(self._process.stdout.readline()))


@contextmanager
def racing(hostile: HostileBase) -> Iterator[Racing]:
    """A racer that is at work, and that ends with the block."""
    racer = Racing(hostile)
    try:
        racer.race()
        yield racer
    finally:
        racer.stop()


def slowed(hostile: HostileBase) -> tuple[str, ...]:
    """What makes our calls on BASE wait for two milliseconds each, so that more is between them."""
    calls = "openat,newfstatat,rename,renameat,renameat2,unlinkat,fchown,fchmod,fsync"
    paths = (hostile.base, hostile.config_folder.parent, hostile.config_folder)
    files = (hostile.config_folder / name for name in (*PLANNED, *TEMPORARY))
    named = [word for path in (*paths, *files) for word in ("-P", str(path))]
    strace = ("strace", "--follow-forks", "--seccomp-bpf", "--quiet=all")
    delay = (f"--trace={calls}", f"--inject={calls}:delay_enter=2000")
    return (*strace, f"--output={os.devnull}", *named, *delay)


@dataclass
class Record:
    """How the runs of a race have ended."""

    statuses: dict[int, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.statuses[outcome.status] = self.statuses.get(outcome.status, 0) + 1
        if fault := outcome.fault():
            self.faults.append(fault)


def disturbed_run(hostile: HostileBase, chance: random.Random) -> Outcome:
    """One run of the command while the racer is at work."""
    cache = chance.choice(("true", "false"))
    arguments = ["apply", "--answers", str(hostile.answers(CACHE=cache, REDIS_HOST="r1"))]
    kind = chance.choice(("apply", "slow apply", "slow apply", "rollback", "slow rollback", "kill"))
    if "rollback" in kind:
        arguments = ["rollback"]
    process = hostile.start(*arguments, before=slowed(hostile) if "slow" in kind else ())
    if kind == "kill":
        # Within what an undisturbed run takes.
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.1, 0.3))
        stop(process)
    return ended(process, 60)


def test_a_racer_gets_nothing_from_runs_of_the_command(hostile: HostileBase, tally: Tally) -> None:
    chance = random.Random(seed())
    record = Record()
    rounds, enough = (60, 10_000) if all_faults() else (3, 1_000)
    with guarded(hostile) as guard, racing(hostile) as racer:
        for number in itertools.count(1):
            for _ in range(5):
                record.add(disturbed_run(hostile, chance))
            made = racer.calm().made
            outcome = hostile.apply()
            assert outcome.status == 0, outcome
            if number >= rounds and made >= enough:
                break
            racer.race()
        score = racer.end()
        harm = guard.harm()
    print(f"{score.made} swaps, {score.caught} new files caught, {record.statuses}: {score.swaps}")
    count_race(tally, score, harm)
    assert record.faults == []
    assert score.caught


def test_a_racer_gets_nothing_from_a_purge(hostile: HostileBase, tally: Tally) -> None:
    scene = Scene(hostile, "rollback")
    rounds = 200 if all_faults() else 20
    faults = []
    purged = 0
    with guarded(hostile) as guard, racing(hostile) as racer:
        for number in range(rounds):
            calm = number % 5 == 4
            racer.calm()
            scene.reset()
            if not calm:
                racer.race()
            outcome = purge(hostile)
            if outcome.status != 0 or (hostile.root / STATE).exists():
                faults.append(outcome)
            if calm:
                purged += not hostile.env.exists() and hostile.config.read_bytes() == ORIGINAL
        score = racer.end()
        harm = guard.harm()
    print(f"{score.made} swaps, {rounds} purges, {purged} of them undisturbed")
    count_race(tally, score, harm)
    assert faults == []
    assert purged == rounds // 5
    assert score.made > rounds


def count_race(tally: Tally, score: Score, harm: Harm) -> None:
    """What a race came to: what the racer did and saw, and what was done to others."""
    tally.injected += score.made
    tally.secrets_leaked += len(score.seen)
    assert score.seen == []
    harm.count(tally)


def purge(hostile: HostileBase) -> Outcome:
    """What dpkg runs at purge, in a mount namespace that has the tree's folders in their places.

    debconf is not there: what the script does with it is tested in tests/package/test_debconf.py.
    """
    mounts = 'mount --bind "$1/opt" /opt && mount --bind "$1/var/lib" /var/lib'
    mounts += " && mount -t tmpfs empty /usr/share/debconf"
    script = f'{mounts} && exec /bin/sh "$2" purge'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(hostile.root), str(POSTRM)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return ended(process, 20)


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("it", PLANTS, ids=lambda it: str(it.name))
def test_what_is_planted_before_a_purge_is_not_followed(
    hostile: HostileBase, tally: Tally, it: Plant, name: str
) -> None:
    wire(hostile)
    path = plant(hostile, it, name)
    with guarded(hostile, harmless=it.harmless | {"attributes changed"}) as guard:
        outcome = purge(hostile)
        harm = guard.harm()
    tally.injected += 1
    # The time at which a hard link of it came or went is all that may differ.
    links = str(hostile.root / "etc/shadow")
    ours = [line for line in harm.touched if not (it.by_root and line.startswith(f"{links}: Look"))]
    Harm(tuple(ours), harm.leaked).count(tally)
    assert outcome.status == 0 and len(outcome.said.splitlines()) < 2
    assert os.path.lexists(path) == (name == "config.yaml" or it.name == "folder")
    assert not (hostile.root / STATE).exists()


def test_a_folder_of_root_s_is_not_emptied_because_it_has_the_name_of_the_purge_s_own(
    hostile: HostileBase, tally: Tally
) -> None:
    wire(hostile)
    backup = hostile.config_folder / "backup"
    backup.mkdir(mode=0o700)
    (backup / "dump").write_text("precious")
    with as_service_user():
        backup.rename(backup.with_name(".hx-gateway-db"))
    outcome = purge(hostile)
    tally.injected += 1
    kept = (backup.with_name(".hx-gateway-db") / "dump").exists()
    tally.foreign_files_touched += not kept
    assert kept and outcome.status == 0


def test_the_guard_notices_what_these_tests_are_about(hostile: HostileBase) -> None:
    shadow = hostile.root / "etc/shadow"
    content = shadow.read_bytes()
    for touch, name in (
        (lambda: shadow.read_bytes(), "read"),
        (lambda: shadow.write_bytes(content), "written"),
        (lambda: shadow.chmod(0o600), "attributes changed"),
        (lambda: os.chown(shadow, 0, 0), "attributes changed"),
        (lambda: os.link(shadow, hostile.base / "link"), "attributes changed"),
        (lambda: (hostile.root / "etc/new").write_text(""), "etc/new"),
        (lambda: hostile.env.write_text(SECRET), ""),
    ):
        with guarded(hostile) as guard:
            touch()
            harm = guard.harm()
        assert any(name in line for line in harm.touched) if name else harm.leaked


def test_the_racer_notices_a_password_that_it_can_read(hostile: HostileBase) -> None:
    hostile.env.write_text(SECRET)
    hostile.env.chmod(0o644)
    with racing(hostile) as racer:
        time.sleep(1)
        assert racer.end().seen
