"""What a transaction does, as data."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from hx_gateway_db.transaction.snapshot import FileImage


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
