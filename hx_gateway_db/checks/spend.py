"""Whether LiteLLM writes what a request has cost: the very request's row in LiteLLM_SpendLogs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.postgres import check
from hx_gateway_db.postgres.check import NotUsable
from hx_gateway_db.settings.values import Postgres

NAME = "litellm.spend"
_POLL_SECONDS = 0.2
# LiteLLM 1.74.15 gathers rows for 7 to 13 s (PROXY_BATCH_WRITE_AT, 10 s, more or less 3); newer
# ones for up to 30 s while little is asked (1.5 times longer each time, from 2 s).
GATHERING_SECONDS = 10.0
_LONGEST_SECONDS = 30.0
_SLACK_SECONDS = 5.0


@dataclass(frozen=True)
class Request:
    """A request whose row is to come.

    `id` is the one in its reply, `key_sha256` that of the key it was made with, empty if unknown;
    `at` is when it was answered (time.monotonic()).
    """

    id: str
    key_sha256: str
    at: float


@dataclass
class SpendRows:
    """The rows that are waited for; in a watch, those of earlier rounds too.

    `gathering` is for how many seconds LiteLLM gathers rows before it writes them. `seen` is the
    last request whose row was there.
    """

    gathering: float = GATHERING_SECONDS
    awaited: list[Request] = field(default_factory=list)
    seen: Request | None = None

    @property
    def longest(self) -> float:
        """The seconds after which a row that is not there will not come."""
        return max(self.gathering + 3, _LONGEST_SECONDS) + _SLACK_SECONDS

    def look(self, database: Postgres, until: float) -> Finding:
        """Look for the awaited rows until all are there, one is overdue, or the time is `until`.

        Time is that of time.monotonic(). A row that is overdue is reported once.
        """
        where = f"LiteLLM_SpendLogs in {database.database}"
        try:
            with check.spend_rows(database, self._patience(until)) as written:
                self._take_written(written)
                while self.awaited and (now := time.monotonic()) < until and not self._overdue(now):
                    time.sleep(_POLL_SECONDS)
                    self._take_written(written)
        except NotUsable as error:
            return replace(error.finding, name=NAME)
        return self._finding(where, time.monotonic())

    def _take_written(self, written: Callable[[str, str], bool]) -> None:
        for request in [*self.awaited]:
            if written(request.id, request.key_sha256):
                self.awaited.remove(request)
                self.seen = request

    def _patience(self, until: float) -> float:
        """For how many seconds rows can be looked for at most."""
        return max(0.0, min(until - time.monotonic(), self.longest))

    def _overdue(self, now: float) -> bool:
        return bool(self.awaited) and now - self.awaited[0].at > self.longest

    def _finding(self, where: str, now: float) -> Finding:
        if self._overdue(now):
            age = now - self.awaited.pop(0).at
            return Subject(NAME, where).failed(
                f"LiteLLM has not written the row of the chat of {age:.0f} s ago",
                "what is spent is not counted",
                f"read 'journalctl -u {LITELLM_UNIT.removesuffix('.service')} -n 80 --no-pager'",
            )
        if self.seen:
            age = now - self.seen.at
            which = "this chat" if not self.awaited else f"the chat of {age:.0f} s ago"
            return Subject(NAME, where).ok(f"the row of {which} is written")
        return Subject(NAME, where).skipped(
            "the row of this chat is not written yet",
            f"LiteLLM gathers rows for about {self.gathering:.0f} s",
            "run 'hx-gateway-db verify --wait'",
        )
