"""Which keys of config.yaml are set, taken back and read."""

import hashlib

import pytest

from hx_gateway_db.config_yaml import (
    Origin,
    master_key,
    overrides_database,
    pristine,
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
    text = wired(TEXT, Cache(5), cache_was_on=False, origin=None)
    assert b"ttl: 60" in text
    assert b"type: redis" in text


def test_the_pristine_text_is_what_was_there_when_nobody_has_edited_it_since() -> None:
    left = wired(TEXT, Cache(), cache_was_on=False, origin=None)
    assert pristine(left, origin(TEXT, left)) == TEXT
    assert pristine(TEXT, None) == TEXT


def test_an_edit_of_somebody_else_becomes_part_of_the_pristine_text() -> None:
    left = wired(TEXT, Cache(), cache_was_on=False, origin=None)
    edited = b"# theirs\n" + left
    assert pristine(edited, origin(TEXT, left)) == b"# theirs\n" + TEXT


def test_a_cache_that_was_not_ours_is_left_on() -> None:
    own = b"litellm_settings:\n  cache: true\n"
    assert own in wired(own, None, cache_was_on=False, origin=None)
    assert own in unwired(own, cache_was_on=False, origin=None)
