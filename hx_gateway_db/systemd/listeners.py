"""Who listens on a TCP port of this machine, and who is at the other end of a connection to it.

As /proc tells (proc(5)): a name is what a process gives itself, but the control group that it is
in and the user that it runs as are the kernel's word.
"""

import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# The states of a connection that can still be accepted: ESTABLISHED and SYN_RECV.
_LISTENING, _OPEN = "0A", ("01", "03")
_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Listener:
    """A process that listens or answers; `unit` is the last part of its control group that could
    be one of systemd's units, empty for none. A user can have a unit of any name: see `within`.

    `pid` is 0 where the process can't be seen from here. `user` is its real user id (-1 where not
    even that is known), and `groups` are all that it is in.
    """

    pid: int = 0
    name: str = ""
    group: str = ""
    user: int = -1
    groups: frozenset[int] = frozenset()

    @property
    def unit(self) -> str:
        kinds = (".service", ".scope", ".socket")
        units = [
            name for name in self.group.split("/") if name.endswith(kinds) and name not in kinds
        ]
        return units[-1] if units else ""

    def within(self, group: str) -> bool:
        """Whether it is in that control group or in one below it."""
        return bool(group) and f"{self.group}/".startswith(f"{group}/")


def on_port(port: int, proc: Path = Path("/proc"), *, address: str = "") -> list[Listener]:
    """Those that listen on `port`, on whatever address; or those that get a connection to
    `address`, an IPv4 one: who listens for IPv4 itself, else for all of IPv6 and so for it as well.
    """
    listening = _listening(port, proc)
    if address:
        own, mapped = (_hexadecimal((address, port), form) for form in (0, 1))
        ends = ({own, _hexadecimal(("0.0.0.0", port), 0)}, {mapped, _hexadecimal(("::", port), 0)})
        found = ({inode for local, inode in listening if local in each} for each in ends)
        inodes = next(filter(None, found), set[str]())
    else:
        inodes = {inode for _, inode in listening}
    sockets = {f"socket:[{inode}]" for inode in inodes}
    if not sockets:
        return []
    return list(_holders(sockets, proc)) or [Listener()]


def other_end(
    connection: socket.socket, deadline: float, proc: Path = Path("/proc"), *, first: int = 0
) -> Listener | None:
    """The process that has accepted a connection of ours; None when it is not on this machine or
    has closed it.

    Waits until it has accepted it, or `deadline` (time.monotonic()); then `pid` is 0, as where the
    process can't be seen. What is found holds for this connection, whoever listens by now. The
    process `first` is looked at before all others, which saves time where it is the one.
    """
    if connection.family == socket.AF_UNIX:
        size = struct.calcsize("3i")
        pid, user, _ = struct.unpack(
            "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        process = _process(proc / str(pid))
        return _accepted_by(user, [process] if process else [])
    ours, theirs = connection.getsockname(), connection.getpeername()
    while (end := _end(theirs, ours, proc)) and end[0] == "0" and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if end is None:
        return None
    inode, user = end
    if inode == "0":
        return Listener()
    return _accepted_by(user, _holders({f"socket:[{inode}]"}, proc, first))


def started(pid: int, proc: Path = Path("/proc")) -> int:
    """When a process was started, in the kernel's ticks since the boot (proc_pid_stat(5)).

    0 for one that is gone.
    """
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return 0
    # Its name, in parentheses, can have any characters.
    return int(text.rpartition(")")[2].split()[19])


def _accepted_by(user: int, holders: Iterable[Listener]) -> Listener:
    """Of those that hold a connection which `user` accepted, who that was.

    A process can give its end to one of somebody else, to hide behind it. What root accepts it may
    hand to a service, though.
    """
    handed_on = None
    for holder in holders:
        if holder.user == user:
            return holder
        handed_on = handed_on or holder
    return handed_on if handed_on and user == 0 else Listener(user=user)


def _end(local: tuple[str, int], remote: tuple[str, int], proc: Path) -> tuple[str, int] | None:
    """The inode of one end of a TCP connection and the user who accepted it; None for no such.

    The inode is "0" while nobody has; one that was accepted and closed is none any more.
    """
    wanted = [(_hexadecimal(local, mapped), _hexadecimal(remote, mapped)) for mapped in (0, 1)]
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError), open(proc / "net" / table) as lines:
            for line in lines:
                fields = line.split()
                if (fields[1], fields[2]) in wanted:
                    closed = fields[9] == "0" and fields[3] not in _OPEN
                    return None if closed else (fields[9], int(fields[7]))
    return None


def _hexadecimal(address: tuple[str, int], mapped: int) -> str:
    """An address as those tables write it; `mapped`: an IPv4 one as IPv6 has it."""
    host, port = address[0].partition("%")[0], address[1]
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host)
    else:
        packed = bytes(10) + b"\xff\xff" if mapped else b""
        packed += socket.inet_pton(socket.AF_INET, host)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def _listening(port: int, proc: Path) -> list[tuple[str, str]]:
    """The address and the inode of each socket that listens on `port`."""
    found = []
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.append((fields[1], fields[9]))
    return found


def _holders(sockets: set[str], proc: Path, first: int = 0) -> Iterator[Listener]:
    """Those that hold one of `sockets`; the process `first` is looked at before all others."""
    # Without a Path for each, as there are some thousands.
    for process in (*([str(first)] if first else []), *os.listdir(proc)):
        if not process.isdigit():
            continue
        folder = f"{proc}/{process}/fd"
        # It may end while we look, or be another user's.
        with suppress(OSError):
            held = any(_target(f"{folder}/{entry}") in sockets for entry in os.listdir(folder))
            if held and (found := _process(proc / process)):
                yield found


def _process(process: Path) -> Listener | None:
    try:
        group = (process / "cgroup").read_text()
        name = (process / "comm").read_text(errors="replace").strip()
        status = (process / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    fields = dict(line.partition(":")[::2] for line in status)
    groups = [*fields.get("Groups", "").split(), *fields.get("Gid", "").split()]
    return Listener(
        int(process.name),
        name,
        _group(group),
        int(next(iter(fields.get("Uid", "").split()), -1)),
        frozenset(map(int, groups)),
    )


def _target(entry: str) -> str:
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
