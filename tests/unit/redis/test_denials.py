"""What a Redis says it has refused to the gateway's user, whatever it says."""

import pytest

from hx_gateway_db.findings import Level
from hx_gateway_db.redis import administration
from hx_gateway_db.redis.denials import denials
from hx_gateway_db.settings.values import Redis, RedisUse
from tests.fake_redis import PASS, bulk, fake_redis, information
from tests.unit.redis.test_administration import HOSTILE


def entry(**fields: str) -> bytes:
    words = {"count": "1", "reason": "command", "object": "flushall", "username": "hx"}
    words |= {"age-seconds": "12.5"} | {
        name.replace("_", "-"): text for name, text in fields.items()
    }
    return b"*%d\r\n" % (2 * len(words)) + b"".join(bulk(x) for item in words.items() for x in item)


@pytest.fixture(autouse=True)
def no_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "configurations", list)


def asked(*entries: bytes, answer: object = None) -> list[tuple[Level, str]]:
    log = b"*%d\r\n" % len(entries) + b"".join(entries)
    with fake_redis({"ACL LOG": log if answer is None else answer}) as fake:
        found = denials(Redis("127.0.0.1", fake.port, user="hx", password=PASS))
        return [(finding.level, finding.sentence) for finding in found]


def test_nothing_refused_is_well() -> None:
    others = (entry(username="else"), entry(age_seconds="99999999"), entry(reason="auth"))
    for entries in ((), others):
        ((level, _),) = asked(*entries)
        assert level is Level.OK


@pytest.mark.parametrize(
    ("seconds", "level"),
    [
        ("0.059999999999999998", Level.WARNING),
        ("9.9000000000000001e-05", Level.WARNING),
        ("86399.999000000003", Level.WARNING),
        ("86400", Level.OK),
        ("nan", Level.OK),
        ("soon", Level.OK),
        ("", Level.OK),
    ],
)
def test_a_refusal_within_a_day_is_told_however_redis_writes_its_age(
    seconds: str, level: Level
) -> None:
    ((found, _),) = asked(entry(age_seconds=seconds))
    assert found is level


@pytest.mark.parametrize(
    ("reason", "name", "grant"),
    [
        ("command", "zadd", "+zadd"),
        ("key", "litellm_other:abc", "~litellm_other:abc"),
        ("channel", "litellm_proxy.config_change", "&litellm_proxy.config_change"),
    ],
)
def test_what_was_refused_is_named_with_the_grant(reason: str, name: str, grant: str) -> None:
    ((level, sentence),) = asked(entry(reason=reason, object=name))
    assert level is Level.WARNING and f"has refused the {reason} {name} to hx" in sentence
    assert "redis-cli ACL SETUSER hx" in sentence and grant in sentence
    assert "then 'redis-cli ACL LOG RESET'" in sentence


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("key", "litellm'; touch /tmp/y; '"),
        ("key", "payroll:secret"),
        ("key", "litellm:*"),
        ("command", "flushall"),
        ("command", "config|set"),
        ("channel", "payroll"),
    ],
)
def test_what_an_intruder_in_the_gateway_asks_for_is_no_part_of_a_cure(
    reason: str, name: str
) -> None:
    ((level, sentence),) = asked(entry(reason=reason, object=name))
    assert level is Level.WARNING and "SETUSER" not in sentence


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_whatever_is_answered_comes_to_an_end(
    answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administration, "_SECONDS", 0.5)
    for _, sentence in asked(answer=answer):
        assert sentence.isprintable()


def test_the_default_user_has_no_rule_to_be_refused_by() -> None:
    assert list(denials(Redis("127.0.0.1", 1))) == []


@pytest.mark.parametrize(
    ("policy", "use", "level"),
    [
        ("allkeys-lru", RedisUse(transaction_buffer=True), Level.WARNING),
        ("allkeys-lru", RedisUse(), Level.OK),
        ("volatile-lru", RedisUse(transaction_buffer=True), Level.OK),
        ("noeviction", RedisUse(transaction_buffer=True), Level.WARNING),
    ],
)
def test_a_policy_that_drops_spend_is_told(policy: str, use: RedisUse, level: Level) -> None:
    from hx_gateway_db.redis.check import inspect_redis

    info = information(maxmemory="1000", maxmemory_human="1000B", maxmemory_policy=policy)
    with fake_redis({"INFO": info}) as fake:
        found = {f.name: f for f in inspect_redis(Redis("127.0.0.1", fake.port), use)}
    assert found["redis.memory"].level is level
