"""What systemd and policy-rc.d are asked of a unit, and what follows from the answers."""

from pathlib import Path

import pytest

from hx_gateway_db.programs import Ended
from hx_gateway_db.systemd import units

UNIT = "hx-gateway-ml.service"


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy-rc.d that forbids nothing else than to restart this unit."""
    path = tmp_path / "policy-rc.d"
    path.write_text(f'#!/bin/sh\n[ "$*" != "{UNIT} restart" ] || exit 101\n')
    path.chmod(0o755)
    monkeypatch.setattr(units, "_POLICY", path)
    monkeypatch.setenv("DPKG_MAINTSCRIPT_PACKAGE", "hx-gateway-db")
    return path


def test_a_policy_is_asked_for_one_unit_and_action(policy: Path) -> None:
    assert units.policy_forbids(UNIT)
    assert not units.policy_forbids("hx-litellm-gateway.service")


@pytest.mark.parametrize("status", [0, 1, 104, 105, 106])
def test_any_other_answer_than_101_is_no_prohibition(policy: Path, status: int) -> None:
    policy.write_text(f"#!/bin/sh\nexit {status}\n")
    assert not units.policy_forbids(UNIT)


def test_an_administrator_who_runs_the_command_is_not_asked(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DPKG_MAINTSCRIPT_PACKAGE")
    assert not units.policy_forbids(UNIT)


def test_a_policy_that_cannot_be_run_is_none(policy: Path) -> None:
    policy.chmod(0o644)
    assert not units.policy_forbids(UNIT)


@pytest.mark.parametrize(
    ("since", "needs_reload", "started"),
    [
        ("@1700000001", "no", True),
        ("@1700000000", "no", False),
        ("@1699999999", "no", False),
        ("@1700000001", "yes", False),
        ("", "no", False),
    ],
)
def test_a_unit_has_todays_files_if_it_was_started_with_them(
    since: str, needs_reload: str, started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = f"ActiveEnterTimestamp={since}\nNeedDaemonReload={needs_reload}\n"
    monkeypatch.setattr(units, "_checked", lambda *_: Ended(0, shown))
    assert units.started_since(UNIT, 1700000000.5) is started
