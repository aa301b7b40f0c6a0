"""How the time that something takes grows with what it is given, whatever the machine is."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

# At eight times the text, a linear reader takes eight times as long, a quadratic one sixty-four
# times. The small ones stop what would take for ever at the next.
SIZES = (8, 24, 40, 64, 112, 256, 2048, 12288)
_MEASURABLE = 0.002  # seconds
_LONG = 0.25
_ATTEMPTS = 5


def grows_too_fast(
    call: Callable[[Any], object], text: Callable[[int], Any], sizes: tuple[int, ...] = SIZES
) -> bool:
    """Whether `call` of a text of some size takes much more than in proportion to that size.

    What is too short to be measured at the largest size is linear enough.
    """
    for smaller, size in pairwise(sizes):
        given = text(size)
        took = _least(call, given, 1)
        if took > _MEASURABLE and (size == sizes[-1] or took > _LONG):
            before, limit = text(smaller), (size / smaller) ** 1.5
            if all(
                _least(call, given, runs) > limit * _least(call, before, runs)
                for runs in range(1, 1 + _ATTEMPTS)
            ):
                return True
    return False


def _least(call: Callable[[Any], object], given: Any, runs: int) -> float:
    times = []
    for _ in range(runs):
        started = time.thread_time()  # what this thread had of a processor, however busy that is
        call(given)
        times.append(time.thread_time() - started)
    return min(times)
