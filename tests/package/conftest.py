"""Fixtures for the tests of the package: debconf, and machines on which systemd does not run."""

from pathlib import Path

import pytest

from tests.machine.conftest import cold_machine, deb, image, pytest_generate_tests, release
from tests.package.debconf import Debconf

__all__ = ["cold_machine", "deb", "debconf", "image", "pytest_generate_tests", "release"]


@pytest.fixture
def debconf(tmp_path: Path) -> Debconf:
    """A debconf with a database of its own, and our scripts."""
    return Debconf(tmp_path)
