"""What is said of a unit in each state, and of who holds its port."""

import pytest

from hx_gateway_db.checks.units import check_service, port_finding, unit_finding
from hx_gateway_db.findings import Level
from hx_gateway_db.gateway import http
from hx_gateway_db.gateway.answerer import Stranger
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_UNIT
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.listeners import Listener
from hx_gateway_db.systemd.units import Unit

FOREIGN = Stranger(Listener(812, "python3", "/system.slice/other.service"), "other.service")


def unit(
    load: str = "loaded", active: str = "active", sub: str = "running", **more: object
) -> Unit:
    return Unit(WRAPPER_UNIT, load, active, sub, 7, "x", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "level", "what", "cure"),
    [
        (unit(since="Tue 2026-11-24 18:50:31 UTC"), Level.OK, "since 2026-11-24 18:50:31 UTC", ""),
        (unit(active="inactive", sub="dead"), Level.FAILED, "is stopped", "systemctl start"),
        (unit(load="masked", active="inactive"), Level.FAILED, "is masked", "systemctl unmask"),
        (unit(load="not-found", active="inactive"), Level.FAILED, "is not installed", "install"),
        (unit(active="activating", sub="start"), Level.WARNING, "is starting", "wait a moment"),
        (
            unit(active="activating", sub="auto-restart", exit_status=1),
            Level.FAILED,
            "ends again and again (exit status 1)",
            "journalctl -u hx-gateway-ml",
        ),
        (
            unit(active="failed", sub="failed", result="exit-code", exit_status=3),
            Level.FAILED,
            "has failed (exit-code, exit status 3)",
            "journalctl -u hx-gateway-ml",
        ),
        (
            unit(active="failed", sub="failed", result="start-limit-hit"),
            Level.FAILED,
            "has ended so often that systemd starts it no more",
            "systemctl reset-failed hx-gateway-ml",
        ),
    ],
)
def test_a_unit_s_state(state: Unit, level: Level, what: str, cure: str) -> None:
    found = unit_finding(state)
    assert (found.name, found.level) == ("wrapper.unit", level)
    assert what in found.what and cure in found.cure


def test_a_port_that_the_unit_answers() -> None:
    found = port_finding(WRAPPER_UNIT, 4010, None, 200)
    assert (found.name, found.level) == ("wrapper.port", Level.OK)


def test_a_foreign_process_is_named_even_if_it_answers_well() -> None:
    found = port_finding(WRAPPER_UNIT, 4010, FOREIGN, 200)
    assert found.level is Level.FAILED
    assert (
        found.what == "port 4010 is held by another program (python3, process 812, other.service)"
    )
    assert "random port" not in found.why


def test_with_its_port_taken_litellm_listens_elsewhere() -> None:
    assert "random port" in port_finding(LITELLM_UNIT, 4000, FOREIGN, 0, "silence").why


def test_a_process_that_the_unit_left_behind_is_told_as_such_and_how_to_end_it() -> None:
    leftover = Stranger(Listener(812, "python3", user=999), left_behind=True)
    found = port_finding(LITELLM_UNIT, 4000, leftover, 200)
    assert found.what == (
        f"port 4000 is held by a process that {LITELLM_UNIT} left behind (python3, process 812,"
        " user 999)"
    )
    assert found.cure.startswith("run 'systemctl kill hx-litellm-gateway', then ")


def test_a_process_that_can_t_be_seen_is_told_as_such() -> None:
    found = port_finding(WRAPPER_UNIT, 4010, Stranger(Listener()), 0, "silence")
    assert "a process that can't be seen" in found.what


@pytest.mark.parametrize(
    ("status", "silence", "what"),
    [
        (0, "port 4010 did not answer within 3 s", "port 4010 did not answer within 3 s"),
        (500, "", "hx-gateway-ml answers its health check with HTTP 500"),
    ],
)
def test_a_unit_that_does_not_answer_as_it_should(status: int, silence: str, what: str) -> None:
    found = port_finding(WRAPPER_UNIT, 4010, None, status, silence)
    assert (found.level, found.what) == (Level.FAILED, what)
    assert found.cure == "run 'systemctl restart hx-gateway-ml'"


@pytest.mark.parametrize(("name", "port"), [(LITELLM_UNIT, 4000), (WRAPPER_UNIT, 4010)])
def test_without_systemd_it_is_not_told_who_answers_and_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, name: str, port: int
) -> None:
    monkeypatch.setattr(units, "available", lambda: False)
    monkeypatch.setattr(http, "health", lambda _: 200)
    unit_found, port_found = check_service(name, port)
    assert (unit_found.level, port_found.level) == (Level.SKIPPED, Level.SKIPPED)
    assert port_found.what == f"it can't be told who answers on port {port}: nobody is asked"
