"""Which keys of config.yaml are set, taken back and read."""

import hashlib

import pytest

from hx_gateway_db.config_yaml import (
    Origin,
    Present,
    master_key,
    overrides_database,
    pristine,
    rate_limit,
    unwired,
    wired,
)
from hx_gateway_db.settings import Cache

TEXT = b"general_settings:\n  master_key: sk-1\nlitellm_settings:\n  cache_params: {ttl: 60}\n"


def origin(text: bytes, left: bytes) -> Origin:
    return Origin(text, hashlib.sha256(left).hexdigest())


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


def test_a_database_url_in_the_configuration_is_noticed() -> None:
    assert not overrides_database(TEXT)
    assert overrides_database(b"general_settings:\n  database_url: os.environ/X\n")


def test_an_existing_cache_params_keeps_its_other_keys() -> None:
    text = wired(TEXT, Cache(5), Present()).text
    assert b"ttl: 60" in text
    assert b"type: redis" in text


def test_the_pristine_text_is_what_was_there_when_nobody_has_edited_it_since() -> None:
    left = wired(TEXT, Cache(), Present()).text
    assert pristine(left, origin(TEXT, left)) == TEXT
    assert pristine(TEXT, None) == TEXT


def test_an_edit_of_somebody_else_becomes_part_of_the_pristine_text() -> None:
    left = wired(TEXT, Cache(), Present()).text
    edited = b"# theirs\n" + left
    assert pristine(edited, origin(TEXT, left)) == b"# theirs\n" + TEXT


def test_a_cache_that_was_not_ours_is_left_on() -> None:
    own = b"litellm_settings:\n  cache: true\n"
    assert own in wired(own, None, Present()).text
    assert own in unwired(own, cache_was_on=False, origin=None)


CACHED = wired(TEXT, Cache(5), Present()).text
WITH_CACHE = Present(origin(TEXT, CACHED), wired=True, cache_ours=True, cache=Cache(5))


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
    outcome = wired(text, Cache(5), WITH_CACHE)
    assert outcome.text == text
    key = ours.decode().partition(":")[0]
    assert len(outcome.notes) == 1
    assert f"{key} was edited since (it is {said}): left as it is." in outcome.notes[0]


@pytest.mark.parametrize(
    "key", [b"disable_spend_logs: false", b"type: redis", b"namespace: litellm", b"cache: true"]
)
def test_a_value_that_was_lost_is_set_again(key: bytes) -> None:
    empty = key.partition(b":")[0] + b": null"
    outcome = wired(CACHED.replace(key, empty), Cache(5), WITH_CACHE)
    assert key in outcome.text
    assert outcome.notes == ()


def test_at_a_first_wiring_the_flags_are_set_whatever_they_are() -> None:
    text = b"general_settings:\n  disable_spend_logs: true\n"
    for present in (Present(), Present(origin(text, text), wired=False)):
        outcome = wired(text, None, present)
        assert b"disable_spend_logs: false\n" in outcome.text
        assert outcome.notes == ()


def test_a_changed_limit_wins_over_what_is_there_and_other_edits_stay() -> None:
    text = CACHED.replace(b"rpm_limit: 5", b"rpm_limit: 9").replace(b"type: redis", b"type: s3")
    outcome = wired(text, Cache(7), WITH_CACHE)
    assert b"rpm_limit: 7" in outcome.text
    assert b"type: s3" in outcome.text


def test_switching_the_cache_on_over_values_of_ones_own_says_so() -> None:
    outcome = wired(b"litellm_settings:\n  cache_params: {type: s3}\n", Cache(), Present())
    assert b"type: redis" in outcome.text
    assert outcome.notes == (
        'litellm_settings.cache_params.type was "s3": it is "redis" while the cache is on.',
    )


def test_switching_the_cache_off_takes_edited_values_away_and_says_so() -> None:
    text = CACHED.replace(b"type: redis", b"type: s3")
    outcome = wired(text, None, WITH_CACHE)
    assert b"s3" not in outcome.text
    assert outcome.notes == (
        'litellm_settings.cache_params.type was edited since (it is "s3"): it goes with the cache.',
    )
    assert wired(CACHED, None, WITH_CACHE).notes == ()


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
