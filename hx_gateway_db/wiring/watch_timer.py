"""The timer that looks at the gateway: it goes with the answer WATCH, which stands in a drop-in."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hx_gateway_db.errors import Refused
from hx_gateway_db.host.drop_ins import WATCH
from hx_gateway_db.layout import METRICS, WATCH_FOLDER, WATCH_TIMER, WATCH_UNIT
from hx_gateway_db.progress import Progress
from hx_gateway_db.systemd.units import ServiceFailed, Units
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.removal import remove_tree
from hx_gateway_db.transaction.replacement import replace_file
from hx_gateway_db.transaction.snapshot import take


def follow(root: Path, changes: Iterable[FileChange], units: Units, progress: Progress) -> None:
    """Start or stop the timer of a running system where `changes` say that somebody watches now."""
    change = next((change for change in changes if change.path == WATCH.path), None)
    if change is None or (change.before is None) == (change.after is None):
        return
    try:
        units.daemon_reload()
        if change.after is None:
            units.stop(WATCH_TIMER, WATCH_UNIT)
            _forget(root)
        elif units.policy_forbids(WATCH_TIMER):
            progress.say(f"policy-rc.d forbids starting {WATCH_TIMER}: it starts at the next boot.")
        else:
            units.start(WATCH_TIMER)
    except ServiceFailed as failure:
        progress.say(str(failure))


def _forget(root: Path) -> None:
    """Take away what looks have left."""
    remove_tree(root / WATCH_FOLDER.relative_to("/"))
    with suppress(OSError, Refused):
        replace_file(root, METRICS, take(root, METRICS), None)
