"""A unit as systemd has it in memory, and the process that runs of it, to be held against files."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

PROPERTIES = (
    *("LoadState", "ActiveState", "FragmentPath", "DropInPaths", "NeedDaemonReload"),
    *("ExecStart", "WorkingDirectory", "Environment", "EnvironmentFiles"),
    *("MainPID", "InvocationID", "ExecMainStartTimestamp", "User", "ControlGroup"),
)


@dataclass(frozen=True)
class Loaded:
    """What `systemctl show` says of a unit: PROPERTIES by their names, and the files that it reads
    with EnvironmentFile=.

    `environment` is what its main process was started with; empty where that is not known to be
    this unit's. `started` is when that was, in seconds since 1970; 0 for a unit that does not run.
    """

    name: str
    shown: Mapping[str, str] = field(repr=False)
    environment_files: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    started: float = 0.0

    @property
    def load_state(self) -> str:
        return self.shown.get("LoadState", "")

    @property
    def present(self) -> bool:
        return self.load_state == "loaded"

    @property
    def running(self) -> bool:
        return self.shown.get("ActiveState") == "active"

    @property
    def fragment(self) -> str:
        return self.shown.get("FragmentPath", "")

    @property
    def drop_ins(self) -> tuple[str, ...]:
        return tuple(self.shown.get("DropInPaths", "").split())

    @property
    def files(self) -> tuple[str, ...]:
        """All that it is made of, and that is read when it is started."""
        return (self.fragment, *self.drop_ins, *self.environment_files)

    @property
    def outdated(self) -> bool:
        """Whether its unit files have changed since systemd read them."""
        return self.shown.get("NeedDaemonReload") == "yes"


def as_shown(
    name: str, properties: Iterable[tuple[str, str]], environment: Mapping[str, str]
) -> Loaded:
    """The unit from its properties, times in UTC, and the environment of its main process.

    Whoever has that process's number now: one that systemd has started for the unit says so, and
    one that doesn't (its program cleans its environment, say) is not judged by it.
    """
    properties = list(properties)
    shown = dict(properties)
    files = (value for key, value in properties if key == "EnvironmentFiles")
    invocation = shown.get("InvocationID", "")
    ours = bool(invocation) and environment.get("INVOCATION_ID") == invocation
    return Loaded(
        name,
        shown,
        tuple(value.rpartition(" (")[0] or value for value in files),
        environment if ours else {},
        _seconds(shown.get("ExecMainStartTimestamp", "")),
    )


def _seconds(timestamp: str) -> float:
    """Of `Sat 2026-11-28 17:00:00.123456 UTC` the seconds since 1970; 0 for anything else."""
    moment, _, zone = timestamp.partition(" ")[2].rpartition(" ")
    with suppress(ValueError):
        if zone == "UTC":
            return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    return 0.0
