"""Who listens on a TCP port of this machine, as /proc tells (proc(5))."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LISTENING = "0A"


@dataclass(frozen=True)
class Listener:
    """A process that listens; `unit` is the systemd unit that it belongs to, empty for none.

    `pid` is 0 where the process can't be seen from here.
    """

    pid: int = 0
    name: str = ""
    group: str = ""

    @property
    def unit(self) -> str:
        units = re.findall(r"[^/]+\.(?:service|scope|socket)(?=/|$)", self.group)
        return units[-1] if units else ""

    def within(self, group: str) -> bool:
        """Whether it is in that control group or in one below it."""
        return bool(group) and f"{self.group}/".startswith(f"{group}/")


def on_port(port: int, proc: Path = Path("/proc")) -> list[Listener]:
    """Those that listen on `port`, on whatever address."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    if not sockets:
        return []
    return list(_holders(sockets, proc)) or [Listener()]


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _holders(sockets: set[str], proc: Path) -> Iterator[Listener]:
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        # It may end while we look, or be another user's.
        with suppress(OSError):
            if any(_target(entry) in sockets for entry in (process / "fd").iterdir()):
                group = (process / "cgroup").read_text()
                name = (process / "comm").read_text().strip()
                yield Listener(int(process.name), name, _group(group))


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except OSError:
        return ""


def _group(text: str) -> str:
    """The control group in systemd's own hierarchy (cgroups(7))."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    named = [path for _, controllers, path in lines if controllers == "name=systemd"]
    unified = [path for number, _, path in lines if number == "0"]
    return next(iter(named or unified), "")
