"""Makes the file changes of a plan happen all or none, also across a power cut.

The journal holds every file as it was and as it shall be, and is on disk before the first
change. While it exists the changes are not final: whoever comes next undoes them. Closing it is
one rename. Nothing else in this package writes files.
"""

import base64
import errno
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hx_gateway_db.errors import NotRolledBack, Refused
from hx_gateway_db.folders import exists, open_folder
from hx_gateway_db.layout import STATE_FOLDER
from hx_gateway_db.snapshot import FileImage, Metadata, read_attributes, take, take_in

_LOCK_SECONDS = 5.0
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class FileChange:
    """A file as it was read (None: missing) and as it shall be (None: gone)."""

    path: PurePosixPath
    before: FileImage | None
    after: FileImage | None


@dataclass(frozen=True)
class Group:
    """A system group to be made."""

    name: str
    gid: int


@dataclass(frozen=True)
class Changes:
    """What a transaction does; `empty_folders` are removed afterwards if nothing is in them."""

    files: tuple[FileChange, ...]
    group: Group | None = None
    empty_folders: tuple[PurePosixPath, ...] = ()


@dataclass(frozen=True)
class Interrupted:
    """A transaction that an earlier run left open; `restarted` if it had begun to restart units."""

    transaction: "Transaction"
    restarted: bool


@contextmanager
def lock(root: Path, command: str) -> Iterator[None]:
    """Hold the package's lock on the host at `root`. Raises Refused naming who holds it."""
    try:
        folder = _real(root, STATE_FOLDER)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"{_real(root, STATE_FOLDER)} can't be used: {error.strerror}.") from None
    with open(descriptor, "r+") as file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                holder = file.read().strip() or "another run"
                raise Refused(f"{holder} is at work on this host: try again when it has ended.")
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"hx-gateway-db {command} (process {os.getpid()})\n")
        file.flush()
        yield


class Transaction:
    """One set of changes, open until `commit` or `close_undone`."""

    def __init__(self, root: Path, changes: Changes, folders: Sequence[PurePosixPath]) -> None:
        self._root = root
        self._changes = changes
        self.made_folders = tuple(folders)

    @property
    def files(self) -> tuple[FileChange, ...]:
        return self._changes.files

    @classmethod
    def begin(cls, root: Path, changes: Changes) -> "Transaction":
        """Write the journal. Raises Refused, with nothing changed, when that fails."""
        transaction = cls(root, changes, _missing_folders(root, changes))
        try:
            transaction._write_journal()
        except OSError as error:
            with suppress(OSError):
                shutil.rmtree(_real(root, STATE_FOLDER / "journal.new"))
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
            for folder in self.made_folders:
                _make_folder(self._root, folder)
            for change in self._changes.files:
                _replace(self._root, change.path, change.before, change.after)
            for path in self._changes.empty_folders:
                _remove_if_empty(self._root, path)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise Refused(f"writing failed: {where}{error.strerror}.") from None

    def services_begin(self) -> None:
        """Note in the journal that units are about to be restarted with the new files."""
        marker = _real(self._root, STATE_FOLDER / "journal" / "services")
        marker.touch(mode=0o600)
        _sync_folder(marker.parent)

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
            for folder in reversed(self.made_folders):
                _remove_if_empty(self._root, folder)
            if self._changes.group:
                _remove_group(self._root, self._changes.group)
        except (OSError, Refused) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise NotRolledBack(
                f"the files can't be put back: {reason} The journal in {STATE_FOLDER} keeps them;"
                " mend that and run 'hx-gateway-db status'."
            ) from None
        return foreign

    def close(self) -> None:
        """Make the outcome final: the changes after `write`, or their absence after `undo`."""
        folder = _real(self._root, STATE_FOLDER)
        os.rename(folder / "journal", folder / "journal.old")
        _sync_folder(folder)
        shutil.rmtree(folder / "journal.old")

    def _write_journal(self) -> None:
        folder = _real(self._root, STATE_FOLDER)
        new = folder / "journal.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        files = [
            {
                "path": str(change.path),
                "before": _save_image(new / f"{number}.before", change.before),
                "after": _save_image(new / f"{number}.after", change.after),
            }
            for number, change in enumerate(self._changes.files)
        ]
        group = self._changes.group
        text = json.dumps(
            {
                "files": files,
                "folders": [str(path) for path in self.made_folders],
                "group": [group.name, group.gid] if group else None,
            }
        )
        _write_private(new / "journal.json", text.encode())
        _sync_folder(new)
        os.rename(new, folder / "journal")
        _sync_folder(folder)


def interrupted(root: Path) -> Interrupted | None:
    """The transaction that an earlier run left open, if any; clears away finished journals.

    Raises NotRolledBack when the journal can't be read.
    """
    folder = _real(root, STATE_FOLDER)
    for leftover in ("journal.new", "journal.old"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    journal = folder / "journal"
    if not journal.is_dir():
        return None
    try:
        data = json.loads((journal / "journal.json").read_bytes())
        changes = Changes(
            files=tuple(
                FileChange(
                    PurePosixPath(entry["path"]),
                    _load_image(journal / f"{number}.before", entry["before"]),
                    _load_image(journal / f"{number}.after", entry["after"]),
                )
                for number, entry in enumerate(data["files"])
            ),
            group=Group(*data["group"]) if data["group"] else None,
        )
        folders = [PurePosixPath(path) for path in data["folders"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotRolledBack(
            f"the journal of an interrupted run in {journal} can't be read ({error});"
            " its *.before files are the files as they were."
        ) from None
    return Interrupted(Transaction(root, changes, folders), (journal / "services").exists())


def _real(root: Path, path: PurePosixPath) -> Path:
    # Only for our own state folder, whose parents belong to root.
    return root / path.relative_to("/")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
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


def _save_image(blob: Path, image: FileImage | None) -> dict[str, Any] | None:
    if image is None:
        return None
    _write_private(blob, image.content)
    metadata = image.metadata
    return {
        "uid": metadata.uid,
        "gid": metadata.gid,
        "mode": metadata.mode,
        "attributes": [
            [name, base64.b64encode(value).decode()] for name, value in metadata.attributes
        ],
    }


def _load_image(blob: Path, entry: dict[str, Any] | None) -> FileImage | None:
    if entry is None:
        return None
    attributes = tuple((name, base64.b64decode(value)) for name, value in entry["attributes"])
    metadata = Metadata(entry["uid"], entry["gid"], entry["mode"], attributes)
    return FileImage(blob.read_bytes(), metadata)


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, _NEW_FILE, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
