"""Undoing what an interrupted run has left."""

from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from hx_gateway_db.errors import NotRolledBack
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.progress import Progress
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.transaction.transaction import interrupted
from hx_gateway_db.wiring.beside import Beside, DoesNotWork, second_left
from hx_gateway_db.wiring.carry_out import on_edits, restart_as_before
from hx_gateway_db.wiring.interruption import held_back
from hx_gateway_db.wiring.outside import REAL, Outside
from hx_gateway_db.wiring.plan import affected_units, in_order
from hx_gateway_db.wiring.prepared_client import tidy
from hx_gateway_db.wiring.provisioning import local_login_as_wired
from hx_gateway_db.wiring.take_back import take_back


def recover(root: Path, progress: Progress, outside: Outside = REAL) -> str:
    """Undo what an interrupted run left, and return how that ended, in one line.

    Raises NotRolledBack when a file can't be put back, or a unit that served does not answer.
    """
    with lock(root, "recover"):
        recovery = undo_interrupted(root, progress, outside)
        if recovery is None:
            return "No run was interrupted: nothing to recover."
        if not recovery.files:
            return "What an interrupted run had left of a second gateway is gone."
        if recovery.down:
            raise NotRolledBack(
                "The files are as they were before the interrupted run, but"
                f" {' and '.join(recovery.down)} does not answer. {recovery.trouble}".rstrip()
            )
        return "Everything is as it was before the interrupted run."


@dataclass(frozen=True)
class Recovery:
    """How the undo of an interrupted run ended: the units that served and don't answer, and why.

    `files`: there were files to be put back, and not only a second gateway to be taken away.
    """

    down: tuple[str, ...] = ()
    trouble: str = ""
    files: bool = True


def undo_interrupted(root: Path, progress: Progress, outside: Outside) -> Recovery | None:
    """Undo it, with the lock held, before anything else is done; None if there was nothing.

    Raises NotRolledBack when a file can't be put back.
    """
    with held_back():
        second, left = second_left(root), interrupted(root)
        if left is None and second is None:
            return None
        with closing(Beside(root, progress, outside)) as beside:
            if second:
                beside.adopt(second)
            if left is None:
                if outside.live(root):
                    local_login_as_wired(read_host(root, lenient=True))
                return Recovery(files=False)
            progress.say("An earlier run was interrupted: putting its files back.")
            undone = left.transaction.undo(take_back)
            for sentence in on_edits(undone):
                progress.say(sentence)
            recovery = Recovery()
            if outside.live(root):
                local_login_as_wired(read_host(root, lenient=True))
                # Also a run that had not begun to restart can have reached units: by a reboot.
                changes = undone.put_back if left.served is None else left.transaction.files
                names = affected_units(changes)
                recovery = _restart_recovered(names, left.served or (), progress, beside)
            left.transaction.close()
        tidy(root, progress)
        return recovery


def _restart_recovered(
    names: tuple[str, ...], served: tuple[str, ...], progress: Progress, beside: Beside
) -> Recovery:
    names = in_order({*names, *(name for name in beside.stopped if name in served)})
    try:
        wanted = tuple(name for name in names if _is_wanted(name, beside))
        if LITELLM_UNIT in wanted and not beside.redirected:
            _hand_over(beside)
            wanted = in_order({*wanted, *beside.stopped})
        trouble = restart_as_before(wanted, served, progress, beside.outside)
    except ServiceFailed as error:
        wanted, trouble = names, str(error)
    # The files are back; what is asked for now must not wait for the unit's own trouble.
    if trouble:
        progress.say(trouble)
    answers = beside.outside.readiness.answers
    return Recovery(tuple(x for x in wanted if x in served and not answers(x)), trouble)


def _is_wanted(name: str, beside: Beside) -> bool:
    unit = beside.around.units.unit(name)
    return unit.wanted or (unit.present and name in beside.stopped)


def _hand_over(beside: Beside) -> None:
    """Have a second gateway serve while the units restart, if they serve now and it works."""
    answering = beside.around.readiness.answering()
    host = read_host(beside.root, lenient=True)
    if LITELLM_UNIT not in answering or not (host.trial and host.handover):
        return
    with suppress(DoesNotWork):
        beside.try_out(host, (), answering, True, None)
        beside.take_over()
