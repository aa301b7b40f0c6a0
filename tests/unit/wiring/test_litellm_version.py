"""What a LiteLLM does not read is not written for it, and what stands there already waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from hx_gateway_db.settings.answers import parse_answers
from hx_gateway_db.settings.litellm import Version
from hx_gateway_db.wiring.apply import Request, apply
from hx_gateway_db.wiring.settled import NOTHING_TO_CHANGE
from tests.unit.tree import CACHE_ON, ENV
from tests.unit.wiring.world import World

SEVERAL = CACHE_ON + "REDIS_TRANSACTION_BUFFER=true\n"
SHARED = "EXPERIMENTAL_MULTI_INSTANCE_RATE_LIMITING"
OLD, LAST_OLD, FIRST_NEW, NEW = (1, 74, 15), (1, 77, 0), (1, 77, 1), (1, 108, 7)
UNKNOWN: Version = ()


def applied(root: Path, version: Version, answers: str = "") -> tuple[World, str]:
    """An apply on a gateway that runs this LiteLLM, and how it ended."""
    world = World(root, version=version)
    request = Request(parse_answers(answers, "the test"))
    return world, apply(root, request, world, world.outside)


@pytest.mark.parametrize(
    ("version", "written"),
    [(OLD, True), (LAST_OLD, True), (FIRST_NEW, False), (NEW, False), (UNKNOWN, True)],
)
def test_shared_limits_are_asked_for_where_litellm_waits_for_that(
    root: Path, version: Version, written: bool
) -> None:
    applied(root, version, SEVERAL)
    text = (root / ENV).read_text()
    assert (SHARED in text, "in Redis (LiteLLM 1.74" in text) == (written, written)
    world, said = applied(root, version)
    assert (said, world.restarted) == (NOTHING_TO_CHANGE, [])


def test_after_an_upgrade_of_litellm_the_dead_line_goes_with_the_next_change(root: Path) -> None:
    applied(root, OLD, SEVERAL)
    before = (root / ENV).read_text()
    world, said = applied(root, NEW)
    assert (said, world.restarted) == (NOTHING_TO_CHANGE, [])
    assert (root / ENV).read_text() == before
    applied(root, NEW, "PG_HOST=db2\n")
    assert SHARED not in (root / ENV).read_text()


def test_after_a_step_back_the_line_comes_although_nothing_was_to_be_changed(root: Path) -> None:
    applied(root, NEW, SEVERAL)
    assert applied(root, NEW)[1] == NOTHING_TO_CHANGE
    world, _ = applied(root, OLD)
    assert f"\n{SHARED}=true\n" in (root / ENV).read_text()
    assert world.restarted == ["litellm", "wrapper"]


def test_a_value_of_an_administrator_s_own_stays_also_where_nobody_reads_it(root: Path) -> None:
    applied(root, OLD, SEVERAL)
    text = (root / ENV).read_text().replace(f"{SHARED}=true", f"{SHARED}=false")
    (root / ENV).write_text(text)
    applied(root, NEW, "PG_HOST=db2\n")
    assert f"\n{SHARED}=false\n" in (root / ENV).read_text()
