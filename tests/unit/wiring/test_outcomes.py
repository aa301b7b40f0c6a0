"""How an apply, a rollback and a recovery end, whatever fails on the way.

What must hold each time: the files are those of before or those that were wanted, never a mixture;
what served serves; the journal is there only while something is left to be undone.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hx_gateway_db.errors import CheckFailed, HxError, NotRolledBack, Refused, RolledBack
from hx_gateway_db.layout import LITELLM_UNIT, STATE_FOLDER, WRAPPER_UNIT
from hx_gateway_db.settings.answers import parse_answers
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction import transaction as transaction_module
from hx_gateway_db.transaction.replacement import replace_file
from hx_gateway_db.wiring.apply import Request, apply
from hx_gateway_db.wiring.recover import recover
from hx_gateway_db.wiring.rollback import rollback
from tests.unit.tree import ANSWERS, CONFIG, ENV, UNIT_FOLDERS, snapshot
from tests.unit.wiring.conftest import SIGNALS
from tests.unit.wiring.world import ENDS_LATE, EXITS, HANGS, LONG, REFUSES, SHORT, World

BOTH = ["litellm", "wrapper"]
REQUEST = Request(parse_answers(ANSWERS, "the test"))


@pytest.fixture
def world(root: Path) -> World:
    """A gateway without a database, both of whose units serve."""
    return World(root)


@pytest.fixture
def wired(world: World) -> World:
    """The same once it has its database."""
    apply(world.root, REQUEST, world, world.outside)
    world.log.clear()
    world.said.clear()
    world.before = snapshot(world.root)
    return world


def journal(world: World) -> bool:
    return (world.root / STATE_FOLDER.relative_to("/") / "journal").exists()


def applied(world: World) -> str:
    return apply(world.root, REQUEST, world, world.outside)


def failed(world: World, run: Callable[[World], str], kind: type[HxError]) -> str:
    """What is said when `run` ends with just this kind of error, in one text with the news."""
    with pytest.raises(HxError) as error:
        run(world)
    assert type(error.value) is kind
    said = "\n".join([*world.said, str(error.value)])
    assert "geh@im" not in said and "geh%40im" not in said
    return said


def rolled_back(world: World) -> str:
    return rollback(world.root, world, world.outside)


def recovered(world: World) -> str:
    return recover(world.root, world, world.outside)


# An apply


def test_an_apply_restarts_both_units_and_proves_them(world: World) -> None:
    assert applied(world) == "The gateway is wired to its database."
    assert world.restarted == BOTH
    assert "A virtual key works." in world.said
    assert world.log[0] == "daemon-reload"
    assert not journal(world)
    assert applied(world) == "Nothing to change: the gateway is wired as answered."
    assert world.restarted == BOTH


def fail_at(world: World, moment: str, error: Exception) -> None:
    def fail() -> None:
        raise error

    world.during[moment] = fail


NO_RELOAD = ServiceFailed("'systemctl daemon-reload' failed: no bus.")
NO_SHOW = ServiceFailed("'systemctl show' failed: no bus.")


@dataclass(frozen=True)
class Fault:
    """What is made to fail, and how that must end."""

    make: Callable[[World], None]
    error: type[HxError]
    says: str
    restarted: list[str]


def unit_fault(unit: str, fault: str) -> Callable[[World], None]:
    return lambda world: setattr(getattr(world, unit), "with_new_files", fault)


AGAIN = ["litellm", "litellm"]
BOTH_AGAIN = [*BOTH, *BOTH]
APPLY_FAULTS = {
    "a check finds something": Fault(
        lambda world: setattr(world, "gone", "PostgreSQL is gone."),
        *(CheckFailed, "PostgreSQL is gone. Everything is as it was.", []),
    ),
    "daemon-reload fails": Fault(
        lambda world: fail_at(world, "daemon-reload", NO_RELOAD),
        *(Refused, "no bus. Everything is as it was.", []),
    ),
    "LiteLLM can't be asked about before its restart": Fault(
        lambda world: world.during.update(
            {"check servers": lambda: fail_at(world, f"show {LITELLM_UNIT}", NO_SHOW)}
        ),
        *(Refused, "no bus. Everything is as it was.", []),
    ),
    "LiteLLM can't be started": Fault(
        unit_fault("litellm", REFUSES),
        *(RolledBack, f"'systemctl restart {LITELLM_UNIT}' failed", AGAIN),
    ),
    "LiteLLM exits": Fault(
        unit_fault("litellm", EXITS), RolledBack, "ended while it was starting", AGAIN
    ),
    "LiteLLM hangs": Fault(
        unit_fault("litellm", HANGS), RolledBack, "was not ready after 240 s", AGAIN
    ),
    "LiteLLM ends late": Fault(
        unit_fault("litellm", ENDS_LATE), RolledBack, "came up and ended again", BOTH_AGAIN
    ),
    "the wrapper can't be started": Fault(
        unit_fault("wrapper", REFUSES),
        *(RolledBack, f"'systemctl restart {WRAPPER_UNIT}' failed", BOTH_AGAIN),
    ),
    "the wrapper exits": Fault(
        unit_fault("wrapper", EXITS), RolledBack, "ended while it was starting", BOTH_AGAIN
    ),
    "the wrapper hangs": Fault(
        unit_fault("wrapper", HANGS), RolledBack, "was not ready after 240 s", BOTH_AGAIN
    ),
    "the wrapper ends late": Fault(
        unit_fault("wrapper", ENDS_LATE), RolledBack, "came up and ended again", BOTH_AGAIN
    ),
    "the proof fails": Fault(
        lambda world: setattr(world, "unproven", "a virtual key is refused."),
        *(RolledBack, "a virtual key is refused", BOTH_AGAIN),
    ),
}


@pytest.mark.parametrize("fault", APPLY_FAULTS.values(), ids=APPLY_FAULTS)
def test_an_apply_that_fails_leaves_the_gateway_of_before(world: World, fault: Fault) -> None:
    fault.make(world)
    said = failed(world, applied, fault.error)
    assert fault.says in said
    ending = "Everything is as it was." if not fault.restarted else "Everything was put back."
    assert ending in said
    assert world.restarted == fault.restarted
    assert snapshot(world.root) == world.before
    assert world.outside.readiness.answering() == (LITELLM_UNIT, WRAPPER_UNIT)
    assert not journal(world)


@pytest.mark.parametrize("unit", BOTH)
def test_the_units_own_words_are_told_when_it_is_at_fault(world: World, unit: str) -> None:
    unit_fault(unit, EXITS)(world)
    said = failed(world, applied, RolledBack)
    name = LONG[unit]
    assert f"{name} said last:\n  {name} fails on purpose" in said


@pytest.mark.parametrize("again", [EXITS, HANGS, REFUSES])
@pytest.mark.parametrize("unit", BOTH)
def test_a_unit_that_does_not_come_up_with_its_old_files_either_is_said_to_be_down(
    world: World, unit: str, again: str
) -> None:
    unit_fault(unit, EXITS)(world)
    getattr(world, unit).with_old_files = again
    said = failed(world, applied, NotRolledBack)
    name = LONG[unit]
    assert f"The files are as before, but {name} does not answer." in said
    assert "Everything" not in said
    assert snapshot(world.root) == world.before
    # The next run tries again.
    assert journal(world)
    getattr(world, unit).with_old_files = ""
    assert recovered(world) == "Everything is as it was before the interrupted run."
    assert not journal(world)


@pytest.mark.parametrize("which", range(5))
def test_a_disk_that_fails_at_any_file_leaves_all_as_they_were(
    world: World, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    written: list[object] = []

    def replace(root: Path, path: object, before: object, after: object) -> None:
        written.append(path)
        if len(written) == which + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        replace_file(root, path, before, after)  # type: ignore[arg-type]

    monkeypatch.setattr(transaction_module, "replace_file", replace)
    said = failed(world, applied, Refused)
    assert "No space left on device" in said and "Everything is as it was." in said
    assert snapshot(world.root) == world.before
    assert world.restarted == []
    assert not journal(world)


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.EBUSY, "it is a mount of its own, as in a container; mount the folder that"),
        (errno.EPERM, "it, or its folder, is immutable or append-only; see lsattr, and chattr"),
        (errno.EROFS, "make that file system writable"),
        (errno.ENOSPC, "make room there"),
    ],
)
def test_what_root_is_not_let_do_with_a_file_is_told_with_its_cure(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int, cure: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), f"/{CONFIG}")

    monkeypatch.setattr(transaction_module, "replace_file", refuse)
    said = failed(world, applied, Refused)
    assert f"/{CONFIG}: {os.strerror(number)}: {cure}" in said
    assert said.endswith(" Everything is as it was.")


# Units that are not there, or not running


@dataclass(frozen=True)
class Condition:
    """A unit that is not simply running, and what is said of it."""

    load: str
    active: str
    serves: bool
    says: str
    restarted: bool


CONDITIONS = {
    "missing": Condition("not-found", "inactive", False, "is not installed: its drop-in", False),
    "masked": Condition("masked", "inactive", False, "is masked: left alone.", False),
    "stopped": Condition("loaded", "inactive", False, "is stopped: left stopped; start it", False),
    "failed": Condition("loaded", "failed", False, "is up again", True),
    "running and silent": Condition("loaded", "active", False, "is up again", True),
}


def put(world: World, unit: str, condition: Condition) -> None:
    simulated = getattr(world, unit)
    simulated.load, simulated.active = condition.load, condition.active
    simulated.serves = condition.serves


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
@pytest.mark.parametrize("unit", BOTH)
def test_an_apply_restarts_what_runs_or_should(
    world: World, unit: str, condition: Condition
) -> None:
    put(world, unit, condition)
    assert applied(world) == "The gateway is wired to its database."
    assert world.restarted == [x for x in BOTH if x != unit or condition.restarted]
    name = LONG[unit]
    assert any(f"{name} {condition.says}" in line for line in world.said)
    assert ("A virtual key works." in world.said) is (unit == "wrapper" or condition.restarted)
    assert not journal(world)


@pytest.mark.parametrize("unit", BOTH)
def test_a_unit_that_was_broken_before_is_no_reason_to_call_a_put_back_failed(
    world: World, unit: str
) -> None:
    put(world, unit, CONDITIONS["failed"])
    getattr(world, unit).with_old_files = EXITS
    world.unproven = "a virtual key is refused."
    said = failed(world, applied, RolledBack)
    assert "Everything was put back." in said
    assert snapshot(world.root) == world.before
    assert not journal(world)


@pytest.mark.parametrize("name", [LITELLM_UNIT, WRAPPER_UNIT])
def test_what_policy_forbids_to_restart_is_said_and_remembered(world: World, name: str) -> None:
    world.forbidden = (name,)
    assert applied(world) == "The gateway is wired to its database."
    short = SHORT[name]
    assert world.restarted == [x for x in BOTH if x != short]
    said = f"policy-rc.d forbids restarting {name}: it runs with the old files."
    assert said in world.said
    world.forbidden = ()
    world.log.clear()
    applied(world)
    assert world.restarted == [short]


# A rollback


def test_a_rollback_restarts_both_and_leaves_no_drop_in(wired: World) -> None:
    assert rolled_back(wired) == "The gateway is without a database again."
    assert wired.restarted == BOTH
    assert not any((wired.root / folder).exists() for folder in UNIT_FOLDERS)
    assert "disable_spend_logs: true" in (wired.root / CONFIG).read_text()
    assert (wired.root / ENV).exists()
    assert not journal(wired)


@pytest.mark.parametrize("fault", [EXITS, HANGS, ENDS_LATE, REFUSES])
@pytest.mark.parametrize("unit", BOTH)
def test_a_rollback_that_fails_leaves_the_wired_gateway_and_names_the_way_out(
    wired: World, unit: str, fault: str
) -> None:
    unit_fault(unit, fault)(wired)
    said = failed(wired, rolled_back, RolledBack)
    assert "Everything was put back." in said
    stop = {"litellm": "hx-litellm-gateway", "wrapper": "hx-gateway-ml"}[unit]
    assert f"To go on without them, run 'systemctl stop {stop}', then this again" in said
    assert snapshot(wired.root) == wired.before
    # The way out works.
    simulated = getattr(wired, unit)
    simulated.active, simulated.serves = "inactive", False
    assert rolled_back(wired) == "The gateway is without a database again."


@pytest.mark.parametrize("fault", ["", EXITS, HANGS, REFUSES])
@pytest.mark.parametrize("unit", BOTH)
def test_a_unit_that_is_broken_already_keeps_nobody_from_removing_us(
    wired: World, unit: str, fault: str
) -> None:
    put(wired, unit, CONDITIONS["failed"])
    unit_fault(unit, fault)(wired)
    assert rolled_back(wired) == "The gateway is without a database again."
    assert wired.restarted == BOTH
    assert any("did not answer before" in line for line in wired.said)


@pytest.mark.parametrize("name", [LITELLM_UNIT, WRAPPER_UNIT])
def test_a_unit_that_would_not_come_up_again_is_left_running(wired: World, name: str) -> None:
    wired.obstacles[name] = "its program is gone"
    assert rolled_back(wired) == f"The wiring is gone; {name} waits for a restart."
    short = SHORT[name]
    assert wired.restarted == [x for x in BOTH if x != short]
    assert wired.outside.readiness.answering() == (LITELLM_UNIT, WRAPPER_UNIT)


# An interrupted run


class Killed(BaseException):
    """The process has gone: nothing of it runs any more."""


def killed_at(world: World, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An apply that ends at this moment without a chance to put anything back."""
    from hx_gateway_db.wiring.carry_out import Run

    def die() -> None:
        raise Killed

    world.during[moment] = die
    with monkeypatch.context() as context:
        context.setattr(Run, "_put_back", lambda *_: None)
        with pytest.raises(Killed):
            applied(world)
    assert journal(world)
    world.log.clear()


MOMENTS = {
    "daemon-reload": [],
    f"restart {LITELLM_UNIT}": BOTH,
    f"restart {WRAPPER_UNIT}": BOTH,
    "prove": BOTH,
    "waiting": BOTH,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_recovery_puts_back_what_a_killed_run_has_left(
    world: World, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(world, moment, monkeypatch)
    assert recovered(world) == "Everything is as it was before the interrupted run."
    assert snapshot(world.root) == world.before
    assert world.restarted == BOTH
    assert world.outside.readiness.answering() == (LITELLM_UNIT, WRAPPER_UNIT)
    assert not journal(world)
    assert recovered(world) == "No run was interrupted: nothing to recover."


@pytest.mark.parametrize("fault", [EXITS, HANGS, REFUSES])
@pytest.mark.parametrize("unit", BOTH)
def test_a_recovery_restarts_both_units_though_one_fails_and_says_which(
    world: World, unit: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(world, "prove", monkeypatch)
    getattr(world, unit).with_old_files = fault
    said = failed(world, recovered, NotRolledBack)
    name = LONG[unit]
    assert f"before the interrupted run, but {name} does not answer." in said
    assert world.restarted == BOTH
    assert snapshot(world.root) == world.before
    assert not journal(world)


def test_what_is_asked_for_does_not_wait_for_a_unit_that_a_recovery_could_not_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(world, "prove", monkeypatch)
    world.litellm.with_old_files = EXITS
    assert applied(world) == "The gateway is wired to its database."
    assert world.restarted == [*BOTH, *BOTH]


# Signals


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", SIGNALS)
class TestASignal:
    @pytest.mark.parametrize("moment", MOMENTS)
    def test_during_an_apply_puts_everything_back(
        self, world: World, number: int, moment: str
    ) -> None:
        world.during[moment] = lambda: signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            applied(world)
        assert snapshot(world.root) == world.before
        assert world.outside.readiness.answering() == (LITELLM_UNIT, WRAPPER_UNIT)
        assert not journal(world)

    def test_while_everything_is_put_back_changes_nothing_of_that(
        self, world: World, number: int
    ) -> None:
        world.unproven = "a virtual key is refused."
        world.during["prove"] = lambda: world.during.update(
            {f"restart {WRAPPER_UNIT}": lambda: signal.raise_signal(number)}
        )
        said = failed(world, applied, RolledBack)
        assert "a virtual key is refused" in said
        assert snapshot(world.root) == world.before
        assert not journal(world)

    def test_does_not_hide_that_a_unit_is_down(self, world: World, number: int) -> None:
        world.litellm.with_new_files = world.litellm.with_old_files = EXITS
        world.during[f"restart {LITELLM_UNIT}"] = lambda: world.during.update(
            {f"restart {LITELLM_UNIT}": lambda: signal.raise_signal(number)}
        )
        said = failed(world, applied, NotRolledBack)
        assert f"{LITELLM_UNIT} does not answer" in said

    def test_during_a_recovery_waits_for_its_end(
        self, world: World, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed_at(world, "prove", monkeypatch)
        world.during["daemon-reload"] = lambda: signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            recovered(world)
        assert snapshot(world.root) == world.before
        assert world.restarted == BOTH
        assert not journal(world)
