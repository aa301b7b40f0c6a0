"""An administrator's login that is refused: said as what it is, beside what the checks find."""

import socket

import pytest

from hx_gateway_db.errors import CheckFailed
from hx_gateway_db.findings import Cure, Finding, Level
from hx_gateway_db.wiring.apply import Request, apply, make_on_servers
from tests.unit.wiring.test_outcomes import REQUEST, world
from tests.unit.wiring.world import World

__all__ = ["world"]

OTHER = Finding("gateway.space", Level.FAILED, "/", "the disk is full")
BOTH = {"PG_ADMIN_USER": "boss", "REDIS_ADMIN_PASS": "admin"}
REDIS = {"REDIS_USER": "hx", "REDIS_HOST": "127.0.0.1"}


@pytest.fixture
def asked() -> Request:
    """Both administrators are to log in where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    place = {"PG_HOST": "127.0.0.1", "PG_PORT": port, "REDIS_PORT": port}
    return Request({**REQUEST.given, **REDIS, **place, **BOTH})


def refused(world: World, request: Request) -> tuple[Finding, ...]:
    with pytest.raises(CheckFailed) as failure:
        apply(world.root, request, world, world.outside)
    assert not world.restarted
    return failure.value.findings


def test_each_refused_administrator_is_a_finding_and_the_others_stay(
    world: World, asked: Request
) -> None:
    world.findings = (OTHER,)
    postgres, redis, other = refused(world, asked)
    assert postgres.answers == ("PG_ADMIN_USER", "PG_ADMIN_PASS")
    assert redis.answers == ("REDIS_ADMIN_USER", "REDIS_ADMIN_PASS")
    assert (postgres.by, redis.by) == (Cure.POSTGRES_ADMINISTRATOR, Cure.REDIS_ADMINISTRATOR)
    assert "refuses connections" in postgres.what and "refuses connections" in redis.what
    assert other == OTHER


def test_what_the_checks_find_as_well_is_said_once(world: World, asked: Request) -> None:
    postgres, redis = refused(world, asked)
    found = Finding("postgres.port", Level.FAILED, "db", postgres.what, postgres.why, postgres.cure)
    world.findings = (found,)
    assert refused(world, asked) == (redis, found)


def test_without_systemd_nothing_is_written_either(world: World, asked: Request) -> None:
    offline = World(world.root)
    offline.available = lambda: False  # type: ignore[method-assign]
    assert len(refused(offline, asked)) == 2
    assert not offline.log


def test_making_on_the_servers_alone_fails_the_same(world: World, asked: Request) -> None:
    with pytest.raises(CheckFailed, match="refuses connections"):
        make_on_servers(world.root, asked.given, world, world.outside)
