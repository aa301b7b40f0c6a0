"""Telling that there is nothing to change without making the plan again that told so before.

A plan that was empty is remembered by a digest of everything that it follows from. A run that finds
all of that unchanged would make the same plan, and needs none of the libraries for it. What a plan
follows from:

- the answers;
- the files that `host` has read, each with its bytes, owner, mode and attributes. Which ones they
  are follows from the state file, which is one of them: a plan that moves BASE, or that gives Redis
  its first drop-in, changes the state file and is not empty. That gateway.env is there says that
  its folders are, which is all that a plan asks of folders;
- who runs it, since new files are theirs;
- whether systemd runs: where it does, what could not be restarted without it has to be;
- this program with its templates, the libraries that read and render, and Python.

Where anything is missing, unreadable, refused or other than it was, the plan is made.

The digest covers the salt in the state file and all of gateway.env. It tells a reader, who has to
be root, less about a password than the digests in the state file do.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Level
from hx_gateway_db.layout import (
    LOCK,
    PRISTINE_CONFIG,
    SETTLED,
    STATE_FILE,
    STATE_FOLDER,
    SYSTEMD_RUNS,
    TEMPLATES,
)
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.transaction.snapshot import FileImage, take

NOTHING_TO_CHANGE = "Nothing to change: the gateway is wired as answered."

_Files = Mapping[PurePosixPath, FileImage | None]
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LIBRARIES = ("dotenv", "jinja2", "yaml")
# Anything else in the state folder, an interrupted run's journal above all, is not for us to judge.
_EXPECTED = {path.name for path in (STATE_FILE, PRISTINE_CONFIG, LOCK, SETTLED)}


def is_settled(root: Path, given: Mapping[str, str]) -> bool:
    """Whether an apply of the answers `given` is known to have nothing to change or to say.

    Raises Refused when another run holds the lock.
    """
    folder = root / STATE_FOLDER.relative_to("/")
    if not os.path.lexists(folder / SETTLED.name):
        return False
    with lock(root, "apply"), suppress(OSError, Refused, ValueError):
        remembered = take(root, SETTLED)
        if remembered and _EXPECTED.issuperset(os.listdir(folder)):
            digest, *paths = remembered.content.decode().splitlines()
            files = {path: take(root, path) for path in map(PurePosixPath, paths)}
            return digest == _digest(root, given, files)
    return False


def changed_behind_us(root: Path) -> bool:
    """Whether anything else of a settled host is otherwise than it was wired: what its units read
    besides, and what they run with. An upgrade of the package does not look at that."""
    if root != Path("/"):
        return False
    from hx_gateway_db.systemd import units

    if not units.available() or units.for_dpkg():
        return False
    from hx_gateway_db.checks.differences import compare
    from hx_gateway_db.host.host import read_host

    well = (Level.OK, Level.SKIPPED)
    return not all(finding.level in well for finding in compare(read_host(root), live=True))


def remember(root: Path, given: Mapping[str, str], files: _Files) -> None:
    """Remember that the plan for `given` and `files`, as they were read for it, was empty.

    Call it with the lock held. Where that can't be written, the next run makes its plan.
    """
    with suppress(OSError):
        lines = [_digest(root, given, files), *map(str, files)]
        record = root / SETTLED.relative_to("/")
        record.unlink(missing_ok=True)
        # In place and without fsync: its digest tells a whole record from a torn one.
        with open(os.open(record, _NEW_FILE, 0o600), "wb") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())


def _digest(root: Path, given: Mapping[str, str], files: _Files) -> str:
    digest = hashlib.blake2b(digest_size=32)
    for part in _parts(root, given, files):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


def _parts(root: Path, given: Mapping[str, str], files: _Files) -> Iterator[bytes]:
    yield repr(sorted(given.items())).encode()
    yield repr(root == Path("/") and SYSTEMD_RUNS.is_dir()).encode()
    yield repr((os.geteuid(), os.getegid())).encode()
    yield repr((sys.version, *_program())).encode()
    for path, image in files.items():
        yield repr((str(path), image.metadata if image else None)).encode()
        yield image.content if image else b""


def _program() -> Iterator[tuple[str, int, int]]:
    """The program's files; an upgrade puts others in their place, with another st_ctime."""
    libraries = [PathFinder.find_spec(name) for name in _LIBRARIES]
    paths = [*Path(__file__).parents[1].rglob("*.py"), *TEMPLATES.iterdir()]
    paths += [Path(library.origin) for library in libraries if library and library.origin]
    for path in sorted(paths):
        status = path.stat()
        yield str(path), status.st_size, status.st_ctime_ns
