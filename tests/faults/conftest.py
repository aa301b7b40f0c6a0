"""Fixtures for the fault injections, and the line that they end with."""

from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.faults.tally import COUNTS, Tally, all_faults, seed
from tests.machine.conftest import (
    cold_machine,
    deb,
    image,
    machine,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    release,
    shared_machine,
)

__all__ = [
    "cold_machine",
    "deb",
    "image",
    "machine",
    "pytest_collection_modifyitems",
    "pytest_generate_tests",
    "release",
    "shared_machine",
]


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
