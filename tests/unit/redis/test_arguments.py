"""Of what is in REDIS_URL, redis-py gets what is known to do no harm."""

import pytest

from hx_gateway_db.findings import Level
from hx_gateway_db.redis.arguments import arguments
from hx_gateway_db.redis.check import inspect_redis
from hx_gateway_db.redis.place import Withheld
from hx_gateway_db.settings.urls import parse_redis_url
from hx_gateway_db.settings.values import Redis
from tests.fake_redis import fake_redis


@pytest.mark.parametrize(
    "parameter",
    [
        *("socket_timeout=x", "db=x", "db=" + "9" * 5000, "max_connections=x", "host=evil"),
        *("username=boss", "password=other", "parser_class=x", "connection_class=x"),
        *("redis_connect_func=x", "credential_provider=x", "ssl_validate_ocsp=1"),
        *("ssl_ocsp_context=x", "no_such=x", "db%26host=x", "path=/x"),
    ],
)
def test_a_parameter_that_is_refused_is_a_finding(parameter: str) -> None:
    with fake_redis() as fake:
        found = inspect_redis(parse_redis_url(f"redis://127.0.0.1:{fake.port}/0?{parameter}"))
    (failed,) = found
    assert (failed.name, failed.level) == ("redis.url", Level.FAILED)
    assert "gateway.env" in failed.cure
    assert "\x1b" not in failed.sentence
    assert not fake.heard


def test_an_unknown_way_to_check_certificates_is_a_finding() -> None:
    (failed,) = inspect_redis(parse_redis_url("rediss://127.0.0.1:1/0?ssl_cert_reqs=maybe"))
    assert failed.name == "redis.url"


def test_what_decides_how_long_a_connection_waits_changes_nothing_for_us() -> None:
    query = "socket_timeout=1e9&retry_on_timeout=true&health_check_interval=1&encoding=idna"
    with fake_redis() as fake:
        found = inspect_redis(
            parse_redis_url(f"redis://127.0.0.1:{fake.port}/0?{query}&protocol=3")
        )
        assert {each.level for each in found} == {Level.OK}
        assert b"HELLO\r\n$1\r\n3" not in fake.heard


def test_a_database_in_the_query_counts_as_it_does_for_redis_py() -> None:
    assert arguments(parse_redis_url("redis://:a%25b@r1/3?db=5")).database == 5
    assert arguments(Redis("r1", password="a%41 ä")).password == "a%41 ä"


def test_a_password_in_the_query_is_not_repeated() -> None:
    with pytest.raises(Withheld) as refused:
        arguments(parse_redis_url("redis://r1/0?password=geheim"))
    assert "geheim" not in refused.value.finding.sentence
