"""A rotation, killed after any of its steps, refused, held up: what is in gateway.env works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from hx_gateway_db.errors import Refused, RolledBack, UsageError
from hx_gateway_db.host.host import Host, read_host
from hx_gateway_db.host.turn import Turn
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.wiring import made, rotate
from hx_gateway_db.wiring.rotate import SERVERS, Rotated
from hx_gateway_db.wiring.turns import ByHand, PostgresLogins, RedisPasswords, Rotation, rotations
from tests.unit.tree import snapshot
from tests.unit.wiring.test_outcomes import wired, world
from tests.unit.wiring.world import World

__all__ = ["wired", "world"]

OLD = {"postgres": "hx_gateway", "redis": "rot"}
NEW = {"postgres": "hx_gateway_b", "redis": "made 1"}


class Killed(BaseException):
    """The run ends here, and does nothing more."""


@dataclass
class Server:
    """A server with logins and their passwords, and those of which somebody has a session."""

    name: str
    logins: dict[str, str]
    held: set[str] = field(default_factory=set)
    refuses: str = ""
    script: str = ""
    known: list[str] = field(default_factory=list)

    @property
    def password(self) -> str:
        """A new one for each time that a login is opened, the same until the next."""
        return f"made {len(self.known)}"


@dataclass
class AtServer:
    """The rotation of what `host` has there; steps are told to `step`."""

    host: Host
    at: Server
    step: Callable[[], None]

    @property
    def server(self) -> str:
        return self.at.name

    @property
    def present(self) -> str:
        return used(self.host, self.server)[0]

    def shown(self, login: str) -> str:
        return f"the login {login}"

    def starts_anew(self, turn: Turn) -> bool:
        return False

    def next(self) -> str:
        if self.server == "redis":
            return f"made {len(self.at.known) + 1}"
        return NEW["postgres"] if self.present == OLD["postgres"] else OLD["postgres"]

    def open(self, new: str, known: str) -> tuple[str, ...]:
        if self.at.refuses:
            raise Refused(self.at.refuses)
        if self.at.script:
            raise ByHand(self.at.script)
        if new in self.at.logins and new != known:
            raise Refused("somebody else has opened it.")
        self.at.known.append(known)
        self.at.logins[new] = self.at.password
        self.step()
        return (f"opened {new}",)

    def answers(self, new: str) -> dict[str, str]:
        if self.server == "redis":
            return {"REDIS_PASS": self.at.password}
        return {"PG_USER": new, "PG_PASS": self.at.password}

    def close(self, login: str, since: int) -> list[str]:
        if self.at.script:
            raise ByHand(self.at.script, "When it is quiet.")
        if login in self.at.held:
            return ["a report"]
        self.at.logins.pop(login, None)
        self.step()
        return []


def used(host: Host, server: str) -> tuple[str, str]:
    """The login and the password that gateway.env has."""
    assert host.settings and host.settings.redis
    if server == "postgres":
        return host.settings.postgres.user, host.settings.postgres.password
    return host.settings.redis.password, host.settings.redis.password


@dataclass
class Place:
    """A wired gateway and its servers; after `left` more steps, the run is killed."""

    world: World
    servers: dict[str, Server]
    left: int = 0

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def find(
        self, host: Host, given: Mapping[str, str], generate: Callable[[], str]
    ) -> dict[str, Rotation]:
        return {name: AtServer(host, at, self.step) for name, at in self.servers.items()}

    def rotate(
        self, asked: Iterable[str] = SERVERS, *, leave_open: bool = False, **given: str
    ) -> Rotated:
        world = self.world
        return rotate.rotate(
            world.root, [*asked], given, world, world.outside, self.find, leave_open
        )

    @property
    def host(self) -> Host:
        return read_host(self.world.root)

    def works(self) -> bool:
        """Whether what gateway.env has is let in everywhere."""
        logins = {name: used(self.host, name) for name in self.servers}
        return all(self.servers[name].logins.get(x) == y for name, (x, y) in logins.items())

    @property
    def turns(self) -> tuple[Turn, Turn]:
        state = self.host.state
        assert state
        return state.postgres, state.redis


@pytest.fixture
def place(wired: World, monkeypatch: pytest.MonkeyPatch) -> Place:
    servers = {
        "postgres": Server("postgres", {"hx_gateway": "geh@im %"}),
        "redis": Server("redis", {"rot": "rot"}),
    }
    place = Place(wired, servers)

    def stepping(owner: object, name: str) -> None:
        function = getattr(owner, name)

        def stepped(*arguments: object) -> object:
            done = function(*arguments)
            place.step()
            return done

        monkeypatch.setattr(owner, name, stepped)

    stepping(made.Memory, "remember")
    stepping(rotate, "apply")
    return place


def logins(place: Place) -> dict[str, set[str]]:
    return {name: set(server.logins) for name, server in place.servers.items()}


def test_the_gateway_has_new_logins_and_the_old_are_closed(place: Place) -> None:
    assert place.works()
    rotated = place.rotate()
    assert rotated.done and "the old ones are closed" in rotated.sentence
    assert logins(place) == {name: {login} for name, login in NEW.items()}
    assert place.works()
    postgres, redis = place.turns
    assert (postgres.new, postgres.old, redis.new, redis.old) == ("hx_gateway_b", "", "made 1", "")
    assert postgres.since == redis.since > 0
    assert place.world.restarted == ["litellm", "wrapper"]


def test_the_old_logins_are_left_open_for_others_as_long_as_is_asked(place: Place) -> None:
    for _ in range(2):
        assert not place.rotate(leave_open=True).done
        assert place.works()
        assert [len(found) for found in logins(place).values()] == [2, 2]
    assert place.world.restarted == ["litellm", "wrapper"]
    assert place.rotate().done
    assert logins(place) == {name: {login} for name, login in NEW.items()}


# Remembered, each server opened, applied, each server closed and remembered.
STEPS = range(1, 9)


@pytest.mark.parametrize(
    ("first", "second"), [(one, two) for one in STEPS for two in sorted({1, 4, one})]
)
def test_killed_after_any_step_and_the_next_again_the_third_ends_it(
    place: Place, first: int, second: int
) -> None:
    for step in (first, second):
        place.left = step
        with suppress(Killed):
            place.rotate()
        assert place.works()
    place.left = 0
    # Where the second run had ended, this may be a rotation of its own.
    assert place.rotate().done
    assert place.works()
    assert [len(found) for found in logins(place).values()] == [1, 1]
    assert [turn.old for turn in place.turns] == ["", ""]


def test_there_are_as_many_steps_as_are_tried(place: Place) -> None:
    place.left = 100
    place.rotate()
    assert 100 - place.left == STEPS[-1]


def test_a_gateway_that_does_not_work_with_them_keeps_its_old(place: Place) -> None:
    place.world.unproven = "a virtual key is refused."
    before = snapshot(place.world.root)
    with pytest.raises(RolledBack):
        place.rotate()
    assert snapshot(place.world.root) == before
    assert logins(place) == {name: {login} for name, login in OLD.items()}
    assert [turn.old for turn in place.turns] == ["", ""]


def test_a_new_login_that_can_t_be_closed_again_is_remembered_as_our_own(place: Place) -> None:
    place.world.unproven = "a virtual key is refused."
    place.servers["postgres"].held = {"hx_gateway_b"}
    with pytest.raises(RolledBack):
        place.rotate()
    assert any("is still open (a report)" in line for line in place.world.said)
    assert place.turns[0].old == "hx_gateway"
    place.world.unproven, place.servers["postgres"].held = "", set()
    assert place.rotate().done and place.works()
    assert place.servers["postgres"].known == ["", "hx_gateway_b"]


def test_a_server_that_refuses_leaves_the_other_as_it_was(place: Place) -> None:
    place.servers["redis"].refuses = "Redis is read-only."
    turns = place.turns
    with pytest.raises(Refused, match="read-only"):
        place.rotate()
    assert logins(place) == {name: {login} for name, login in OLD.items()}
    assert place.turns == turns and not place.world.restarted


def test_an_old_login_in_use_stays_open_and_the_next_run_only_closes_it(place: Place) -> None:
    place.servers["postgres"].held = {"hx_gateway"}
    rotated = place.rotate()
    assert not rotated.done
    assert rotated.sentence == (
        "The gateway uses its new credentials, but the login hx_gateway is still open, since a"
        " report uses it: 'hx-gateway-db rotate postgres' closes it when that has ended."
    )
    assert logins(place) == {"postgres": {"hx_gateway", "hx_gateway_b"}, "redis": {"made 1"}}
    assert place.world.now > 1060
    assert not place.rotate().done
    place.servers["postgres"].held = set()
    place.world.log.clear()
    assert place.rotate().done
    assert logins(place)["postgres"] == {"hx_gateway_b"} and not place.world.restarted


def interrupt() -> None:
    raise KeyboardInterrupt


def test_who_has_no_patience_is_told_the_same(place: Place) -> None:
    place.servers["postgres"].held = {"hx_gateway"}
    steps: list[None] = []

    def step() -> None:
        steps.append(None)
        if len(steps) == 4:  # applied
            place.world.during["waiting"] = interrupt

    place.step = step  # type: ignore[method-assign]
    rotated = place.rotate()
    assert not rotated.done and "is still open, since a report uses it" in rotated.sentence
    assert place.world.now < 1060 and place.works()


def test_interrupted_in_the_change_nothing_is_left_of_it(place: Place) -> None:
    place.world.during["prove"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        place.rotate()
    assert logins(place) == {name: {login} for name, login in OLD.items()}
    assert [turn.old for turn in place.turns] == ["", ""]


def test_a_unit_that_was_not_restarted_keeps_the_old_login_open(place: Place) -> None:
    place.world.forbidden = (LITELLM_UNIT,)
    rotated = place.rotate()
    assert not rotated.done and f"since {LITELLM_UNIT} uses it" in rotated.sentence
    assert set(logins(place)["postgres"]) == {"hx_gateway", "hx_gateway_b"}


def test_what_others_have_to_run_is_printed_and_nothing_is_begun(place: Place) -> None:
    place.servers["redis"].script = "ACL SETUSER"
    turns = place.turns
    rotated = place.rotate()
    assert (rotated.done, rotated.script) == (False, "ACL SETUSER")
    assert "has to run what is printed" in rotated.sentence
    assert place.turns == turns and place.works() and not place.world.restarted
    assert logins(place)["postgres"] == {"hx_gateway"}


def test_one_server_alone_is_rotated(place: Place) -> None:
    assert place.rotate(["redis"]).done
    assert logins(place) == {"postgres": {"hx_gateway"}, "redis": {"made 1"}}


def test_what_is_remembered_of_a_login_that_is_not_in_use_any_more_does_not_count(
    place: Place,
) -> None:
    host = place.host
    assert host.state
    stale = Turn("theirs", "others", 7)
    made.Memory(host).remember(replace(host.state, postgres=stale))
    assert place.rotate().done
    assert place.servers["postgres"].known == [""]
    assert logins(place) == {name: {login} for name, login in NEW.items()}


def test_an_answer_that_is_for_apply_is_no_answer_here(place: Place) -> None:
    with pytest.raises(UsageError, match="PG_HOST is not for rotate"):
        place.rotate(PG_HOST="db2")


def test_a_host_that_is_not_wired_has_nothing_to_rotate(world: World) -> None:
    with pytest.raises(Refused, match="nothing is wired"):
        rotate.rotate(world.root, SERVERS, {}, world, world.outside)


# Who changes a server


def found(place: Place, **given: str) -> Mapping[str, Rotation]:
    host = place.host
    assert host.settings and host.settings.redis
    redis = replace(host.settings.redis, user="hx")
    return rotations(
        replace(host, settings=replace(host.settings, redis=redis)), given, lambda: "made"
    )


def test_without_an_administrator_s_login_others_change_a_server_elsewhere(place: Place) -> None:
    one = found(place)
    postgres, redis = one["postgres"], one["redis"]
    assert isinstance(postgres, PostgresLogins) and isinstance(redis, RedisPasswords)
    assert type(postgres.access).__name__ == "ByOthers" and redis.access is None


def test_an_administrator_s_login_is_used_for_its_server(place: Place) -> None:
    one = found(place, PG_ADMIN_USER="boss", PG_ADMIN_PASS="x", REDIS_ADMIN_PASS="y")
    postgres, redis = one["postgres"], one["redis"]
    assert isinstance(postgres, PostgresLogins) and isinstance(redis, RedisPasswords)
    assert type(postgres.access).__name__ == "Elsewhere"
    assert redis.access and redis.access.administrator
    assert "'x'" not in repr(one) and "'y'" not in repr(one) and "made" not in repr(one)


def test_redis_s_default_user_is_not_ours_to_change(place: Place) -> None:
    assert [*rotations(place.host, {}, lambda: "made")] == ["postgres"]


def test_the_password_of_today_is_no_new_one(place: Place) -> None:
    one = found(place, PG_PASS="geh@im %", REDIS_PASS="rot")
    for name, key in (("postgres", "PG_PASS"), ("redis", "REDIS_PASS")):
        with pytest.raises(Refused, match=f"{key} is the password of today"):
            one[name].next()


def test_a_new_redis_password_begins_another_rotation_where_nobody_can_see_the_old(
    place: Place,
) -> None:
    under_way = Turn("new", "old", 1)
    assert found(place, REDIS_PASS="newer")["redis"].starts_anew(under_way)
    assert not found(place, REDIS_PASS="rot")["redis"].starts_anew(under_way)
    assert not found(place)["redis"].starts_anew(under_way)
