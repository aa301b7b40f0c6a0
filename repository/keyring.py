"""The keyring packages: the public keys, and the sources that a host of one suite has.

A version is the moment at which it was made. There is a new one only when keys or address have
changed, so that hosts are given none otherwise.
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
_KEY = Path("/usr/share/keyrings") / f"{KEYRING}.pgp"
_MAINTAINER = "HX Infrastructure <hx-gateway-db@example.invalid>"
_MOMENT = "%Y%m%d.%H%M%S"


@dataclass(frozen=True)
class Told:
    """What hosts have been told: where the repository is, and which keys it is signed with."""

    uri: str
    fingerprints: frozenset[str]


def told(folder: Path) -> Told | None:
    """What the newest keyring package in the pool says; none when there is none. Raises Refused."""
    last = _last(folder, SUITES[-1])
    if last is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        key, source = _unpacked(last, Path(scratch))
        uri = re.findall(r"(?m)^URIs: (.*)", source.read_text())[0]
        return Told(uri, lasting_keys(key))


def publish(folder: Path, suite: Suite, uri: str, keys: bytes, moment: datetime) -> None:
    """Have the suite's keyring package in the pool, and under a name without a version beside it.

    Raises Refused.
    """
    last = _last(folder, suite)
    with tempfile.TemporaryDirectory() as scratch:
        if last and _says(last, Path(scratch), sources(suite, uri, _KEY), keys):
            deb = last
        else:
            if last:
                moment = max(moment, _moment(last) + timedelta(seconds=1))
            deb = add(folder, _build(Path(scratch), suite, uri, keys, moment))
        new = folder / f".{KEYRING}.new"
        shutil.copyfile(deb, new)
    os.replace(new, folder / f"{KEYRING}_{suite.codename}.deb")


def _last(folder: Path, suite: Suite) -> Path | None:
    """The newest one in the pool."""
    found = list(pool(folder, KEYRING).glob(f"{KEYRING}_*+{suite.mark}_all.deb"))
    return max(found, key=_moment) if found else None


def _moment(deb: Path) -> datetime:
    """When a keyring package was made, which is its version."""
    made = deb.name.removeprefix(f"{KEYRING}_").partition("+")[0]
    return datetime.strptime(made, _MOMENT).replace(tzinfo=UTC)


def _says(deb: Path, scratch: Path, text: str, keys: bytes) -> bool:
    key, source = _unpacked(deb, scratch / "last")
    return key.read_bytes() == keys and source.read_text() == text


def _unpacked(deb: Path, scratch: Path) -> tuple[Path, Path]:
    """The file of the keys and the file for apt's sources, in a keyring package."""
    run(["dpkg-deb", "--extract", deb, scratch])
    return scratch / _KEY.relative_to("/"), scratch / f"etc/apt/sources.list.d/{NAME}.sources"


def _build(scratch: Path, suite: Suite, uri: str, keys: bytes, moment: datetime) -> Path:
    source = scratch / KEYRING
    shutil.copytree(_SOURCE, source)
    shutil.copy(_COPYRIGHT, source / "debian")
    (source / _KEY.name).write_bytes(keys)
    (source / f"{NAME}.sources").write_text(sources(suite, uri, _KEY))
    version = f"{moment:{_MOMENT}}+{suite.mark}"
    (source / "debian/changelog").write_text(
        f"{KEYRING} ({version}) {suite.codename}; urgency=medium\n\n"
        f"  * The keys and the address of this moment.\n\n"
        f" -- {_MAINTAINER}  {format_datetime(moment)}\n"
    )
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(int(moment.timestamp())), "LC_ALL": "C.UTF-8"}
    run(["dpkg-buildpackage", "--build=binary", "--no-sign"], cwd=source, env=env)
    return scratch / f"{KEYRING}_{version}_all.deb"
