"""Running things inside a machine of tests/machine, and measuring them there."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Sample
from tests.machine.machine import CommandFailed, Machine

PROGRAMS = Path(__file__).with_name("inside")
FOLDER = "/root/bench"


@dataclass(frozen=True)
class Timed:
    """What a command took, and what it said when: see inside/timed.py."""

    seconds: float
    started: float
    ended: float
    cpu_seconds: float
    peak_mib: float
    read_bytes: int
    said: list[tuple[float, str]]

    @property
    def output(self) -> str:
        return "".join(line for _, line in self.said)

    @property
    def sample(self) -> Sample:
        return Sample(self.seconds, self.cpu_seconds, self.peak_mib)


def release() -> str:
    """The Debian release to measure on: the first that HX_RELEASES names, as for the tests."""
    return os.environ.get("HX_RELEASES", "bookworm").split()[0]


def package() -> Path:
    """The package that HX_DEB names."""
    return Path(os.environ["HX_DEB"])


def put_programs(machine: Machine) -> None:
    """Copy the programs of bench/inside into the machine."""
    machine.run(["mkdir", "-p", FOLDER])
    for program in PROGRAMS.iterdir():
        if program.is_file():
            machine.put(program, f"{FOLDER}/{program.name}", mode=0o755)


def timed(
    machine: Machine,
    command: Sequence[str],
    *,
    input: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Timed:
    """Run a command in the machine, measured there. Raises CommandFailed when it fails."""
    done = machine.run(
        ["python3", f"{FOLDER}/timed.py", *command], input=input, env=env, timeout=600
    )
    report = json.loads(done.stdout)
    status = report.pop("status")
    took = Timed(**report)
    if status:
        raise CommandFailed(f"{' '.join(command)} exited {status}:\n{took.output}")
    return took
