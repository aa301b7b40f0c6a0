"""Undoing what an interrupted run has left."""

from dataclasses import dataclass
from pathlib import Path

from hx_gateway_db.errors import NotRolledBack
from hx_gateway_db.progress import Progress
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.transaction.transaction import interrupted
from hx_gateway_db.wiring.carry_out import on_edits, restart_as_before
from hx_gateway_db.wiring.interruption import held_back
from hx_gateway_db.wiring.outside import REAL, Outside
from hx_gateway_db.wiring.plan import affected_units
from hx_gateway_db.wiring.prepared_client import tidy
from hx_gateway_db.wiring.take_back import take_back


def recover(root: Path, progress: Progress, outside: Outside = REAL) -> str:
    """Undo what an interrupted run left, and return how that ended, in one line.

    Raises NotRolledBack when a file can't be put back, or a unit that served does not answer.
    """
    with lock(root, "recover"):
        recovery = undo_interrupted(root, progress, outside)
        if recovery is None:
            return "No run was interrupted: nothing to recover."
        if recovery.down:
            raise NotRolledBack(
                "The files are as they were before the interrupted run, but"
                f" {' and '.join(recovery.down)} does not answer. {recovery.trouble}".rstrip()
            )
        return "Everything is as it was before the interrupted run."


@dataclass(frozen=True)
class Recovery:
    """How the undo of an interrupted run ended: the units that served and don't answer, and why."""

    down: tuple[str, ...] = ()
    trouble: str = ""


def undo_interrupted(root: Path, progress: Progress, outside: Outside) -> Recovery | None:
    """Undo it, with the lock held, before anything else is done; None if there was nothing.

    Raises NotRolledBack when a file can't be put back.
    """
    with held_back():
        left = interrupted(root)
        if left is None:
            return None
        progress.say("An earlier run was interrupted: putting its files back.")
        undone = left.transaction.undo(take_back)
        for sentence in on_edits(undone):
            progress.say(sentence)
        recovery = Recovery()
        if outside.live(root):
            # Also a run that had not begun to restart units can have reached them: by a reboot.
            changes = undone.put_back if left.served is None else left.transaction.files
            recovery = _restart_recovered(
                affected_units(changes), left.served or (), progress, outside
            )
        left.transaction.close()
        tidy(root, progress)
        return recovery


def _restart_recovered(
    units: tuple[str, ...], served: tuple[str, ...], progress: Progress, outside: Outside
) -> Recovery:
    try:
        wanted = tuple(name for name in units if outside.units.unit(name).wanted)
        trouble = restart_as_before(wanted, served, progress, outside)
    except ServiceFailed as error:
        wanted, trouble = units, str(error)
    # The files are back; what is asked for now must not wait for the unit's own trouble.
    if trouble:
        progress.say(trouble)
    return Recovery(
        tuple(x for x in wanted if x in served and not outside.readiness.answers(x)), trouble
    )
