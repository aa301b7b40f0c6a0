"""A step of long work: a program whose last lines are shown while it runs, and kept if it fails."""

import os
import select
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.progress import Progress

_KEPT = 4000


class StepFailed(Exception):
    """A step ended badly; the message says which, and shows its last lines."""


def run(what: str, command: Sequence[str]) -> None:
    """Run a program to its end, saying meanwhile what it does. Raises StepFailed."""
    progress = Progress(what)
    progress.say("begins")
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    said = b""
    with process.stdout as output:
        while True:
            # The clock goes on where the program is silent.
            if select.select([output], [], [], 1.0)[0]:
                more = os.read(output.fileno(), 65536)
                if not more:
                    break
                said = (said + more)[-_KEPT:]
            progress.say(_last_line(said))
    status = process.wait()
    if status != 0:
        progress.clear()
        tail = said.decode(errors="replace")
        raise StepFailed(f"The {what} failed with exit status {status}:\n{tail}")
    progress.end()


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Say that the step in the block is under way, and what it took when it has ended well."""
    progress = Progress(what)
    ended = threading.Event()

    def tell() -> None:
        while True:
            progress.say("under way")
            if ended.wait(1.0):
                return

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        progress.clear()
    progress.end()


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").replace("\r", "\n").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "begins")
