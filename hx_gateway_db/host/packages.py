"""Which installed package a file belongs to. The only caller of dpkg-query."""

import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hx_gateway_db.programs import Ended, captured

_SECONDS = 20.0


class NotAsked(Exception):
    """dpkg could not be asked; the message is a clause that says why."""


@dataclass(frozen=True)
class Owner:
    """A package, and whether the file is a conffile of it."""

    package: str
    conffile: bool


def owner(root: Path, path: PurePosixPath) -> Owner | None:
    """The package that brings the file; None for a file that dpkg knows nothing of.

    A file that was diverted is its diverter's (dpkg-divert(1)). Raises NotAsked.
    """
    found = _dpkg_query(root, "--search", str(path))
    lines = found.output.splitlines()
    if found.status != 0 or any("diversion" in line for line in lines):
        return None
    names = [line.removesuffix(f": {path}") for line in lines if line.endswith(f": {path}")]
    if not names:
        return None
    package = names[0].split(", ")[0]
    listed = _dpkg_query(root, "--show", "--showformat=${Conffiles}", package).output
    return Owner(package, any(line.split()[:1] == [str(path)] for line in listed.splitlines()))


def _dpkg_query(root: Path, *arguments: str) -> Ended:
    command = ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", *arguments]
    try:
        return captured(command, _SECONDS, {"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    except subprocess.TimeoutExpired:
        raise NotAsked(f"dpkg-query did not answer in {_SECONDS:.0f} s") from None
    except OSError as error:
        raise NotAsked(f"dpkg-query can't be run ({error.strerror})") from None
