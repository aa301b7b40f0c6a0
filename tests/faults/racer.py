"""The program of a gateway that has been broken into: it swaps BASE's files and folders under us.

Runs as the service user, with nothing but the standard library. What stands at a name changes
places, in one system call, with a bait that the service user could make, and back. Lines on its
standard input steer it: `race`, `calm` (put everything back and answer), `end` (answer, leave).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import select
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

_EXCHANGE = 2
_AT_FDCWD = -100
# What a name may be that somebody else, or a swap of ours, has changed in the same moment.
_NOT_NOW = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP),
    *(errno.ENOTDIR, errno.EINVAL, errno.EBUSY),
}
_LONGEST_HOLD = 0.004
_CONFIG_FOLDER = "config/api-gateway"
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Task:
    """What the racer is told: where BASE is, what it would like to reach, what it must not see."""

    base: str
    folder_victim: str
    file_victims: tuple[str, ...]
    linkable: tuple[str, ...]
    secret: str
    temporary: tuple[str, ...]
    seed: int


@dataclass
class Score:
    """What the racer did (`swaps` by the name of the bait) and what it got to see."""

    swaps: dict[str, int] = field(default_factory=dict)
    caught: int = 0
    seen: list[str] = field(default_factory=list)

    @property
    def made(self) -> int:
        """The number of all swaps."""
        return sum(self.swaps.values())

    def count(self, bait: str) -> None:
        self.swaps[bait] = self.swaps.get(bait, 0) + 1


class Racer:
    """The swaps, one after the other, each undone before the next."""

    def __init__(self, task: Task) -> None:
        self.score = Score()
        self._task = task
        self._random = random.Random(task.seed)
        self._base = Path(task.base)
        # Beside BASE, since BASE is swapped as well; the service user may write there.
        self._pool = self._base.parent / ".pool"
        self._config = self._base / _CONFIG_FOLDER
        self._good = (self._config / "config.yaml").read_bytes()
        self._linkable = {Path(name).stat().st_ino for name in task.linkable}
        self._number = 0

    def step(self) -> None:
        """One swap of a random name against a random bait."""
        if self._random.random() < 0.02:
            self._lie_in_wait()
        target = self._target()
        baits = self._file_baits()
        if target in (self._config, self._config.parent, self._base):
            baits = self._folder_baits(target)
        name, make = self._random.choice(baits)
        bait = self._fresh(make)
        if bait is not None:
            self._swap(target, bait, name)
        if self._number % 4 == 0:
            self._look()

    def _lie_in_wait(self) -> None:
        # A run that meets swaps early on never comes to write.
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline and self._new_file() is None:
            time.sleep(0.0001)

    def _new_file(self) -> Path | None:
        """A file that root is writing just now."""
        paths = (self._config / name for name in self._task.temporary)
        return next((path for path in paths if os.path.lexists(path)), None)

    def _target(self) -> Path:
        new = self._new_file()
        if new is not None:
            self.score.caught += 1
            if self._random.random() < 0.5:
                return new
        names = ("config.yaml", "gateway.env", *self._task.temporary)
        folders = (self._config, self._config.parent, self._base)
        return self._random.choice((*(self._config / name for name in names), *folders))

    def restore(self) -> None:
        """Give the tree the form in which an honest gateway has it."""
        for folder in (self._base, self._config.parent, self._config):
            if folder.is_symlink() or not folder.is_dir():
                _remove(folder)
                folder.mkdir()
            folder.chmod(0o755)
        config = self._config / "config.yaml"
        good = config.with_name("good")
        good.write_bytes(self._good)
        good.chmod(0o640)
        _remove(config)
        good.rename(config)
        for name in ("gateway.env", *self._task.temporary):
            path = self._config / name
            if os.path.lexists(path) and not _honest(path):
                _remove(path)

    def _swap(self, target: Path, bait: Path, name: str) -> None:
        if not exchange(target, bait):
            # Nothing was there: the bait stands there alone, like one planted beforehand.
            with suppress(OSError):
                bait.rename(target)
                self.score.count(name)
                self._hold()
                _remove(target)
            return
        self.score.count(name)
        self._hold()
        # What we then find at the name may be a file that root has put there meanwhile.
        if not exchange(target, bait):
            with suppress(OSError):
                bait.rename(target)
        _remove(bait)

    def _hold(self) -> None:
        seconds = self._random.choice((0, 0, self._random.random() * _LONGEST_HOLD))
        if seconds:
            time.sleep(seconds)

    def _fresh(self, make: Callable[[Path], object]) -> Path | None:
        self._number += 1
        # The test may have put BASE's parent back to what it was in the beginning.
        self._pool.mkdir(exist_ok=True)
        bait = self._pool / f"bait-{self._number}"
        try:
            make(bait)
        except OSError:
            _remove(bait)
            return None
        return bait

    def _file_baits(self) -> list[tuple[str, Callable[[Path], object]]]:
        victim = self._random.choice(self._task.file_victims)
        from_config = os.path.relpath(victim, self._config)
        return [
            ("absolute link", lambda bait: bait.symlink_to(victim)),
            ("relative link", lambda bait: bait.symlink_to(from_config)),
            ("link through ..", lambda bait: bait.symlink_to(f"../api-gateway/../{from_config}")),
            ("dangling link", lambda bait: bait.symlink_to(f"{victim}.new")),
            ("hard link", lambda bait: os.link(self._random.choice(self._task.linkable), bait)),
            ("pipe", os.mkfifo),
            ("socket", _make_socket),
            ("empty folder", lambda bait: bait.mkdir()),
            ("own copy", self._write_own),
            ("large file", _make_large),
        ]

    def _folder_baits(self, target: Path) -> list[tuple[str, Callable[[Path], object]]]:
        below = target.relative_to(self._base)
        victim = Path(self._task.folder_victim) / below
        from_here = os.path.relpath(victim, target.parent)
        return [
            ("absolute folder link", lambda bait: bait.symlink_to(victim)),
            ("relative folder link", lambda bait: bait.symlink_to(from_here)),
            ("folder link to itself", lambda bait: bait.symlink_to(target.name)),
            ("empty folder", lambda bait: bait.mkdir()),
            ("folder of its own", lambda bait: self._make_own_folder(bait, below)),
            ("pipe as folder", os.mkfifo),
            ("file as folder", self._write_own),
        ]

    def _write_own(self, bait: Path) -> None:
        bait.write_bytes(self._good + b"# planted by the service user\n")
        bait.chmod(0o644)

    def _make_own_folder(self, bait: Path, below: Path) -> None:
        config = bait / Path(_CONFIG_FOLDER).relative_to(below)
        config.mkdir(parents=True)
        self._write_own(config / "config.yaml")

    def _look(self) -> None:
        """Note each file that holds the secret and can be read."""
        names: list[Path] = []
        for folder in (self._config, self._pool):
            with suppress(OSError):
                names += [Path(entry.path) for entry in os.scandir(folder)]
        for path in names:
            if self._task.secret in self._text(path):
                self.score.seen.append(path.name)

    def _text(self, path: Path) -> str:
        """A regular file's text, or nothing; never a victim's, since the test counts who reads."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                return ""
            with open(os.open(path, flags), "rb") as file:
                victim = os.fstat(file.fileno()).st_ino in self._linkable
                return "" if victim else file.read(100_000).decode(errors="replace")
        except OSError:
            return ""


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places; False when one of them is not there or may not be moved."""
    names = (os.fsencode(one), os.fsencode(other))
    result: int = _LIBC.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)
    if result and ctypes.get_errno() not in _NOT_NOW:
        raise OSError(ctypes.get_errno(), "renameat2")
    return result == 0


def _honest(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid != os.getuid()


def _make_socket(bait: Path) -> None:
    # By a short name: the kernel takes no more than 107 bytes.
    os.chdir(bait.parent)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(bait.name)


def _make_large(bait: Path) -> None:
    bait.touch()
    os.truncate(bait, 2**40)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def _command(waiting: bool) -> str:
    """The next line of standard input, or nothing; read a byte at a time, as none may be buffered.

    A buffer would hide a second line from select(2).
    """
    if not waiting and not select.select([0], [], [], 0)[0]:
        return ""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode() or "end"


def main() -> None:
    """Race until told otherwise."""
    os.umask(0)
    task = Task(**json.loads(sys.argv[1]))
    racer = Racer(task)
    racing = False
    while True:
        command = _command(waiting=not racing)
        if command == "race":
            racing = True
        elif command in ("calm", "end"):
            racing = False
            racer.restore()
            print(json.dumps(asdict(racer.score)), flush=True)
            if command == "end":
                return
        if racing:
            racer.step()


if __name__ == "__main__":
    main()
