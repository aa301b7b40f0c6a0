"""What is tried on a Redis, and what a refusal means."""

from fnmatch import fnmatchcase

import pytest
from redis import exceptions

from hx_gateway_db.findings import Finding
from hx_gateway_db.redis.rule import COMMANDS, KEYS
from hx_gateway_db.redis.trials import Trial, trials, what_failed
from hx_gateway_db.settings.values import Redis

REDIS = Redis("r1", user="hx", password="pw")
TRIED = trials(0, "abc")


def refused(text: str, *commands: str, pattern: str = "") -> Finding | None:
    """What it means when these commands, or the tries of a pattern, are answered so."""

    def error(trial: Trial) -> exceptions.ResponseError | None:
        chosen = trial.command in commands or trial.key_pattern == pattern
        return exceptions.ResponseError(text) if chosen else None

    return what_failed(REDIS, TRIED, [error(trial) for trial in TRIED])


def test_every_command_of_the_rule_but_auth_is_tried() -> None:
    assert {trial.command for trial in TRIED} == set(COMMANDS) - {"auth"}


def test_every_key_pattern_is_tried_with_a_key_that_it_matches() -> None:
    assert {trial.key_pattern for trial in TRIED} == set(KEYS)
    for trial in TRIED:
        if trial.key_pattern != KEYS[0]:
            assert fnmatchcase(trial.words[1], trial.key_pattern)


def test_nothing_is_written_without_an_end() -> None:
    keys = {trial.words[1] for trial in TRIED if trial.command in ("set", "sadd")}
    ends = {trial.words[1] for trial in TRIED if trial.command in ("set", "expire")}
    assert keys <= ends
    last = [trial for trial in TRIED if trial.key_pattern == KEYS[0]][-1]
    assert last.command == "del" and keys <= set(last.words)


def test_no_error_is_no_objection() -> None:
    assert what_failed(REDIS, TRIED, [None] * len(TRIED)) is None


@pytest.mark.parametrize(
    "text",
    [
        "this user has no permissions to run the 'eval' command or its subcommand",  # 6.0
        "User hx has no permissions to run the 'eval' command",
        "EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run"
        " the 'exec' command",
    ],
)
def test_a_refused_command_is_named_and_cured_in_one_command(text: str) -> None:
    found = refused(text, "eval")
    assert found is not None
    assert found.what == "Redis at r1:6379 does not let the user hx use the command eval"
    assert found.cure == "redis-cli ACL SETUSER hx +eval"


def test_a_key_outside_the_namespace_says_what_it_is_for() -> None:
    found = refused("No permissions to access a key", pattern=KEYS[-1])
    assert found is not None
    assert found.what.endswith("use the key of 64 hexadecimal digits")
    assert found.why.startswith("LiteLLM 1.74 uses keys outside its namespace")


def test_missing_rights_come_before_what_they_cause() -> None:
    errors = [
        exceptions.ResponseError("EXEC without MULTI")
        if trial.command == "exec"
        else exceptions.NoPermissionError("no permissions to run the 'multi' command")
        if trial.command == "multi"
        else None
        for trial in TRIED
    ]
    found = what_failed(REDIS, TRIED, errors)
    assert found is not None
    assert found.what.endswith("use the command multi")


def test_a_command_that_is_unknown_was_renamed() -> None:
    found = refused("unknown command 'EVAL', with args beginning with: ", "eval")
    assert found is not None
    assert found.what == "Redis at r1:6379 does not know the command eval"


def test_another_refusal_is_explained_as_such() -> None:
    found = refused("OOM command not allowed when used memory > 'maxmemory'.", "set", "rpush")
    assert found is not None
    assert found.name == "redis.write"
