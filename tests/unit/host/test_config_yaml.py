"""Which keys of config.yaml are set, taken back and read."""

import hashlib
from typing import Any

import pytest
import yaml

from hx_gateway_db.host.config_yaml import (
    Origin,
    Present,
    master_key,
    overrides_cache,
    overrides_database,
    overriding_variables,
    pristine,
    rate_limit,
    transaction_buffer,
    unwired,
    wired,
)
from hx_gateway_db.settings.values import Cache, RedisUse

TEXT = b"general_settings:\n  master_key: sk-1\nlitellm_settings:\n  cache_params: {ttl: 60}\n"


def origin(text: bytes, left: bytes) -> Origin:
    return Origin(text, hashlib.sha256(left).hexdigest())


def present(left: bytes, use: RedisUse) -> Present:
    """What is wired after a run that made TEXT into `left`."""
    return Present(origin(TEXT, left), wired=True, use=use)


@pytest.mark.parametrize(
    ("written", "environment", "key"),
    [
        ("sk-literal", {}, "sk-literal"),
        ("os.environ/MY_KEY", {"MY_KEY": "sk-2"}, "sk-2"),
        ("${MY_KEY}", {"MY_KEY": "sk-3"}, "sk-3"),
        ("os.environ/MY_KEY", {}, None),
        ("", {"LITELLM_MASTER_KEY": "sk-4"}, "sk-4"),
        ("", {}, None),
    ],
)
def test_the_master_key_is_found_where_litellm_finds_it(
    written: str, environment: dict[str, str], key: str | None
) -> None:
    text = f"general_settings:\n  master_key: {written}\n".encode()
    assert master_key(text, environment) == key


def test_questions_and_the_edit_share_one_pass_and_the_proof_is_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: list[bytes] = []

    class Counted(yaml.CSafeLoader):
        def __init__(self, stream: bytes) -> None:
            passes.append(stream)
            super().__init__(stream)

    monkeypatch.setattr(yaml, "CSafeLoader", Counted)
    text = b"general_settings: {master_key: sk-2, a: 1}\n"
    assert master_key(text, {}) == "sk-2"
    left = wired(text, RedisUse(), Present()).text
    assert passes == [text, left]


def test_a_database_url_in_the_configuration_is_noticed() -> None:
    assert not overrides_database(TEXT)
    assert overrides_database(b"general_settings:\n  database_url: os.environ/X\n")
    assert not overrides_database(b"general_settings:\n  database_url: os.environ/DATABASE_URL\n")


def test_variables_that_the_configuration_sets_otherwise_are_noticed() -> None:
    text = (
        b"environment_variables:\n  DATABASE_URL: os.environ/DATABASE_URL\n  REDIS_URL: redis://h\n"
    )
    assert overriding_variables(text, ["DATABASE_URL", "REDIS_URL", "X"]) == ["REDIS_URL"]
    assert overriding_variables(b"environment_variables:\n", ["X"]) == []


def test_a_cache_of_its_own_in_the_configuration_is_noticed() -> None:
    text = b"litellm_settings: {cache_params: {url: redis://h}}\n"
    assert overrides_cache(text)
    assert not overrides_cache(text.replace(b"redis://h", b"os.environ/REDIS_URL"))
    assert not overrides_cache(TEXT)


def test_an_existing_cache_params_keeps_its_other_keys() -> None:
    text = wired(TEXT, RedisUse(Cache(5)), Present()).text
    assert b"ttl: 60" in text
    assert b"type: redis" in text


def test_the_pristine_text_is_what_was_there_when_nobody_has_edited_it_since() -> None:
    left = wired(TEXT, RedisUse(Cache()), Present()).text
    assert pristine(left, present(left, RedisUse(Cache()))) == TEXT
    assert pristine(TEXT, Present()) == TEXT


def test_an_edit_of_somebody_else_becomes_part_of_the_pristine_text() -> None:
    left = wired(TEXT, RedisUse(Cache()), Present()).text
    edited = b"# theirs\n" + left
    assert pristine(edited, present(left, RedisUse(Cache()))) == b"# theirs\n" + TEXT


def test_a_cache_that_was_not_ours_is_left_on() -> None:
    own = b"litellm_settings:\n  cache: true\n"
    assert own in wired(own, RedisUse(), Present()).text
    assert own in unwired(own, Present())


CACHED = wired(TEXT, RedisUse(Cache(5)), Present()).text
WITH_CACHE = present(CACHED, RedisUse(Cache(5)))


@pytest.mark.parametrize(
    ("ours", "edited", "said"),
    [
        (b"disable_spend_logs: false", b"disable_spend_logs: true", "true"),
        (b"disable_error_logs: false", b"disable_error_logs: 0", "0"),
        (b"disable_spend_logs: false", b'disable_spend_logs: "false"', '"false"'),
        (b"type: redis", b"type: redis-semantic", '"redis-semantic"'),
        (b"namespace: litellm", b"namespace: mine", '"mine"'),
        (b"cache: true", b"cache: false", "false"),
        (b"rpm_limit: 5", b"rpm_limit: [5]", "not a plain value"),
    ],
)
def test_an_edited_value_stays_and_that_is_said(ours: bytes, edited: bytes, said: str) -> None:
    text = CACHED.replace(ours, edited)
    assert text != CACHED
    outcome = wired(text, RedisUse(Cache(5)), WITH_CACHE)
    assert outcome.text == text
    key = ours.decode().partition(":")[0]
    assert len(outcome.notes) == 1
    assert f"{key} was edited since (it is {said}): left as it is." in outcome.notes[0]


@pytest.mark.parametrize(
    "key", [b"disable_spend_logs: false", b"type: redis", b"namespace: litellm", b"cache: true"]
)
def test_a_value_that_was_lost_is_set_again(key: bytes) -> None:
    empty = key.partition(b":")[0] + b": null"
    outcome = wired(CACHED.replace(key, empty), RedisUse(Cache(5)), WITH_CACHE)
    assert key in outcome.text
    assert outcome.notes == ()


def test_at_a_first_wiring_the_flags_are_set_whatever_they_are() -> None:
    text = b"general_settings:\n  disable_spend_logs: true\n"
    for before in (Present(), Present(origin(text, text), wired=False)):
        outcome = wired(text, RedisUse(), before)
        assert b"disable_spend_logs: false\n" in outcome.text
        assert outcome.notes == ()


def test_a_changed_limit_wins_over_what_is_there_and_other_edits_stay() -> None:
    text = CACHED.replace(b"rpm_limit: 5", b"rpm_limit: 9").replace(b"type: redis", b"type: s3")
    outcome = wired(text, RedisUse(Cache(7)), WITH_CACHE)
    assert b"rpm_limit: 7" in outcome.text
    assert b"type: s3" in outcome.text


def test_switching_the_cache_on_over_values_of_ones_own_says_so() -> None:
    outcome = wired(
        b"litellm_settings:\n  cache_params: {type: s3}\n", RedisUse(Cache()), Present()
    )
    assert b"type: redis" in outcome.text
    assert outcome.notes == (
        'litellm_settings.cache_params.type was "s3": it is "redis" while the cache is on.',
    )


def test_switching_the_cache_off_takes_edited_values_away_and_says_so() -> None:
    text = CACHED.replace(b"type: redis", b"type: s3")
    outcome = wired(text, RedisUse(), WITH_CACHE)
    assert b"s3" not in outcome.text
    assert outcome.notes == (
        'litellm_settings.cache_params.type was edited since (it is "s3"): it goes with the cache.',
    )
    assert wired(CACHED, RedisUse(), WITH_CACHE).notes == ()


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("30", 30),
        ("true", None),
        ("0", None),
        ("'30'", None),
        ("os.environ/RPM", None),
        ("9999999999", None),
    ],
)
def test_the_rate_limit_is_read_where_it_can_be_an_answer(value: str, limit: int | None) -> None:
    text = f"litellm_settings: {{default_key_generate_params: {{rpm_limit: {value}}}}}\n"
    assert rate_limit(text.encode()) == limit


BUFFER = RedisUse(transaction_buffer=True)
BOTH = RedisUse(Cache(5), transaction_buffer=True)
BUFFERED = wired(TEXT, BUFFER, Present()).text
USES = (RedisUse(), RedisUse(Cache(5)), BUFFER, BOTH)


def reading(text: bytes) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_the_spend_buffer_gets_a_redis_client_and_no_request_is_answered_from_the_cache() -> None:
    read = reading(BUFFERED)
    assert read["general_settings"]["use_redis_transaction_buffer"] is True
    assert read["litellm_settings"] == {
        "cache": True,
        "cache_params": {
            "ttl": 60,
            "type": "redis",
            "namespace": "litellm",
            "mode": "default_off",
        },
    }


def test_with_the_cache_the_spend_buffer_is_one_key_more() -> None:
    with_buffer, without = reading(wired(TEXT, BOTH, Present()).text), reading(CACHED)
    assert with_buffer["general_settings"].pop("use_redis_transaction_buffer") is True
    assert with_buffer == without


@pytest.mark.parametrize("before", USES)
@pytest.mark.parametrize("after", USES)
def test_from_each_use_of_redis_to_each_other_the_keys_are_as_if_wired_at_once(
    before: RedisUse, after: RedisUse
) -> None:
    first = wired(TEXT, before, Present()).text
    second = wired(first, after, present(first, before))
    assert reading(second.text) == reading(wired(TEXT, after, Present()).text)
    assert second.notes == ()
    assert pristine(second.text, Present(origin(TEXT, b""), wired=True, use=after)) == TEXT


@pytest.mark.parametrize("use", USES)
def test_a_rollback_takes_every_key_for_redis_back(use: RedisUse) -> None:
    text = wired(TEXT, use, Present()).text
    assert unwired(text, present(text, use)) == unwired(TEXT, Present())


@pytest.mark.parametrize("value", [b"false", b"true", b'"true"'])
def test_a_rollback_leaves_the_spend_buffer_as_it_stood_before(value: bytes) -> None:
    own = b"general_settings:\n  use_redis_transaction_buffer: " + value + b"\n"
    text = wired(own, BUFFER, Present()).text
    assert b"use_redis_transaction_buffer: true\n" in text
    left = Present(origin(own, text), wired=True, use=BUFFER)
    assert unwired(text, left) == unwired(own, Present())


@pytest.mark.parametrize(
    ("ours", "edited", "said"),
    [
        (b"buffer: true", b"buffer: os.environ/BUFFER", '"os.environ/BUFFER"'),
        (b"mode: default_off", b"mode: default_on", '"default_on"'),
        (b"namespace: litellm", b"namespace: mine", '"mine"'),
    ],
)
def test_an_edited_value_for_the_spend_buffer_stays_and_that_is_said(
    ours: bytes, edited: bytes, said: str
) -> None:
    text = BUFFERED.replace(ours, edited)
    assert text != BUFFERED
    outcome = wired(text, BUFFER, present(BUFFERED, BUFFER))
    assert outcome.text == text
    assert len(outcome.notes) == 1
    assert f"was edited since (it is {said}): left as it is." in outcome.notes[0]


def test_switching_the_spend_buffer_off_takes_edited_values_away_and_says_so() -> None:
    text = BUFFERED.replace(b"namespace: litellm", b"namespace: mine")
    outcome = wired(text, RedisUse(), present(BUFFERED, BUFFER))
    assert reading(outcome.text)["litellm_settings"] == {"cache_params": {"ttl": 60}}
    assert outcome.notes == (
        'litellm_settings.cache_params.namespace was edited since (it is "mine"):'
        " it goes with the spend buffer.",
    )


def test_a_cache_of_ones_own_stays_on_beside_the_spend_buffer() -> None:
    own = b"litellm_settings:\n  cache: true\n  cache_params: {type: redis, ttl: 9}\n"
    first = wired(own, BUFFER, Present()).text
    left = Present(origin(own, first), wired=True, use=BUFFER)
    for text in (first, wired(first, BUFFER, left).text):
        params = reading(text)["litellm_settings"]["cache_params"]
        assert params == {"type": "redis", "ttl": 9, "namespace": "litellm"}
    with_cache = wired(first, BOTH, left).text
    left = Present(origin(own, with_cache), wired=True, use=BOTH)
    assert reading(wired(with_cache, BUFFER, left).text) == reading(first)


def test_a_spend_buffer_of_ones_own_is_left_alone_while_ours_is_off() -> None:
    own = b"general_settings:\n  use_redis_transaction_buffer: true\n"
    text = wired(own, RedisUse(), Present()).text
    left = Present(origin(own, text), wired=True)
    for outcome in (text, wired(text, RedisUse(), left).text, unwired(text, left)):
        assert outcome.endswith(b"  use_redis_transaction_buffer: true\n")


def test_a_spend_buffer_that_was_added_since_can_be_answered_away() -> None:
    without = wired(TEXT, RedisUse(), Present()).text
    added = without.replace(b"sk-1\n", b"sk-1\n  use_redis_transaction_buffer: true\n")
    left = Present(origin(TEXT, without), wired=True, buffer_added=True)
    assert wired(added, RedisUse(), left).text == without
    assert wired(added, BUFFER, left).text.count(b"use_redis_transaction_buffer: true\n") == 1


def test_a_cache_that_was_added_since_is_part_of_the_pristine_text() -> None:
    text = wired(TEXT, RedisUse(), Present()).text
    added = text + b"  cache: true\n"
    assert pristine(added, present(text, RedisUse())) == TEXT + b"  cache: true\n"


@pytest.mark.parametrize(
    ("value", "on"),
    [("true", True), ('"True"', True), ("false", False), ("1", False), ("null", False)],
)
def test_the_spend_buffer_is_read_as_litellm_reads_it(value: str, on: bool) -> None:
    text = f"general_settings: {{use_redis_transaction_buffer: {value}}}\n"
    assert transaction_buffer(text.encode()) == on
