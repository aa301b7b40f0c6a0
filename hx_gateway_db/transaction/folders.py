"""Folders opened by handle, so that nobody can swap one under us.

BASE may belong to the gateway's service user. A symbolic link on the way is followed only when
root put it into a folder that only root can change; any other is refused.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 16


@contextmanager
def open_folder(root: Path, path: PurePosixPath) -> Iterator[int]:
    """The descriptor of `path` (absolute, inside `root`).

    Raises FileNotFoundError when it is missing, Refused when the way leads through a symbolic
    link that somebody other than root controls or through something that is not a folder.
    """
    descriptor = _walk(root, list(path.parts[1:]), _MOST_LINKS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def exists(root: Path, path: PurePosixPath) -> bool:
    """Whether the folder `path` is there. Raises Refused as `open_folder` does."""
    try:
        with open_folder(root, path):
            return True
    except FileNotFoundError:
        return False


def same(root: Path, one: PurePosixPath, other: PurePosixPath) -> bool:
    """Whether both names lead to one folder that is there. Raises Refused as `open_folder` does."""
    if one == other:
        return exists(root, one)
    try:
        with open_folder(root, one) as first, open_folder(root, other) as second:
            return os.path.samestat(os.fstat(first), os.fstat(second))
    except FileNotFoundError:
        return False


def names(path: PurePosixPath, most: int, root: Path = Path("/")) -> list[str]:
    """Of the folder `path` (absolute, inside `root`), the names in it, `most` of them at most.

    Raises OSError, and Refused as `open_folder` does.
    """
    with open_folder(root, path) as folder, os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, most)]


def followed(folder: int, name: str) -> str | None:
    """Where the symbolic link `name` in the open folder leads; None when it is no link.

    Raises Refused for one that somebody other than root controls, OSError.
    """
    entry = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(entry.st_mode):
        return None
    if not _trusted(entry, os.fstat(folder)):
        raise Refused("it is a symbolic link that root does not control.")
    return os.readlink(name, dir_fd=folder)


def sync(folder: Path) -> None:
    """Make what was added to and removed from a folder that is root's own survive a power cut."""
    descriptor = os.open(folder, _OPEN)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(root: Path, names: list[str], links_left: int) -> int:
    current = os.open(root, _OPEN)
    walked: list[str] = []
    try:
        for position, name in enumerate(names):
            if name == "..":
                # By name, since `walked` holds no links; above `root` there is nothing.
                return _walk(root, [*walked[:-1], *names[position + 1 :]], links_left)
            entry = os.stat(name, dir_fd=current, follow_symlinks=False)
            here = "/" + "/".join([*walked, name])
            if stat.S_ISLNK(entry.st_mode):
                if not links_left or not _trusted(entry, os.fstat(current)):
                    raise Refused(
                        f"{here} is a symbolic link that root does not control",
                        "make it a real folder, or set BASE to where it leads",
                    )
                target = os.readlink(name, dir_fd=current)
                rest = names[position + 1 :]
                return _walk(root, [*_resolve(walked, target), *rest], links_left - 1)
            if not stat.S_ISDIR(entry.st_mode):
                raise Refused(f"{here} is not a folder.")
            try:
                following = os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=current)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise Refused(f"{here} was swapped by somebody else just now.") from None
                raise
            os.close(current)
            current = following
            walked.append(name)
        return os.dup(current)
    finally:
        os.close(current)


def _trusted(link: os.stat_result, folder: os.stat_result) -> bool:
    mine = {0, os.geteuid()}
    others_write = folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return link.st_uid in mine and folder.st_uid in mine and not others_write


def _resolve(walked: list[str], target: str) -> list[str]:
    # `walked` holds no links, so that ".." is the parent by name as well.
    resolved = [] if target.startswith("/") else list(walked)
    for name in target.split("/"):
        if name == "..":
            resolved = resolved[:-1]
        elif name not in ("", "."):
            resolved.append(name)
    return resolved
