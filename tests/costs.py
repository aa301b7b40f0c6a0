"""What each file of tests costs: CPU seconds of its tests and of all that they start, and seconds.

A machine's seconds count when it is stopped, which is where the last test ends that uses it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

PROPERTY = "CPU seconds"
# Files below this are one row.
_CHEAP = 20.0


@dataclass
class Meter:
    """The CPU seconds of this process and of its children that have ended."""

    last: float = field(default_factory=lambda: _spent())

    def since(self) -> float:
        """What was spent since this was asked last."""
        now = _spent()
        spent, self.last = now - self.last, now
        return spent


def _spent() -> float:
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, both))


def table(reports: Iterable[pytest.TestReport]) -> list[str]:
    """A line for each file, the dearest first, then the cheap ones together, and the sum."""
    files: dict[str, list[float]] = {}
    for report in reports:
        row = files.setdefault(report.nodeid.partition("::")[0], [0.0, 0.0, 0.0])
        row[1] += report.duration
        if report.when == "teardown":
            row[0] += sum(float(str(x)) for name, x in report.user_properties if name == PROPERTY)
            row[2] += 1
    dear = {name: row for name, row in files.items() if row[0] >= _CHEAP}
    cheap = [row for name, row in files.items() if name not in dear]
    rows = sorted(dear.items(), key=lambda item: -item[1][0])
    rows.append((f"{len(cheap)} cheaper files", _sum(cheap)))
    rows.append(("all", _sum(files.values())))
    return [f"{cpu:6.0f} {wall:6.0f} {tests:6.0f}  {name}" for name, (cpu, wall, tests) in rows]


def _sum(rows: Iterable[list[float]]) -> list[float]:
    return [sum(column) for column in zip(*rows, strict=True)] or [0.0, 0.0, 0.0]
