"""What the last looks have seen: how it is kept, how it goes on, and what is said of it.

docs/schema/look.schema.json describes the file; whoever changes what is in it changes that, and
`SCHEMA` when a reader of before would be misled.
"""

import json
import time
from calendar import timegm
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hx_gateway_db.checks.look import SERVES, Look, State
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.layout import LAST_LOOK, WATCH_TIMER
from hx_gateway_db.redaction import said
from hx_gateway_db.transaction import foreign_file
from hx_gateway_db.transaction.foreign_file import Unreadable

SCHEMA = 1
NAME = "looks"
# More than any of it can be: this many spans of states, and as much text in each.
_LARGEST = 256 * 1024
_MOST_SPANS = 20
_SHOWN_SPANS = 3
# A look every five minutes; after three that did not come, nobody looks any more.
_OLD_SECONDS = 900.0
_DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class Span:
    """A state from the first look that saw it to the first that saw another (seconds since 1970).

    `reason` says in a clause why virtual keys failed.
    """

    state: State
    since: float
    until: float
    reason: str = ""


@dataclass(frozen=True)
class LastLook:
    """What the last look saw, since when it has been so, and the states before, oldest first.

    `looked_at` is in seconds since 1970; `seconds` is how long it took; `checks` are what it found.
    """

    state: State
    since: float
    looked_at: float
    seconds: float
    reason: str
    cure: str
    checks: tuple[Mapping[str, str], ...]
    history: tuple[Span, ...] = ()

    @property
    def warnings(self) -> int:
        """How many checks are not well without keeping virtual keys from working."""
        told = (Level.WARNING.value, Level.FAILED.value)
        return sum(check["result"] in told and check["name"] not in SERVES for check in self.checks)

    def to_json(self) -> dict[str, object]:
        """As the file has it; scripts rely on these names."""
        return {
            "schema": SCHEMA,
            "state": self.state.value,
            "since": _iso(self.since),
            "looked_at": _iso(self.looked_at),
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
            "cure": self.cure,
            "checks": [dict(check) for check in self.checks],
            "history": [
                asdict(span)
                | {"state": span.state.value, "since": _iso(span.since), "until": _iso(span.until)}
                for span in self.history
            ],
        }


def after(before: LastLook | None, look: Look, now: float) -> LastLook:
    """What is known once a look has decided on a state, at `now` (seconds since 1970)."""
    reason = look.reason
    seen = LastLook(
        state=look.state,
        since=now,
        looked_at=now,
        seconds=look.seconds,
        reason=_clause(reason) if reason else "",
        cure=said(reason.cure) if reason else "",
        checks=tuple(_check(finding) for finding in look.findings),
    )
    if before is None:
        return seen
    if before.state is look.state:
        return replace(seen, since=before.since, history=before.history)
    span = Span(before.state, before.since, now, before.reason)
    return replace(seen, history=(*before.history, span)[-_MOST_SPANS:])


def text(last: LastLook) -> str:
    """The file."""
    return f"{json.dumps(last.to_json(), indent=2)}\n"


def present(root: Path) -> LastLook | None:
    """What the looks at the host at `root` have left; None where nobody watches."""
    with suppress(Unreadable):
        return read(foreign_file.read(LAST_LOOK, _LARGEST, root))
    return None


def read(text: bytes) -> LastLook | None:
    """What a file of ours says; None for one of another version, or one that is none."""
    try:
        found = json.loads(text)
        if found["schema"] != SCHEMA:
            return None
        return LastLook(
            state=State(found["state"]),
            since=_seconds(found["since"]),
            looked_at=_seconds(found["looked_at"]),
            seconds=float(found["seconds"]),
            reason=said(found["reason"]),
            cure=said(found["cure"]),
            checks=tuple(found["checks"]),
            history=tuple(_span(span) for span in found["history"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def finding(last: LastLook, now: float) -> Finding:
    """What the last looks saw, in one sentence (`now` in seconds since 1970)."""
    subject = Subject(NAME, str(LAST_LOOK))
    failed = [span for span in last.history if span.state is State.FAILING]
    told = [
        f"virtual keys failed from {_clock(span.since, now)} to {_clock(span.until, now)}"
        f" ({span.reason})"
        for span in failed
        if now - span.until < _DAY_SECONDS
    ]
    looked = _clock(last.looked_at, now)
    if now - last.looked_at > _OLD_SECONDS:
        cure = f"see 'systemctl status {WATCH_TIMER}'"
        return subject.warning(f"nobody has looked since {looked}", "; ".join(told), cure)
    before = told[-_SHOWN_SPANS:]
    if last.state is State.FAILING:
        since = f"virtual keys have failed since {_clock(last.since, now)} ({last.reason})"
        return subject.warning("; ".join([*before, since]), cure=last.cure)
    present = f"the last look, {looked}, found the gateway {last.state.value}"
    if not before:
        return subject.ok(present, f"since {_clock(last.since, now)}")
    return subject.warning("; ".join([*before, present]))


def sentence(check: Mapping[str, str]) -> str:
    """One of the checks of a look, as a finding says it."""
    cured = (check["detail"], check["cure"]) if check["cure"] else (check["detail"],)
    return f"{': '.join(cured)}."


def _clause(found: Finding) -> str:
    return said(f"{found.what} ({found.why})" if found.why else found.what)


def _check(found: Finding) -> Mapping[str, str]:
    return {
        "name": found.name,
        "result": found.level.value,
        "detail": _clause(found),
        "cure": said(found.cure),
    }


def _span(found: Mapping[str, Any]) -> Span:
    state, reason = State(found["state"]), said(found["reason"])
    return Span(state, _seconds(found["since"]), _seconds(found["until"]), reason)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _seconds(text: str) -> float:
    return float(timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


def _clock(moment: float, now: float) -> str:
    """A time of day as a person here reads it, with its date where that is not today's."""
    then, today = time.localtime(moment), time.localtime(now)
    form = "%H:%M" if then[:3] == today[:3] else "%F %H:%M"
    return time.strftime(form, then)
