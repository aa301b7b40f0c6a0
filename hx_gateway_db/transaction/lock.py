"""The lock that lets one run at a time change a host."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hx_gateway_db.errors import Refused
from hx_gateway_db.layout import LOCK, STATE_FOLDER
from hx_gateway_db.transaction.folders import sync

_LOCK_SECONDS = 5.0


@contextmanager
def lock(root: Path, command: str) -> Iterator[None]:
    """Hold the package's lock on the host at `root`. Raises Refused naming who holds it."""
    try:
        folder = root / STATE_FOLDER.relative_to("/")
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            # The journal in it has to survive a power cut.
            sync(folder.parent)
        descriptor = os.open(folder / LOCK.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise Refused(f"{STATE_FOLDER} can't be used: run it as root.") from None
    except OSError as error:
        raise Refused(f"{STATE_FOLDER} can't be used: {error.strerror}.") from None
    with open(descriptor, "r+") as file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                holder = file.read().strip() or "another run"
                raise Refused(f"{holder} is at work on this host: try again when it has ended.")
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"hx-gateway-db {command} (process {os.getpid()})\n")
        file.flush()
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class RunsSeen:
    """The lock as who changes nothing sees it. Its properties raise OSError."""

    def __init__(self, root: Path) -> None:
        """Begin to look. Raises OSError."""
        self._path = root / LOCK.relative_to("/")
        self._at_first = self._taken_at()

    @property
    def at_work(self) -> str:
        """The run that holds the lock now; empty for none."""
        with suppress(FileNotFoundError), open(self._path) as file:
            try:
                # Shared, and gone with the descriptor: a run waits for longer than that.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another run"
        return ""

    @property
    def any_since(self) -> bool:
        """Whether a run has held the lock since the beginning."""
        return bool(self.at_work) or self._taken_at() != self._at_first

    def _taken_at(self) -> int:
        # Whoever gets it writes in it.
        return self._path.stat().st_mtime_ns if self._path.exists() else 0
