"""What is needed of a system is looked for itself, and not concluded from the system's name."""

import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
_NAMES = re.compile(
    r"os-release|lsb_release|debian_version|dpkg-vendor|VERSION_CODENAME"
    r"|\b(bookworm|trixie|ubuntu|noble)\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"(?m)(^|\s)#.*$")


def installed() -> Iterator[Path]:
    """What runs on a host: the library, its templates, the maintainer scripts."""
    yield from (PROJECT / "hx_gateway_db").rglob("*.py")
    yield from (PROJECT / "templates").iterdir()
    yield from (PROJECT / "debian").glob("hx-gateway-db.*")


def test_nothing_that_runs_on_a_host_asks_for_the_name_of_the_system() -> None:
    files = list(installed())
    assert len(files) > 100
    found = [
        f"{path.relative_to(PROJECT)}: {match[0]}"
        for path in files
        for match in _NAMES.finditer(_COMMENT.sub("", path.read_text()))
    ]
    assert found == []
