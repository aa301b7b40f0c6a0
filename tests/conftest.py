"""Where a run that names its slowest tests (`--durations`) has spent its time, by file."""

from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.costs import PROPERTY, Meter, table

_meter = Meter()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Put down what a test has cost, once it has been taken down."""
    if call.when == "teardown":
        # As a property, since these reach pytest-xdist's controller.
        item.user_properties.append((PROPERTY, _meter.since()))
    yield


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the table."""
    if not terminalreporter.config.option.durations:
        return
    reports = [
        report
        for those in terminalreporter.stats.values()
        for report in those
        if isinstance(report, pytest.TestReport)
    ]
    terminalreporter.section("CPU seconds, seconds, tests")
    for line in table(reports):
        terminalreporter.write_line(line)
