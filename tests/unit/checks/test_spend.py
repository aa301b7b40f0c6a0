"""Which rows of LiteLLM_SpendLogs are said to be written, not written yet, and overdue."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hx_gateway_db.checks.spend import Request, SpendRows
from hx_gateway_db.findings import Level
from hx_gateway_db.postgres import check
from hx_gateway_db.settings.values import Postgres

DATABASE = Postgres("db1", "hx", "hx", "geheim")


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("hx_gateway_db.checks.spend.time", clock)
    return clock


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> dict[str, float]:
    """The ids of rows, and when they are there; in place of a database (tests/machine has one)."""
    rows: dict[str, float] = {}

    @contextmanager
    def spend_rows(_: Postgres, seconds: float) -> Iterator[Callable[[str, str], bool]]:
        assert 0 <= seconds < 100
        yield lambda request, key: rows.get(request, float("inf")) <= clock.now

    monkeypatch.setattr(check, "spend_rows", spend_rows)
    return rows


def test_a_row_that_comes_in_time_is_waited_for(clock: Clock, written: dict[str, float]) -> None:
    spend = SpendRows(awaited=[Request("a", "", clock.now)])
    written["a"] = 1002.0
    found = spend.look(DATABASE, until=1004.0)
    assert (found.level, found.what) == (Level.OK, "the row of this chat is written")
    assert clock.now < 1003


def test_a_row_that_has_not_come_is_no_failure(clock: Clock, written: dict[str, float]) -> None:
    found = SpendRows(awaited=[Request("a", "", clock.now)]).look(DATABASE, until=1004.0)
    assert found.level is Level.SKIPPED
    assert "verify --wait" in found.cure
    assert clock.now == pytest.approx(1004, abs=0.5)


def test_one_who_waits_learns_that_it_will_not_come(
    clock: Clock, written: dict[str, float]
) -> None:
    found = SpendRows(awaited=[Request("a", "", clock.now)]).look(DATABASE, until=float("inf"))
    assert found.level is Level.FAILED
    assert "the row of the chat of 35 s ago" in found.what


def test_litellm_may_be_told_to_gather_for_longer(clock: Clock, written: dict[str, float]) -> None:
    spend = SpendRows(gathering=60.0, awaited=[Request("a", "", clock.now)])
    written["a"] = 1062.0
    assert spend.look(DATABASE, until=float("inf")).level is Level.OK


def test_a_watch_finds_the_rows_of_earlier_rounds(clock: Clock, written: dict[str, float]) -> None:
    spend = SpendRows()
    written |= {"a": 1009.0, "b": 1009.0}
    levels = []
    for name in "abcd":
        spend.awaited.append(Request(name, "", clock.now))
        found = spend.look(DATABASE, until=clock.now)
        levels.append(found.level)
        clock.sleep(5)
    assert levels == [Level.SKIPPED, Level.SKIPPED, Level.OK, Level.OK]
    assert found.what == "the row of the chat of 10 s ago is written"
    assert [request.id for request in spend.awaited] == ["c", "d"]


def test_a_watch_tells_of_a_row_that_is_overdue_once(
    clock: Clock, written: dict[str, float]
) -> None:
    spend = SpendRows()
    written |= {"b": 1000.0, "c": 1000.0}
    levels = []
    for name in "abc":
        spend.awaited.append(Request(name, "", clock.now))
        levels.append(spend.look(DATABASE, until=clock.now).level)
        clock.sleep(20)
    spend.awaited.append(Request("d", "", clock.now))
    levels.append(spend.look(DATABASE, until=clock.now).level)
    assert levels == [Level.SKIPPED, Level.OK, Level.FAILED, Level.OK]
