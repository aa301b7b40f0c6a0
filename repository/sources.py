"""The suites, and what a host's apt is told of one: a deb822-style file, sources.list(5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "hx-gateway-db"


@dataclass(frozen=True)
class Suite:
    """What hosts of one Debian release install from: its codename, the mark of its own versions."""

    codename: str
    mark: str


# One package serves both today. They are two so that a version that serves only one of them can
# reach that one alone, and so that a host's sources name its own release, as its others do.
SUITES = (Suite("bookworm", "deb12"), Suite("trixie", "deb13"))


def sources(suite: Suite, uri: str, key: str | Path) -> str:
    """The file for a host: `key` is the path of the key's file there, or the key as text."""
    if isinstance(key, str):
        lines = (f" {line}" if line else " ." for line in key.rstrip("\n").split("\n"))
        key = "\n" + "\n".join(lines)
    else:
        key = f" {key}"
    return f"Types: deb\nURIs: {uri}\nSuites: {suite.codename}\nComponents: main\nSigned-By:{key}\n"


def suite_of(os_release: str) -> Suite:
    """The suite for a host with this os-release(5): its own, on other systems the newest."""
    for suite in SUITES:
        if f"VERSION_CODENAME={suite.codename}" in os_release.splitlines():
            return suite
    return SUITES[-1]
