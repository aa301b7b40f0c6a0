"""A host as a tree of files, with units, services and a clock that do what a test wants of them.

What a unit does when it is started depends on the files that it finds then, as on a real host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hx_gateway_db.checks.preflight import Inspection
from hx_gateway_db.errors import CheckFailed
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.gateway.answerer import LITELLM, WRAPPER, Service
from hx_gateway_db.gateway.http import NotAnswering, ProofFailed
from hx_gateway_db.gateway.readiness import Patience, Readiness
from hx_gateway_db.handover.redirect import Exempt
from hx_gateway_db.layout import LITELLM_UNIT, SECOND_UNITS, UNITS, WRAPPER_UNIT
from hx_gateway_db.settings.litellm import LiteLLM, Version
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd.loaded import Loaded
from hx_gateway_db.systemd.units import ServiceFailed, Unit
from hx_gateway_db.wiring.outside import Outside
from tests.unit.tree import snapshot

# What becomes of a unit that is started with files other than those of before.
EXITS, HANGS, ENDS_LATE, REFUSES = "exits", "hangs", "ends late", "can't be started"
LATE = 5.0  # seconds after it has answered


@dataclass
class Simulated:
    """One unit: how it is before, and how it behaves when it is started."""

    name: str
    load: str = "loaded"
    active: str = "active"
    serves: bool = True
    with_new_files: str = ""
    with_old_files: str = ""
    started: int = 0
    ends_at: float = float("inf")


@dataclass
class Room:
    """The memory that there is, in bytes; each service takes 400."""

    there: int = 4000

    def needed(self, unit: str) -> int:
        return 400

    def available(self) -> int:
        return self.there


@dataclass
class World:
    """The host at `root`; `log` has what was asked of systemd, in order."""

    root: Path
    now: float = 1000.0
    log: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    litellm: Simulated = field(default_factory=lambda: Simulated(LITELLM_UNIT))
    wrapper: Simulated = field(default_factory=lambda: Simulated(WRAPPER_UNIT))
    version: Version = ()
    forbidden: tuple[str, ...] = ()
    dpkg: bool = False
    units: dict[str, Loaded] = field(default_factory=dict)
    obstacles: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    gone: str = ""
    unproven: str = ""
    memory: Room = field(default_factory=Room)
    filtered: str = ""
    redirected: bool = False
    second: dict[str, Simulated] = field(
        default_factory=lambda: {
            name: Simulated(name, "not-found", "inactive", False) for name in SECOND_UNITS.values()
        }
    )
    during: dict[str, Callable[[], None]] = field(default_factory=dict)
    before: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = self._files()

    @property
    def outside(self) -> Outside:
        return Outside(
            units=self,
            readiness=Readiness(self, self.health, self, Patience()),
            inspect=lambda *_: Inspection(self.findings),
            check_servers=self.check_servers,
            prove=self.prove,
            obstacle=lambda name: self.obstacles.get(name, ""),
            litellm_of_gateway=lambda: LiteLLM(self.version),
            redirect=self,
            memory=self.memory,
            system=self.root,
        )

    @property
    def restarted(self) -> list[str]:
        """The short names of the units that were restarted, in order."""
        names = [line.split()[1] for line in self.log if line.startswith("restart ")]
        return [SHORT[name] for name in names if name in SHORT]

    # Progress

    def say(self, line: str) -> None:
        self.said.append(line)

    def waiting(self, what: str, seconds: float) -> None:
        self._happen("waiting")

    # The clock

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds

    # systemd

    def available(self) -> bool:
        return True

    def unit(self, name: str) -> Unit:
        self._happen(f"show {name}")
        simulated = self._simulated(name)
        if self.now >= simulated.ends_at:
            simulated.active, simulated.serves = "failed", False
        invocation = f"{name} {simulated.started}"
        return Unit(name, simulated.load, simulated.active, "", 7, invocation)

    def daemon_reload(self) -> None:
        self.log.append("daemon-reload")
        self._happen("daemon-reload")

    def restart(self, name: str) -> Unit:
        self.log.append(f"restart {name}")
        self._happen(f"restart {name}")
        simulated = self._simulated(name)
        simulated.load = "loaded"
        new = (snapshot(self.root) if name in self.second else self._files()) != self.before
        fault = simulated.with_new_files if new else simulated.with_old_files
        simulated.started += 1
        if fault == REFUSES:
            simulated.active, simulated.serves = "failed", False
            raise ServiceFailed(f"'systemctl restart {name}' failed: no.", name)
        simulated.active = "failed" if fault == EXITS else "active"
        simulated.serves = fault in ("", ENDS_LATE)
        simulated.ends_at = self.now + LATE if fault == ENDS_LATE else float("inf")
        return self.unit(name)

    def start(self, name: str) -> None:
        self.log.append(f"start {name}")

    def stop(self, *names: str) -> None:
        self.log.append(f"stop {' '.join(names)}")
        self._happen(f"stop {' '.join(names)}")
        for name in names:
            if name in (*UNITS, *self.second):
                simulated = self._simulated(name)
                simulated.active, simulated.serves = "inactive", False

    def policy_forbids(self, name: str) -> bool:
        return name in self.forbidden

    def started_since(self, name: str, moment: float) -> bool:
        return False

    def loaded(self, name: str) -> Loaded:
        """As a test has it; else one that reads what is there, and runs with that."""
        if name in self.units:
            return self.units[name]
        simulated = self._simulated(name)
        shown = {"LoadState": simulated.load, "ActiveState": simulated.active}
        folder = self.root / f"etc/systemd/system/{name}.d"
        paths = sorted(f"/{path.relative_to(self.root)}" for path in folder.glob("*.conf"))
        fragment = f"etc/systemd/system/{name}"
        if (self.root / fragment).exists():
            shown |= {"FragmentPath": f"/{fragment}", "ControlGroup": f"/system.slice/{name}"}
        return Loaded(name, shown | {"DropInPaths": " ".join(paths)})

    def for_dpkg(self) -> bool:
        return self.dpkg

    def journal(self, name: str) -> str:
        return f"{name} fails on purpose"

    # A second gateway

    def free_port(self, near: int) -> int:
        return near + 1

    def obstacle(self, ports: tuple[int, ...], from_elsewhere: bool) -> str:
        return self.filtered if from_elsewhere else ""

    def put(self, ports: Mapping[int, int], exempt: Exempt) -> None:
        self.log.append(f"redirect {' '.join(f'{port}:{to}' for port, to in ports.items())}")
        self._happen("redirect")
        self.redirected = True

    def empty(self) -> None:
        self.log.append("redirect no more")

    def remove(self) -> None:
        self.redirected = False

    def present(self) -> bool:
        return self.redirected

    # Services and servers

    def health(self, name: str, litellm: Service = LITELLM, wrapper: Service = WRAPPER) -> int:
        simulated = self._simulated(name)
        if simulated.active != "active" or not simulated.serves:
            raise NotAnswering("nothing listens")
        return 200

    def check_servers(self, settings: Settings) -> None:
        self._happen("check servers")
        if self.gone:
            raise CheckFailed(self.gone, (_failure(self.gone),))

    def prove(
        self,
        settings: Settings,
        config: bytes,
        litellm: Service = LITELLM,
        wrapper: Service | None = WRAPPER,
    ) -> list[str]:
        self._happen("prove")
        if litellm.unit in self.second:
            self.log.append(f"prove {litellm.unit}")
        if self.unproven:
            raise ProofFailed(_failure(self.unproven))
        return ["A virtual key works."]

    def _files(self) -> dict[str, bytes]:
        """Those that a unit of the gateway could read: not a second one's."""
        files = snapshot(self.root)
        return {path: content for path, content in files.items() if "second" not in path}

    def _simulated(self, name: str) -> Simulated:
        return {LITELLM_UNIT: self.litellm, WRAPPER_UNIT: self.wrapper, **self.second}[name]

    def _happen(self, moment: str) -> None:
        """What a test lets happen at this moment happens, once."""
        if moment in self.during:
            self.during.pop(moment)()


SHORT = dict(zip(UNITS, ("litellm", "wrapper"), strict=True))
LONG = {short: name for name, short in SHORT.items()}


def _failure(what: str) -> Finding:
    return Finding("test", Level.FAILED, "here", what.rstrip("."))
