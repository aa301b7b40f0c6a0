"""Packages that were released, built again from the commits that they were released from."""

from __future__ import annotations

import subprocess
from pathlib import Path

COMMITS = {"0.1.0": "b7e66dab9eeeb4f4f99c8777802c5b8f0e9c7e61"}
_PROJECT = Path(__file__).resolve().parents[2]
_SOURCES = ("setup.py", "stdeb.cfg", "MANIFEST.in", "hx_gateway_db", "templates", "debian")


class NoHistory(Exception):
    """The checkout does not have the commit: it is a shallow clone, or a copy without .git."""


def build_released(version: str, folder: Path) -> Path:
    """Build the package of this version below `folder`; returns its file.

    Raises NoHistory, and AssertionError when the build fails.
    """
    commit = COMMITS[version]
    archive = ["git", "-C", str(_PROJECT), "archive", "--format=tar", commit, "--", *_SOURCES]
    try:
        sources = subprocess.run(archive, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise NoHistory(
            f"The history of this checkout does not have {version} (commit {commit[:7]}):"
            " in a shallow clone, 'git fetch --unshallow' gets it."
        ) from None
    source = folder / f"hx-gateway-db-{version}"
    source.mkdir(parents=True)
    subprocess.run(["tar", "--extract", f"--directory={source}"], input=sources, check=True)
    done = subprocess.run(
        ["dpkg-buildpackage", "--build=binary", "--no-sign"],
        cwd=source,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return folder / f"hx-gateway-db_{version}_all.deb"
