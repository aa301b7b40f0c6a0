"""The folder's layout: pool/, and for each suite its indexes and its signed Release.

It is changed in place and in an order in which apt can read it at any moment: first what nothing
names yet, at last InRelease. What the InRelease before named stays below by-hash/.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from repository.errors import Refused
from repository.programs import run
from repository.signing import Signers
from repository.sources import NAME, SUITES, Suite

KEYRING = f"{NAME}-archive-keyring"
# All packages are for "all". Where a host's own is not in the list, apt --audit of Debian 13 finds
# something to say, so those of servers are there, with indexes that have nothing in them.
_ARCHITECTURES = ("all", "amd64", "arm64")
# How many builds' worth of indexes stay below by-hash/, for a client that is between InRelease
# and the rest, or behind a cache. They are small.
_BUILDS_KEPT = 20
_HASHES = [f"--option=APT::FTPArchive::{name}=false" for name in ("MD5", "SHA1", "SHA512")]
_INDEXES = ("Packages*", "Translation-*", "Contents-*")


def pool(folder: Path, package: str) -> Path:
    """Where the files of a package are, of every version."""
    return folder / "pool/main" / package[0] / package


def add(folder: Path, deb: Path) -> Path:
    """Put a package file into the pool; returns where it is there.

    Raises Refused when another file of its name is there: who has that would never get this.
    """
    shown = "--showformat=${Package} ${Version} ${Architecture}"
    package, version, architecture = run(["dpkg-deb", "--show", shown, deb]).decode().split()
    target = pool(folder, package) / f"{package}_{version}_{architecture}.deb"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(deb, target)
    elif not filecmp.cmp(deb, target, shallow=False):
        raise Refused(
            f"{target} is not the same file as {deb}, and both say that they are version {version}:"
            " raise the version in debian/changelog and setup.py; or remove the older file, if"
            " nobody has installed it yet."
        )
    return target


def index(folder: Path, suite: Suite) -> None:
    """Write the indexes of what the pool has for a suite."""
    dist = f"dists/{suite.codename}"
    for name in ("i18n", *(f"binary-{name}" for name in _ARCHITECTURES)):
        (folder / dist / "main" / name).mkdir(parents=True, exist_ok=True)
    files = [path.relative_to(folder) for path in sorted((folder / "pool").rglob("*.deb"))]
    with tempfile.TemporaryDirectory() as scratch:
        configuration = Path(scratch) / "apt-ftparchive.conf"
        listed = Path(scratch) / "files"
        listed.write_text("".join(f"{path}\n" for path in files if _belongs(path, suite)))
        configuration.write_text(
            f'Dir {{ ArchiveDir "."; CacheDir "{scratch}"; }};\n'
            'Default { Packages::Compress ". xz"; Translation::Compress "xz";'
            ' Contents::Compress "xz"; };\n'
            f'Tree "{dist}" {{ Sections "main"; Architectures "{" ".join(_ARCHITECTURES)}";'
            f' FileList "{listed}"; LongDescription "false"; }};\n'
        )
        run(["apt-ftparchive", *_HASHES, "generate", configuration], cwd=folder)


def release(
    folder: Path, suite: Suite, signers: Signers, moment: datetime, valid: timedelta | None
) -> None:
    """Write and sign a suite's Release: good for as long as is said, or until there is another."""
    dist = folder / "dists" / suite.codename
    fields = {
        "Origin": "HX Infrastructure",
        "Label": NAME,
        "Suite": suite.codename,
        "Codename": suite.codename,
        "Date": format_datetime(moment),
        "Acquire-By-Hash": "yes",
        "Architectures": " ".join(_ARCHITECTURES),
        "Components": "main",
        "Description": f"{NAME} for Debian {suite.mark.removeprefix('deb')} ({suite.codename})",
    }
    if valid:
        # It is written only with a ValidTime, which counts from the clock's time.
        fields["ValidTime"] = str(int(valid.total_seconds()))
        fields["Valid-Until"] = format_datetime(moment + valid)
    options = [f"--option=APT::FTPArchive::Release::{key}={fields[key]}" for key in fields]
    options += [f"--option=APT::FTPArchive::Release::Patterns::={name}" for name in _INDEXES]
    options += ["--option=APT::FTPArchive::Release::Default-Patterns=false"]
    options += ["--option=APT::FTPArchive::DoByHash=true"]
    options += [f"--option=APT::FTPArchive::By-Hash-Keep={_BUILDS_KEPT}"]
    written = run(["apt-ftparchive", *_HASHES, *options, "release", "."], cwd=dist)
    names = ("Release", "Release.gpg", "InRelease")
    made = {name: dist / f".{name}.new" for name in names}
    made["Release"].write_bytes(written)
    signers.sign(made["Release"], made["InRelease"], made["Release.gpg"])
    for name in names:
        os.replace(made[name], dist / name)


def _belongs(path: Path, suite: Suite) -> bool:
    """Whether a suite has this file: its version has no other suite's mark."""
    others = [other for other in SUITES if other != suite]
    return not any(f"+{other.mark}_" in path.name for other in others)
