"""The keyring packages: the public keys, and the sources that a host of one suite has.

A version is the moment at which it was made. One whose files would be the same bit for bit is kept
as it is, so that hosts are given a new one only when keys or address have changed.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from repository.archive import KEYRING, add, pool
from repository.programs import run
from repository.signing import lasting_keys
from repository.sources import NAME, SUITES, Suite, sources

_SOURCE = Path(__file__).with_name("keyring-package")
_COPYRIGHT = Path(__file__).resolve().parents[1] / "debian/copyright"
_MAINTAINER = "HX Infrastructure <hx-gateway-db@example.invalid>"
_MOMENT = "%Y%m%d.%H%M%S"


@dataclass(frozen=True)
class Told:
    """What hosts have been told: where the repository is, and which keys it is signed with."""

    uri: str
    fingerprints: frozenset[str]


def told(folder: Path) -> Told | None:
    """What the newest keyring package in the pool says; none when there is none. Raises Refused."""
    suite = SUITES[-1]
    last = _last(folder, suite)
    if last is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        deb = pool(folder, KEYRING) / f"{KEYRING}_{_version(suite, last)}_all.deb"
        run(["dpkg-deb", "--extract", deb, scratch])
        text = (Path(scratch) / f"etc/apt/sources.list.d/{NAME}.sources").read_text()
        keys = lasting_keys(Path(scratch) / f"usr/share/keyrings/{KEYRING}.gpg")
    return Told(re.findall(r"(?m)^URIs: (.*)", text)[0], keys)


def publish(folder: Path, suite: Suite, uri: str, keys: bytes, moment: datetime) -> None:
    """Have the suite's keyring package in the pool, and under a name without a version beside it.

    Raises Refused.
    """
    last = _last(folder, suite)
    with tempfile.TemporaryDirectory() as scratch:
        deb = _build(Path(scratch) / "again", suite, uri, keys, last) if last else None
        if deb is None or deb.read_bytes() != (pool(folder, KEYRING) / deb.name).read_bytes():
            if last:
                moment = max(moment, last + timedelta(seconds=1))
            deb = _build(Path(scratch) / "new", suite, uri, keys, moment)
        new = folder / f".{KEYRING}.new"
        shutil.copyfile(add(folder, deb), new)
    os.replace(new, folder / f"{KEYRING}_{suite.codename}.deb")


def _last(folder: Path, suite: Suite) -> datetime | None:
    """When the newest one in the pool was made."""
    named = re.compile(rf"{KEYRING}_([0-9]{{8}}\.[0-9]{{6}})\+{suite.mark}_all\.deb")
    names = (path.name for path in pool(folder, KEYRING).glob("*.deb"))
    versions = [match[1] for match in map(named.fullmatch, names) if match]
    if not versions:
        return None
    return datetime.strptime(max(versions), _MOMENT).replace(tzinfo=UTC)


def _version(suite: Suite, moment: datetime) -> str:
    return f"{moment:{_MOMENT}}+{suite.mark}"


def _build(scratch: Path, suite: Suite, uri: str, keys: bytes, moment: datetime) -> Path:
    source = scratch / KEYRING
    shutil.copytree(_SOURCE, source)
    shutil.copy(_COPYRIGHT, source / "debian")
    installed = Path("/usr/share/keyrings") / f"{KEYRING}.gpg"
    (source / installed.name).write_bytes(keys)
    (source / f"{NAME}.sources").write_text(sources(suite, uri, installed))
    version = _version(suite, moment)
    (source / "debian/changelog").write_text(
        f"{KEYRING} ({version}) {suite.codename}; urgency=medium\n\n"
        f"  * The keys and the address of this moment.\n\n"
        f" -- {_MAINTAINER}  {format_datetime(moment)}\n"
    )
    epoch = int(moment.timestamp())
    for path in source.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.name == "rules" else 0o644)
        os.utime(path, (epoch, epoch))
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C.UTF-8"}
    run(["dpkg-buildpackage", "--build=binary", "--no-sign"], cwd=source, env=env)
    return scratch / f"{KEYRING}_{version}_all.deb"
