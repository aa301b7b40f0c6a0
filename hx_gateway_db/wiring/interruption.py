"""Ctrl-C, a closed terminal and SIGTERM: an interrupt where work may stop, a note elsewhere.

Python's handlers run in the main thread whatever that thread's mask says: another thread, on which
nothing is blocked, takes the signal and has the handler run. So it is the handler that looks
whether work may stop here; the mask is for the programs that are started meanwhile.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Noted:
    """Whether a signal is only noted (here; from here to the end), and whether one was."""

    here = False
    to_the_end = False
    one = False


def raise_on_signals() -> None:
    """From now on the first of the signals raises KeyboardInterrupt; later ones are only noted.

    A signal that whoever started this has switched off, as nohup(1) does, stays off.
    """
    _Noted.here = _Noted.to_the_end = _Noted.one = False
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def only_note_signals() -> None:
    """From now on it is too late for an interrupt: what was begun is done."""
    _Noted.to_the_end = True


@contextmanager
def held_back() -> Iterator[None]:
    """Keep the signals until the block has ended, also from the programs that it starts.

    What the block raises is then what has happened; one that ends well raises KeyboardInterrupt if
    a signal has come meanwhile.
    """
    before = _Noted.here
    _Noted.here = True
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        # What was blocked comes in here, and is noted.
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _Noted.here = before
    _raise_if_noted()


@contextmanager
def let_through() -> Iterator[None]:
    """Within `held_back`: a block that an interrupt may end."""
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    _Noted.here = False
    try:
        _raise_if_noted()
        yield
    finally:
        _Noted.here = True
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _raise_if_noted() -> None:
    if _Noted.one and not _Noted.here:
        _interrupt(signal.SIGINT, None)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _Noted.here or _Noted.to_the_end:
        _Noted.one = True
        return
    _Noted.to_the_end = True
    raise KeyboardInterrupt
