"""A network of machines: a bridge in a network namespace of its own, which reaches nothing else."""

from __future__ import annotations

import itertools
import subprocess
from types import TracebackType
from typing import Self

from tests.machine.machine import Machine

NETWORK = "10.77.0.0/24"
_BRIDGE = "fleet0"


class Network:
    """A bridge that machines join. A context manager; the namespace ends with this process."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        hold = ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"]
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *hold], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()
        self._ip("link", "add", _BRIDGE, "type", "bridge")
        self._ip("link", "set", _BRIDGE, "up")
        # For a client on this machine that enters the namespace.
        self._ip("address", "add", "10.77.0.254/24", "dev", _BRIDGE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._holder.kill()
        self._holder.wait()

    def join(self, machine: Machine) -> str:
        """Connect a booted machine, and return its address. A reboot takes it off the network."""
        number = next(self._numbers)
        port, address = f"port{number}", f"10.77.0.{number}"
        peer = ("peer", "name", "host0", "netns", str(machine.leader))
        self._ip("link", "add", port, "type", "veth", *peer)
        self._ip("link", "set", port, "master", _BRIDGE, "up")
        ip(machine.leader, "address", "add", f"{address}/24", "dev", "host0")
        ip(machine.leader, "link", "set", "host0", "up")
        return address

    def enter(self) -> list[str]:
        """Prefix for a command line of this machine that runs it on the network."""
        return ["nsenter", "-t", str(self._holder.pid), "--net", "--"]

    def _ip(self, *arguments: str) -> None:
        ip(self._holder.pid, *arguments)


def ip(pid: int, *arguments: str) -> None:
    """Call ip(8) in the network namespace of process `pid`."""
    subprocess.run(["nsenter", "-t", str(pid), "--net", "ip", *arguments], check=True)
