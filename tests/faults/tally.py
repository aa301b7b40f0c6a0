"""What the injected faults did, counted over all tests and told in one line at the end."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import pytest

_Item = TypeVar("_Item")
# The same commit is tested with the same sample on every day; any number does.
_SEED = 1


@dataclass
class Tally:
    """Counts of one test, or of all of them; every count but `injected` has to stay 0."""

    injected: int = 0
    entered: int = 0
    gateways_down: int = 0
    files_torn: int = 0
    secrets_leaked: int = 0
    foreign_files_touched: int = 0

    def add(self, name: str, number: int) -> None:
        """Add to the count called `name`."""
        setattr(self, name, getattr(self, name) + number)

    def line(self) -> str:
        """The sentence that `make faults` ends with."""
        return (
            f"faults: {self.injected} injected, {self.entered} entered,"
            f" {self.gateways_down} gateways down, {self.files_torn} files torn,"
            f" {self.secrets_leaked} secrets leaked,"
            f" {self.foreign_files_touched} foreign files touched"
        )


COUNTS = tuple(field.name for field in fields(Tally))


def all_faults() -> bool:
    """Whether this is the full run (`make faults`) rather than a sample of it."""
    return os.environ.get("HX_FAULTS") == "all"


in_full = pytest.mark.skipif(not all_faults(), reason="one of 'make faults'")


def seed() -> int:
    """What the sample is drawn with: HX_FAULTS_SEED, or else always the same number."""
    return int(os.environ.get("HX_FAULTS_SEED") or _SEED)


def sample(faults: Sequence[_Item], most: int) -> list[_Item]:
    """All of the faults in a full run, else `most` of them, drawn with the seed."""
    if all_faults() or len(faults) <= most:
        return list(faults)
    return random.Random(seed()).sample(faults, most)


def chosen(faults: Iterable[str], *always: str) -> list[str]:
    """All of the faults in a full run, else those of them that every run has."""
    return list(faults) if all_faults() else list(always)
