"""Fixtures for tests on booted Debian machines: images, machines, the package under test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from tests.faults.tally import all_faults
from tests.machine.image import RELEASES, build_image
from tests.machine.machine import Machine

_SHARED = {"shared_machine", "shared_dpkg", "shared_host", "shared_fleet"}


def pytest_configure() -> None:
    """Make a cancelled run (SIGTERM) clean up as Ctrl-C does."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for `release` on every release, or on those HX_RELEASES names.

    What is marked `sample_release` is long, and about servers and LiteLLM more than about Debian:
    it is run on the one that it names, but in a full run.
    """
    if "release" in metafunc.fixturenames:
        chosen = os.environ.get("HX_RELEASES", " ".join(RELEASES)).replace(",", " ").split()
        mark = metafunc.definition.get_closest_marker("sample_release")
        if mark and "HX_RELEASES" not in os.environ and not all_faults():
            chosen = [mark.args[0]]
        metafunc.parametrize("release", chosen, indirect=True, scope="session")


# First, so that the marks are there when pytest-xdist looks for them.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the chapters of one story on one machine when several processes share the tests."""
    for item in items:
        if isinstance(item, pytest.Function) and _SHARED & set(item.fixturenames):
            story = f"{item.path.stem}-{item.callspec.params['release']}"
            item.add_marker(pytest.mark.xdist_group(story))


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> str:
    """The Debian release under test: "bookworm" or "trixie"."""
    name = str(request.param)
    if name not in RELEASES:
        pytest.fail(f"HX_RELEASES names {name!r}; choose from {', '.join(RELEASES)}.")
    return name


@pytest.fixture(scope="session")
def image(release: str) -> Path:
    """The root directory of the release's image, built when it is not there yet."""
    if os.geteuid() != 0:
        pytest.fail("The tests on machines boot containers: run them as root.")
    return build_image(release)


@pytest.fixture
def cold_machine(image: Path) -> Iterator[Machine]:
    """A fresh machine that is not booted: commands run without systemd."""
    with Machine(image) as machine:
        yield machine


@pytest.fixture
def machine(cold_machine: Machine) -> Machine:
    """A fresh, booted machine whose gateway serves without a database."""
    cold_machine.boot()
    cold_machine.wait_for_gateway()
    return cold_machine


@pytest.fixture(scope="module")
def shared_machine(image: Path) -> Iterator[Machine]:
    """As `machine`, but one for all tests of a module: stories whose steps build on each other."""
    with Machine(image) as machine:
        machine.boot()
        machine.wait_for_gateway()
        yield machine


@pytest.fixture(scope="session")
def deb() -> Path:
    """The built package, as HX_DEB names it."""
    path = os.environ.get("HX_DEB", "")
    if not Path(path).is_file():
        pytest.fail(f"HX_DEB must name the built package file; it is {path!r}.")
    return Path(path)
