"""The journal of one transaction: every file as it was and as it shall be, safely on disk.

A folder `journal` below the state folder, 0700, for root alone. It comes into being with one
rename and ends with one, so that it is either whole or not there. One of another name is that of
a transaction that is open beside the first.
"""

import base64
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hx_gateway_db.errors import NotRolledBack
from hx_gateway_db.layout import STATE_FOLDER
from hx_gateway_db.transaction.changes import Changes, FileChange, Group
from hx_gateway_db.transaction.folders import sync
from hx_gateway_db.transaction.snapshot import FileImage, Metadata

MAIN = "journal"
_INDEX = "journal.json"
_SERVICES = "services"
_GROUP = "group"


@dataclass(frozen=True)
class Entry:
    """What an open journal holds.

    `served` names the units that answered before units began to be restarted; None before that.
    """

    changes: Changes
    folders: tuple[PurePosixPath, ...]
    served: tuple[str, ...] | None


class Journal:
    """The journal of the host at `root`. Its methods raise OSError when the disk does."""

    def __init__(self, root: Path, name: str = MAIN) -> None:
        self._folder = root / STATE_FOLDER.relative_to("/")
        self._open = self._folder / name
        self._new = self._folder / f"{name}.new"
        self._closed = self._folder / f"{name}.old"

    def begin(self, changes: Changes, folders: Sequence[PurePosixPath]) -> None:
        """Write down `changes` and the `folders` that will be made for them."""
        self.clear()
        new = self._new
        new.mkdir(mode=0o700)
        files = [
            {
                "path": str(change.path),
                "before": _save(new / f"{number}.before", change.before),
                "after": _save(new / f"{number}.after", change.after),
            }
            for number, change in enumerate(changes.files)
        ]
        index = {
            "files": files,
            "folders": [str(path) for path in folders],
            "group": [changes.group.name, changes.group.gid] if changes.group else None,
            "notes_group": True,
        }
        _write(new / _INDEX, json.dumps(index).encode())
        sync(new)
        os.rename(new, self._open)
        sync(self._folder)

    def services_begin(self, served: Sequence[str]) -> None:
        """Note that units are about to be restarted, and those that answer now."""
        journal = self._open
        _write(journal / f"{_SERVICES}.new", "".join(f"{unit}\n" for unit in served).encode())
        os.rename(journal / f"{_SERVICES}.new", journal / _SERVICES)
        sync(journal)

    def group_begins(self) -> None:
        """Note that our group is about to be made: from now on an undo takes it away."""
        _write(self._open / _GROUP, b"")
        sync(self._open)

    def group_failed(self) -> None:
        """Note that it was not made, as when somebody else was faster: it is not ours."""
        (self._open / _GROUP).unlink(missing_ok=True)
        sync(self._open)

    @property
    def group_begun(self) -> bool:
        """Whether a group of that name is one that we have made, or were about to."""
        # hx-gateway-db 0.1.0 made no such note, and took the group away whoever had made it.
        journal = self._open
        notes = json.loads((journal / _INDEX).read_bytes()).get("notes_group")
        return not notes or (journal / _GROUP).exists()

    def close(self) -> None:
        """Make what the files are now final; on an error the journal is still open."""
        os.rename(self._open, self._closed)
        try:
            sync(self._folder)
        except OSError:
            os.rename(self._closed, self._open)
            raise
        shutil.rmtree(self._closed, ignore_errors=True)

    def clear(self) -> None:
        """Remove what is left of journals that never came into being or have ended."""
        for leftover in (self._new, self._closed):
            shutil.rmtree(leftover, ignore_errors=True)

    def read(self) -> Entry | None:
        """The open journal, if there is one. Raises NotRolledBack when it can't be read."""
        journal = self._open
        if not journal.is_dir():
            return None
        try:
            index = json.loads((journal / _INDEX).read_bytes())
            files = tuple(
                FileChange(
                    PurePosixPath(file["path"]),
                    _load(journal / f"{number}.before", file["before"]),
                    _load(journal / f"{number}.after", file["after"]),
                )
                for number, file in enumerate(index["files"])
            )
            group = Group(*index["group"]) if index["group"] else None
            folders = tuple(PurePosixPath(path) for path in index["folders"])
            services = journal / _SERVICES
            served = tuple(services.read_text().split()) if services.exists() else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotRolledBack(
                f"the journal of an interrupted run in {journal} can't be read ({error});"
                " its *.before files are the files as they were."
            ) from None
        return Entry(Changes(files, group), folders, served)


def _save(blob: Path, image: FileImage | None) -> dict[str, Any] | None:
    if image is None:
        return None
    _write(blob, image.content)
    metadata = image.metadata
    return {
        "uid": metadata.uid,
        "gid": metadata.gid,
        "mode": metadata.mode,
        "attributes": [
            [name, base64.b64encode(value).decode()] for name, value in metadata.attributes
        ],
    }


def _load(blob: Path, entry: dict[str, Any] | None) -> FileImage | None:
    if entry is None:
        return None
    attributes = tuple((name, base64.b64decode(value)) for name, value in entry["attributes"])
    metadata = Metadata(entry["uid"], entry["gid"], entry["mode"], attributes)
    return FileImage(blob.read_bytes(), metadata)


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
