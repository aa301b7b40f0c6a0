"""A tree whose BASE belongs to the service user, and the files in it that nobody may touch."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SERVICE_USER = 64123
GATEWAY_GROUP = 4321
SECRET = "geheim-4711"
BASE = "opt/HX-Infrastructure-/api-gateway"
CONFIG_FOLDER = f"{BASE}/config/api-gateway"
CONFIG = f"{CONFIG_FOLDER}/config.yaml"
ENV = f"{CONFIG_FOLDER}/gateway.env"
DROP_INS = tuple(
    f"etc/systemd/system/{unit}.service.d/{name}"
    for unit, name in (
        ("hx-litellm-gateway", "30-db.conf"),
        ("hx-gateway-ml", "30-db.conf"),
        ("hx-litellm-gateway", "40-cache.conf"),
    )
)
STATE = "var/lib/hx-gateway-db"
ORIGINAL = b"general_settings:\n  master_key: sk-1  # ours\n\nmodel_list: []\n"
FOREIGN_YAML = b"general_settings:\n  master_key: sk-foreign\n"
FOREIGN_ENV = "DATABASE_URL=postgresql://root:foreign@h/d\n"
_SECONDS = 60.0

_EVENTS = {
    "read": 0x1,
    "written": 0x2,
    "attributes changed": 0x4,
    "closed after writing": 0x8,
    "opened": 0x20,
    "removed": 0x400,
    "moved": 0x800,
}
_OVERFLOW = 0x4000
_NONBLOCK = 0o4000
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Outcome:
    """How one run of the command ended; a negative status is the signal that ended it."""

    status: int
    said: str

    def fault(self) -> str:
        """What is wrong with it, or nothing."""
        if self.status not in (0, 2, 3, 4, 5, -9):
            return f"exit status {self.status}: {self.said}"
        if "Traceback" in self.said or len(self.said) > 1500 or len(self.said.splitlines()) > 8:
            return f"no short message: {self.said}"
        return ""


@dataclass(frozen=True)
class Look:
    """What can be seen of one file or folder from outside; `content` of a folder is its names."""

    kind_and_mode: int
    owner: tuple[int, int]
    links: int
    content: bytes
    attributes: tuple[tuple[str, bytes], ...]
    modified: int
    changed: int

    @classmethod
    def at(cls, path: Path) -> Look:
        status = path.lstat()
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_dir():
            content = "\n".join(sorted(os.listdir(path))).encode()
        else:
            content = _beginning(path) if path.is_file() else b""
        names = sorted(os.listxattr(path, follow_symlinks=False))
        attributes = tuple((n, os.getxattr(path, n, follow_symlinks=False)) for n in names)
        return cls(
            status.st_mode,
            (status.st_uid, status.st_gid),
            status.st_nlink,
            content,
            attributes,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    def but_for_links(self) -> Look:
        """The same of a file of which anybody may make and remove hard links."""
        return replace(self, links=0, changed=0)

    def but_for_times(self) -> Look:
        """The same of a folder in which the test itself puts things."""
        return replace(self, modified=0, changed=0)


class HostileBase:
    """The tree `root` below `folder`, which the service user may pass through."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "tree"
        self.base = self.root / BASE
        self.config_folder = self.root / CONFIG_FOLDER
        self.config = self.root / CONFIG
        self.env = self.root / ENV
        self.outside = folder / "outside"
        self.drop_box = self.root / "srv/drop-box"
        self.folder_victim = self.root / "srv/other"
        folder.chmod(0o711)
        self._make_base()
        self._make_victims()
        self._answers = 0

    def _make_base(self) -> None:
        self.config_folder.mkdir(parents=True)
        self.config.write_bytes(ORIGINAL)
        self.config.chmod(0o640)
        for path in (self.base.parent, *self.base.parent.rglob("*")):
            os.chown(path, SERVICE_USER, SERVICE_USER)
        (self.root / "etc").mkdir()
        (self.root / "etc/group").write_text(f"root:x:0:\nhx-gateway:x:{GATEWAY_GROUP}:\n")

    def _make_victims(self) -> None:
        config_folder = self.folder_victim / "config/api-gateway"
        config_folder.mkdir(parents=True)
        self.outside.mkdir()
        for path, content, mode in (
            (self.root / "etc/shadow", b"root:$y$j9T$:19000::::::\n", 0o600),
            (self.root / "etc/victim.yaml", FOREIGN_YAML, 0o644),
            (self.root / "etc/victim.env", FOREIGN_ENV.encode(), 0o600),
            (self.outside / "shadow", b"root:$y$j9T$:19000::::::\n", 0o600),
            (self.outside / "victim.yaml", FOREIGN_YAML, 0o644),
            (config_folder / "config.yaml", FOREIGN_YAML, 0o644),
            (config_folder / "gateway.env", FOREIGN_ENV.encode(), 0o600),
            # The kernel lets everybody make hard links of a file that everybody may write.
            (self.drop_box, FOREIGN_YAML, 0o666),
        ):
            path.write_bytes(content)
            path.chmod(mode)
            os.setxattr(path, "user.origin", b"foreign")

    @property
    def victims(self) -> tuple[Path, ...]:
        """The files that nobody may touch, those without a hard link made by the racer."""
        etc = (self.root / "etc" / name for name in ("shadow", "victim.yaml", "victim.env"))
        inside = (path for path in self.folder_victim.rglob("*") if path.is_file())
        return (*etc, *inside, *self.outside.iterdir())

    def foreign(self) -> dict[str, Look]:
        """Everything in the tree and outside that no plan names."""
        ours = {self.root / name for name in (*DROP_INS, STATE)}
        ours |= {parent for path in ours for parent in path.parents}
        theirs = self.base.parent
        looks = {}
        for path in sorted([*self.root.rglob("*"), *self.outside.rglob("*")]):
            of_plan = path in ours or path.is_relative_to(self.root / STATE)
            if of_plan or path.is_relative_to(theirs):
                continue
            look = Look.at(path)
            if path == self.drop_box:
                look = look.but_for_links()
            looks[str(path)] = look.but_for_times() if path in theirs.parents else look
        return looks

    def answers(self, **more: str) -> Path:
        """A file of answers with a password that no file has held yet."""
        self._answers += 1
        given = {"PG_HOST": "db1", "PG_PASS": f"{SECRET}-{self._answers}", **more}
        path = self.folder / "answers"
        path.write_text("".join(f"{key}={value}\n" for key, value in given.items()))
        path.chmod(0o600)
        return path

    def start(self, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start the command of this checkout on the tree; `before` are words to put before it."""
        command = [sys.executable, "-m", "hx_gateway_db", "--root", str(self.root), *arguments]
        return subprocess.Popen(
            [*before, *command],
            cwd=CHECKOUT,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, before: tuple[str, ...] = ()) -> Outcome:
        """Run the command to its end, which has to come soon."""
        return ended(self.start(*arguments, before=before), _SECONDS)

    def apply(self, **answers: str) -> Outcome:
        return self.run("apply", "--answers", str(self.answers(**answers)))

    def readable_secrets(self) -> list[Path]:
        """The files with the password in them that others or the service user may read."""
        found = []
        for path in [*self.root.rglob("*"), *self.outside.rglob("*")]:
            if path.is_symlink() or not path.is_file():
                continue
            if SECRET.encode() in _beginning(path) and _readable(path):
                found.append(path)
        return found


@contextmanager
def hostile_base() -> Iterator[HostileBase]:
    """Such a tree, until the end of the block."""
    if os.geteuid() != 0:
        pytest.fail("These tests change owners and become the service user: run them as root.")
    # Not in pytest's own folder, which nobody but root may pass through.
    folder = Path(tempfile.mkdtemp(prefix="hx-races-"))
    try:
        yield HostileBase(folder)
    finally:
        shutil.rmtree(folder)


def _beginning(path: Path) -> bytes:
    # A planted file can be as large as the file system lets it.
    with open(path, "rb") as file:
        return file.read(2**20)


def ended(process: subprocess.Popen[str], seconds: float) -> Outcome:
    """The outcome of a run; one that does not end is killed and counts as status 124."""
    try:
        out, error = process.communicate(timeout=seconds)
        return Outcome(process.returncode, out + error)
    except subprocess.TimeoutExpired:
        stop(process)
        out, error = process.communicate()
        return Outcome(124, f"still running after {seconds} s\n{out}{error}")


def stop(process: subprocess.Popen[str]) -> None:
    """Kill a run and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _readable(path: Path) -> bool:
    """Whether the service user, who is in no group but its own, may read the file."""
    command = ["test", "-r", str(path)]
    done = subprocess.run(
        command, user=SERVICE_USER, group=SERVICE_USER, extra_groups=[], check=False
    )
    return done.returncode == 0


class Watch:
    """What happens to files, told by the kernel; the test's own looks must stay outside."""

    def __init__(self, descriptor: int, names: Mapping[int, str]) -> None:
        self._descriptor = descriptor
        self._names = names

    def events(self) -> set[tuple[str, str]]:
        """Which file, and what happened to it, since the last call."""
        found: set[tuple[str, str]] = set()
        while data := self._read():
            while data:
                watch, mask, _, length = struct.unpack_from("iIII", data)
                data = data[16 + length :]
                assert not mask & _OVERFLOW, "the kernel dropped events"
                found |= {(self._names[watch], name) for name, bit in _EVENTS.items() if mask & bit}
        return found

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, 2**20)
        except BlockingIOError:
            return b""


@contextmanager
def watched(paths: Iterable[Path]) -> Iterator[Watch]:
    """Watch files, by inode: also when they are reached through links."""
    descriptor = _LIBC.inotify_init1(_NONBLOCK)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        names = {}
        for path in paths:
            number = _LIBC.inotify_add_watch(descriptor, os.fsencode(path), sum(_EVENTS.values()))
            assert number >= 0, f"{path}: {os.strerror(ctypes.get_errno())}"
            names[number] = str(path)
        yield Watch(descriptor, names)
    finally:
        os.close(descriptor)


@contextmanager
def as_service_user() -> Iterator[None]:
    """Let this process do only what the service user could."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(SERVICE_USER)
    os.seteuid(SERVICE_USER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def remove(path: Path) -> None:
    """Whatever is at `path` goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
