"""What wrappers say of the servers that they depend on, in the ways in which they say it."""

import pytest

from hx_gateway_db.gateway.dependencies import Dependency, dependencies

UP, DOWN = Dependency("postgres", True), Dependency("redis", False)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"postgres": True, "redis": False}, [UP, DOWN]),
        ({"ok": False, "status": "degraded", "postgres": True, "redis": False}, [UP, DOWN]),
        (
            {"postgres": "ok", "redis": "error: no route"},
            [UP, Dependency("redis", False, "error: no route")],
        ),
        (
            {"status": "ok", "deps": {"postgres": "Connected", "redis": "down"}},
            [UP, Dependency("redis", False, "down")],
        ),
        (
            {"checks": {"postgres": {"ok": True, "version": "15"}, "redis": {"ok": False}}},
            [UP, DOWN],
        ),
        (
            {"dependencies": {"redis": {"status": "unhealthy", "error": "timed out"}}},
            [Dependency("redis", False, "timed out")],
        ),
        (
            {"services": [{"name": "postgres", "up": True}, {"name": "redis", "up": False}, 7]},
            [UP, DOWN],
        ),
    ],
)
def test_what_is_up_and_what_is_down_is_read_from_it(body: object, found: list[Dependency]) -> None:
    assert dependencies(body) == found


@pytest.mark.parametrize(
    "body",
    [
        *(None, [], "down", 7, {}, {"ok": False}, {"status": "degraded"}, {"detail": "Not Found"}),
        *({"service": "wrapper", "version": "1"}, {"redis": None}, {"redis": "not configured"}),
        *({"redis": 3}, {"redis": {"latency": 3}}, {"deps": ["redis"]}, {"deps": [{"up": False}]}),
        {"redis": {"status": {"ok": False}}},
    ],
)
def test_what_says_nothing_of_a_dependency_is_none(body: object) -> None:
    assert dependencies(body) == []


def test_a_stranger_names_no_more_than_there_is_room_for() -> None:
    assert len(dependencies({f"redis{number}": False for number in range(10_000)})) == 20


@pytest.mark.parametrize(
    ("name", "postgres", "redis"),
    [
        *(("postgres", True, False), ("PostgreSQL", True, False), ("pg", True, False)),
        *(("db", True, False), ("database", True, False), ("redis", False, True)),
        *(("redis_cache", False, True), ("qdrant", False, False)),
        ("mongodb", False, False),
    ],
)
def test_ours_are_known_by_name(name: str, postgres: bool, redis: bool) -> None:
    one = Dependency(name, True)
    assert (one.postgres, one.redis) == (postgres, redis)
