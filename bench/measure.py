"""Measuring contenders that take turns, so that what else the machine does hits all of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.progress import Progress

RUNS = 7


@dataclass(frozen=True)
class Sample:
    """One run: elapsed and CPU time in seconds, peak memory in MiB where it was measured."""

    seconds: float
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0


@dataclass(frozen=True)
class Figure:
    """The median of some samples, and the spread of their elapsed times (lowest, highest)."""

    seconds: float
    lowest: float
    highest: float
    cpu_seconds: float
    peak_mib: float
    runs: int


def take_turns(
    progress: Progress, contenders: Mapping[str, Callable[[], Sample]], runs: int = RUNS
) -> dict[str, Figure]:
    """Run every contender `runs` times, one after the other in each round, after one unmeasured."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for turn in range(runs + 1):
        progress.say(f"round {turn} of {runs}, {len(contenders)} in turns")
        for name, run in contenders.items():
            sample = run()
            if turn:
                samples[name].append(sample)
    return {name: figure(taken) for name, taken in samples.items()}


def figure(samples: Sequence[Sample]) -> Figure:
    """The medians of some samples, at least one, and the spread of their elapsed times."""
    elapsed = [sample.seconds for sample in samples]
    return Figure(
        seconds=statistics.median(elapsed),
        lowest=min(elapsed),
        highest=max(elapsed),
        cpu_seconds=statistics.median(sample.cpu_seconds for sample in samples),
        peak_mib=statistics.median(sample.peak_mib for sample in samples),
        runs=len(samples),
    )
