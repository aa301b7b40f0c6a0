"""One look at the gateway that changes nothing and leaves no row: do virtual keys work?"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from hx_gateway_db.checks import differences
from hx_gateway_db.checks.units import check_service
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.gateway import proof, unknown_key
from hx_gateway_db.gateway.readiness import Clock, Patience
from hx_gateway_db.gateway.sentences import KEY, READINESS
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import (
    LITELLM_PORT,
    LITELLM_UNIT,
    WRAPPER_PORT,
    WRAPPER_UNIT,
)
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import Unit

# What has to be well for virtual keys to work.
_OF_LITELLM = ("litellm.unit", "litellm.port", KEY)
_OF_THE_WRAPPER = ("wrapper.unit", "wrapper.port")
SERVES = (*_OF_LITELLM, *_OF_THE_WRAPPER)
# A moment's load, or somebody's restart of a unit, is no failure yet.
_BEFORE_THE_SECOND = 5.0


class State(Enum):
    """What the gateway is found to be.

    `STOPPED`: by an administrator. `UNWIRED`: to no database, so that there are no virtual keys.
    `UNDECIDED`: it is only starting or about to stop, or a run of ours is at work; what is known
    from before holds.
    """

    SERVING = "serving"
    FAILING = "failing"
    STOPPED = "stopped"
    UNWIRED = "unwired"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Look:
    """What was seen, in `seconds`."""

    state: State
    findings: tuple[Finding, ...]
    seconds: float = 0.0

    @property
    def reason(self) -> Finding | None:
        """What keeps virtual keys from working."""
        if self.state is not State.FAILING:
            return None
        return next(found for found in self.findings if _fails(found) and found.name in SERVES)


@dataclass(frozen=True)
class Gateway:
    """What is looked at; a test hands in others."""

    unit: Callable[[str], Unit] = units.unit
    service: Callable[[str, int], Sequence[Finding]] = lambda name, port: tuple(
        check_service(name, port)
    )
    readiness: Callable[[Unit], Finding] = lambda unit: proof.readiness(units.environment(unit))
    lookup: Callable[[], Finding] = unknown_key.lookup
    compare: Callable[[Host], Iterable[Finding]] = lambda host: differences.compare(host, True)
    clock: Clock = time
    patience: Patience = field(default_factory=Patience)


def look(read: Callable[[], Host], gateway: Gateway) -> Look:
    """Look, and a second time some seconds later before it is said that virtual keys fail.

    `read` reads the host. Raises ServiceFailed when systemd does not say what the units do.
    """
    started = gateway.clock.monotonic()
    seen = _once(read, gateway)
    if seen.state is State.FAILING:
        gateway.clock.sleep(_BEFORE_THE_SECOND)
        seen = _once(read, gateway)
    return replace(seen, seconds=gateway.clock.monotonic() - started)


def judge(litellm: Unit, wrapper: Unit, starting: bool, findings: Sequence[Finding]) -> State:
    """The state of a gateway that is wired, given its units and what was found.

    `starting`: a unit may need its time still. A wrapper that was stopped is not asked for.
    """
    if litellm.active_state == "inactive":
        return State.STOPPED
    asked = [*_OF_LITELLM, *(_OF_THE_WRAPPER if wrapper.active_state != "inactive" else ())]
    failed = {found.name for found in findings if _fails(found)}
    if failed.isdisjoint(asked):
        return State.SERVING if litellm.running else State.UNDECIDED
    # One that answers is not starting any more.
    undecided = starting or "deactivating" in (litellm.active_state, wrapper.active_state)
    return State.UNDECIDED if undecided and KEY not in failed else State.FAILING


def starting(unit: Unit, now: float, patience: Patience) -> bool:
    """Whether a unit may need its time still (`now` is of time.monotonic()).

    One that systemd had to start anew is no such: it may be failing for hours.
    """
    if unit.restarts or unit.sub_state == "auto-restart":
        return False
    young = now - unit.since_monotonic < patience.ready
    return unit.active_state == "activating" or (unit.running and young)


def _once(read: Callable[[], Host], gateway: Gateway) -> Look:
    host, different = _read(read)
    if host is not None:
        different = tuple(gateway.compare(host))
        if not host.wired:
            return Look(State.UNWIRED, different)
    litellm, wrapper = gateway.unit(LITELLM_UNIT), gateway.unit(WRAPPER_UNIT)
    findings = list(gateway.service(LITELLM_UNIT, LITELLM_PORT))
    findings += gateway.service(WRAPPER_UNIT, WRAPPER_PORT)
    answers = not any(_fails(found) and found.name in _OF_LITELLM for found in findings)
    if answers and litellm.running:
        looked_up = gateway.lookup()
        ready = gateway.readiness(litellm)
        if looked_up.level is Level.OK and ready.level is Level.FAILED:
            # LiteLLM keeps what it says here for minutes; the key is what clients see.
            ready = replace(ready, level=Level.WARNING)
        findings += [ready, looked_up]
    else:
        away = "LiteLLM does not answer"
        findings += [Subject(name, "").skipped(away) for name in (READINESS, KEY)]
    now = gateway.clock.monotonic()
    young = any(starting(unit, now, gateway.patience) for unit in (litellm, wrapper))
    return Look(judge(litellm, wrapper, young, findings), (*findings, *different))


def _fails(found: Finding) -> bool:
    return found.level is Level.FAILED


def _read(read: Callable[[], Host]) -> tuple[Host | None, tuple[Finding, ...]]:
    """The host; where its files are not to be read, what says so."""
    try:
        return read(), ()
    except Refused as refusal:
        return None, (Subject(differences.NAME, "").warning(refusal.what, cure=refusal.cure),)
