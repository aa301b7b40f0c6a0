"""What of the chain follows from config.yaml: what is lost there is cured by an apply only."""

from pathlib import Path

import pytest

from hx_gateway_db.checks import links
from hx_gateway_db.checks.chain import Chain
from hx_gateway_db.findings import Level
from hx_gateway_db.gateway.answerer import WRAPPER
from hx_gateway_db.gateway.http import Entry, VirtualKey
from hx_gateway_db.host.host import read_host
from tests.unit.tree import CACHE_ON, CONFIG, ORIGINAL, Run, edit

KEY = "sk-virtual"


def chain(root: Path) -> Chain:
    return Chain(read_host(root), {}, {}, (root / CONFIG).read_bytes(), "sk-master")


@pytest.fixture
def wired(root: Path, run: Run) -> Path:
    run("apply", answers=CACHE_ON)
    return root


def test_a_limit_that_litellm_has_not_read_yet_is_cured_by_a_restart(wired: Path) -> None:
    found = links.rate_limit(chain(wired), VirtualKey(KEY, 5))
    assert (found.level, found.cure) == (
        Level.WARNING,
        "run 'systemctl restart hx-litellm-gateway'",
    )


def test_a_limit_that_config_yaml_has_lost_follows_from_that(wired: Path) -> None:
    edit(wired / CONFIG, ("    rpm_limit: 60\n", "    tpm_limit: 1000\n"))
    found = links.rate_limit(chain(wired), VirtualKey(KEY, None))
    assert (found.level, found.cure) == (Level.SKIPPED, "")
    assert found.what.endswith("rpm_limit: this follows from gateway.wiring")


def test_a_cache_that_config_yaml_has_lost_follows_from_that(wired: Path) -> None:
    (wired / CONFIG).write_text(ORIGINAL)
    found = links.cache(chain(wired), Entry(WRAPPER, KEY, True), "reply")
    assert (found.level, found.cure) == (Level.SKIPPED, "")
    assert found.what.endswith("litellm_settings.cache: this follows from gateway.wiring")
