"""Work in a thread of its own, for what can't be given up otherwise or is done beside other work.

Such a thread that hangs is left behind: it does not hold up the end of the process.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

_Result = TypeVar("_Result")


def start(work: Callable[[], _Result]) -> "Future[_Result]":
    """Start `work`; what it returns or raises is the future's."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
