"""What was wired against what is there: each damage is told once, with a cure, and an apply heals.

A host as a tree of files, and units as `systemctl show` would tell them.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hx_gateway_db.checks.differences import compare
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.gateway import answerer
from hx_gateway_db.gateway.answerer import Stranger
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import LITELLM_UNIT, UNITS, WRAPPER_UNIT
from hx_gateway_db.settings.answers import parse_answers
from hx_gateway_db.systemd.environment_files import values
from hx_gateway_db.systemd.listeners import Listener
from hx_gateway_db.systemd.loaded import Loaded
from hx_gateway_db.wiring.apply import Request, apply
from tests.unit.tree import (
    ANSWERS,
    CACHE_CONF,
    CACHE_ON,
    CONFIG,
    ENV,
    ORIGINAL,
    UNIT_FOLDERS,
    Run,
    edit,
)
from tests.unit.wiring.world import World

DROP_INS = [f"{folder}/30-db.conf" for folder in UNIT_FOLDERS]
LATER = f"{UNIT_FOLDERS[0]}/99-site.conf"
SITE_HAD_THEM_OFF = ORIGINAL.replace(
    "general_settings:\n",
    "general_settings:\n  disable_spend_logs: true\n  disable_error_logs: true\n",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    config = tmp_path / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text(SITE_HAD_THEM_OFF)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text(f"hx-gateway:x:{os.getegid()}:\n")
    for unit in UNITS:
        path = tmp_path / "etc/systemd/system" / unit
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[Service]\nExecStart=/bin/true\n")
    return tmp_path


@pytest.fixture
def world(root: Path) -> World:
    """A wired gateway with the cache on, whose units run with all of it."""
    first = World(root)
    apply(root, Request(parse_answers(CACHE_ON, "")), first, first.outside)
    world = World(root)
    for unit in UNITS:
        start(world, unit)
    return world


def start(world: World, unit: str, seconds: float = 1.0) -> None:
    """Let the unit have been started with today's files, `seconds` after they were written."""
    env = world.root / ENV
    names = sorted((world.root / f"etc/systemd/system/{unit}.d").glob("*.conf"))
    drop_ins = [f"/{path.relative_to(world.root)}" for path in names if path.is_file()]
    newest = max(path.stat().st_ctime for path in (env, world.root / CONFIG, *names))
    world.units[unit] = Loaded(
        unit,
        {
            "LoadState": "loaded",
            "ActiveState": "active",
            "FragmentPath": f"/etc/systemd/system/{unit}",
            "DropInPaths": " ".join(drop_ins),
            "NeedDaemonReload": "no",
        },
        (f"/{ENV}",),
        {"PATH": "/usr/bin", **values(env.read_text())},
        newest + seconds,
    )


def change(world: World, unit: str, **shown: str) -> None:
    before = world.units[unit]
    world.units[unit] = replace(before, shown={**before.shown, **shown})


def found(world: World) -> list[Finding]:
    host = read_host(world.root, lenient=True)
    told = list(compare(host, live=True, units=world))
    assert "rot" not in " ".join(finding.sentence for finding in told)
    return told


def differences(world: World) -> list[Finding]:
    return [finding for finding in found(world) if finding.level is not Level.OK]


def only(world: World) -> Finding:
    (finding,) = found(world)
    return finding


def test_what_is_as_it_was_wired_is_told_as_that(world: World) -> None:
    finding = only(world)
    assert (finding.name, finding.level) == ("gateway.wiring", Level.OK)
    assert finding.what == "files, units and processes are as they were wired"


def test_of_a_host_that_is_not_wired_nothing_is_compared(root: Path) -> None:
    assert only(World(root)).level is Level.SKIPPED


def unlink(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def edited(path: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda root: edit(root / path, (old, new))


def written(path: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text(text)


# Each damage: what is told, and which units an apply restarts, in their order.
DAMAGE: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "rendered anew": (
        written(CONFIG, SITE_HAD_THEM_OFF),
        "has lost what was set there: general_settings.disable_spend_logs (now true)",
        ["litellm"],
    ),
    "rendered from a template without the flags": (
        written(CONFIG, ORIGINAL),
        "has lost what was set there: general_settings.disable_spend_logs,",
        ["litellm"],
    ),
    "one key gone": (
        edited(CONFIG, "    namespace: litellm\n", ""),
        "has lost what was set there: litellm_settings.cache_params.namespace",
        ["litellm"],
    ),
    "a section gone": (
        lambda root: (root / CONFIG).write_text(
            (root / CONFIG).read_text().partition("litellm_settings:")[0]
        ),
        "has lost what was set there: litellm_settings.cache,",
        ["litellm"],
    ),
    "LiteLLM's drop-in gone": (unlink(DROP_INS[0]), "30-db.conf is not there", ["litellm"]),
    "the wrapper's drop-in gone": (unlink(DROP_INS[1]), "30-db.conf is not there", ["wrapper"]),
    "a drop-in emptied": (written(DROP_INS[1], "[Service]\n"), "has lost its line", ["wrapper"]),
    "a drop-in's line commented out": (
        edited(DROP_INS[0], "EnvironmentFile", "#EnvironmentFile"),
        "has lost its line",
        ["litellm"],
    ),
    "a drop-in's line moved to another section": (
        edited(DROP_INS[0], "[Service]", "[Unit]"),
        "has lost its line",
        ["litellm"],
    ),
    "the cache's drop-in gone": (
        unlink(CACHE_CONF),
        "40-cache.conf is not there",
        ["litellm", "wrapper"],
    ),
    "a line of gateway.env gone": (
        edited(ENV, "LITELLM_REDIS_URL=", "# LITELLM_REDIS_URL="),
        "LITELLM_REDIS_URL is not in",
        ["litellm", "wrapper"],
    ),
    "PG_URL gone": (
        edited(ENV, "PG_URL=", "# PG_URL="),
        "PG_URL is not in",
        ["litellm", "wrapper"],
    ),
    "DISABLE_ADMIN_UI gone": (
        edited(ENV, "DISABLE_ADMIN_UI=true\n", ""),
        "DISABLE_ADMIN_UI is not in",
        ["litellm", "wrapper"],
    ),
}


def test_a_pg_url_that_was_moved_to_the_wrapper_s_unit_is_not_missed(world: World) -> None:
    edit(world.root / ENV, ("PG_URL=", "# PG_URL="))
    (world.root / "etc/systemd/system" / WRAPPER_UNIT).write_text(
        "[Service]\nEnvironment=PG_URL=postgresql://mine/d\n"
    )
    assert not any("PG_URL" in finding.what for finding in differences(world))


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damage_is_told_once_and_an_apply_without_answers_heals_it(
    world: World, name: str
) -> None:
    damage, what, restarted = DAMAGE[name]
    damage(world.root)
    (finding,) = differences(world)
    assert finding.name == "gateway.wiring"
    assert what in finding.what
    assert "'hx-gateway-db apply'" in finding.cure
    world.before = {}
    said = apply(world.root, Request({}), world, world.outside)
    assert said == "The gateway is wired to its database."
    assert world.restarted == restarted
    for unit in UNITS:
        start(world, unit)
    assert only(world).level is Level.OK, found(world)


def test_what_somebody_has_set_otherwise_is_told_and_stays_until_it_is_removed(
    world: World,
) -> None:
    edit(world.root / CONFIG, ("disable_spend_logs: false", "disable_spend_logs: true"))
    start(world, LITELLM_UNIT)
    finding = only(world)
    assert finding.level is Level.WARNING
    assert "general_settings.disable_spend_logs in" in finding.what and "is true" in finding.what
    assert apply(world.root, Request({}), world, world.outside).startswith("Nothing to change")
    assert "remove general_settings.disable_spend_logs there" in finding.cure
    edit(world.root / CONFIG, ("  disable_spend_logs: true\n", ""))
    apply(world.root, Request({}), world, world.outside)
    start(world, LITELLM_UNIT)
    assert only(world).level is Level.OK


def test_one_key_as_before_us_is_an_edit_but_in_a_file_that_a_program_makes(
    root: Path, tmp_path: Path
) -> None:
    one = ORIGINAL.replace("general_settings:\n", "general_settings:\n  disable_spend_logs: true\n")
    one = one.replace("general_settings:\n", "general_settings:\n  disable_error_logs: false\n")
    for head, level in (("", Level.WARNING), ("# Managed by Puppet\n", Level.FAILED)):
        (root / CONFIG).write_text(head + one)
        first = World(root)
        apply(root, Request(parse_answers(ANSWERS, "")), first, first.outside)
        world = World(root)
        (root / CONFIG).write_text(head + one)
        for unit in UNITS:
            start(world, unit)
        assert only(world).level is level
        (root / CONFIG).write_text(one.replace("true", "false"))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (unlink(ENV), "gateway.env is not there any more"),
        (edited(ENV, "DATABASE_URL", "#DATABASE_URL"), "DATABASE_URL is not in"),
        (edited(ENV, "\nREDIS_URL=", "\n#REDIS_URL="), "REDIS_URL is not in"),
    ],
)
def test_a_password_that_is_gone_has_to_be_answered_again(
    world: World, damage: Callable[[Path], object], what: str
) -> None:
    damage(world.root)
    finding = differences(world)[0]
    assert finding.level is Level.FAILED and what in finding.what
    assert "dpkg-reconfigure hx-gateway-db" in finding.cure


def test_a_masked_drop_in_is_told_by_the_look_and_refused_by_the_apply(
    world: World, run: Run
) -> None:
    path = world.root / DROP_INS[0]
    path.unlink()
    path.symlink_to("/dev/null")
    (finding,) = differences(world)
    cure = f"run 'rm /{DROP_INS[0]}', then 'hx-gateway-db apply'"
    assert (finding.what, finding.cure) == (
        f"/{DROP_INS[0]} is a link, which masks our drop-in",
        cure,
    )
    assert run("status")[0] == 0
    status, _, err = run("apply")
    assert status == 3 and cure in err
    path.unlink()
    assert run("apply")[0] == 0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("EnvironmentFile=\n", "empties EnvironmentFile="),
        ("UnsetEnvironment=DATABASE_URL\n", "takes DATABASE_URL away"),
        ("EnvironmentFile=/etc/other.env\n", "takes DATABASE_URL from /etc/other.env"),
    ],
)
@pytest.mark.parametrize("reloaded", [True, False])
def test_a_later_drop_in_that_wins_is_named_and_nothing_that_follows_from_it(
    world: World, text: str, what: str, reloaded: bool
) -> None:
    (world.root / "etc/other.env").write_text("DATABASE_URL=postgresql://a:b@c/d\n")
    (world.root / LATER).write_text(f"[Service]\n{text}")
    if reloaded:
        paths = world.units[LITELLM_UNIT].shown["DropInPaths"]
        change(world, LITELLM_UNIT, DropInPaths=f"{paths} /{LATER}")
    else:
        change(world, LITELLM_UNIT, NeedDaemonReload="yes")
    world.units[LITELLM_UNIT] = replace(world.units[LITELLM_UNIT], environment={"PATH": "/bin"})
    finding = only(world)
    assert finding.level is Level.FAILED
    assert what in finding.what and f"/{LATER}" in finding.what
    assert finding.cure.endswith("then run 'hx-gateway-db apply'")


@pytest.mark.parametrize("place", ["etc/systemd/system.control", "run/systemd/transient"])
def test_a_drop_in_of_the_same_name_in_the_place_of_ours_is_named(world: World, place: str) -> None:
    other = world.root / place / f"{LITELLM_UNIT}.d/30-db.conf"
    other.parent.mkdir(parents=True)
    other.symlink_to("/dev/null")
    change(world, LITELLM_UNIT, DropInPaths=f"/{CACHE_CONF}")
    finding = only(world)
    path = f"/{place}/{LITELLM_UNIT}.d/30-db.conf"
    assert finding.what == f"{path} takes the place of /{DROP_INS[0]}"
    assert finding.cure == f"run 'rm {path}', then 'hx-gateway-db apply'"


def test_unit_files_that_systemd_has_not_read_are_read_by_an_apply(world: World) -> None:
    change(world, WRAPPER_UNIT, NeedDaemonReload="yes")
    finding = only(world)
    assert (finding.level, finding.cure) == (Level.WARNING, "run 'hx-gateway-db apply'")
    apply(world.root, Request({}), world, world.outside)
    assert world.log == ["daemon-reload", f"restart {WRAPPER_UNIT}"]


def test_a_process_that_was_started_with_another_url_has_to_be_restarted(world: World) -> None:
    before = world.units[WRAPPER_UNIT]
    environment = {**before.environment, "DATABASE_URL": "postgresql://old:rot@h/d"}
    world.units[WRAPPER_UNIT] = replace(before, environment=environment, started=1.0)
    finding = only(world)
    assert finding.level is Level.WARNING
    assert finding.why == "it was started with another DATABASE_URL"
    assert finding.cure == "run 'systemctl restart hx-gateway-ml'"
    apply(world.root, Request({}), world, world.outside)
    assert world.restarted == ["wrapper"]


def test_a_litellm_that_was_started_before_config_yaml_was_written_has_to_be_restarted(
    world: World,
) -> None:
    for unit in UNITS:
        world.units[unit] = replace(world.units[unit], started=1.0)
    finding = only(world)
    assert finding.cure == "run 'systemctl restart hx-litellm-gateway'"
    apply(world.root, Request({}), world, world.outside)
    assert world.restarted == ["litellm"]


def test_a_process_whose_environment_says_nothing_is_not_judged(world: World) -> None:
    unit = world.units[WRAPPER_UNIT]
    world.units[WRAPPER_UNIT] = replace(unit, environment={}, started=1.0)
    assert only(world).level is Level.OK


def test_a_process_that_gets_another_value_from_what_starts_it_is_not_cured_by_a_restart(
    world: World,
) -> None:
    unit = world.units[WRAPPER_UNIT]
    world.units[WRAPPER_UNIT] = replace(unit, environment={"DATABASE_URL": "postgresql://x"})
    finding = only(world)
    assert finding.level is Level.FAILED
    assert "ExecStart=" in finding.why and finding.cure.startswith("take ")


def test_a_unit_that_reads_another_config_yaml_is_told(world: World) -> None:
    command = "{ path=/v/litellm ; argv[]=/v/litellm --config /etc/my.yaml ; ignore_errors=no ; }"
    change(world, LITELLM_UNIT, ExecStart=command)
    finding = only(world)
    assert (finding.name, finding.level) == ("gateway.config", Level.FAILED)


@pytest.mark.parametrize(
    ("load", "what"), [("masked", "is masked"), ("not-found", "is not installed")]
)
def test_a_unit_that_is_not_there_is_told_as_that(world: World, load: str, what: str) -> None:
    world.units[WRAPPER_UNIT] = Loaded(WRAPPER_UNIT, {"LoadState": load})
    world.wrapper.load = load
    finding = only(world)
    assert (finding.name, finding.level) == ("wrapper.unit", Level.FAILED)
    assert what in finding.what


def test_a_unit_that_was_renamed_is_found_by_its_port(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.units[WRAPPER_UNIT] = Loaded(WRAPPER_UNIT, {"LoadState": "not-found"})
    world.wrapper.load = "not-found"
    other = Stranger(Listener(7, "python3", "/system.slice/my-ml.service"), "my-ml.service")
    monkeypatch.setattr(answerer, "on_port", lambda port: other)
    finding = only(world)
    assert "my-ml.service has its port 4010" in finding.what
    assert finding.cure == f"name it {WRAPPER_UNIT} again, then run 'hx-gateway-db apply'"


def test_an_upgrade_of_the_package_restarts_nobody_for_what_others_did(world: World) -> None:
    world.dpkg = True
    world.units[LITELLM_UNIT] = replace(world.units[LITELLM_UNIT], started=1.0)
    assert apply(world.root, Request({}), world, world.outside).startswith("Nothing to change")
    assert world.restarted == []


def test_what_an_apply_can_t_put_right_is_said_at_its_end(world: World) -> None:
    (world.root / LATER).write_text("[Service]\nEnvironmentFile=\n")
    paths = world.units[LITELLM_UNIT].shown["DropInPaths"]
    change(world, LITELLM_UNIT, DropInPaths=f"{paths} /{LATER}")
    apply(world.root, Request({}), world, world.outside)
    assert any(f"Warning: /{LATER} empties EnvironmentFile=" in line for line in world.said)
