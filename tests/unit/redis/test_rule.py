"""The ACL rule of LiteLLM's user."""

import hashlib

import pytest

from hx_gateway_db.redis.rule import KEYS, grants, parse_version, password_hash, rule


def test_the_rule_holds_a_hash_of_the_password_and_never_the_password() -> None:
    words = rule("geheim ä", (7, 0, 15))
    assert f"#{hashlib.sha256('geheim ä'.encode()).hexdigest()}" in words
    assert not any("geheim" in word for word in words)
    assert password_hash("geheim ä") in words


def test_everything_is_forbidden_before_what_is_needed_is_allowed() -> None:
    words = rule("pw", (7, 0, 15))
    allowed = [words.index(word) for word in words if word.startswith("+")]
    assert words.index("-@all") < min(allowed)
    assert "+flushall" not in words and "+config" not in words


@pytest.mark.parametrize(
    ("version", "expected"),
    [("6.0.16", True), ("6.2.14", True), ("7.0.15", False), ("7.2.4", True), ("8.0.2", True)],
)
def test_a_client_may_name_itself_where_the_server_knows_the_rule_for_it(
    version: str, expected: bool
) -> None:
    assert ("+client|setinfo" in grants(parse_version(version))) is expected


def test_redis_6_0_knows_no_channels() -> None:
    assert not any(word.startswith("&") for word in grants((6, 0, 16)))
    assert "&litellm:*" in grants((6, 2))


def test_an_unknown_version_gets_what_every_version_since_6_2_understands() -> None:
    words = grants(parse_version(""))
    assert "&litellm:*" in words and "+client|setinfo" not in words


def test_keys_outside_the_namespace_are_only_those_of_litellm() -> None:
    assert "*" not in KEYS
    assert KEYS[-1].count("[0-9a-f]") == 64


@pytest.mark.parametrize(
    "text", ["", "unstable", "7.x", "7..1", "7.²", "7.٣", "1" * 5000, "7" + ".1" * 1000]
)
def test_what_is_no_version_is_empty(text: str) -> None:
    assert parse_version(text) == ()
