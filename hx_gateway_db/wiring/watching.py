"""The watch: a look at the gateway, and where what it has seen goes.

That is a file below /run, a line in the journal when the state has changed, and metrics where
node_exporter reads them.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hx_gateway_db.checks import last_look, metrics
from hx_gateway_db.checks.last_look import LastLook
from hx_gateway_db.checks.look import Gateway, Look, State, look
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Subject
from hx_gateway_db.host.host import Host, read_host
from hx_gateway_db.layout import LAST_LOOK, METRICS
from hx_gateway_db.systemd import journal_entry
from hx_gateway_db.transaction.folders import exists
from hx_gateway_db.transaction.lock import RunsSeen
from hx_gateway_db.transaction.replacement import replace_file
from hx_gateway_db.transaction.snapshot import FileImage, Metadata, take

# A change of state has this MESSAGE_ID in the journal, and no other message has it.
CHANGED = "bb7f2cd4276f4f20a07a2c0da9f6b1c2"
_ERROR, _NOTICE = "3", "5"  # syslog(3)
_TRIES = 2
RUN = "run"


@dataclass(frozen=True)
class Looked:
    """What is known after a look, whether virtual keys fail, and what could not be done with it."""

    now: LastLook
    failing: bool
    trouble: tuple[str, ...]


@dataclass(frozen=True)
class Watch:
    """Where looks come from and go to; a test hands in others. `now` is in seconds since 1970."""

    root: Path = Path("/")
    gateway: Gateway = field(default_factory=Gateway)
    now: Callable[[], float] = time.time
    tell: Callable[[Mapping[str, str]], None] = journal_entry.send

    def once(self, keep: bool) -> Looked:
        """Look once, and `keep` what was seen for others to read.

        What is undecided leaves what is known as it is. Raises ServiceFailed when systemd does not
        say what the units do.
        """
        before, seen = last_look.present(self.root), self._look()
        now = last_look.after(before, seen, self.now())
        if seen.state is State.UNDECIDED:
            return Looked(now, before is not None and before.state is State.FAILING, ())
        trouble = tuple(self._keep(before, now)) if keep else ()
        return Looked(now, seen.state is State.FAILING, trouble)

    def _look(self) -> Look:
        """Look, but not at what a run of ours is doing just now."""
        for _ in range(_TRIES):
            runs = RunsSeen(self.root)
            if runs.at_work:
                break
            seen = look(self._read, self.gateway)
            if not runs.any_since:
                return seen
        what = f"{runs.at_work or 'hx-gateway-db'} is at work: it was not looked"
        return Look(State.UNDECIDED, (Subject(RUN, "").skipped(what),))

    def _keep(self, before: LastLook | None, now: LastLook) -> Iterator[str]:
        """Keep what is known now; yields what could not be done."""
        steps: tuple[Callable[[], None], ...] = (
            lambda: self._write(LAST_LOOK, last_look.text(now)),
            lambda: self._write(METRICS, metrics.text(now)),
            lambda: self._tell(before, now),
        )
        for step in steps:
            try:
                step()
            except (OSError, Refused) as error:
                yield str(error)

    def _read(self) -> Host:
        return read_host(self.root)

    def _write(self, path: PurePosixPath, content: str) -> None:
        if exists(self.root, path.parent):
            image = FileImage(content.encode(), Metadata(0, 0, 0o644))
            replace_file(self.root, path, take(self.root, path), image)

    def _tell(self, before: LastLook | None, now: LastLook) -> None:
        if (before.state if before else State.SERVING) is not now.state:
            self.tell(_entry(before, now))


def _entry(before: LastLook | None, now: LastLook) -> dict[str, str]:
    if now.state is State.FAILING:
        message = f"Virtual keys fail: {now.reason}: {now.cure}."
    elif now.state is State.SERVING:
        message = "Virtual keys work."
    elif now.state is State.STOPPED:
        message = "The gateway is stopped."
    else:
        message = "The gateway is wired to no database."
    return {
        "MESSAGE": message,
        "MESSAGE_ID": CHANGED,
        "PRIORITY": _ERROR if now.state is State.FAILING else _NOTICE,
        "SYSLOG_IDENTIFIER": "hx-gateway-db",
        "HX_GATEWAY_STATE": now.state.value,
        "HX_GATEWAY_STATE_BEFORE": before.state.value if before else "",
    }
