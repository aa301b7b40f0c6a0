"""Settings that can't be right don't come into being."""

from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.settings.answers import to_settings
from hx_gateway_db.settings.values import Cache, Login, Postgres, Redis, Settings

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


SIGNS = ["\x1b", "\x07", "\x9b", "\x7f", "\x85", "\x08"]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda text: Postgres("h", text, "u", "p"), "PG_DB"),
        (lambda text: Postgres("h", "d", text, "p"), "PG_USER"),
        (lambda text: Postgres("h", "d", "u", text), "PG_PASS"),
        (lambda text: Postgres(f"fe80::1%{text}", "d", "u", "p"), "PG_HOST"),
        (lambda text: Postgres("h", "d", "u", "p", sslmode=text), "PG_SSLMODE"),
        (
            lambda text: Postgres("h", "d", "u", "p", sslmode="verify-full", ca_file=f"/{text}"),
            "PG_SSLROOTCERT",
        ),
        (lambda text: Postgres("h", "d", "u", "p", parameters=((text, "1"),)), "DATABASE_URL"),
        (lambda text: Postgres("h", "d", "u", "p", parameters=(("a", text),)), "DATABASE_URL"),
        (lambda text: Redis("h", user=text, password="p"), "REDIS_USER"),
        (lambda text: Redis("h", password=text), "REDIS_PASS"),
        (lambda text: Redis("h", parameters=(("a", text),)), "REDIS_URL"),
        (lambda text: Settings(GOOD, base=PurePosixPath(f"/{text}")), "BASE"),
        (lambda text: Login("u", text), "password"),
    ],
)
def test_a_control_character_is_refused_and_not_repeated(
    make: Callable[[str], object], named: str, sign: str
) -> None:
    with pytest.raises(InvalidSettings, match=named) as refusal:
        make(f"geheim{sign}x")
    said = str(refusal.value)
    assert sign not in said
    assert "geheim" not in said or "PASS" not in named


def test_a_tab_may_be_in_a_password() -> None:
    assert Postgres("h", "d", "u", "a\tb").password == "a\tb"


@pytest.mark.parametrize(
    "key",
    [
        "PG_HOST",
        "PG_PORT",
        "PG_SSLMODE",
        "PG_SSLROOTCERT",
        "PG_BOUNCER",
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_DB",
        "REDIS_TLS",
        "RATE_LIMIT",
        "BASE",
        "DATABASE",
        "CACHE",
    ],
)
@pytest.mark.parametrize(
    "pasted",
    [
        "postgresql://u:geheim@db1:5432/d",
        "postgresql://u:ge/geheim@db1",
        "u:geheim@db1",
        "db1?password=geheim",
        "\x1b" + "x" * 100_000,
    ],
)
def test_a_url_that_was_pasted_is_not_repeated(key: str, pasted: str) -> None:
    given = {"PG_HOST": "db1", "PG_PASS": "p", "REDIS": "true", "CACHE": "true", key: pasted}
    with pytest.raises(InvalidSettings, match=key) as refusal:
        to_settings(given, None, str)
    said = str(refusal.value)
    assert "geheim" not in said and "\x1b" not in said and len(said) < 300
    if "://" in pasted and key != "BASE":
        assert "is a whole URL: answer its parts" in said


def test_a_zone_is_the_name_of_an_interface() -> None:
    assert Postgres("fe80::1%eth0", "d", "u", "p").host == "fe80::1%eth0"
    with pytest.raises(InvalidSettings, match="PG_HOST"):
        Postgres("fe80::1%x]@evil", "d", "u", "p")
