"""What a container needs of the machine that runs it: mounts, control groups, a command line."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_CLONE_NEWNS = 0x00020000


def nspawn(name: str, root: Path, *arguments: str) -> list[str]:
    """The command line that starts systemd-nspawn(1) on `root`, in a control group of its own.

    It dies with the thread that starts it, so that a killed test run leaves nothing behind: as the
    first process of a process namespace, it takes the container with it.
    """
    return [
        *_in_cgroup(name),
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit"),
        *(f"--machine={name}", "-D", str(root), *arguments),
    ]


def find_leader(pid: int) -> int | None:
    """The first process of the booted container that process `pid` started by `nspawn()`."""
    for child in _children(pid):
        if _read(f"/proc/{child}/comm") == "systemd\n":
            return child
        if leader := find_leader(child):
            return leader
    return None


@functools.cache
def enter_private_mount_namespace() -> None:
    """Move this process where its mounts are its own: they end with it, however it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot make a mount namespace: {os.strerror(error)}")
    mount("--make-rslave", "/")
    # systemd-nspawn leaves a folder there for each container it ever started.
    Path("/run/systemd/nspawn").mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "nspawn", "/run/systemd/nspawn")


def mount(*arguments: str) -> None:
    """Call mount(8)."""
    subprocess.run(["mount", *arguments], check=True)


def unmount(path: Path) -> None:
    """Take a mount away at once, even while something still uses it."""
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def remove_cgroups(name: str) -> None:
    """Remove the control groups that a stopped container leaves."""
    for hierarchy in _cgroup_hierarchies():
        for group, _, _ in os.walk(hierarchy / name, topdown=False):
            os.rmdir(group)


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> str:
    """The text of a file in /proc, none when its process has just ended."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _cgroup_hierarchies() -> list[Path]:
    """Where systemd keeps processes apart: one tree in cgroup v2, two in the hybrid layout."""
    hybrid = [_CGROUP_ROOT / "systemd", _CGROUP_ROOT / "unified"]
    return [path for path in hybrid if path.is_dir()] or [_CGROUP_ROOT]


def _in_cgroup(name: str) -> list[str]:
    """Prefix for a command line that runs it in a control group of its own.

    Started from one group with --keep-unit, the systemds of two containers would both manage it.
    """
    groups = [path / name for path in _cgroup_hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
    script = "".join(f"echo $$ >{group}/cgroup.procs; " for group in groups) + 'exec "$@"'
    return ["sh", "-c", script, "sh"]
