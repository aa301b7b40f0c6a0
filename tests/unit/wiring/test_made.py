"""What is made on this machine's own servers is remembered, whatever becomes of the rest."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from hx_gateway_db.errors import CheckFailed, Refused, RolledBack
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import LITELLM_UNIT, STATE_FILE
from hx_gateway_db.postgres import administration
from hx_gateway_db.postgres.administration import Provisioned
from hx_gateway_db.redis import administration as redis_administration
from hx_gateway_db.redis.rotation import Administered
from hx_gateway_db.redis.rule import password_hash
from hx_gateway_db.settings.values import Postgres, Redis
from hx_gateway_db.wiring.apply import Request, apply, make_on_servers
from tests.unit.tree import snapshot
from tests.unit.wiring.world import World

LOCAL = {"DATABASE": "local"}
WITH_REDIS = LOCAL | {"REDIS": "true", "REDIS_HOST": "127.0.0.1"}
FOUND = Finding("test", Level.FAILED, "here", "the disk is too small")


@pytest.fixture
def world(root: Path) -> World:
    return World(root)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Servers that make what they are told and know whether they were told so before."""
    told: list[str] = []

    def provision(postgres: Postgres) -> Provisioned:
        told.append(f"database {postgres.database}")
        return Provisioned(ours=postgres.database != "theirs", done=())

    def provision_local(
        redis: Redis, ours: bool, present: str = ""
    ) -> redis_administration.Provisioned:
        beside = f" beside {present}" if present else ""
        told.append(f"redis user, {'ours' if ours else 'new'}{beside}")
        return redis_administration.Provisioned(ours=True, done=())

    monkeypatch.setattr(administration, "provision", provision)
    monkeypatch.setattr(redis_administration, "provision_local", provision_local)
    kept = redis_administration.Persistence("/etc/redis/users.acl", "")
    monkeypatch.setattr(redis_administration, "persistence", lambda redis: kept)

    def close(self: Administered, old: str, seconds: float) -> list[str]:
        told.append(f"closed {old}")
        return []

    monkeypatch.setattr(Administered, "close", close)
    return told


def remembered(world: World) -> set[str]:
    """The lines of the state file on what was made."""
    file = world.root / STATE_FILE.relative_to("/")
    lines = file.read_text().splitlines() if file.exists() else []
    return {line for line in lines if line.startswith(("local-", "redis-", "wired"))}


MADE = {"local-database hx_gateway", "local-port 5432"}


@pytest.mark.usefixtures("servers")
def test_a_failed_check_forgets_nothing_that_was_made(world: World) -> None:
    world.findings = (FOUND,)
    with pytest.raises(CheckFailed):
        apply(world.root, Request(WITH_REDIS), world, world.outside)
    assert remembered(world) == {*MADE, "redis-user hxgateway 6379"}
    assert snapshot(world.root) == world.before
    assert not read_host(world.root).wired


def test_the_next_run_knows_its_own_and_ends_well(world: World, servers: list[str]) -> None:
    world.findings = (FOUND,)
    with pytest.raises(CheckFailed):
        apply(world.root, Request(WITH_REDIS), world, world.outside)
    world.findings = ()
    assert "is wired" in apply(world.root, Request(WITH_REDIS), world, world.outside)
    assert servers[1] == "redis user, new" and servers[3].startswith("redis user, ours")
    assert remembered(world) == {"wired yes", *MADE, "redis-user hxgateway 6379"}


def test_what_was_made_before_the_next_thing_failed_is_remembered(
    world: World, servers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(redis: Redis, ours: bool, present: str = "") -> redis_administration.Provisioned:
        raise Refused("Redis is read-only.")

    monkeypatch.setattr(redis_administration, "provision_local", refuse)
    with pytest.raises(Refused):
        apply(world.root, Request(WITH_REDIS), world, world.outside)
    assert remembered(world) == MADE


def test_what_is_made_alone_is_known_to_the_apply_that_follows(
    world: World, servers: list[str]
) -> None:
    make_on_servers(world.root, WITH_REDIS, world, world.outside)
    assert snapshot(world.root) == world.before
    apply(world.root, Request(WITH_REDIS), world, world.outside)
    assert servers[1::2] == ["redis user, new", "redis user, ours"]


@pytest.mark.usefixtures("servers")
def test_a_database_that_somebody_else_has_made_is_not_called_ours(world: World) -> None:
    given = LOCAL | {"PG_DB": "theirs", "PG_PASS": "geheim"}
    assert "is wired" in apply(world.root, Request(given), world, world.outside)
    assert remembered(world) == {"wired yes"}
    assert read_host(world.root).answers["DATABASE"] == "existing"


@pytest.mark.usefixtures("servers")
def test_an_apply_that_is_put_back_remembers_what_it_has_made(world: World) -> None:
    world.unproven = "a virtual key is refused."
    with pytest.raises(Exception, match="Everything was put back"):
        apply(world.root, Request(LOCAL), world, world.outside)
    assert remembered(world) == MADE
    assert snapshot(world.root) == world.before


TODAY = WITH_REDIS | {"REDIS_USER": "hxgateway", "REDIS_PASS": "today"}
OTHER = TODAY | {"REDIS_PASS": "other"}


@pytest.mark.parametrize("works", [True, False])
def test_a_changed_password_stands_beside_today_s_until_one_of_them_is_in_use(
    world: World, servers: list[str], works: bool
) -> None:
    apply(world.root, Request(TODAY), world, world.outside)
    servers.clear()
    world.unproven = "" if works else "a virtual key is refused."
    with suppress(RolledBack):
        apply(world.root, Request(OTHER), world, world.outside)
    unused = "today" if works else "other"
    assert servers[1:] == ["redis user, ours beside today", f"closed {password_hash(unused)}"]


def test_a_unit_that_still_runs_with_today_s_password_keeps_it(
    world: World, servers: list[str]
) -> None:
    apply(world.root, Request(TODAY), world, world.outside)
    world.forbidden = (LITELLM_UNIT,)
    servers.clear()
    apply(world.root, Request(OTHER), world, world.outside)
    assert servers[1:] == ["redis user, ours beside today"]
