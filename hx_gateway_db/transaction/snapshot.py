"""What a file is at one moment: its bytes, its owner and mode, its ACL and extended attributes."""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction.folders import open_folder
from hx_gateway_db.transaction.foreign_file import Unreadable, open_regular

# Some 250,000 models; more is a mistake or an attack.
_LARGEST = 32 * 1024 * 1024


@dataclass(frozen=True)
class Metadata:
    """Owner, permissions (`mode` without the file type) and extended attributes, ACLs included."""

    uid: int
    gid: int
    mode: int
    attributes: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class FileImage:
    """A file's content and metadata, as it was or as it shall be.

    `modified` is when the content was written last, in nanoseconds; 0 where that is not known.
    """

    content: bytes = field(repr=False)
    metadata: Metadata
    modified: int = field(default=0, compare=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def take(root: Path, path: PurePosixPath) -> FileImage | None:
    """The file at `path` inside `root`, or None when there is none.

    Raises Refused for anything but a regular file with one name, so that a planted link or
    device can't make us read or copy somebody else's data.
    """
    try:
        with open_folder(root, path.parent) as folder:
            return take_in(folder, path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path} can't be read: {error.strerror}.") from None


def take_in(folder: int, path: PurePosixPath) -> FileImage | None:
    """The same for a folder that is already open, but an error of the disk raises OSError."""
    try:
        descriptor = open_regular(folder, path.name)
    except FileNotFoundError:
        return None
    except Unreadable:
        raise Refused(f"{path} is not a regular file", "put the real file there") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check_only_name(folder, path, status)
        if status.st_size > _LARGEST:
            raise Refused(f"{path} is larger than {_LARGEST // 2**20} MiB.")
        metadata = Metadata(
            uid=status.st_uid,
            gid=status.st_gid,
            mode=stat.S_IMODE(status.st_mode),
            attributes=read_attributes(descriptor),
        )
        return FileImage(file.read(_LARGEST + 1), metadata, status.st_mtime_ns)


def _check_only_name(folder: int, path: PurePosixPath, status: os.stat_result) -> None:
    """Refuse somebody else's file that came here as a hard link.

    Looked at by name once more: a link that was taken away after the opening leaves one name.
    """
    if status.st_nlink != 1:
        raise Refused(f"{path} has {status.st_nlink} hard links", "give it one name of its own")
    try:
        named = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        named = None
    if named is None or (named.st_dev, named.st_ino, named.st_nlink, named.st_ctime_ns) != (
        status.st_dev,
        status.st_ino,
        1,
        status.st_ctime_ns,
    ):
        raise Refused(f"{path} was changed by somebody else just now", "run it again")


def untouched(now: FileImage | None, then: FileImage | None) -> bool:
    """Whether a file is as it was read, and was not written to in between.

    An editor that saves in place empties the file first: it can look the same twice by chance.
    """
    if now is None or then is None or not then.modified:
        return now == then
    return now == then and now.modified == then.modified


def read_attributes(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple((name, os.getxattr(descriptor, name)) for name in sorted(names))
