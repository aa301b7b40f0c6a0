"""Makes the file changes of a plan happen all or none, also across a power cut.

The journal holds every file as it was and as it shall be, and is on disk before the first
change. While it exists the changes are not final: whoever comes next undoes them. Closing it is
one rename. Nothing else in this package, but `replacement` for it, writes files that somebody else
reads.
"""

import errno
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import NotRolledBack, Refused
from hx_gateway_db.layout import STATE_FOLDER
from hx_gateway_db.programs import Ended, captured
from hx_gateway_db.redaction import said
from hx_gateway_db.transaction.changes import Changes, FileChange, Group
from hx_gateway_db.transaction.folders import exists, open_folder
from hx_gateway_db.transaction.journal import MAIN, Journal
from hx_gateway_db.transaction.replacement import clear_temporary, replace_file
from hx_gateway_db.transaction.snapshot import FileImage, take_in

# For what root is not let do with a file all the same.
_CURES = {
    errno.EBUSY: "it is a mount of its own, as in a container; mount the folder that it is in",
    errno.EPERM: "it, or its folder, is immutable or append-only; see lsattr, and chattr -i -a",
    errno.EROFS: "make that file system writable",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "raise the quota there",
}
_TRIES = 10
_BETWEEN_TRIES = 0.02
# Another account tool can hold /etc/group's lock.
_GROUP_SECONDS = 60.0


TakeBack = Callable[[FileChange, FileImage], FileImage | None]
"""Given a change and the file as somebody else has edited it since, the file without our part of
the change; None when that can't be told."""


@dataclass(frozen=True)
class Undone:
    """How an undo went: the changes taken back, and the files whose later edits stood in the way.

    In `edited` only our own part was taken back; `foreign` were left as they are.
    """

    put_back: tuple[FileChange, ...]
    edited: tuple[PurePosixPath, ...]
    foreign: tuple[PurePosixPath, ...]


@dataclass(frozen=True)
class Interrupted:
    """A transaction that an earlier run left open.

    `served` names the units that answered before it restarted units; None if it had not begun to.
    """

    transaction: "Transaction"
    served: tuple[str, ...] | None


class Transaction:
    """One set of changes, open until `close`."""

    def __init__(
        self, root: Path, changes: Changes, folders: Sequence[PurePosixPath], journal: Journal
    ) -> None:
        self._root = root
        self._changes = changes
        self._folders = tuple(folders)
        self._journal = journal

    @property
    def files(self) -> tuple[FileChange, ...]:
        return self._changes.files

    @classmethod
    def begin(cls, root: Path, changes: Changes, journal: str = MAIN) -> "Transaction":
        """Write the journal of that name. Raises Refused, with nothing changed, if that fails."""
        transaction = cls(root, changes, _missing_folders(root, changes), Journal(root, journal))
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
                self._make_group(self._changes.group)
            for folder in self._folders:
                _make_folder(self._root, folder)
            for change in self._changes.files:
                replace_file(self._root, change.path, change.before, change.after)
            for path in self._changes.empty_folders:
                _remove_if_empty(self._root, path)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            cure = _CURES.get(error.errno or 0, "")
            what = f"writing failed: {where}{error.strerror}"
            raise Refused(what if cure else f"{what}.", cure) from None

    def services_begin(self, served: Sequence[str]) -> None:
        """Note in the journal that units are about to be restarted, and which of them answer now.

        Raises Refused when that fails; call `undo` then.
        """
        try:
            self._journal.services_begin(served)
        except OSError as error:
            raise Refused(f"the journal can't be written: {error.strerror}.") from None

    def undo(self, take_back: TakeBack) -> Undone:
        """Put every file back; where somebody else has edited one since, only our part of it.

        Can be interrupted and called again. Raises NotRolledBack when a file can't be put back.
        """
        outcomes: dict[_Outcome, list[FileChange]] = {outcome: [] for outcome in _Outcome}
        try:
            for change in reversed(self._changes.files):
                outcomes[_put_back(self._root, change, take_back)].append(change)
            for folder in reversed(self._folders):
                _remove_if_empty(self._root, folder)
            if self._changes.group and self._journal.group_begun:
                _remove_group(self._root, self._changes.group)
        except (OSError, Refused) as error:
            reason = f"{error.strerror}." if isinstance(error, OSError) else str(error)
            raise NotRolledBack(
                f"the files can't be put back: {reason} The journal in {STATE_FOLDER} keeps them;"
                " mend that, then run 'hx-gateway-db recover'."
            ) from None
        edited, foreign = outcomes[_Outcome.EDITED], outcomes[_Outcome.FOREIGN]
        return Undone(
            put_back=(*outcomes[_Outcome.PUT_BACK], *edited),
            edited=tuple(change.path for change in edited),
            foreign=tuple(change.path for change in foreign),
        )

    def _make_group(self, group: Group) -> None:
        self._journal.group_begins()
        command = [
            "groupadd",
            *_prefix(self._root),
            "--system",
            "--gid",
            str(group.gid),
            group.name,
        ]
        result = _captured(command)
        if result.status != 0:
            self._journal.group_failed()
            reason = said(result.errors).rstrip(".")
            raise Refused(f"the group {group.name} can't be made: {reason}.")

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


def interrupted(root: Path, name: str = MAIN) -> Interrupted | None:
    """The transaction that an earlier run left open, if any; clears away finished journals.

    `name` is its journal's.

    Raises NotRolledBack when the journal can't be read.
    """
    journal = Journal(root, name)
    journal.clear()
    entry = journal.read()
    if entry is None:
        return None
    return Interrupted(Transaction(root, entry.changes, entry.folders, journal), entry.served)


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
        # Not chmod afterwards: somebody could have put a folder of somebody else's there.
        before = os.umask(0o022)
        try:
            with suppress(FileExistsError):
                os.mkdir(path.name, mode=0o755, dir_fd=parent)
        finally:
            os.umask(before)
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


class _Outcome(Enum):
    """What an undo found: our change and took it back, nothing to do, or somebody's edit."""

    PUT_BACK = auto()
    AS_BEFORE = auto()
    EDITED = auto()
    FOREIGN = auto()


def _put_back(root: Path, change: FileChange, take_back: TakeBack) -> _Outcome:
    """Undo one change.

    Somebody may be saving the file just now, or have put something else in its place or swapped a
    folder on the way to it. That must not keep the other files from being put back.
    """
    for _ in range(_TRIES):
        with suppress(Refused):
            return _try_to_put_back(root, change, take_back)
        time.sleep(_BETWEEN_TRIES)
    return _Outcome.FOREIGN


def _try_to_put_back(root: Path, change: FileChange, take_back: TakeBack) -> _Outcome:
    try:
        with open_folder(root, change.path.parent) as folder:
            clear_temporary(folder, change)
            current = take_in(folder, change.path)
    except FileNotFoundError:
        current = None
    if current == change.before:
        return _Outcome.AS_BEFORE
    if current == change.after:
        _make_folders(root, change.path)
        replace_file(root, change.path, current, change.before)
        return _Outcome.PUT_BACK
    without_ours = take_back(change, current) if current else None
    if without_ours is None:
        return _Outcome.FOREIGN
    replace_file(root, change.path, current, without_ours)
    return _Outcome.EDITED


def _make_folders(root: Path, path: PurePosixPath) -> None:
    for parent in reversed(path.parents):
        if parent != PurePosixPath("/") and not exists(root, parent):
            _make_folder(root, parent)


def _remove_group(root: Path, group: Group) -> None:
    # It exits 6 when the group was never made, which is what we want.
    _captured(["groupdel", *_prefix(root), group.name])


def _captured(command: list[str]) -> Ended:
    try:
        return captured(command, _GROUP_SECONDS)
    except subprocess.TimeoutExpired:
        raise Refused(f"'{shlex.join(command)}' did not end in {_GROUP_SECONDS:.0f} s.") from None


def _prefix(root: Path) -> list[str]:
    return [] if root == Path("/") else ["--prefix", str(root)]
