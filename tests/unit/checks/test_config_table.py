"""Which keys of LiteLLM_Config have the better of ours, and that no value of it is ever said."""

from pathlib import Path

import pytest

from hx_gateway_db.checks import config_table
from hx_gateway_db.checks.config_table import findings
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host.host import read_host
from hx_gateway_db.postgres.stored_config import StoredKey
from tests.unit.tree import ANSWERS, CONFIG, Run, edit

URL = StoredKey("environment_variables", "DATABASE_URL")
BUFFER = StoredKey("general_settings", "use_redis_transaction_buffer", True)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[StoredKey]:
    """The keys in the table, in place of a database (tests/machine has one)."""
    keys: list[StoredKey] = []
    monkeypatch.setattr(config_table, "stored_keys", lambda postgres, wanted: keys)
    return keys


@pytest.fixture
def wired(root: Path, run: Run) -> Path:
    run("apply", answers=ANSWERS)
    return root


def found(root: Path, **variables: str) -> list[Finding]:
    host = read_host(root)
    assert host.settings
    return list(findings(host, host.settings, variables))


def read_by_litellm(root: Path) -> None:
    edit(root / CONFIG, ("  master_key", "  store_model_in_db: true\n  master_key"))


def test_an_empty_table_is_nothing_to_speak_of(wired: Path, table: list[StoredKey]) -> None:
    assert found(wired) == []


def test_a_variable_in_the_table_beats_gateway_env_and_is_taken_out(
    wired: Path, table: list[StoredKey]
) -> None:
    read_by_litellm(wired)
    table.append(URL)
    (finding,) = found(wired)
    assert finding.level is Level.FAILED
    assert finding.what == (
        "the table LiteLLM_Config has environment_variables.DATABASE_URL as well"
    )
    assert f"/{CONFIG}".replace("config.yaml", "gateway.env") in finding.why
    assert (
        """UPDATE "LiteLLM_Config" SET param_value = param_value - 'DATABASE_URL'"""
        """ - 'database_url' WHERE param_name = 'environment_variables';"""
    ) in finding.cure


def test_what_litellm_does_not_read_beats_nothing(wired: Path, table: list[StoredKey]) -> None:
    table.append(URL)
    (finding,) = found(wired)
    assert (finding.level, finding.why) == (
        Level.OK,
        "LiteLLM does not read it: store_model_in_db is off",
    )


def test_the_switch_can_be_a_variable_or_in_the_table_itself(
    wired: Path, table: list[StoredKey]
) -> None:
    table.append(URL)
    assert found(wired, STORE_MODEL_IN_DB="True")[0].level is Level.FAILED
    table.append(StoredKey("general_settings", "store_model_in_db", True))
    (finding,) = found(wired)
    assert finding.level is Level.FAILED


def test_a_switch_in_a_section_that_an_include_replaces_is_off(
    wired: Path, table: list[StoredKey]
) -> None:
    read_by_litellm(wired)
    (wired / CONFIG).with_name("more.yaml").write_text("general_settings: {master_key: sk-x}\n")
    edit(wired / CONFIG, ("model_list:", "include: [more.yaml]\nmodel_list:"))
    table.append(URL)
    assert found(wired)[0].level is Level.OK


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("general_settings", "disable_spend_logs"),
        ("general_settings", "database_url"),
        ("litellm_settings", "cache"),
    ],
)
def test_a_key_that_config_yaml_has_or_that_is_read_at_the_start_counts_from_there(
    wired: Path, table: list[StoredKey], section: str, key: str
) -> None:
    read_by_litellm(wired)
    table.append(StoredKey(section, key, True))
    (finding,) = found(wired)
    assert (finding.level, finding.why) == (Level.OK, "what config.yaml says of it counts")


def test_a_key_that_only_the_table_has_is_one_that_newer_versions_go_by(
    wired: Path, table: list[StoredKey]
) -> None:
    read_by_litellm(wired)
    table.append(BUFFER)
    (finding,) = found(wired)
    assert finding.level is Level.WARNING
    assert "param_value - 'use_redis_transaction_buffer' WHERE" in finding.cure
