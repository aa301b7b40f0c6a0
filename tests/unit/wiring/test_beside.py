"""A change that is tried on a second gateway, which then serves while the first one restarts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hx_gateway_db.errors import NotRolledBack, Refused, RolledBack
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import LITELLM_UNIT, SECOND_UNITS, STATE_FOLDER, WRAPPER_UNIT
from hx_gateway_db.postgres import administration
from hx_gateway_db.settings.answers import parse_answers
from hx_gateway_db.settings.values import Postgres
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction.transaction import Transaction
from hx_gateway_db.wiring.apply import Request, apply
from hx_gateway_db.wiring.beside import Beside
from hx_gateway_db.wiring.carry_out import Run
from hx_gateway_db.wiring.recover import recover
from hx_gateway_db.wiring.rollback import rollback
from tests.unit.tree import ANSWERS, BASE, snapshot
from tests.unit.wiring.world import EXITS, HANGS, REFUSES, World

LITELLM, WRAPPER = SECOND_UNITS[LITELLM_UNIT], SECOND_UNITS[WRAPPER_UNIT]
CONFIG_FOLDER = f"{BASE}/config/api-gateway"
SERVICES = {
    LITELLM_UNIT: f"/v/litellm --port 4000 --config /{CONFIG_FOLDER}/config.yaml",
    WRAPPER_UNIT: "/v/uvicorn app:app --port 4010",
}


@pytest.fixture
def world(root: Path) -> World:
    """A gateway without a database whose units have files of which there can be a second one."""
    for name, command in SERVICES.items():
        file = root / "etc/systemd/system" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"[Service]\nUser=hx-gateway\nExecStart={command}\n")
    (root / "run/systemd/system").mkdir(parents=True)
    return World(root)


def applied(world: World, more: str = "") -> str:
    answers = parse_answers(ANSWERS + more, "the test")
    return apply(world.root, Request(answers), world, world.outside)


def assert_nothing_is_left(world: World) -> None:
    left = [path for path in world.root.rglob("*") if "second" in path.name]
    left += (world.root / "run/systemd/system").iterdir()
    assert left == []
    assert not (world.root / STATE_FOLDER.relative_to("/") / "second").exists()
    assert not world.redirected
    assert {unit.active for unit in world.second.values()} == {"inactive"}


def test_a_change_is_tried_and_requests_are_handed_over_in_this_order(world: World) -> None:
    applied(world)
    assert world.log == [
        "daemon-reload",
        f"restart {LITELLM}",
        f"prove {LITELLM}",
        "daemon-reload",
        f"restart {WRAPPER}",
        "redirect 4000:4001 4010:4011",
        f"stop {WRAPPER_UNIT}",
        f"restart {LITELLM_UNIT}",
        f"restart {WRAPPER_UNIT}",
        "redirect no more",
        f"stop {WRAPPER}",
        f"stop {LITELLM}",
        "daemon-reload",
    ]
    assert_nothing_is_left(world)


def test_what_it_is_tried_with_is_what_is_written_then(world: World) -> None:
    folder = world.root / CONFIG_FOLDER
    files = {
        world.root / "run/hx-gateway-db-second/gateway.env": folder / "gateway.env",
        folder / "hx-gateway-db-second.yaml": folder / "config.yaml",
    }
    seen: dict[Path, tuple[bytes, int]] = {}

    def look() -> None:
        for staged in files:
            seen[staged] = staged.read_bytes(), staged.stat().st_mode & 0o777

    world.during[f"restart {LITELLM}"] = look
    applied(world)
    tried = {place: seen[staged][0] for staged, place in files.items()}
    assert tried == {place: place.read_bytes() for place in files.values()}
    # systemd alone reads it.
    assert seen[next(iter(files))][1] == 0o600


@pytest.mark.parametrize("fault", [EXITS, HANGS, REFUSES])
def test_a_change_that_does_not_work_there_is_refused_and_nothing_is_touched(
    world: World, fault: str
) -> None:
    world.second[LITELLM].with_new_files = fault
    before = snapshot(world.root)
    with pytest.raises(Refused) as refused:
        applied(world)
    assert "does not work on a second LiteLLM" in str(refused.value)
    assert f"{LITELLM} fails on purpose" in str(refused.value)
    assert refused.value.exit_status == 3
    assert "answer TRIAL=false" in str(refused.value)
    assert world.restarted == []
    assert snapshot(world.root) == before
    assert_nothing_is_left(world)


def test_a_role_that_was_given_the_new_password_has_the_old_one_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    def provision(postgres: Postgres) -> administration.Provisioned:
        given.append(postgres.password)
        return administration.Provisioned(ours=True, done=())

    monkeypatch.setattr(administration, "provision", provision)
    local = {"DATABASE": "local"}
    apply(world.root, Request(local), world, world.outside)
    (first,) = given
    world.unproven = "LiteLLM runs without a database."
    with pytest.raises(Refused, match="does not work on a second LiteLLM"):
        apply(world.root, Request({**local, "PG_PASS": "another"}), world, world.outside)
    assert given == [first, "another", first]


def test_one_that_can_not_be_proven_there_is_refused_as_well(world: World) -> None:
    world.unproven = "LiteLLM runs without a database."
    with pytest.raises(Refused, match="LiteLLM runs without a database"):
        applied(world)
    assert world.restarted == []
    assert_nothing_is_left(world)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda world: setattr(world.memory, "there", 100), "Not tried .* takes 0 MiB"),
        (lambda world: setattr(world.memory, "there", 500), "not handed over: a second gateway"),
        (lambda world: setattr(world, "filtered", "table inet ufw"), "not handed over: table inet"),
        (
            lambda world: (world.root / f"etc/systemd/system/{LITELLM_UNIT}").write_text(
                "[Service]\nExecStart=/usr/local/bin/start-litellm\n"
            ),
            f"Not tried .* {LITELLM_UNIT} starts no plain litellm",
        ),
        (
            lambda world: (world.root / f"etc/systemd/system/{WRAPPER_UNIT}").write_text(
                "[Service]\nExecStart=/usr/local/bin/start-wrapper\n"
            ),
            f"not handed over: {WRAPPER_UNIT} starts no plain uvicorn",
        ),
        (
            lambda world: world.obstacles.update({WRAPPER_UNIT: "its user is gone"}),
            f"not handed over: {WRAPPER_UNIT} would not come up again: its user is gone",
        ),
    ],
)
def test_where_it_can_not_be_done_one_line_says_why_and_the_units_restart(
    world: World, make: object, says: str
) -> None:
    assert callable(make)
    make(world)
    applied(world)
    assert world.restarted == ["litellm", "wrapper"]
    assert len([line for line in world.said if re.search(says, line)]) == 1
    assert not [line for line in world.log if line.startswith("redirect")]
    assert_nothing_is_left(world)


def test_trial_and_handover_are_switched_off_by_their_answers_and_stay_so(world: World) -> None:
    applied(world, "TRIAL=false\n")
    assert not [line for line in world.log if LITELLM in line]
    host = read_host(world.root)
    assert (host.answers["TRIAL"], host.answers["HANDOVER"]) == ("false", "auto")
    world.log.clear()
    applied(world, "PG_PORT=5433\n")
    assert not [line for line in world.log if LITELLM in line]
    world.log.clear()
    applied(world, "PG_PORT=5434\nTRIAL=true\nHANDOVER=never\n")
    assert f"prove {LITELLM}" in world.log
    assert not [line for line in world.log if line.startswith("redirect")]
    assert not [line for line in world.said if "not handed over" in line]
    assert read_host(world.root).answers["HANDOVER"] == "never"


def test_a_wrapper_that_does_not_run_needs_no_second_one(world: World) -> None:
    world.wrapper.active = "inactive"
    applied(world)
    assert "redirect 4000:4001" in world.log
    assert world.restarted == ["litellm"]
    assert world.wrapper.active == "inactive"


def test_where_the_gateway_fails_all_the_same_the_second_serves_until_it_is_as_before(
    world: World,
) -> None:
    world.litellm.with_new_files = EXITS
    with pytest.raises(RolledBack):
        applied(world)
    assert world.restarted == ["litellm", "litellm", "wrapper"]
    assert world.log.index("redirect no more") > world.log.index(f"restart {WRAPPER_UNIT}")
    assert world.wrapper.active == world.litellm.active == "active"
    assert_nothing_is_left(world)


def test_a_redirect_that_can_not_be_put_is_said_and_the_units_restart(world: World) -> None:
    def fail() -> None:
        raise ServiceFailed("nft fails: no.")

    world.during["redirect"] = fail
    applied(world)
    assert "Requests are not handed over: nft fails: no." in world.said
    assert f"stop {WRAPPER_UNIT}" not in world.log
    assert_nothing_is_left(world)


def test_a_wrapper_that_can_not_be_stopped_is_started_again(world: World) -> None:
    def fail() -> None:
        raise ServiceFailed("'systemctl stop' did not end in 170 s.")

    world.during[f"stop {WRAPPER_UNIT}"] = fail
    with pytest.raises(Refused, match="did not end"):
        applied(world)
    assert world.restarted == ["wrapper"]
    assert world.wrapper.active == "active"
    assert_nothing_is_left(world)


def test_a_second_one_that_can_not_be_stopped_is_stopped_by_the_next_run(world: World) -> None:
    def fail() -> None:
        raise ServiceFailed("'systemctl stop' did not end in 170 s.")

    world.during[f"stop {LITELLM}"] = fail
    assert applied(world) == "The gateway is wired to its database."
    assert [line for line in world.said if "'hx-gateway-db recover' tries again" in line]
    assert world.second[LITELLM].active == "active"
    recover(world.root, world, world.outside)
    assert_nothing_is_left(world)


def test_a_rollback_is_handed_over_as_well(world: World) -> None:
    applied(world)
    world.log.clear()
    rollback(world.root, world, world.outside)
    assert "redirect 4000:4001 4010:4011" in world.log
    assert_nothing_is_left(world)


@pytest.mark.parametrize("fault", [EXITS, REFUSES])
def test_a_second_one_that_fails_keeps_no_rollback_from_ending(world: World, fault: str) -> None:
    applied(world)
    world.log.clear()
    world.second[LITELLM].with_new_files = world.second[LITELLM].with_old_files = fault
    world.before = snapshot(world.root)
    rollback(world.root, world, world.outside)
    assert world.restarted == ["litellm", "wrapper"]
    assert_nothing_is_left(world)


class Killed(BaseException):
    """Nothing of ours runs after this."""


def kill(world: World, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything as a SIGKILL at that moment leaves it."""

    def die() -> None:
        raise Killed

    world.during[moment] = die
    with monkeypatch.context() as patched:
        patched.setattr(Beside, "close", lambda self: None)
        patched.setattr(Run, "_put_back", lambda *_: None)
        patched.setattr(Transaction, "undo", lambda *_: pytest.fail("it is dead"))
        with pytest.raises(Killed):
            applied(world)
    world.log.clear()
    world.said.clear()


@pytest.mark.parametrize(
    "moment",
    [
        *(f"restart {LITELLM}", "prove", f"restart {WRAPPER}", "redirect"),
        *(f"restart {LITELLM_UNIT}", f"restart {WRAPPER_UNIT}"),
    ],
)
def test_killed_anywhere_the_next_run_leaves_the_gateway_as_before(
    world: World, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(world.root)
    kill(world, moment, monkeypatch)
    recover(world.root, world, world.outside)
    assert snapshot(world.root) == before
    assert world.outside.readiness.answering() == (LITELLM_UNIT, WRAPPER_UNIT)
    assert_nothing_is_left(world)
    assert recover(world.root, world, world.outside).startswith("No run was interrupted")


def test_killed_while_the_second_one_serves_it_serves_until_the_units_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(world, f"restart {LITELLM_UNIT}", monkeypatch)
    assert world.redirected and world.wrapper.active == "inactive"
    recover(world.root, world, world.outside)
    assert world.log.index("redirect no more") > world.log.index(f"restart {WRAPPER_UNIT}")


def test_a_unit_that_stays_down_is_not_hidden_by_the_second_one(world: World) -> None:
    world.litellm.with_new_files = world.litellm.with_old_files = EXITS
    with pytest.raises(NotRolledBack, match=f"{LITELLM_UNIT} does not answer"):
        applied(world)
    assert_nothing_is_left(world)
