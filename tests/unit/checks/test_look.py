"""What state the gateway is found to be in, given what was seen of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hx_gateway_db.checks import differences
from hx_gateway_db.checks.look import Gateway, Look, State, look
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.gateway.sentences import KEY, READINESS
from hx_gateway_db.host.host import Host, read_host
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_UNIT
from hx_gateway_db.systemd.units import Unit
from tests.unit.tree import ANSWERS, CONFIG, ORIGINAL, Run

OLD, YOUNG = 0.0, 990.0
OK, FAILED = Level.OK, Level.FAILED


def unit(name: str, active: str, since: float = OLD, restarts: int = 0, sub: str = "") -> Unit:
    load = "loaded"
    return Unit(name, load, active, sub, 7, "x", since_monotonic=since, restarts=restarts)


@dataclass
class Seen:
    """A gateway of which a test decides what is seen; its clock stands at 1000 s at first."""

    litellm: str = "active"
    wrapper: str = "active"
    since: float = OLD
    restarts: int = 0
    sub: str = ""
    port: Level = OK
    wrapper_port: Level = OK
    ready: Level = OK
    key: Level = OK
    now: float = 1000.0
    asked: list[str] = field(default_factory=list)
    after_a_while: Callable[["Seen"], None] = lambda seen: None

    @property
    def gateway(self) -> Gateway:
        return Gateway(
            unit=self.unit,
            service=self.service,
            readiness=lambda unit: Subject(READINESS, "").found(self.ready, "ready"),
            lookup=self.lookup,
            compare=lambda host: differences.compare(host, False),
            clock=self,
        )

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds
        self.after_a_while(self)

    def unit(self, name: str) -> Unit:
        active = self.litellm if name == LITELLM_UNIT else self.wrapper
        return unit(name, active, self.since, self.restarts, self.sub)

    def service(self, name: str, port: int) -> list[Finding]:
        litellm = name == LITELLM_UNIT
        short, level = ("litellm", self.port) if litellm else ("wrapper", self.wrapper_port)
        active = self.litellm if litellm else self.wrapper
        runs = OK if active == "active" else FAILED
        return [
            Subject(f"{short}.unit", name).found(runs, active),
            Subject(f"{short}.port", name).found(level if runs is OK else FAILED, "port"),
        ]

    def lookup(self) -> Finding:
        self.asked.append("key")
        return Subject(KEY, "").found(self.key, "looked up", cure="mend it")


@pytest.fixture
def wired(root: Path, run: Run) -> Callable[[], Host]:
    run("apply", answers=ANSWERS)
    return lambda: read_host(root)


def seen(read: Callable[[], Host], gateway: Seen) -> Look:
    return look(read, gateway.gateway)


@pytest.mark.parametrize(
    ("gateway", "state"),
    [
        (Seen(), State.SERVING),
        # LiteLLM says of its database what it knew minutes ago.
        (Seen(ready=FAILED), State.SERVING),
        (Seen(key=FAILED), State.FAILING),
        (Seen(key=FAILED, since=YOUNG), State.FAILING),
        (Seen(port=FAILED), State.FAILING),
        (Seen(port=FAILED, since=YOUNG), State.UNDECIDED),
        # systemd had to start it: it may end again and again.
        (Seen(port=FAILED, since=YOUNG, restarts=3), State.FAILING),
        (Seen(litellm="activating"), State.UNDECIDED),
        (Seen(litellm="activating", restarts=1), State.FAILING),
        (Seen(litellm="activating", sub="auto-restart"), State.FAILING),
        (Seen(litellm="deactivating"), State.UNDECIDED),
        (Seen(litellm="failed"), State.FAILING),
        (Seen(litellm="inactive"), State.STOPPED),
        (Seen(litellm="inactive", wrapper="inactive"), State.STOPPED),
        (Seen(litellm="inactive", wrapper="failed"), State.STOPPED),
        (Seen(wrapper_port=FAILED), State.FAILING),
        (Seen(wrapper_port=FAILED, since=YOUNG), State.UNDECIDED),
        (Seen(wrapper="failed"), State.FAILING),
        # Virtual keys work without it, and somebody wants it so.
        (Seen(wrapper="inactive"), State.SERVING),
        (Seen(wrapper="deactivating"), State.UNDECIDED),
    ],
)
def test_the_state(wired: Callable[[], Host], gateway: Seen, state: State) -> None:
    found = seen(wired, gateway)
    assert found.state is state
    assert bool(found.reason) == (state is State.FAILING)


def test_a_failure_is_looked_at_twice(wired: Callable[[], Host]) -> None:
    def mend(gateway: Seen) -> None:
        gateway.key = OK

    assert seen(wired, Seen(key=FAILED, after_a_while=mend)).state is State.SERVING
    gateway = Seen(key=FAILED)
    found = seen(wired, gateway)
    assert (len(gateway.asked), found.seconds) == (2, 5.0)
    assert found.reason and found.reason.cure == "mend it"
    gateway = Seen()
    seen(wired, gateway)
    assert len(gateway.asked) == 1


def test_a_key_is_asked_with_only_where_litellm_answers(wired: Callable[[], Host]) -> None:
    for gateway in (Seen(port=FAILED), Seen(litellm="inactive"), Seen(litellm="activating")):
        found = seen(wired, gateway)
        assert gateway.asked == []
        assert {one.level for one in found.findings if one.name == KEY} == {Level.SKIPPED}


def test_what_was_wired_and_is_gone_is_told_and_no_failure(
    wired: Callable[[], Host], root: Path
) -> None:
    assert seen(wired, Seen()).findings[-1].level is OK
    (root / CONFIG).write_text(ORIGINAL)
    found = seen(wired, Seen())
    assert found.state is State.SERVING
    last = found.findings[-1]
    assert (last.name, last.level) == (differences.NAME, Level.WARNING)
    assert "hx-gateway-db apply" in last.cure


def test_a_difference_that_is_a_failure_is_not_why_virtual_keys_fail(
    wired: Callable[[], Host],
) -> None:
    different = Subject(differences.NAME, "").failed("a line is gone", cure="write it")
    for gateway, state in ((Seen(), State.SERVING), (Seen(key=FAILED), State.FAILING)):
        found = look(wired, replace(gateway.gateway, compare=lambda host: [different]))
        assert found.state is state and different in found.findings
        assert found.reason is not different


def test_a_gateway_that_nobody_has_wired_has_no_virtual_keys(root: Path) -> None:
    gateway = Seen(litellm="failed")
    found = seen(lambda: read_host(root), gateway)
    assert found.state is State.UNWIRED and not gateway.asked


def test_files_that_are_not_read_do_not_keep_the_gateway_from_being_looked_at() -> None:
    def read() -> Host:
        raise Refused("config.yaml is not a regular file", "put the real file there")

    assert seen(read, Seen()).state is State.SERVING
    found = seen(read, Seen(key=FAILED))
    assert found.state is State.FAILING
    assert found.findings[-1].cure == "put the real file there"


def test_the_wrapper_is_asked_as_the_unit_that_it_is(wired: Callable[[], Host]) -> None:
    names = [found.where for found in seen(wired, Seen()).findings]
    assert WRAPPER_UNIT in names and LITELLM_UNIT in names
