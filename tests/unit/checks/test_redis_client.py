"""LiteLLM's own Redis client, by the versions that are installed: its waits, the spend buffer."""

from pathlib import Path

import pytest

from hx_gateway_db.checks import redis_client
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host.host import read_host
from hx_gateway_db.settings.answers import to_settings
from tests.unit.tree import BASE, CONFIG

SITE = f"{BASE}/gateway/venv/lib/python3.11/site-packages"
HANGS = ("litellm-1.74.15", "redis-5.2.1")


def found(
    root: Path, *distributions: str, config: str = "", parameters: str = ""
) -> dict[str, Finding]:
    for name in distributions:
        (root / SITE / f"{name}.dist-info").mkdir(parents=True)
    if config:
        (root / CONFIG).write_text(config)
    env = (root / CONFIG).with_name("gateway.env")
    url = f"REDIS_URL=redis://:geheim@r1:6379/0{parameters}\n"
    env.write_text(f"DATABASE_URL=postgresql://u:p@db1:5432/d\n{url}")
    env.chmod(0o640)
    host = read_host(root)
    settings = to_settings({}, host.settings, str)
    return {finding.name: finding for finding in redis_client.findings(host, settings)}


@pytest.mark.parametrize(
    ("distributions", "parameters", "level"),
    [
        (HANGS, "", Level.WARNING),
        (HANGS, "?max_connections=9", Level.WARNING),
        (HANGS, "?socket_timeout=5", Level.OK),
        (("litellm-1.74.15", "redis-8.1.0"), "", Level.OK),
        (("litellm-1.106.12", "redis-5.2.1"), "", Level.OK),
        (("litellm-1.74.15",), "", Level.SKIPPED),
        ((), "", Level.SKIPPED),
    ],
)
def test_a_url_without_a_time_limit_is_told_where_nothing_else_gives_one(
    root: Path, distributions: tuple[str, ...], parameters: str, level: Level
) -> None:
    finding = found(root, *distributions, parameters=parameters)[redis_client.TIMEOUTS]
    assert finding.level is level
    assert "geheim" not in finding.sentence


def test_its_cure_is_one_that_redis_py_and_we_read(root: Path) -> None:
    for parameters in ("", "?max_connections=9"):
        cure = found(root, *HANGS, parameters=parameters)[redis_client.TIMEOUTS].cure
        addition = cure.removeprefix("append ").partition(" to it ")[0]
        cured = found(root, parameters=f"{parameters}{addition}")
        assert cured[redis_client.TIMEOUTS].level is Level.OK
        for name in HANGS:
            (root / SITE / f"{name}.dist-info").rmdir()
        (root / SITE).rmdir()


BUFFER = "general_settings:\n  use_redis_transaction_buffer: true\n"


@pytest.mark.parametrize(
    ("config", "lost"),
    [
        (BUFFER, True),
        (f"{BUFFER}litellm_settings:\n  cache: false\n", True),
        (f"{BUFFER}litellm_settings:\n  cache: true\n  cache_params: {{type: local}}\n", True),
        (f"{BUFFER}litellm_settings:\n  cache: true\n", False),
        (f"{BUFFER}litellm_settings:\n  cache: true\n  cache_params: {{type: redis}}\n", False),
        ("general_settings: {}\n", False),
    ],
)
def test_a_buffer_that_writes_nothing_is_told(root: Path, config: str, lost: bool) -> None:
    assert (redis_client.BUFFER in found(root, "litellm-1.74.15", config=config)) == lost


def test_a_version_that_makes_a_client_for_the_buffer_loses_nothing(root: Path) -> None:
    assert redis_client.BUFFER not in found(root, "litellm-1.106.12", config=BUFFER)
