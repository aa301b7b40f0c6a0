"""How much memory a second one of a unit takes, and how much there is."""

from pathlib import Path
from typing import Protocol

from hx_gateway_db.systemd import units

# A second one needs what the first one has for itself, and this much more while it starts.
_MORE = 1.25
_KIB = 1024


class Memory(Protocol):
    """What tells of memory: the functions of this module."""

    def needed(self, unit: str) -> int:
        """See `needed`."""

    def available(self) -> int:
        """See `available`."""


def needed(unit: str, proc: Path = Path("/proc")) -> int:
    """The bytes that a second one of a running unit takes. Raises ServiceFailed."""
    group = dict(units.properties(unit, ("ControlGroup",))).get("ControlGroup", "")
    own = sum(
        _number(folder / "status", "RssAnon")
        for folder in proc.glob("[0-9]*")
        if group and _in_group(folder, group)
    )
    return int(own * _MORE)


def available(proc: Path = Path("/proc")) -> int:
    """The bytes that can be taken without swapping (MemAvailable of proc_meminfo(5))."""
    return _number(proc / "meminfo", "MemAvailable")


def _in_group(folder: Path, group: str) -> bool:
    return any(line.endswith(f":{group}") for line in _text(folder / "cgroup").splitlines())


def _number(path: Path, name: str) -> int:
    lines = (line.split() for line in _text(path).splitlines())
    return next((int(words[1]) * _KIB for words in lines if words[:1] == [f"{name}:"]), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
