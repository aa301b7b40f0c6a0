"""The newest LiteLLM that installs: what the stories tell of the site's own holds for it as well.

One machine, whose Redis user may do what our rule grants and nothing else.
"""

import time
from pathlib import Path

import pytest

from tests.machine.image import build_image
from tests.machine.installation import (
    GATEWAY_ENV,
    assert_a_virtual_key_works,
    assert_only_the_salt_is_left,
    main_pids,
    no_connected_db,
    preseed,
)
from tests.machine.machine import CONFIG_YAML, LITELLM_URL, MASTER_KEY, Machine
from tests.machine.usage import (
    SECOND_URL,
    assert_hit,
    chat,
    limit_of,
    make_key,
    second_gateway,
    spend_of,
    statuses,
)

pytestmark = pytest.mark.sample_release("trixie")

SHARED_LIMITS = "EXPERIMENTAL_MULTI_INSTANCE_RATE_LIMITING"
TABLES = (("LiteLLM_VerificationToken", "token"), ("LiteLLM_SpendLogs", "api_key"))


@pytest.fixture(scope="session")
def image(release: str) -> Path:
    return build_image(release, "newest")


@pytest.fixture(scope="module")
def original(shared_machine: Machine) -> str:
    """config.yaml before the package came; a token of hx-chat costs something."""
    price = "input_cost_per_token: 0.001, output_cost_per_token: 0.001"
    edit = f"s/(model: openai.hx-chat), /\\1, {price}, /"
    shared_machine.run(["sed", "--in-place", "--regexp-extended", edit, str(CONFIG_YAML)])
    return shared_machine.read(CONFIG_YAML)


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path, original: str) -> Machine:
    """A gateway with a database and a Redis user that the package has made on its own machine."""
    assert no_connected_db(shared_machine)
    several = {"cache": "true", "rate-limit": "7", "redis-transaction-buffer": "true"}
    preseed(shared_machine, {"database": "local", "redis": "true", **several})
    said = shared_machine.install(deb)
    assert "A virtual key works" in said.stdout + said.stderr
    return shared_machine


def refusals(machine: Machine) -> str:
    """What Redis has refused its users since the last look."""
    said = machine.run(["redis-cli", "ACL", "LOG"]).stdout
    machine.run(["redis-cli", "ACL", "LOG", "RESET"])
    return said.strip()


def test_a_virtual_key_works_and_its_request_leaves_a_row(machine: Machine) -> None:
    key = assert_a_virtual_key_works(machine)
    machine.wait_until(
        lambda: all(spend_of(machine, key, *table) > 0 for table in TABLES),
        90,
        what="the spend of a request",
    )
    assert "All well, in " in machine.run(["hx-gateway-db", "verify", "--wait"]).stdout


def test_what_this_litellm_does_not_read_is_not_written(machine: Machine) -> None:
    assert SHARED_LIMITS not in machine.read(GATEWAY_ENV)
    before = main_pids(machine)
    assert "Nothing to change" in machine.run(["hx-gateway-db", "apply"]).stdout
    assert main_pids(machine) == before
    assert "as it saw at most 15 s ago" in machine.run(["hx-gateway-db", "status"]).stdout


def test_several_gateways_share_the_cache_and_the_limit_of_a_key(machine: Machine) -> None:
    with second_gateway(machine):
        key = make_key(machine)
        assert limit_of(machine, key) == 7
        # It is the minute of the clock that counts.
        if time.time() % 60 > 45:
            time.sleep(60 - time.time() % 60)
        assert statuses(machine, key, 20, SECOND_URL) == [200] * 7 + [429] * 13
    assert_hit(machine, make_key(machine))


def test_a_changed_setting_reaches_other_gateways_with_the_rights_that_our_rule_grants(
    machine: Machine,
) -> None:
    team = {"team_alias": "anybody"}
    made = machine.http("POST", f"{LITELLM_URL}/team/new", key=MASTER_KEY, body=team)
    assert made.status == 200, made
    assert refusals(machine) == ""


def test_a_wrong_password_and_a_master_key_that_it_refuses_change_nothing(
    machine: Machine,
) -> None:
    before, text = main_pids(machine), machine.read(CONFIG_YAML)
    assert f"master_key: {MASTER_KEY}\n" in text
    known = text.replace(MASTER_KEY, "sk-1234")
    machine.write(CONFIG_YAML, known, owner="hx-gateway:hx-gateway", mode=0o640)
    answers = ["hx-gateway-db", "apply", "--answers", "-"]
    done = machine.run(answers, input="PG_PASS=wrong\n", check=False)
    assert machine.read(CONFIG_YAML) == known
    machine.write(CONFIG_YAML, text, owner="hx-gateway:hx-gateway", mode=0o640)
    assert done.returncode == 3
    assert "refuses the password of the user hx_gateway" in done.stderr
    assert "LiteLLM has the published sk-1234 as master key (LiteLLM 1." in done.stderr
    assert "does not start with that)" in done.stderr
    assert main_pids(machine) == before


def test_with_redis_down_it_serves_or_says_so(machine: Machine) -> None:
    key = make_key(machine)
    machine.run(["systemctl", "stop", "redis-server"])
    answers = [chat(machine, each, "And now?").status for each in (key, MASTER_KEY)]
    machine.run(["systemctl", "start", "redis-server"])
    assert answers == [200, 200]


def test_removed_it_serves_without_a_database_and_its_configuration_is_as_before(
    machine: Machine, original: str
) -> None:
    machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert no_connected_db(machine)
    assert machine.read(CONFIG_YAML) == original
    assert_only_the_salt_is_left(machine)
