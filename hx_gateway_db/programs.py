"""Running another program that must not keep us waiting, nor fill our memory, nor know us.

Every process that this package starts is started here. There is one way to run one as another
user: such a process is a stranger, and gets a session of its own, no terminal, nothing of ours.
"""

import os
import pwd
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

MOST = 1024 * 1024
_POLL_SECONDS = 0.2
# What a program that has ended may still have had in a pipe that a child of it holds open.
_AFTER_THE_END = 0.5
_CHUNK = 65536


@dataclass(frozen=True)
class Ended:
    """How a program ended, and the beginning of what it printed.

    `status` is negative for the signal that ended it. `cut`: it printed more than it may, and was
    killed for it.
    """

    status: int
    output: str
    errors: str = ""
    cut: bool = False


def captured(
    command: Sequence[str],
    seconds: float,
    environment: Mapping[str, str] | None = None,
    *,
    input: str = "",
    most: int = MOST,
    together: bool = False,
    waiting: Callable[[float], None] = lambda seconds: None,
) -> Ended:
    """Run `command` with `input`, for `seconds` at most; of each output, `most` bytes are kept.

    `environment` is ours if it is None. `together`: both outputs are one, in their order.
    `waiting` is called with the seconds so far. Raises subprocess.TimeoutExpired, and OSError when
    it can't be run.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if together else subprocess.PIPE,
        env=environment,
    )
    return _communicated(process, process.kill, command, input.encode(), seconds, most, waiting)


def captured_as(
    user: str,
    command: Sequence[str],
    seconds: float,
    environment: Mapping[str, str],
    *,
    input: str = "",
    most: int = MOST,
) -> Ended:
    """The same as another user of this system, in that user's own group alone.

    In the order in which it happens: a new session, so that no terminal is its own; the user; no
    descriptor but its three pipes; `environment` and nothing else; `/` as its folder. What it
    says is a stranger's. Raises LookupError without such a user, and as `captured`.
    """
    account = pwd.getpwnam(user)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd="/",
        start_new_session=True,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    return _communicated(
        process, kill, command, input.encode(), seconds, most, lambda seconds: None
    )


def _communicated(
    process: subprocess.Popen[bytes],
    kill: Callable[[], None],
    command: Sequence[str],
    data: bytes,
    seconds: float,
    most: int,
    waiting: Callable[[float], None],
) -> Ended:
    """Feed and read a process until it has ended; whatever happens, it does not outlive this."""
    output, errors = bytearray(), bytearray()
    with process:
        try:
            clock = _Clock(list(map(str, command)), seconds, waiting)
            _talk(process, data, output, errors, most, clock)
            if cut := max(len(output), len(errors)) > most:
                kill()
            while process.poll() is None:
                clock.tick()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        except BaseException:
            kill()
            raise
    return Ended(process.returncode, _text(output, most), _text(errors, most), cut)


def _text(data: bytearray, most: int) -> str:
    return bytes(data[:most]).decode(errors="replace")


class _Clock:
    """Tells how long it has taken so far; raises subprocess.TimeoutExpired when it is too long."""

    def __init__(
        self, command: list[str], seconds: float, waiting: Callable[[float], None]
    ) -> None:
        self._command, self._seconds, self._waiting = command, seconds, waiting
        self._started = time.monotonic()

    def tick(self) -> None:
        so_far = time.monotonic() - self._started
        self._waiting(so_far)
        if so_far > self._seconds:
            raise subprocess.TimeoutExpired(self._command, self._seconds)


def _talk(
    process: subprocess.Popen[bytes],
    data: bytes,
    output: bytearray,
    errors: bytearray,
    most: int,
    clock: _Clock,
) -> None:
    """Feed and read a process until its pipes are closed, or it has ended, or said too much."""
    assert process.stdin and process.stdout
    os.set_blocking(process.stdin.fileno(), False)
    ended_at = 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ, output)
        if process.stderr:
            selector.register(process.stderr, selectors.EVENT_READ, errors)
        while selector.get_map() and max(len(output), len(errors)) <= most:
            clock.tick()
            if process.poll() is not None:
                ended_at = ended_at or time.monotonic()
                if time.monotonic() - ended_at > _AFTER_THE_END:
                    return
            for key, _ in selector.select(_POLL_SECONDS):
                if key.data is None:
                    data = _fed(process.stdin, data)
                    done = not data
                else:
                    chunk = os.read(key.fd, _CHUNK)
                    key.data.extend(chunk)
                    done = not chunk
                if done:
                    selector.unregister(key.fileobj)
                    if key.data is None:
                        process.stdin.close()


def _fed(pipe: IO[bytes], data: bytes) -> bytes:
    """What is left of `data`; nothing when nobody reads any more."""
    try:
        return data[os.write(pipe.fileno(), data) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""
