"""The signals that may end a run, and our handlers for as long as a test lasts."""

import signal
from collections.abc import Iterator

import pytest

from hx_gateway_db.wiring.interruption import raise_on_signals

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    raise_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
