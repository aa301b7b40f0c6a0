"""LITELLM_SALT_KEY: made once, for a database that is new to LiteLLM, and never changed or lost."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hx_gateway_db.checks.preflight import Inspection
from hx_gateway_db.errors import HxError, Refused, RolledBack
from hx_gateway_db.findings import Level
from hx_gateway_db.host.gateway_env import by_dotenv
from hx_gateway_db.host.host import read_host
from hx_gateway_db.host.salt import new_salt, salts
from hx_gateway_db.systemd import environment_files
from hx_gateway_db.wiring.apply import Request, apply
from hx_gateway_db.wiring.outside import Outside
from hx_gateway_db.wiring.rollback import rollback
from hx_gateway_db.wiring.salt import look
from tests.unit.tree import BASE, CONFIG, ENV, Run, edit, snapshot
from tests.unit.wiring.world import World

ANSWERS = {"PG_HOST": "db1", "PG_PASS": "geheim"}
A_SALT = re.compile(r"sk-[A-Za-z0-9]{48}")


def outside(world: World, fresh: bool | None) -> Outside:
    return replace(world.outside, inspect=lambda *_: Inspection(world.findings, fresh=fresh))


def wire(root: Path, fresh: bool | None = True, **answers: str) -> World:
    """An apply on a host whose database has no tables of LiteLLM (`fresh`), or has some."""
    world = World(root)
    apply(root, Request(ANSWERS | answers), world, outside(world, fresh))
    return world


def salt_of(root: Path) -> str | None:
    return environment_files.values((root / ENV).read_text()).get("LITELLM_SALT_KEY")


def test_a_new_one_needs_no_quotes_anywhere_and_is_masked_by_itself() -> None:
    made = {new_salt() for _ in range(100)}
    assert len(made) == 100 and all(A_SALT.fullmatch(salt) for salt in made)


def test_it_is_made_for_a_database_without_tables_and_shown_to_nobody(root: Path) -> None:
    world = wire(root)
    salt = salt_of(root)
    assert salt and A_SALT.fullmatch(salt)
    assert by_dotenv((root / ENV).read_text())["LITELLM_SALT_KEY"] == salt
    assert (root / ENV).stat().st_mode & 0o777 == 0o640
    assert not any(salt in line for line in world.said)
    assert any("LITELLM_SALT_KEY was made in" in line for line in world.said)
    assert salt not in (root / "var/lib/hx-gateway-db/state").read_text()


@pytest.mark.parametrize(("fresh", "answers"), [(False, {}), (None, {}), (True, {"SALT": "false"})])
def test_it_is_not_made_for_another_nor_where_that_is_not_known_or_not_wanted(
    root: Path, fresh: bool | None, answers: Mapping[str, str]
) -> None:
    wire(root, fresh, **answers)
    assert salt_of(root) is None


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (ENV, "LITELLM_SALT_KEY=mine\n"),
        (ENV, "LITELLM_SALT_KEY=\n"),
        (CONFIG, "\nenvironment_variables:\n  LITELLM_SALT_KEY: mine\n"),
        (f"{BASE}/gateway/.env", "LITELLM_SALT_KEY='mine'\n"),
    ],
)
def test_an_administrator_s_stays_the_only_one_wherever_it_is(
    root: Path, file: str, line: str
) -> None:
    (root / BASE / "gateway/venv/lib/python3.11/site-packages/litellm").mkdir(parents=True)
    with (root / file).open("a") as opened:
        opened.write(line)
    (root / ENV).touch()
    (root / ENV).chmod(0o640)
    wire(root)
    wire(root, PG_PASS="another")
    assert salt_of(root) == {ENV: line.strip().partition("=")[2]}.get(file)
    assert line in (root / file).read_text()


def test_nothing_that_a_run_does_changes_it_or_takes_it_out(root: Path, run: Run) -> None:
    wire(root)
    salt = salt_of(root)
    wire(root, PG_PASS="another", REDIS="true", REDIS_HOST="r1", CACHE="true")
    assert salt_of(root) == salt
    world = World(root)
    rollback(root, world, world.outside)
    assert salt_of(root) == salt
    wire(root, False)
    assert salt_of(root) == salt
    assert str(salt) not in run("plan", answers="PG_PASS=third\n")[1]


def test_one_that_an_administrator_writes_later_wins(root: Path) -> None:
    wire(root)
    edit(root / ENV, (f"LITELLM_SALT_KEY={salt_of(root)}", "LITELLM_SALT_KEY=mine"))
    wire(root, PG_PASS="another")
    assert salt_of(root) == "mine"


def test_it_survives_a_run_that_is_undone_after_litellm_has_served_with_it(root: Path) -> None:
    """Somebody may have stored something meanwhile."""
    world = World(root, unproven="no key works")
    with pytest.raises(RolledBack):
        apply(root, Request(ANSWERS), world, outside(world, fresh=True))
    salt = salt_of(root)
    assert salt and "DATABASE_URL" not in (root / ENV).read_text()
    assert any("LITELLM_SALT_KEY stays in" in line for line in world.said)
    wire(root, fresh=False)
    assert salt_of(root) == salt


@pytest.mark.parametrize("own", ["", "MINE=1\n"])
def test_it_goes_with_a_run_in_which_litellm_never_served(root: Path, own: str) -> None:
    if own:
        (root / ENV).write_text(own)
        (root / ENV).chmod(0o640)
    before = snapshot(root)
    world = World(root, gone="the database is gone.")
    with pytest.raises(HxError, match="the database is gone"):
        apply(root, Request(ANSWERS), world, outside(world, fresh=True))
    assert snapshot(root) == before
    assert not (root / "var/lib/hx-gateway-db/state").exists()


def test_it_goes_with_the_gateway_to_another_base(root: Path) -> None:
    wire(root)
    salt = salt_of(root)
    other = root / "srv/gateway/config/api-gateway"
    other.mkdir(parents=True)
    (other / "config.yaml").write_text((root / CONFIG).read_text())
    (other / "gateway.env").write_text("MINE=1\n")
    (other / "gateway.env").chmod(0o640)
    diff = _plan(root, "/srv/gateway")
    assert f"LITELLM_SALT_KEY={salt}" not in diff and "-LITELLM_SALT_KEY=***" in diff
    wire(root, False, BASE="/srv/gateway")
    values = environment_files.values((other / "gateway.env").read_text())
    assert values["LITELLM_SALT_KEY"] == salt and values["MINE"] == "1"


def test_two_different_ones_are_not_thrown_together(root: Path) -> None:
    wire(root)
    other = root / "srv/gateway/config/api-gateway"
    other.mkdir(parents=True)
    (other / "config.yaml").write_text((root / CONFIG).read_text())
    (other / "gateway.env").write_text("LITELLM_SALT_KEY=another\n")
    (other / "gateway.env").chmod(0o640)
    with pytest.raises(Refused, match="have a LITELLM_SALT_KEY each"):
        wire(root, False, BASE="/srv/gateway")


def _plan(root: Path, base: str) -> str:
    from hx_gateway_db.settings.litellm import LiteLLM
    from hx_gateway_db.wiring.apply import desired
    from hx_gateway_db.wiring.plan import plan_apply

    host, moved_from, settings = desired(root, {"BASE": base})
    return plan_apply(settings, host, moved_from, LiteLLM).diff()


def found(root: Path, fresh: bool | None = False, **answers: str) -> tuple[Level, str]:
    finding = look(read_host(root), fresh, answers)
    return finding.level, finding.sentence


def test_what_check_says_of_it(root: Path) -> None:
    assert found(root, True) == (Level.OK, "a LITELLM_SALT_KEY is made for the database.")
    assert found(root, None)[0] is Level.SKIPPED
    level, sentence = found(root, True, SALT="false")
    assert level is Level.WARNING and sentence.endswith(": answer SALT=true.")
    level, sentence = found(root, False)
    assert level is Level.WARNING and "'LITELLM_SALT_KEY=' with today's master key" in sentence
    wire(root)
    assert found(root)[0] is Level.OK


@pytest.mark.parametrize(("value", "word"), [("", "empty"), ("sk-1234", "an example")])
def test_one_that_everybody_knows_is_told(root: Path, value: str, word: str) -> None:
    (root / ENV).write_text(f"LITELLM_SALT_KEY={value}\n")
    level, sentence = found(root)
    assert level is Level.WARNING and word in sentence and "enter anew" in sentence
    assert "enter anew" not in found(root, True)[1]


def test_two_are_told_with_the_one_that_counts(root: Path) -> None:
    (root / ENV).write_text("LITELLM_SALT_KEY=one\n")
    with (root / CONFIG).open("a") as config:
        config.write("\nenvironment_variables:\n  LITELLM_SALT_KEY: two\n")
    assert [salt.value for salt in salts(read_host(root))] == ["two", "one"]
    level, sentence = found(root)
    assert level is Level.WARNING and f"in /{CONFIG} and another one in /{ENV}" in sentence


def test_one_of_ours_that_is_gone_stands_in_the_way_of_a_restart(root: Path) -> None:
    wire(root)
    edit(root / ENV, (f"LITELLM_SALT_KEY={salt_of(root)}\n", ""))
    level, sentence = found(root)
    assert level is Level.FAILED and "is gone from" in sentence
    with pytest.raises(Refused, match="put the line back from your copy"):
        wire(root, False, PG_PASS="another")
