"""A tree of another user's made root's: copied into fresh files that nobody else has ever held.

A file that were given to root instead would still be written through a descriptor that its maker
kept. Everything is opened by the folder that it is in and through no link, so that it makes no
difference whether its maker goes on to swap things meanwhile; and depth, number and size have
limits, since nobody promised that the tree is what it should be.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.redaction import said
from hx_gateway_db.transaction.foreign_file import Unreadable, open_regular

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1024 * 1024
_SHOWN = 120


@dataclass(frozen=True)
class Limits:
    """Of a tree: how deep it may be, how many names and how many bytes it may have."""

    depth: int
    names: int
    bytes: int


def adopt(
    source: Path,
    target: Path,
    names: Sequence[str],
    owner: int,
    seen: PurePosixPath,
    limits: Limits,
) -> None:
    """Make `target` of those of `names` that `source` has, for root alone to change.

    All in it has to belong to the user id `owner`, who saw `source` as `seen`. Raises Refused for
    what is neither folder nor plain file nor a link that leads inside, OSError. What there is of
    `target` then is the caller's to remove.
    """
    os.mkdir(target, 0o700)
    adoption = _Adoption(owner, seen, limits)
    with _opened(source) as here, _opened(target) as there:
        for name in names:
            try:
                kind = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
            except FileNotFoundError:
                continue
            adoption.take(PurePosixPath(name), kind, here, there)
        os.fchmod(there, 0o755)
    for link in adoption.links:
        if not _leads_to_what_is_root_s(target, link):
            raise Refused(f"{_shown(link)} is a link out of it.")


class _Adoption:
    """One tree on its way; `links` are those in it, to be looked at when all is there."""

    def __init__(self, owner: int, seen: PurePosixPath, limits: Limits) -> None:
        self.links: list[PurePosixPath] = []
        self._owner = owner
        self._seen = seen
        self._limits = limits
        self._names = 0
        self._bytes = 0

    def take(self, path: PurePosixPath, kind: int, here: int, there: int) -> None:
        """Copy `path` of the tree, whose last part is a name in the open folder `here`."""
        self._names += 1
        if self._names > self._limits.names:
            raise Refused(f"it has more than {self._limits.names} files.")
        if stat.S_ISDIR(kind):
            self._folder(path, here, there)
        elif stat.S_ISREG(kind):
            self._file(path, here, there)
        elif stat.S_ISLNK(kind):
            self._link(path, here, there)
        else:
            raise Refused(f"{_shown(path)} is no plain file.")

    def _folder(self, path: PurePosixPath, here: int, there: int) -> None:
        # Each level holds two descriptors and a frame, and so the depth has its limit.
        if len(path.parts) > self._limits.depth:
            raise Refused(f"its folders are nested more than {self._limits.depth} deep.")
        os.mkdir(path.name, 0o755, dir_fd=there)
        with _opened(path.name, here) as inner, _opened(path.name, there) as copy:
            self._check_owner(path, os.fstat(inner))
            with os.scandir(inner) as entries:
                for entry in entries:
                    kind = os.stat(entry.name, dir_fd=inner, follow_symlinks=False).st_mode
                    self.take(path / entry.name, kind, inner, copy)
            os.fchmod(copy, 0o755)

    def _file(self, path: PurePosixPath, here: int, there: int) -> None:
        try:
            descriptor = open_regular(here, path.name)
        except Unreadable:
            raise Refused(f"{_shown(path)} is no plain file.") from None
        with open(descriptor, "rb", buffering=0) as original:
            before = os.fstat(descriptor)
            self._check_owner(path, before)
            if before.st_nlink != 1:
                raise Refused(f"{_shown(path)} has another name as well.")
            self._count(before.st_size)
            copy = os.open(path.name, _NEW_FILE, 0o600, dir_fd=there)
            with open(copy, "wb") as file:
                copied = 0
                while chunk := original.read(_CHUNK):
                    copied += len(chunk)
                    if copied > before.st_size:
                        raise _changed(path)
                    file.write(chunk)
                file.flush()
                # Compiled Python names the time of its source.
                os.utime(copy, ns=(before.st_mtime_ns, before.st_mtime_ns))
                os.fchmod(copy, 0o755 if before.st_mode & 0o111 else 0o644)
            after = os.fstat(descriptor)
            if (copied, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise _changed(path)

    def _link(self, path: PurePosixPath, here: int, there: int) -> None:
        goal = PurePosixPath(os.readlink(path.name, dir_fd=here))
        if goal.is_relative_to(self._seen) and ".." not in goal.parts:
            inside = goal.relative_to(self._seen)
            goal = PurePosixPath(os.path.relpath(inside, path.parent))
        os.symlink(goal, path.name, dir_fd=there)
        self.links.append(path)

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.bytes:
            raise Refused(f"it is larger than {self._limits.bytes // 2**20} MiB.")

    def _check_owner(self, path: PurePosixPath, status: os.stat_result) -> None:
        if status.st_uid != self._owner:
            raise Refused(f"{_shown(path)} belongs to the user id {status.st_uid}.")


@contextmanager
def _opened(path: str | Path, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _leads_to_what_is_root_s(target: Path, link: PurePosixPath) -> bool:
    """Whether a link of the new tree, which nobody else can change, stays in it or leads to what
    nobody else can change either."""
    real = Path(os.path.realpath(target / link))
    return real.is_relative_to(os.path.realpath(target)) or all(
        _roots_alone(path) for path in (real, *real.parents)
    )


def _roots_alone(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return not os.path.lexists(path)
    return status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _changed(path: PurePosixPath) -> Refused:
    return Refused(f"{_shown(path)} was changed by somebody else just now.")


def _shown(path: PurePosixPath) -> str:
    return said(str(path).encode(errors="replace").decode(), most=_SHOWN)
