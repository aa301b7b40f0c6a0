"""Fixtures for the tests of the package: debconf, machines that are not booted, Debian's tools."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.conftest import (
    cold_machine,
    deb,
    image,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    release,
)
from tests.machine.machine import Machine
from tests.package.debconf import Debconf
from tests.package.tools_image import build_tools_image

__all__ = [
    "cold_machine",
    "deb",
    "debconf",
    "image",
    "pytest_collection_modifyitems",
    "pytest_generate_tests",
    "release",
    "tools",
]


@pytest.fixture
def debconf(tmp_path: Path) -> Debconf:
    """A debconf with a database of its own, and our scripts."""
    return Debconf(tmp_path)


@pytest.fixture
def tools(release: str) -> Iterator[Machine]:
    """A fresh machine with Debian's tools and no gateway; it is not booted."""
    with Machine(build_tools_image(release)) as machine:
        yield machine
