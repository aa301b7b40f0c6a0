"""Passwords elsewhere than in gateway.env are told, without them, and nothing else is."""

from pathlib import Path

import pytest

from hx_gateway_db.checks.copies import findings
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.systemd.loaded import Loaded
from tests.unit.tree import CONFIG, ENV, Run

PASSWORD = "correct horse"


@pytest.fixture
def wired(root: Path, run: Run) -> Path:
    run(
        "apply", answers=f"PG_HOST=db1\nPG_PASS={PASSWORD}\nREDIS_HOST=r1\nREDIS_PASS=rot rot rot\n"
    )
    return root


def found(root: Path, *units: Loaded) -> list[Finding]:
    host = read_host(root)
    assert host.settings
    told = list(findings(host, host.settings, units))
    for finding in told:
        assert "geheim" not in finding.sentence and PASSWORD not in finding.sentence
    return [finding for finding in told if finding.level is not Level.OK]


def unit(*files: str, **shown: str) -> Loaded:
    return Loaded(LITELLM_UNIT, shown, files)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("litellm_settings: {database_url: 'postgresql://u:geheim@h/d'}", "database_url"),
        ("litellm_settings: {redis_url: 'rediss://:geheim@h:6379/0'}", "redis_url"),
        ("litellm_settings:\n  cache_params:\n    password: geheim", "cache_params.password"),
        ("litellm_settings: {cache_params: {redis_startup_nodes: [{password: geheim}]}}", "nodes"),
        ("router_settings: {redis_password: geheim}", "router_settings.redis_password"),
        ("router_settings: {redis_url: 'redis://u:ge%20heim@h'}", "router_settings.redis_url"),
        ("environment_variables: {PGPASSWORD: geheim}", "environment_variables.PGPASSWORD"),
        ("environment_variables: {REDIS_PASSWORD: geheim}", "REDIS_PASSWORD"),
        ("environment_variables: {SITE_DB: 'postgres+asyncpg://u:geheim@h/d'}", "SITE_DB"),
        (f"environment_variables: {{ANYTHING: {PASSWORD}}}", "ANYTHING"),
    ],
)
def test_a_password_in_config_yaml_is_told_by_its_key(wired: Path, lines: str, key: str) -> None:
    config = wired / CONFIG
    config.write_text(f"{config.read_text()}{lines}\n")
    (finding,) = found(wired)
    assert finding.level is Level.WARNING
    assert key in finding.what and "os.environ/NAME" in finding.cure
    assert "gateway.env is where it stands" in finding.why
    config.chmod(0o644)
    assert "everybody can read that file" in found(wired)[0].why


def test_a_password_in_an_included_file_is_told_with_that(wired: Path) -> None:
    config = wired / CONFIG
    config.with_name("more.yaml").write_text("router_settings: {redis_password: geheim}\n")
    config.write_text(config.read_text() + "include: [more.yaml]\n")
    (finding,) = found(wired)
    assert "more.yaml holds a password" in finding.what


@pytest.mark.parametrize(
    "lines",
    [
        "litellm_settings: {cache_params: {password: os.environ/REDIS_PASSWORD}}",
        "litellm_settings: {redis_url: os.environ/REDIS_URL}",
        "router_settings: {redis_password: '${REDIS_PASSWORD}'}",
        "router_settings: {redis_url: 'redis://:${REDIS_PASSWORD}@h:6379'}",
        "router_settings: {redis_url: 'redis://h:6379/0'}",
        "environment_variables: {OPENAI_API_KEY: sk-geheim, LANGFUSE_SECRET_KEY: x}",
        "environment_variables: {UI_PASSWORD_HINT: none, HTTPS_PROXY: 'http://u:p@proxy'}",
        "litellm_settings: {password_policy: strict}",
    ],
)
def test_a_reference_or_somebody_elses_key_is_no_copy(wired: Path, lines: str) -> None:
    config = wired / CONFIG
    config.write_text(f"{config.read_text()}{lines}\n")
    assert found(wired) == []


def test_what_systemctl_shows_everybody_is_told(wired: Path) -> None:
    environment = 'A=b "DATABASE_URL=postgresql://u:geheim@h/d" REDIS_PASSWORD=geheim'
    (finding,) = found(wired, unit(Environment=environment))
    assert "Environment= of hx-litellm-gateway.service holds a password" in finding.what
    assert "(DATABASE_URL, REDIS_PASSWORD)" in finding.what
    command = "{ path=/v/x ; argv[]=/v/x --db=postgresql://u:geheim@h/d ; ignore_errors=no ; }"
    (finding,) = found(wired, unit(ExecStart=command))
    assert "command line" in finding.what and "'ps'" in finding.why


def test_a_file_that_everybody_can_read_is_told_and_closed(wired: Path) -> None:
    other = wired / "etc/other.env"
    other.write_text("PG_PASS=geheim\n")
    other.chmod(0o644)
    (finding,) = found(wired, unit("/etc/other.env"))
    assert finding.cure == "run 'chmod o-rwx /etc/other.env'"
    other.chmod(0o640)
    assert found(wired, unit("/etc/other.env")) == []


def test_gateway_env_itself_is_for_its_group_alone(wired: Path, run: Run) -> None:
    (wired / ENV).chmod(0o644)
    assert "(DATABASE_URL, PG_URL, REDIS_URL)" in found(wired, unit(f"/{ENV}"))[0].what
    run("apply")
    assert found(wired, unit(f"/{ENV}")) == []
