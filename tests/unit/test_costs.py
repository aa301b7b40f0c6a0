"""The table of what each file of tests costs."""

import subprocess
import sys
from typing import Literal

import pytest

from tests.costs import PROPERTY, Meter, table


def reports(file: str, cpu: float, seconds: float) -> list[pytest.TestReport]:
    """What pytest reports of one test."""
    both: tuple[Literal["call"], Literal["teardown"]] = ("call", "teardown")
    return [
        pytest.TestReport(
            f"tests/{file}::test_it",
            ("", 0, ""),
            {},
            "passed",
            None,
            when,
            duration=seconds / 2,
            user_properties=[(PROPERTY, cpu), ("injected", 3)] if when == "teardown" else [],
        )
        for when in both
    ]


def test_the_dearest_file_comes_first_and_the_cheap_ones_are_one_row() -> None:
    given = [
        *reports("machine/test_a.py", 30, 50),
        *reports("machine/test_b.py", 100, 40),
        *reports("machine/test_b.py", 20, 20),
        *reports("unit/test_c.py", 1, 2),
    ]
    assert table(given) == [
        "   120     60      2  tests/machine/test_b.py",
        "    30     50      1  tests/machine/test_a.py",
        "     1      2      1  1 cheaper files",
        "   151    112      4  all",
    ]


def test_a_run_without_a_test_has_a_table() -> None:
    assert table([]) == ["     0      0      0  0 cheaper files", "     0      0      0  all"]


def test_what_a_child_has_worked_is_counted_once() -> None:
    meter = Meter()
    work = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    assert meter.since() >= 0.3
    assert meter.since() < 0.3
