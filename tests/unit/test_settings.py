"""Settings that can't be right don't come into being."""

from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.settings import Cache, Postgres, Redis, Settings

GOOD = Postgres("db1", "d", "u", "p")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Postgres("", "d", "u", "p"), "PG_HOST"),
        (lambda: Postgres("a b", "d", "u", "p"), "PG_HOST"),
        (lambda: Postgres("-x", "d", "u", "p"), "PG_HOST"),
        (lambda: Postgres("h", "d", "u", "p", port=0), "PG_PORT"),
        (lambda: Postgres("h", "d", "u", "p", port=65536), "PG_PORT"),
        (lambda: Postgres("h", "", "u", "p"), "PG_DB"),
        (lambda: Postgres("h", "d", "ü" * 32, "p"), "PG_USER"),
        (lambda: Postgres("h", "d", "u", ""), "PG_PASS"),
        (lambda: Postgres("h", "d", "u", "a\nb"), "PG_PASS"),
        (lambda: Postgres("h", "d", "u", "a\0b"), "PG_PASS"),
        (lambda: Postgres("h", "d", "u", "p", sslmode="maybe"), "PG_SSLMODE"),
        (lambda: Redis("h", user="u"), "REDIS_PASS"),
        (lambda: Redis("h", database=-1), "REDIS_DB"),
        (lambda: Cache(0), "RATE_LIMIT"),
        (lambda: Settings(GOOD, cache=Cache()), "CACHE"),
        (lambda: Settings(GOOD, base=PurePosixPath("opt")), "BASE"),
        (lambda: Settings(GOOD, base=PurePosixPath("/opt/../etc")), "BASE"),
        (lambda: Settings(GOOD, base=PurePosixPath("/opt/%n")), "BASE"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_by_name(
    make: Callable[[], object], named: str
) -> None:
    with pytest.raises(InvalidSettings, match=named):
        make()


def test_a_password_is_not_shown_by_repr() -> None:
    assert "geheim" not in repr(Settings(Postgres("h", "d", "u", "geheim")))


@pytest.mark.parametrize("host", ["db1", "db1.example.org", "192.0.2.7", "2001:db8::7", "pg_1"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert Postgres(host, "d", "u", "p").host == host
