"""renameat2(2): renames that never replace a file that nobody has looked at."""

import ctypes
import errno
import os

_NO_REPLACE = 1
_EXCHANGE = 2
# What the call says where the kernel or the file system does not have it.
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


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
