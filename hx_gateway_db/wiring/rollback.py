"""Leading a gateway back to where it has no database."""

from pathlib import Path

from hx_gateway_db.errors import Refused
from hx_gateway_db.host.host import read_host
from hx_gateway_db.progress import Progress
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.wiring.carry_out import Run, new_run
from hx_gateway_db.wiring.outside import REAL, Outside
from hx_gateway_db.wiring.plan import plan_rollback
from hx_gateway_db.wiring.prepared_client import tidy
from hx_gateway_db.wiring.recover import undo_interrupted

# The last of them leaves config.yaml as it is.
_ATTEMPTS = 3


def rollback(root: Path, progress: Progress, outside: Outside = REAL) -> str:
    """Leave a gateway without a database, and see that it serves. As `apply` otherwise.

    Nobody who owns config.yaml or gateway.env can keep it from ending: what can't be edited, and
    what somebody changes whenever it is read, is left as it is.
    """
    with lock(root, "rollback"):
        undo_interrupted(root, progress, outside)
        run = _rolled_back(root, progress, outside)
        if run is None:
            return "Nothing is wired: nothing to roll back."
        for note in run.plan.notes:
            progress.say(note)
        tidy(root, progress)
        if run.spared:
            return f"The wiring is gone; {' and '.join(run.spared)} waits for a restart."
        return "The gateway is without a database again."


def _rolled_back(root: Path, progress: Progress, outside: Outside) -> Run | None:
    """The run that has rolled the host back; None when there was nothing to do."""
    for attempt in range(1, _ATTEMPTS + 1):
        host = read_host(root, lenient=True)
        plan = plan_rollback(host, leave_config=attempt == _ATTEMPTS)
        if plan.empty:
            return None
        run = new_run(host, plan, None, progress, outside)
        try:
            run.carry_out()
            return run
        except Refused:
            edits = any(change.path == host.layout.config_yaml for change in plan.changes.files)
            if run.written or not edits:
                raise
    return None
