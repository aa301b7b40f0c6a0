"""Fixtures for the fault injections, and the line that they end with."""

import os
from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.faults.tally import COUNTS, Tally, all_faults, seed
from tests.machine import conftest as machines
from tests.machine.conftest import (
    cold_machine,
    deb,
    image,
    machine,
    pytest_collection_modifyitems,
    release,
    shared_machine,
)
from tests.machine.image import RELEASES

__all__ = [
    "cold_machine",
    "deb",
    "image",
    "machine",
    "pytest_collection_modifyitems",
    "release",
    "shared_machine",
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A full run is on every release; a sample on one for each module, tomorrow on the other.

    A module that sets SAMPLE_RELEASE has a sample that is the same every day, also in this.
    """
    if all_faults() or "HX_RELEASES" in os.environ:
        machines.pytest_generate_tests(metafunc)
    elif "release" in metafunc.fixturenames:
        drawn = RELEASES[(seed() + len(metafunc.module.__name__)) % len(RELEASES)]
        chosen = getattr(metafunc.module, "SAMPLE_RELEASE", drawn)
        metafunc.parametrize("release", [chosen], indirect=True, scope="session")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The counts of one test; what is counted as harm fails the test as well."""
    counts = Tally()
    yield counts
    # As properties, since they reach pytest-xdist's controller with the report of the teardown.
    request.node.user_properties.extend((name, getattr(counts, name)) for name in COUNTS)
    assert counts == Tally(counts.injected), counts.line()


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the sum over all tests as the last line."""
    total = Tally()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":
                for name, number in report.user_properties:
                    if name in COUNTS:
                        total.add(name, number)
    if total.injected:
        drawn = "all of them" if all_faults() else f"a sample, HX_FAULTS_SEED={seed()}"
        terminalreporter.write_line(f"{total.line()} ({drawn})")
