"""A changed database password: how long the gateway is away, and until it serves again.

One machine with the real LiteLLM, PostgreSQL, Redis and wrapper, wired by the package. In each
round the role's password changes before the package's `apply` and before the specification's own
steps; then the package's files are put back and the two units are restarted by hand, which is what
a restart takes at least. All the while a client asks the wrapper 50 times a second with a virtual
key; it alone says when the gateway was away.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise

from bench.inside_machine import FOLDER, Timed, package, put_programs, release, timed
from bench.measure import Figure, Sample, figure, take_turns
from bench.table import Row
from tests.machine.image import build_image
from tests.machine.installation import (
    CACHE_DROP_IN,
    DROP_INS,
    GATEWAY_ENV,
    assert_a_virtual_key_works,
    existing,
    make_database,
    preseed,
)
from tests.machine.machine import CONFIG_YAML, WRAPPER_URL, Machine
from tests.progress import Progress

_ROLE = "hx_gateway"
_REDIS_PASSWORD = "of-redis"
_WIRED_FILES = (GATEWAY_ENV, *DROP_INS, str(CONFIG_YAML))
_LOG = "/root/asked"
_CLIENT = "bench-client.service"


@dataclass(frozen=True)
class Away:
    """What the client saw of one change, and what the change's command took.

    `first_file` is when the change's first file was written (time.time(); by hand: when the first
    restart was called), and `until_served` the seconds from there to the first answer that no
    failure followed. `away` sums up the gaps in which requests failed, each from the last answer
    before it to the first after. `before_restart` is from the first file to systemd's stopping
    LiteLLM, `between` from a LiteLLM that serves to stopping the wrapper.
    """

    first_file: float
    until_served: float
    away: float
    before_restart: float
    between: float
    command: Timed

    @property
    def overhead(self) -> float:
        """What is not the services' own stopping and starting, of a change in our order."""
        return self.before_restart + self.between


@dataclass
class _Machine:
    """The wired machine and what its rounds have given so far, the unmeasured one included."""

    machine: Machine
    key: str
    password: str
    seen: dict[str, list[Away]] = field(default_factory=dict)
    serial: Iterator[int] = field(default_factory=count)

    def apply(self) -> Sample:
        """The package's way."""
        answers = f"PG_PASS={self._new_password()}\n"
        command = ["hx-gateway-db", "apply", "--answers", "-"]
        return self._observe("ours", lambda: timed(self.machine, command, input=answers))

    def specification(self) -> Sample:
        """The specification's way, on files that are put back afterwards."""
        machine = self.machine
        wired = self.password
        password = self._new_password()
        values = {
            "PG_HOST": "127.0.0.1",
            "PG_PORT": "5432",
            "PG_DB": _ROLE,
            "PG_USER": _ROLE,
            "PG_PASS": password,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": "6379",
            "REDIS_PASS": _REDIS_PASSWORD,
        }
        kept = [(path, f"{FOLDER}/kept{number}") for number, path in enumerate(_WIRED_FILES)]
        for path, copy in kept:
            machine.run(["cp", "-a", path, copy])
        command = ["bash", f"{FOLDER}/specification.sh"]
        sample = self._observe("specification", lambda: timed(machine, command, env=values))
        # What the next contender restarts with.
        for path, copy in kept:
            machine.run(["cp", "-a", copy, path])
        machine.run(["rm", CACHE_DROP_IN])
        machine.run(["systemctl", "daemon-reload"])
        self._set_password(wired)
        return sample

    def by_hand(self) -> Sample:
        """Nothing but the restart."""
        command = ["python3", f"{FOLDER}/restart_by_hand.py"]
        return self._observe("by hand", lambda: timed(self.machine, command))

    def measured(self, name: str) -> list[Away]:
        """What a contender's measured rounds have given."""
        return self.seen[name][1:]

    def _new_password(self) -> str:
        password = f"password{next(self.serial)}"
        self._set_password(password)
        return password

    def _set_password(self, password: str) -> None:
        self.password = password
        self.machine.psql(f"ALTER ROLE {_ROLE} PASSWORD '{password}'")

    def _observe(self, name: str, change: Callable[[], Timed]) -> Sample:
        machine = self.machine
        with _client(machine, self.key):
            done = change()
            machine.wait_until(self._served, 120, what="a served key after the change")
            machine.run(["sleep", "1"])
        start = _written(machine) if name == "ours" else done.started
        seen = _away(machine.read(_LOG), start, _steps(machine, done.started), done)
        self.seen.setdefault(name, []).append(seen)
        return Sample(seen.until_served, done.cpu_seconds, done.peak_mib)

    def _served(self) -> bool:
        url = f"{WRAPPER_URL}/v1/models"
        return self.machine.http("GET", url, key=self.key).status == 200


def rows(progress: Progress) -> list[Row]:
    """Boot, wire, and let the three take turns."""
    with Machine(build_image(release())) as machine:
        machine.boot()
        machine.wait_for_gateway()
        machine.run(["redis-cli", "CONFIG", "SET", "requirepass", _REDIS_PASSWORD])
        make_database(machine, "at-first")
        redis = {"redis": "true", "redis_host": "127.0.0.1", "redis_pass": _REDIS_PASSWORD}
        preseed(machine, existing("at-first", **redis))
        machine.install(package())
        put_programs(machine)
        wired = _Machine(machine, assert_a_virtual_key_works(machine), "at-first")
        turns = {
            "ours": wired.apply,
            "specification": wired.specification,
            "by hand": wired.by_hand,
        }
        take_turns(progress, turns)
    return _rows(wired)


def _rows(wired: _Machine) -> list[Row]:
    ours, theirs, restart = map(wired.measured, ("ours", "specification", "by hand"))
    start = _median(restart, lambda seen: seen.until_served)
    size = "LiteLLM 1.74.15 and a wrapper"
    asking = "asked 50 times a second"
    by_hand = "the restart of both units alone, by hand"
    script = "the specification's steps 1 to 5"
    return [
        Row(
            "changed password: from the first file to a served virtual key,"
            " less the services' own start",
            size,
            _figure(ours, lambda seen: seen.overhead),
            f"{script}, to the end of its script",
            _figure(theirs, _waited_by_the_script),
            "at most 0.3 s, where by hand it is 10 s",
            f"ours: {_median(ours, lambda seen: seen.before_restart):.3f} s until LiteLLM is"
            f" stopped and {_median(ours, lambda seen: seen.between):.3f} s from its serving to the"
            f" wrapper's stop (by hand {_median(restart, lambda seen: seen.before_restart):.3f} and"
            f" {_median(restart, lambda seen: seen.between):.3f} s); the start takes {start:.2f} s"
            f" here, and the script's two sleeps of 5 s pass beside it",
        ),
        Row(
            "changed password: from the first file to a served virtual key",
            size,
            _figure(ours, lambda seen: seen.until_served),
            by_hand,
            _figure(restart, lambda seen: seen.until_served),
            remark=f"difference {_difference(ours, restart, lambda seen: seen.until_served)};"
            " most of it is LiteLLM's start, which varies",
        ),
        Row(
            "changed password: until it is known that a virtual key is served",
            size,
            _figure(ours, _known_by_the_proof),
            f"{script}, then asking (step 6)",
            _figure(theirs, _known_at_the_end),
            remark=f"ours says so before its watch of 12 s, and has ended after"
            f" {_median(ours, lambda seen: seen.command.seconds):.1f} s; the script has ended after"
            f" {_median(theirs, lambda seen: seen.command.seconds):.1f} s, and its client is served"
            f" after {_median(theirs, lambda seen: seen.until_served):.1f} s",
        ),
        Row(
            "changed password: gateway not answering",
            asking,
            _figure(ours, lambda seen: seen.away),
            by_hand,
            _figure(restart, lambda seen: seen.away),
            "not more than the services' own restart",
            f"difference {_difference(ours, restart, lambda seen: seen.away)}",
        ),
        Row(
            "changed password: gateway not answering",
            asking,
            _figure(ours, lambda seen: seen.away),
            script,
            _figure(theirs, lambda seen: seen.away),
            remark="its wrapper restarts 5 s after LiteLLM, whether that serves already or not",
        ),
    ]


def _known_at_the_end(seen: Away) -> float:
    """When somebody who follows the script to its end gets an answer."""
    return max(seen.command.seconds, seen.until_served)


def _waited_by_the_script(seen: Away) -> float:
    """What comes before the units' restart, and what the script waits when a key is served."""
    return seen.before_restart + max(0.0, seen.command.seconds - seen.until_served)


def _known_by_the_proof(seen: Away) -> float:
    """When the package says so, from the first written file on."""
    said = next(at for at, line in seen.command.said if line.startswith("A virtual key works"))
    return said - seen.first_file


def _figure(seen: list[Away], what: Callable[[Away], float]) -> Figure:
    return figure([Sample(what(x), x.command.cpu_seconds, x.command.peak_mib) for x in seen])


def _median(seen: list[Away], what: Callable[[Away], float]) -> float:
    return statistics.median(map(what, seen))


def _difference(ours: list[Away], restart: list[Away], what: Callable[[Away], float]) -> str:
    """Round by round, what ours takes longer: the median and the spread."""
    differences = [what(a) - what(b) for a, b in zip(ours, restart, strict=True)]
    return (
        f"{statistics.median(differences):+.2f} s"
        f" ({min(differences):+.2f} to {max(differences):+.2f})"
    )


@contextmanager
def _client(machine: Machine, key: str) -> Iterator[None]:
    """Requests in the background, of which _LOG tells afterwards; a second of them before."""
    run = ["systemd-run", "--quiet", "--collect", f"--unit={_CLIENT}"]
    machine.write(f"{FOLDER}/key", key, mode=0o600)
    command = ["--property=StandardInput=file:/root/bench/key", "python3", f"{FOLDER}/client.py"]
    machine.run([*run, *command, _LOG])
    machine.run(["sleep", "1"])
    try:
        yield
    finally:
        machine.run(["systemctl", "stop", _CLIENT])


def _written(machine: Machine) -> float:
    """When gateway.env was written last, which is the first file of such a change."""
    return float(machine.run(["stat", "--format=%.6Y", GATEWAY_ENV]).stdout)


def _steps(machine: Machine, since: float) -> dict[str, float]:
    """When systemd began to stop each unit, and when LiteLLM served, from the journal."""
    units = ("hx-litellm-gateway.service", "hx-gateway-ml.service")
    command = ["journalctl", "--output=short-unix", f"--since=@{since:.6f}"]
    lines = machine.run([*command, *(f"--unit={unit}" for unit in units)]).stdout.splitlines()
    steps: dict[str, float] = {}
    for line in lines:
        at = line.split(maxsplit=1)[0]
        for name, text in (
            ("stop", f"Stopping {units[0]}"),
            ("serving", "Uvicorn running on http://0.0.0.0:4000"),
            ("wrapper", f"Stopping {units[1]}"),
        ):
            if text in line:
                steps.setdefault(name, float(at))
    return steps


def _away(log: str, start: float, steps: dict[str, float], done: Timed) -> Away:
    requests = sorted(tuple(map(float, line.split())) for line in log.splitlines())
    failed = [asked for asked, _, status in requests if status != 200]
    answered = sorted(answer for _, answer, status in requests if status == 200)
    gaps = [
        (before, after)
        for before, after in pairwise(answered)
        if any(before <= asked <= after for asked in failed)
    ]
    return Away(
        first_file=start,
        until_served=gaps[-1][1] - start,
        away=sum(after - before for before, after in gaps),
        before_restart=steps["stop"] - start,
        between=steps["wrapper"] - steps["serving"],
        command=done,
    )
