"""Makes the file changes of a plan happen all or none, also across a power cut.

The journal holds every file as it was and as it shall be, and is on disk before the first
change. While it exists the changes are not final: whoever comes next undoes them. Closing it is
one rename. Nothing else in this package writes files that somebody else reads.
"""

import errno
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hx_gateway_db.changes import Changes, FileChange, Group
from hx_gateway_db.errors import NotRolledBack, Refused
from hx_gateway_db.folders import exists, open_folder
from hx_gateway_db.journal import Journal
from hx_gateway_db.layout import STATE_FOLDER
from hx_gateway_db.snapshot import FileImage, Metadata, read_attributes, take, take_in

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Interrupted:
    """A transaction that an earlier run left open; `restarted` if it had begun to restart units."""

    transaction: "Transaction"
    restarted: bool


class Transaction:
    """One set of changes, open until `close`."""

    def __init__(self, root: Path, changes: Changes, folders: Sequence[PurePosixPath]) -> None:
        self._root = root
        self._changes = changes
        self._folders = tuple(folders)
        self._journal = Journal(root)

    @property
    def files(self) -> tuple[FileChange, ...]:
        return self._changes.files

    @classmethod
    def begin(cls, root: Path, changes: Changes) -> "Transaction":
        """Write the journal. Raises Refused, with nothing changed, when that fails."""
        transaction = cls(root, changes, _missing_folders(root, changes))
        try:
            transaction._journal.begin(changes, transaction._folders)
        except OSError as error:
            transaction._journal.clear()
            raise Refused(
                f"the journal in {STATE_FOLDER} can't be written: {error.strerror}."
                " Nothing was changed."
            ) from None
        return transaction

    def write(self) -> None:
        """Make the changes. Raises Refused when one fails; call `undo` then."""
        try:
            if self._changes.group:
                _make_group(self._root, self._changes.group)
            for folder in self._folders:
                _make_folder(self._root, folder)
            for change in self._changes.files:
                _replace(self._root, change.path, change.before, change.after)
            for path in self._changes.empty_folders:
                _remove_if_empty(self._root, path)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise Refused(f"writing failed: {where}{error.strerror}.") from None

    def services_begin(self) -> None:
        """Note in the journal that units are about to be restarted with the new files.

        Raises Refused when that fails; call `undo` then.
        """
        try:
            self._journal.services_begin()
        except OSError as error:
            raise Refused(f"the journal can't be written: {error.strerror}.") from None

    def undo(self) -> tuple[PurePosixPath, ...]:
        """Put every file back, and return those that somebody else has changed since.

        Can be interrupted and called again. Raises NotRolledBack when a file can't be put back.
        """
        try:
            foreign = tuple(
                change.path
                for change in reversed(self._changes.files)
                if not _put_back(self._root, change)
            )
            for folder in reversed(self._folders):
                _remove_if_empty(self._root, folder)
            if self._changes.group:
                _remove_group(self._root, self._changes.group)
        except (OSError, Refused) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise NotRolledBack(
                f"the files can't be put back: {reason} The journal in {STATE_FOLDER} keeps them;"
                " mend that, then run 'hx-gateway-db apply' again."
            ) from None
        return foreign

    def close(self) -> None:
        """Make the outcome final: the changes after `write`, or their absence after `undo`.

        Raises NotRolledBack when that fails.
        """
        try:
            self._journal.close()
        except OSError as error:
            raise NotRolledBack(
                f"the journal in {STATE_FOLDER} can't be closed: {error.strerror}. The next run"
                " will put the files back as they were before this one."
            ) from None


def interrupted(root: Path) -> Interrupted | None:
    """The transaction that an earlier run left open, if any; clears away finished journals.

    Raises NotRolledBack when the journal can't be read.
    """
    journal = Journal(root)
    journal.clear()
    entry = journal.read()
    if entry is None:
        return None
    return Interrupted(Transaction(root, entry.changes, entry.folders), entry.restarting)


def _missing_folders(root: Path, changes: Changes) -> list[PurePosixPath]:
    missing: list[PurePosixPath] = []
    for change in changes.files:
        if change.after is None:
            continue
        parents = [path for path in reversed(change.path.parents) if path != PurePosixPath("/")]
        missing += [path for path in parents if path not in missing and not exists(root, path)]
    return missing


def _make_folder(root: Path, path: PurePosixPath) -> None:
    with open_folder(root, path.parent) as parent:
        with suppress(FileExistsError):
            os.mkdir(path.name, mode=0o755, dir_fd=parent)
        with open_folder(root, path) as folder:
            # Against a umask that would keep the service user out.
            os.fchmod(folder, 0o755)
        os.fsync(parent)


def _remove_if_empty(root: Path, path: PurePosixPath) -> None:
    try:
        with open_folder(root, path.parent) as parent:
            os.rmdir(path.name, dir_fd=parent)
            os.fsync(parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _replace(
    root: Path, path: PurePosixPath, before: FileImage | None, after: FileImage | None
) -> None:
    try:
        with open_folder(root, path.parent) as folder:
            if take_in(folder, path) != before:
                raise Refused(f"{path} was changed by somebody else just now: run it again.")
            if after is not None:
                _write_beside(folder, path, after)
            elif before is not None:
                os.unlink(path.name, dir_fd=folder)
                os.fsync(folder)
    except FileNotFoundError:
        if before is not None or after is not None:
            raise


def _write_beside(folder: int, path: PurePosixPath, image: FileImage) -> None:
    temporary = _temporary(path)
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            _set_metadata(descriptor, image.metadata)
            file.write(image.content)
            file.flush()
            os.fsync(descriptor)
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            written = os.fstat(descriptor)
        os.fsync(folder)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    if (found.st_dev, found.st_ino) != (written.st_dev, written.st_ino):
        raise Refused(f"{path} was swapped by somebody else while it was written.")


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


def _put_back(root: Path, change: FileChange) -> bool:
    """Undo one change; False when the file is neither as before nor as we wrote it."""
    try:
        with open_folder(root, change.path.parent) as folder, suppress(FileNotFoundError):
            os.unlink(_temporary(change.path), dir_fd=folder)
    except FileNotFoundError:
        if change.before is None:
            return True
    current = take(root, change.path)
    if current == change.before:
        return True
    if current != change.after:
        return False
    if change.before is not None:
        for parent in reversed(change.path.parents):
            if parent != PurePosixPath("/") and not exists(root, parent):
                _make_folder(root, parent)
    _replace(root, change.path, current, change.before)
    return True


def _make_group(root: Path, group: Group) -> None:
    command = ["groupadd", *_prefix(root), "--system", "--gid", str(group.gid), group.name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Refused(f"the group {group.name} can't be made: {result.stderr.strip()}")


def _remove_group(root: Path, group: Group) -> None:
    # It exits 6 when the group was never made, which is what we want.
    command = ["groupdel", *_prefix(root), group.name]
    subprocess.run(command, capture_output=True, check=False)


def _prefix(root: Path) -> list[str]:
    return [] if root == Path("/") else ["--prefix", str(root)]
