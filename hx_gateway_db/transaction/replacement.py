"""One file replaced or removed, in a folder where somebody else may be at work at the same time.

The new file is written beside the old one, with its final owner and mode before any content, and
the two change places: what is found under the temporary name then is what was really replaced.
"""

import ctypes
import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.folders import open_folder
from hx_gateway_db.transaction.snapshot import (
    FileImage,
    Metadata,
    read_attributes,
    take_in,
    untouched,
)

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# renameat2(2): renames that never replace a file that nobody has looked at.
_NO_REPLACE = 1
_EXCHANGE = 2
# What the call says where the kernel or the file system does not have it.
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def replace_file(
    root: Path, path: PurePosixPath, before: FileImage | None, after: FileImage | None
) -> None:
    """Make the file at `path` what `after` is (None: gone), if it is still what `before` is.

    Raises Refused, with nothing changed, when it is not, OSError when the disk fails.
    """
    try:
        with open_folder(root, path.parent) as folder:
            if not untouched(take_in(folder, path), before):
                raise _changed(path)
            if after is not None:
                _write_beside(folder, path, before, after)
            elif before is not None:
                _remove(folder, path, before)
    except FileNotFoundError:
        if before is not None or after is not None:
            raise


def _write_beside(
    folder: int, path: PurePosixPath, before: FileImage | None, after: FileImage
) -> None:
    temporary = _temporary(path)
    _make_way(folder, temporary)
    try:
        descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder)
        with open(descriptor, "wb") as file:
            _set_metadata(descriptor, after.metadata)
            file.write(after.content)
            file.flush()
            os.fsync(descriptor)
            written = os.fstat(descriptor)
            _put_in_place(folder, path, before, written)
        os.fsync(folder)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    if not _is_ours(folder, path.name, written):
        raise Refused(f"{path} was swapped by somebody else while it was written.")


def _put_in_place(
    folder: int, path: PurePosixPath, before: FileImage | None, written: os.stat_result
) -> None:
    """Give the temporary file its name; what stood there must be `before` at that very moment."""
    temporary = _temporary(path)
    if before is None:
        try:
            if rename_to_new(folder, temporary, path.name):
                return
        except FileExistsError:
            raise _changed(path) from None
    elif exchange(folder, temporary, path.name):
        if not untouched(_take_or_none(folder, path.with_name(temporary)), before):
            exchange(folder, temporary, path.name)
            if not _is_ours(folder, temporary, written):
                # Saved once more in between: the newest stays.
                exchange(folder, temporary, path.name)
            raise _changed(path)
        os.unlink(temporary, dir_fd=folder)
        return
    os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)


def _remove(folder: int, path: PurePosixPath, before: FileImage) -> None:
    temporary = _temporary(path)
    _make_way(folder, temporary)
    # Out of the way first, so that what is removed is what was looked at.
    if rename_to_new(folder, path.name, temporary):
        if not untouched(_take_or_none(folder, path.with_name(temporary)), before):
            with suppress(FileExistsError):  # saved once more in between: the newest stays
                rename_to_new(folder, temporary, path.name)
            raise _changed(path)
        os.unlink(temporary, dir_fd=folder)
    else:
        os.unlink(path.name, dir_fd=folder)
    os.fsync(folder)


def clear_temporary(folder: int, change: FileChange) -> None:
    """Remove our temporary file; an edit that was moved there just before a kill goes back."""
    temporary = change.path.with_name(_temporary(change.path))
    moved = _take_or_none(folder, temporary)
    original = change.before.content if change.before else b""
    if (
        moved is not None
        and _take_or_none(folder, change.path) == change.after
        and moved not in (change.before, change.after)
        and not original.startswith(moved.content)
    ):
        os.rename(temporary.name, change.path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    _make_way(folder, temporary.name)


def _make_way(folder: int, temporary: str) -> None:
    """Free the name of our temporary file; a folder that somebody has planted there moves aside."""
    # Looked for first: on a read-only file system unlink(2) fails for a name that isn't there too.
    try:
        os.stat(temporary, dir_fd=folder, follow_symlinks=False)
        os.unlink(temporary, dir_fd=folder)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        aside = f"{temporary}.{secrets.token_hex(4)}"
        os.rename(temporary, aside, src_dir_fd=folder, dst_dir_fd=folder)


def _is_ours(folder: int, name: str, written: os.stat_result) -> bool:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return (found.st_dev, found.st_ino) == (written.st_dev, written.st_ino)


def _take_or_none(folder: int, path: PurePosixPath) -> FileImage | None:
    """The file as it is, or None for anything that is no file of ours to look at."""
    try:
        return take_in(folder, path)
    except Refused:
        return None


def _changed(path: PurePosixPath) -> Refused:
    return Refused(f"{path} was changed by somebody else just now", "run it again")


def _temporary(path: PurePosixPath) -> str:
    return f".{path.name}.hx-gateway-db"


def _set_metadata(descriptor: int, metadata: Metadata) -> None:
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (metadata.uid, metadata.gid):
        os.fchown(descriptor, metadata.uid, metadata.gid)
    wanted = dict(metadata.attributes)
    for name, _ in read_attributes(descriptor):
        # A folder's default ACL would let others read what we write.
        if name not in wanted and name.startswith("system.posix_acl"):
            os.removexattr(descriptor, name)
    for name, value in wanted.items():
        os.setxattr(descriptor, name, value)
    os.fchmod(descriptor, metadata.mode)


def exchange(folder: int, one: str, other: str) -> bool:
    """Swap two names in the open folder `folder`; False where the file system can't.

    Raises OSError.
    """
    return _renameat2(folder, one, other, _EXCHANGE)


def rename_to_new(folder: int, old: str, new: str) -> bool:
    """Rename `old` to `new`, which must not exist; False where the file system can't.

    Raises FileExistsError when it does, OSError when it fails otherwise.
    """
    return _renameat2(folder, old, new, _NO_REPLACE)


def _renameat2(folder: int, old: str, new: str, flags: int) -> bool:
    call = ctypes.CDLL(None, use_errno=True).renameat2
    if call(folder, os.fsencode(old), folder, os.fsencode(new), flags) == 0:
        return True
    error = ctypes.get_errno()
    if error in _UNSUPPORTED:
        return False
    raise OSError(error, os.strerror(error), new)
