"""The journal of one transaction: every file as it was and as it shall be, safely on disk.

A folder `journal` below the state folder, 0700, for root alone. It comes into being with one
rename and ends with one, so that it is either whole or not there.
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

_NEW, _OPEN, _CLOSED = "journal.new", "journal", "journal.old"
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

    def __init__(self, root: Path) -> None:
        self._folder = root / STATE_FOLDER.relative_to("/")

    def begin(self, changes: Changes, folders: Sequence[PurePosixPath]) -> None:
        """Write down `changes` and the `folders` that will be made for them."""
        self.clear()
        new = self._folder / _NEW
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
        os.rename(new, self._folder / _OPEN)
        sync(self._folder)

    def services_begin(self, served: Sequence[str]) -> None:
        """Note that units are about to be restarted, and those that answer now."""
        journal = self._folder / _OPEN
        _write(journal / _NEW, "".join(f"{unit}\n" for unit in served).encode())
        os.rename(journal / _NEW, journal / _SERVICES)
        sync(journal)

    def group_begins(self) -> None:
        """Note that our group is about to be made: from now on an undo takes it away."""
        _write(self._folder / _OPEN / _GROUP, b"")
        sync(self._folder / _OPEN)

    def group_failed(self) -> None:
        """Note that it was not made, as when somebody else was faster: it is not ours."""
        (self._folder / _OPEN / _GROUP).unlink(missing_ok=True)
        sync(self._folder / _OPEN)

    @property
    def group_begun(self) -> bool:
        """Whether a group of that name is one that we have made, or were about to."""
        # hx-gateway-db 0.1.0 made no such note, and took the group away whoever had made it.
        journal = self._folder / _OPEN
        notes = json.loads((journal / _INDEX).read_bytes()).get("notes_group")
        return not notes or (journal / _GROUP).exists()

    def close(self) -> None:
        """Make what the files are now final; on an error the journal is still open."""
        os.rename(self._folder / _OPEN, self._folder / _CLOSED)
        try:
            sync(self._folder)
        except OSError:
            os.rename(self._folder / _CLOSED, self._folder / _OPEN)
            raise
        shutil.rmtree(self._folder / _CLOSED, ignore_errors=True)

    def clear(self) -> None:
        """Remove what is left of journals that never came into being or have ended."""
        for leftover in (_NEW, _CLOSED):
            shutil.rmtree(self._folder / leftover, ignore_errors=True)

    def read(self) -> Entry | None:
        """The open journal, if there is one. Raises NotRolledBack when it can't be read."""
        journal = self._folder / _OPEN
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
