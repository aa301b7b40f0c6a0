"""A signal raises where work may stop, and is only noted where something is being put back."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from hx_gateway_db.wiring.interruption import (
    held_back,
    let_through,
    only_note_signals,
    raise_on_signals,
)
from tests.unit.wiring.conftest import SIGNALS

pytestmark = pytest.mark.usefixtures("handlers")


@pytest.fixture(params=[False, True], ids=["alone", "beside another thread"])
def company(request: pytest.FixtureRequest) -> Iterator[None]:
    """Another thread, on which nothing is blocked: a signal to the process can be its own."""
    if not request.param:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    yield
    ended.set()
    thread.join()


def come(number: int) -> None:
    os.kill(os.getpid(), number)
    # Another thread's signal reaches this one a moment later.
    for _ in range(20):
        time.sleep(0.001)


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize("number", SIGNALS)
class TestEachSignal:
    def test_raises_where_work_may_stop(self, number: int) -> None:
        with pytest.raises(KeyboardInterrupt):
            come(number)

    def test_is_held_back_until_a_block_has_ended(self, number: int) -> None:
        done = []

        def hold_back() -> None:
            with held_back():
                come(number)
                done.append(number)

        with pytest.raises(KeyboardInterrupt):
            hold_back()
        assert done == [number]

    def test_does_not_replace_what_has_happened_in_the_block(self, number: int) -> None:
        def fail() -> None:
            with held_back():
                come(number)
                raise RuntimeError("not put back")

        with pytest.raises(RuntimeError, match="not put back"):
            fail()

    def test_ends_a_block_that_lets_it_through_and_only_that(self, number: int) -> None:
        put_back = False
        with held_back():
            with pytest.raises(KeyboardInterrupt), let_through():
                come(number)
            come(number)
            put_back = True
        assert put_back

    def test_that_came_before_a_block_that_lets_it_through_ends_that(self, number: int) -> None:
        begun = False
        with held_back():
            come(number)
            with pytest.raises(KeyboardInterrupt), let_through():
                begun = True
        assert not begun

    def test_comes_too_late_when_all_is_done(self, number: int) -> None:
        with held_back():
            with let_through():
                pass
            only_note_signals()
            come(number)
        come(number)

    def test_raises_but_once(self, number: int) -> None:
        with pytest.raises(KeyboardInterrupt):
            come(number)
        for again in SIGNALS:
            come(again)


def test_a_program_that_is_started_meanwhile_does_not_see_them() -> None:
    with held_back():
        mask = subprocess.run(
            ["grep", "SigBlk", "/proc/self/status"], capture_output=True, text=True
        ).stdout.split()[1]
    assert all(int(mask, 16) >> (number - 1) & 1 for number in SIGNALS)


def test_what_nohup_has_switched_off_stays_off() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_on_signals()
    come(signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        come(signal.SIGTERM)
