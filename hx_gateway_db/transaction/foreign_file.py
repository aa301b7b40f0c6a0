"""Reading a file that somebody else may have put there.

Nothing is waited for and nothing is endless, a link is followed only where root put it into a
folder that only root can change, and what is no regular file is not even opened.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction.folders import followed, open_folder

_LINKS = 16


class Unreadable(Exception):
    """The file can't be read, or must not be; the message is a clause that says why.

    `missing`: there is none.
    """

    def __init__(self, why: str, *, missing: bool = False) -> None:
        super().__init__(why)
        self.missing = missing


def read(path: str | PurePosixPath, most: int, root: Path = Path("/")) -> bytes:
    """The content of the file at `path` (absolute, inside `root`), of `most` bytes at the most.

    Raises Unreadable.
    """
    content = beginning(path, most + 1, root)
    if len(content) > most:
        raise Unreadable(f"it is larger than {_size(most)}")
    return content


def beginning(path: str | PurePosixPath, size: int, root: Path = Path("/")) -> bytes:
    """The first `size` bytes of the file. Raises Unreadable."""
    with opened(path, root) as file:
        return file.read(size)


@contextmanager
def opened(path: str | PurePosixPath, root: Path = Path("/")) -> Iterator[IO[bytes]]:
    """The file, open to be read. Raises Unreadable, also for what fails while it is read."""
    if not PurePosixPath(path).is_absolute():
        raise Unreadable("its path is not absolute")
    try:
        with open(_open(PurePosixPath(path), root, _LINKS), "rb") as file:
            yield file
    except Refused as refusal:
        raise Unreadable(str(refusal).removesuffix(".")) from None
    except FileNotFoundError:
        raise Unreadable("it is not there", missing=True) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise Unreadable(f"it can't be read ({why or 'no such name is possible'})") from None


def open_regular(folder: int, name: str) -> int:
    """A descriptor to read the regular file `name` in the open folder `folder`.

    Raises Unreadable for what is something else, OSError.
    """
    # Looked at first, since opening a planted device could do something; opened without waiting,
    # since it may have become a FIFO meanwhile.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise Unreadable("it is not a regular file")
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Unreadable("it is not a regular file") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it is not a regular file")
    return descriptor


def _open(path: PurePosixPath, root: Path, links_left: int) -> int:
    with open_folder(root, path.parent) as folder:
        target = followed(folder, path.name)
        if target is None:
            return open_regular(folder, path.name)
    if not links_left:
        raise Unreadable("it is a symbolic link to another and so on")
    # Joined by name: what ".." means is decided by the walk, which knows the links on the way.
    return _open(path.parent / target, root, links_left - 1)


def _size(most: int) -> str:
    return f"{most // 2**20} MiB" if most >= 2**20 else f"{most // 2**10} KiB"
