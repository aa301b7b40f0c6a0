"""The cache, the limits and the spend buffer have the effect that is asked for, and lose it again.

One machine, from each use of Redis to the next; each apply restarts LiteLLM, so there are few.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.machine.installation import make_database, no_connected_db
from tests.machine.machine import CONFIG_YAML, LITELLM_URL, MASTER_KEY, Machine
from tests.machine.usage import (
    SECOND_URL,
    assert_hit,
    cached_answers,
    chat,
    limit_of,
    make_key,
    second_gateway,
    spend_of,
    statuses,
)

pytestmark = pytest.mark.sample_release("trixie")

PASSWORD = "first p@ss"


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A machine with a database and Redis; a token of hx-chat costs something."""
    make_database(shared_machine, PASSWORD)
    price = "input_cost_per_token: 0.001, output_cost_per_token: 0.001"
    edit = f"s/(model: openai.hx-chat), /\\1, {price}, /"
    shared_machine.run(["sed", "--in-place", "--regexp-extended", edit, str(CONFIG_YAML)])
    assert price in shared_machine.read(CONFIG_YAML)
    shared_machine.install(deb)
    return shared_machine


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    """The virtual keys that the story makes, by when they were made."""
    return {}


def apply(machine: Machine, **answers: str) -> None:
    lines = [f"{key}={value}\n" for key, value in answers.items()]
    machine.run(["hx-gateway-db", "apply", "--answers", "-"], input="".join(lines))


def assert_no_hit(machine: Machine, key: str) -> None:
    machine.run(["redis-cli", "FLUSHALL"])
    answers = [chat(machine, key, "Is this cached?") for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.json["id"] for answer in answers}) == 3
    assert cached_answers(machine) == []


@contextmanager
def redis_down(machine: Machine) -> Iterator[None]:
    machine.run(["systemctl", "stop", "redis-server"])
    try:
        yield
    finally:
        machine.run(["systemctl", "start", "redis-server"])


def test_a_second_identical_request_is_answered_from_redis(
    machine: Machine, keys: dict[str, str]
) -> None:
    apply(machine, PG_HOST="127.0.0.1", PG_PASS=PASSWORD, REDIS_HOST="127.0.0.1", CACHE="true")
    keys["limited"] = make_key(machine)
    assert_hit(machine, keys["limited"])


def test_a_new_key_makes_sixty_requests_a_minute_and_the_next_is_refused(machine: Machine) -> None:
    key = make_key(machine)
    assert limit_of(machine, key) == 60
    # It is the minute of the clock that counts.
    if time.time() % 60 > 40:
        time.sleep(60 - time.time() % 60)
    assert statuses(machine, key, 62) == [200] * 60 + [429] * 2


def test_a_gateway_that_counts_alone_serves_while_redis_is_down(
    machine: Machine, keys: dict[str, str]
) -> None:
    with redis_down(machine):
        for key in (keys["limited"], MASTER_KEY):
            assert chat(machine, key, "And now?").status == 200


def test_with_the_cache_off_all_its_keys_go_and_only_limited_keys_stay_limited(
    machine: Machine, keys: dict[str, str]
) -> None:
    apply(machine, CACHE="false", REDIS_TRANSACTION_BUFFER="true")
    assert "rpm_limit" not in machine.read(CONFIG_YAML)
    keys["unlimited"] = make_key(machine)
    assert limit_of(machine, keys["unlimited"]) is None
    assert statuses(machine, keys["unlimited"], 65) == [200] * 65
    assert_no_hit(machine, keys["unlimited"])
    assert limit_of(machine, keys["limited"]) == 60


def test_with_the_spend_buffer_alone_the_spend_of_a_key_arrives(machine: Machine) -> None:
    assert "use_redis_transaction_buffer: true\n" in machine.read(CONFIG_YAML)
    key = make_key(machine)
    assert [chat(machine, key, f"Number {number}").status for number in range(3)] == [200] * 3
    tables = (("LiteLLM_VerificationToken", "token"), ("LiteLLM_SpendLogs", "api_key"))
    machine.wait_until(
        lambda: [spend_of(machine, key, *table) for table in tables] == pytest.approx([0.09] * 2),
        90,
        what="the spend of three requests",
    )


def test_several_gateways_share_the_cache_and_the_limit_of_a_new_key(
    machine: Machine, keys: dict[str, str]
) -> None:
    apply(machine, CACHE="true", RATE_LIMIT="7")
    with second_gateway(machine):
        key = make_key(machine)
        assert limit_of(machine, key) == 7
        # LiteLLM 1.74.15 refuses the last request that a shared limit allows as well.
        assert statuses(machine, key, 20, SECOND_URL) == [200] * 6 + [429] * 14
    assert_hit(machine, keys["unlimited"])


def test_a_key_from_before_has_no_limit_and_one_with_its_own_keeps_that(
    machine: Machine, keys: dict[str, str]
) -> None:
    assert statuses(machine, keys["unlimited"], 20) == [200] * 20
    own = machine.http(
        "POST", f"{LITELLM_URL}/key/generate", key=MASTER_KEY, body={"rpm_limit": 9}
    ).json["key"]
    assert limit_of(machine, own) == 9
    assert statuses(machine, own, 10) == [200] * 8 + [429] * 2


def test_gateways_that_count_together_serve_nothing_while_redis_is_down(
    machine: Machine, keys: dict[str, str]
) -> None:
    # Why one gateway is not told to: LiteLLM 1.74.15 has no way out here.
    with redis_down(machine):
        for key in (keys["unlimited"], MASTER_KEY):
            assert chat(machine, key, "And now?").status == 500


def test_after_a_rollback_nothing_is_cached_and_nothing_limited(machine: Machine) -> None:
    machine.run(["hx-gateway-db", "rollback"])
    assert no_connected_db(machine)
    assert_no_hit(machine, MASTER_KEY)
    assert machine.run(["redis-cli", "DBSIZE"]).stdout == "0\n"
    assert statuses(machine, MASTER_KEY, 65) == [200] * 65
    assert "litellm_settings" not in machine.read(CONFIG_YAML)


def test_wired_again_unasked_it_would_be_without_the_cache(machine: Machine) -> None:
    plan = machine.run(["hx-gateway-db", "plan"]).stdout
    assert "disable_spend_logs" in plan
    assert "litellm_settings" not in plan and "EXPERIMENTAL_MULTI_INSTANCE" in plan
    assert "+LITELLM_REDIS_URL" not in plan and "40-cache.conf" not in plan
