"""What becomes of what a look has seen, and of the timer when the answer WATCH changes."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hx_gateway_db.checks.look import Gateway
from hx_gateway_db.errors import RolledBack
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host.drop_ins import WATCH
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import LAST_LOOK, METRICS, STATE_FILE
from hx_gateway_db.settings.answers import parse_answers
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.wiring.apply import Request, apply
from hx_gateway_db.wiring.rollback import rollback
from hx_gateway_db.wiring.watching import CHANGED, Looked, Watch
from tests.unit.checks.test_look import Seen
from tests.unit.tree import ANSWERS, Run, snapshot
from tests.unit.wiring.world import EXITS, World

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="what is kept is root's")
WELL, ILL, AWAY = Seen(), Seen(key=Level.FAILED), Seen(litellm="inactive")
STARTING = Seen(port=Level.FAILED, since=990.0)
ON, OFF = f"{ANSWERS}WATCH=true\n", f"{ANSWERS}WATCH=false\n"


def inside(root: Path, path: object) -> Path:
    return root / str(path).lstrip("/")


@dataclass
class Watcher:
    """The unit of the timer on the host at `root`, five minutes after five minutes."""

    root: Path
    now: float = 1_795_867_200.0
    told: list[Mapping[str, str]] = field(default_factory=list)

    def look(self, seen: Seen, *, keep: bool = True) -> Looked:
        self.now += 300.0
        return self.watch(seen.gateway).once(keep)

    def watch(self, gateway: Gateway) -> Watch:
        return Watch(self.root, gateway, lambda: self.now, self.told.append)

    @property
    def state(self) -> str:
        return str(json.loads(inside(self.root, LAST_LOOK).read_text())["state"])

    @property
    def messages(self) -> list[str]:
        return [entry["MESSAGE"] for entry in self.told]


@pytest.fixture
def watcher(root: Path, run: Run) -> Watcher:
    """A wired host with what systemd makes for the unit, and node_exporter's folder."""
    run("apply", answers=ON)
    inside(root, LAST_LOOK).parent.mkdir(parents=True)
    inside(root, METRICS).parent.mkdir(parents=True)
    return Watcher(root)


def test_a_change_of_state_is_one_line_and_no_change_is_none(watcher: Watcher) -> None:
    for seen in (WELL, WELL, ILL, ILL, ILL, WELL, WELL, AWAY, AWAY, WELL):
        watcher.look(seen)
    assert watcher.messages == [
        "Virtual keys fail: looked up: mend it.",
        "Virtual keys work.",
        "The gateway is stopped.",
        "Virtual keys work.",
    ]
    assert {entry["MESSAGE_ID"] for entry in watcher.told} == {CHANGED}
    assert [entry["PRIORITY"] for entry in watcher.told] == ["3", "5", "5", "5"]
    states = [
        (entry["HX_GATEWAY_STATE_BEFORE"], entry["HX_GATEWAY_STATE"]) for entry in watcher.told
    ]
    assert states[:2] == [("serving", "failing"), ("failing", "serving")]


def test_a_failure_at_the_first_look_of_all_is_a_line(watcher: Watcher) -> None:
    watcher.look(ILL)
    assert len(watcher.messages) == 1


@pytest.mark.parametrize(
    ("seen", "failing"), [(WELL, False), (ILL, True), (AWAY, False), (STARTING, False)]
)
def test_the_unit_fails_where_virtual_keys_do(watcher: Watcher, seen: Seen, failing: bool) -> None:
    assert watcher.look(seen).failing is failing


def test_what_is_undecided_leaves_what_is_known(watcher: Watcher) -> None:
    watcher.look(ILL)
    before = inside(watcher.root, LAST_LOOK).read_bytes()
    assert watcher.look(STARTING).failing
    assert inside(watcher.root, LAST_LOOK).read_bytes() == before
    assert len(watcher.told) == 1


def test_what_a_run_of_ours_is_doing_is_no_failure(watcher: Watcher) -> None:
    watcher.look(WELL)
    with lock(watcher.root, "apply"):
        looked = watcher.look(ILL)
    assert not looked.failing and watcher.state == "serving" and not watcher.told
    assert "hx-gateway-db apply (process " in looked.now.checks[0]["detail"]


def test_what_was_seen_while_a_run_came_and_went_does_not_count(watcher: Watcher) -> None:
    def one_runs(seen: Seen) -> None:
        with lock(watcher.root, "apply"):
            pass

    seen = Seen(key=Level.FAILED, after_a_while=one_runs)

    def lookup() -> Finding:
        # Twice it fails, as is looked at a failure; the run has ended, and then it works.
        found = seen.lookup()
        seen.key = Level.FAILED if len(seen.asked) < 2 else Level.OK
        return found

    looked = watcher.watch(replace(seen.gateway, lookup=lookup)).once(keep=True)
    assert (len(seen.asked), looked.failing, watcher.state) == (3, False, "serving")
    assert not watcher.told


def test_a_look_lets_a_run_have_the_lock(watcher: Watcher) -> None:
    done = threading.Event()

    def asked() -> None:
        with lock(watcher.root, "apply"):
            done.set()

    gateway = replace(WELL.gateway, service=lambda name, port: _after(asked, name, port))
    watcher.watch(gateway).once(keep=False)
    assert done.is_set()


def _after(step: Callable[[], None], name: str, port: int) -> list[Finding]:
    step()
    return WELL.service(name, port)


def test_a_look_by_hand_keeps_nothing(watcher: Watcher) -> None:
    assert watcher.look(ILL, keep=False).failing
    assert not inside(watcher.root, LAST_LOOK).exists()
    assert not inside(watcher.root, METRICS).exists() and not watcher.told


def test_a_look_changes_nothing_else(watcher: Watcher) -> None:
    state = inside(watcher.root, STATE_FILE).parent
    before = {path: path.stat().st_mtime_ns for path in (state, *state.iterdir())}
    watcher.look(ILL)
    assert {path: path.stat().st_mtime_ns for path in (state, *state.iterdir())} == before


def test_others_may_read_what_is_kept_and_it_is_whole_at_any_time(watcher: Watcher) -> None:
    watcher.look(WELL)
    watcher.look(ILL)
    for path in (LAST_LOOK, METRICS):
        file = inside(watcher.root, path)
        assert file.stat().st_mode & 0o777 == 0o644
        assert [other.name for other in file.parent.iterdir()] == [file.name]
    assert 'state="failing"} 1' in inside(watcher.root, METRICS).read_text()


def test_without_node_exporter_there_are_no_metrics(watcher: Watcher) -> None:
    inside(watcher.root, METRICS).parent.rmdir()
    assert watcher.look(WELL).trouble == ()
    assert not inside(watcher.root, METRICS).parent.exists()


def test_a_planted_link_in_the_folder_of_metrics_is_not_followed(watcher: Watcher) -> None:
    victim = watcher.root / "victim"
    victim.write_text("mine")
    inside(watcher.root, METRICS).symlink_to(victim)
    looked = watcher.look(WELL)
    assert victim.read_text() == "mine" and watcher.state == "serving"
    assert "is not a regular file" in looked.trouble[0]


def test_a_journal_that_takes_nothing_does_not_keep_the_rest_from_being_done(
    watcher: Watcher,
) -> None:
    def tell(entry: Mapping[str, str]) -> None:
        raise OSError(2, "No such file or directory")

    looked = replace(watcher.watch(ILL.gateway), tell=tell).once(keep=True)
    assert looked.failing and watcher.state == "failing" and len(looked.trouble) == 1


# The timer


def answered(world: World, answers: str) -> str:
    given = parse_answers(answers, "test")
    return apply(world.root, Request(given), world, world.outside)


def on_timer(world: World) -> list[str]:
    return [line for line in world.log if "hx-gateway-db" in line or line == "daemon-reload"]


@pytest.fixture
def world(root: Path, run: Run) -> World:
    run("apply", answers=ANSWERS)
    return World(root)


def test_watching_restarts_nothing_and_starts_the_timer(world: World) -> None:
    answered(world, ANSWERS)  # both units run with the files of now
    world.log.clear()
    answered(world, ON)
    assert on_timer(world) == ["daemon-reload", "start hx-gateway-db.timer"]
    assert world.restarted == [] and read_host(world.root).answers["WATCH"] == "true"


def test_who_watches_no_more_leaves_nothing_of_it(world: World) -> None:
    answered(world, ON)
    for path in (LAST_LOOK, METRICS):
        inside(world.root, path).parent.mkdir(parents=True)
        inside(world.root, path).write_text("x")
    world.log.clear()
    answered(world, OFF)
    assert on_timer(world)[1:] == ["stop hx-gateway-db.timer hx-gateway-db-watch.service"]
    assert not inside(world.root, LAST_LOOK).parent.exists()
    assert not inside(world.root, METRICS).exists()
    assert inside(world.root, METRICS).parent.exists()
    assert not inside(world.root, WATCH.path).parent.exists()


def test_a_rollback_stops_it(world: World) -> None:
    answered(world, ON)
    world.log.clear()
    rollback(world.root, world, world.outside)
    assert "stop hx-gateway-db.timer hx-gateway-db-watch.service" in world.log
    assert not inside(world.root, WATCH.path).exists()


def test_an_answer_of_nothing_keeps_it_and_asks_systemd_for_nothing(world: World) -> None:
    answered(world, ON)
    world.log.clear()
    answered(world, "RATE_LIMIT=7\nCACHE=true\nREDIS=true\n")
    assert inside(world.root, WATCH.path).exists()
    assert not any("timer" in line for line in world.log)


def test_an_apply_that_is_put_back_starts_no_timer(world: World) -> None:
    answered(world, ANSWERS)
    world.litellm.with_new_files = EXITS
    world.before = snapshot(world.root)
    world.log.clear()
    with pytest.raises(RolledBack):
        answered(world, f"{ON}PG_DB=other\n")
    assert not any("timer" in line for line in world.log)
    assert not inside(world.root, WATCH.path).exists()


def test_where_policy_forbids_it_the_timer_waits_for_the_next_boot(world: World) -> None:
    answered(world, ANSWERS)
    world.forbidden = ("hx-gateway-db.timer",)
    answered(world, ON)
    assert not any(line.startswith("start") for line in world.log)
    assert "it starts at the next boot" in " ".join(world.said)


def test_in_a_tree_of_files_it_is_on_at_boot(root: Path, run: Run) -> None:
    assert run("apply", answers=ON)[0] == 0
    assert "Wants=hx-gateway-db.timer" in inside(root, WATCH.path).read_text()
    assert "WATCH=true\n" in run("answers")[1]
    assert "\nwatched               yes\n" in run("status")[1]
