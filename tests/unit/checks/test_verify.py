"""Whose words verify shows of a failure, and that no secret is among them."""

from pathlib import Path

import pytest

from hx_gateway_db.checks.chain import Chain
from hx_gateway_db.checks.verify import Row, last_words
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_UNIT, Layout
from hx_gateway_db.settings.values import Postgres, Settings
from hx_gateway_db.systemd import units as services
from hx_gateway_db.systemd.units import Unit

PASSWORD = "correct horse"
SETTINGS = Settings(Postgres("db1", "hx", "hx", PASSWORD))
CHAIN = Chain(
    Host(Layout(Path("/")), {}, None, SETTINGS, "", {}),
    litellm={},
    wrapper={"HX_UPSTREAM_KEY": "not like a key"},
    config=b"",
    master="a master key",
)


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the units have logged, in place of systemd's journal (tests/machine has one)."""
    logs = {LITELLM_UNIT: "ERROR: LiteLLM's\n", WRAPPER_UNIT: "ERROR: the wrapper's\n"}
    monkeypatch.setattr(
        services, "unit", lambda name: Unit(name, "loaded", "active", "running", 7, "x")
    )
    monkeypatch.setattr(services, "journal", lambda name, lines, minutes: logs[name])
    return logs


def failed(*names: str) -> list[Row]:
    return [Row(Finding(name, Level.FAILED, "", ""), 0.0) for name in names]


@pytest.mark.parametrize(
    ("names", "heard"),
    [
        (("wrapper.key",), [WRAPPER_UNIT]),
        (("postgres.tables",), [LITELLM_UNIT]),
        (("litellm.key", "wrapper.port"), [LITELLM_UNIT, WRAPPER_UNIT]),
        ((), []),
    ],
)
def test_the_unit_at_fault_is_heard(names: tuple[str, ...], heard: list[str]) -> None:
    assert [said.unit for said in last_words(CHAIN, failed(*names))] == heard


def test_what_is_only_a_warning_needs_no_words() -> None:
    assert last_words(CHAIN, [Row(Finding("model.chat", Level.WARNING, "", ""), 0.0)]) == []


def test_the_words_hold_no_secret_not_even_a_part_of_one(units: dict[str, str]) -> None:
    filling = "x" * (300 - len("ERROR: ") - len(PASSWORD) // 2)
    units[LITELLM_UNIT] = (
        f"error a {PASSWORD}\nerror b a master key\nerror c not like a key\n"
        f"ERROR: {filling}{PASSWORD}\nERROR: postgresql://hx:other@db1/hx\n"
    )
    said = "\n".join(last_words(CHAIN, failed("litellm.key"))[0].lines)
    assert said.count("***") == 5
    for secret in (PASSWORD[:4], "a master key", "not like a key", "other"):
        assert secret not in said


def test_a_unit_can_t_write_to_the_terminal(units: dict[str, str]) -> None:
    units[LITELLM_UNIT] = "ERROR: \033]0;mine\a\033[2J\n"
    lines = last_words(CHAIN, failed("litellm.key"))[0].lines
    assert not any(character < " " for line in lines for character in line)


def test_a_finding_holds_neither_secrets_nor_control_characters() -> None:
    finding = Finding("x", Level.FAILED, "", f"{PASSWORD}\033", "a master key", "not like a key")
    found = CHAIN.cleaned(finding)
    assert (found.what, found.why, found.cure) == ("***\ufffd", "***", "***")
