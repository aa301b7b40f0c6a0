"""What LiteLLM prefers to what we have written: keys in config.yaml, and files that it includes."""

from pathlib import Path

import pytest

from hx_gateway_db.checks.overrides import findings
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host.host import read_host
from tests.unit.tree import ANSWERS, CACHE_ON, CONFIG, Run


@pytest.fixture
def wired(root: Path, run: Run) -> Path:
    run("apply", answers=CACHE_ON)
    return root


def found(root: Path, **included: str) -> list[Finding]:
    """What is found when config.yaml includes files of these names with these texts."""
    lines = ["include:\n"]
    for name, text in included.items():
        (root / CONFIG).with_name(f"{name}.yaml").write_text(text)
        lines.append(f"  - {name}.yaml\n")
    config = root / CONFIG
    config.write_text(config.read_text() + "".join(lines))
    host = read_host(root)
    assert host.settings
    return list(findings(host, host.settings))


@pytest.mark.parametrize(
    ("text", "what", "cure"),
    [
        (
            "general_settings: {database_url: postgresql://other/db}\n",
            "more.yaml sets general_settings.database_url",
            "remove general_settings.database_url from",
        ),
        (
            "general_settings: {master_key: sk-x, disable_spend_logs: true}\n",
            "more.yaml, whose general_settings take the place of all of its own",
            "move general_settings from",
        ),
        (
            "litellm_settings: {drop_params: true}\n",
            "more.yaml, whose litellm_settings take the place of all of its own",
            "move litellm_settings from",
        ),
        (
            "environment_variables: {REDIS_URL: redis://other}\n",
            "more.yaml sets environment_variables.REDIS_URL",
            "remove environment_variables.REDIS_URL from",
        ),
    ],
)
def test_an_included_section_replaces_the_whole_of_ours(
    wired: Path, text: str, what: str, cure: str
) -> None:
    (finding,) = found(wired, more=text)
    assert finding.level is Level.FAILED
    assert what in finding.what and cure in finding.cure
    assert "other" not in finding.sentence


PLACES = (
    "host: other",
    "redis_startup_nodes: [{host: other, port: 7000}]",
    "startup_nodes: [{host: other, port: 7000}]",
    "sentinel_nodes: [[other, 26379]]",
)


@pytest.mark.parametrize("place", PLACES)
def test_another_redis_for_the_cache_is_told_and_gone_with_its_line(
    wired: Path, place: str
) -> None:
    config = wired / CONFIG
    ours = config.read_text()
    config.write_text(ours.replace("cache_params:", f"cache_params:\n    {place}"))
    host = read_host(wired)
    assert host.settings
    (finding,) = findings(host, host.settings)
    key = f"litellm_settings.cache_params.{place.partition(':')[0]}"
    assert finding.level is Level.FAILED
    assert finding.cure.startswith(f"remove {key} from /{CONFIG}, then run 'systemctl restart ")
    assert "REDIS_URL" in finding.why and "other" not in finding.sentence
    config.write_text(ours)
    (finding,) = findings(read_host(wired), host.settings)
    assert finding.level is Level.OK


@pytest.mark.parametrize("place", PLACES)
def test_where_nothing_is_cached_no_place_of_a_cache_matters(
    root: Path, run: Run, place: str
) -> None:
    run("apply", answers=ANSWERS)
    config = root / CONFIG
    config.write_text(f"{config.read_text()}litellm_settings:\n  cache_params: {{{place}}}\n")
    host = read_host(root)
    assert host.settings
    (finding,) = findings(host, host.settings)
    assert finding.level is Level.OK


@pytest.mark.parametrize(
    "text",
    [
        "model_list: []\n",
        "general_settings: {master_key: sk-x}\n",
        "router_settings: {num_retries: 2}\n",
        "# nothing\n",
    ],
)
def test_an_included_file_that_takes_nothing_of_ours_is_well(wired: Path, text: str) -> None:
    (finding,) = found(wired, more=text)
    assert finding.level is Level.OK


def test_the_right_keys_in_an_included_section_are_right(wired: Path) -> None:
    ours = (wired / CONFIG).read_text()
    text = ours[ours.index("litellm_settings:") :]
    (finding,) = found(wired, more=text)
    assert finding.level is Level.OK


def test_a_file_that_is_not_there_keeps_litellm_from_starting(wired: Path) -> None:
    config = wired / CONFIG
    config.write_text(config.read_text() + "include: [gone.yaml]\n")
    host = read_host(wired)
    assert host.settings
    (finding,) = findings(host, host.settings)
    assert "gone.yaml, but it is not there" in finding.what
    assert finding.level is Level.FAILED


@pytest.mark.parametrize(
    "include", ["include: /etc/passwd\n", "include: {a: b}\n", "include: [1]\n"]
)
def test_what_is_no_list_of_names_includes_nothing(wired: Path, include: str) -> None:
    config = wired / CONFIG
    config.write_text(config.read_text() + include)
    host = read_host(wired)
    assert host.settings
    (finding,) = findings(host, host.settings)
    assert finding.level is Level.OK


def test_what_an_included_file_includes_counts_last(wired: Path) -> None:
    (wired / CONFIG).with_name("deep.yaml").write_text("environment_variables: {DIRECT_URL: x}\n")
    (finding,) = found(wired, more="include: [deep.yaml, more.yaml]\nmodel_list: []\n")
    assert "deep.yaml sets environment_variables.DIRECT_URL" in finding.what


def test_a_section_that_another_replaces_overrides_nothing(wired: Path) -> None:
    config = wired / CONFIG
    config.write_text(config.read_text() + "environment_variables: {REDIS_URL: redis://other}\n")
    (finding,) = found(wired, more="environment_variables: {LANG: C}\n")
    assert finding.level is Level.OK


def test_an_included_file_that_cannot_be_read_is_told(wired: Path) -> None:
    (finding,) = found(wired, more="general_settings: [1\n")
    assert finding.level is Level.FAILED
    assert "LiteLLM does not start" in finding.why
