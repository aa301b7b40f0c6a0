"""Work that is done in a thread of its own."""

import subprocess
import sys
import threading

import pytest

from hx_gateway_db import in_thread


def test_what_the_work_returns_is_the_result() -> None:
    assert in_thread.start(lambda: 7).result(5) == 7


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()], ids=repr)
def test_what_the_work_raises_is_raised_where_its_result_is_taken(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        in_thread.start(fail).result(5)
    assert raised.value is error


def test_work_that_hangs_is_not_waited_for_longer_than_it_may_take() -> None:
    released = threading.Event()
    future = in_thread.start(released.wait)
    with pytest.raises(TimeoutError):
        future.result(0.01)
    released.set()


def test_work_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    program = (
        "import time; from hx_gateway_db import in_thread; in_thread.start(lambda: time.sleep(60))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
