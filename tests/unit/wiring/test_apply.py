"""A wiring on a tree of files: what apply, plan, rollback and recover leave there."""

import json
import os
import stat
from pathlib import Path

import pytest

from hx_gateway_db.systemd import environment_files
from tests.unit.tree import (
    ANSWERS,
    BASE,
    CONFIG,
    ENV,
    ORIGINAL,
    UNIT_FOLDERS,
    Run,
    snapshot,
    what_the_host_has,
)


def test_apply_writes_the_files_of_the_specification(root: Path, run: Run) -> None:
    status, out, _ = run("apply", answers=ANSWERS)
    assert (status, "Files are written" in out) == (0, True)
    env = (root / ENV).read_text().splitlines()
    assert "DATABASE_URL=postgresql://hx_gateway:geh%40im%20%25@db1:5432/hx_gateway" in env
    assert "REDIS_URL=redis://:rot@r1:6379/0" in env
    assert "DISABLE_ADMIN_UI=true" in env
    assert not any(line.startswith("LITELLM_REDIS_URL") for line in env)
    assert stat.S_IMODE((root / ENV).stat().st_mode) == 0o640
    for folder in UNIT_FOLDERS:
        assert (root / folder / "30-db.conf").read_text() == (
            f"[Service]\nEnvironmentFile=/{ENV}\n"
        )
        assert [path.name for path in (root / folder).iterdir()] == ["30-db.conf"]


def test_config_yaml_gets_both_flags_and_no_other_byte_changes(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    text = (root / CONFIG).read_text()
    assert text.count("disable_spend_logs: false\n") == 1
    assert text.count("disable_error_logs: false\n") == 1
    rest = [line for line in text.splitlines(keepends=True) if "disable_" not in line]
    assert "".join(rest) == ORIGINAL
    assert stat.S_IMODE((root / CONFIG).stat().st_mode) == 0o640


def test_applying_again_changes_nothing(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    status, out, _ = run("apply")
    assert (status, out) == (0, "Nothing to change: the gateway is wired as answered.\n")
    assert snapshot(root) == before


def test_an_answered_value_is_changed_and_the_others_kept(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS + "CACHE=true\nRATE_LIMIT=30\n")
    run("apply", answers="PG_PASS=new\n")
    status, out, _ = run("answers", "--json")
    answers = json.loads(out)
    assert status == 0
    assert "new" not in out and "PG_PASS" not in answers
    assert answers["RATE_LIMIT"] == "30"
    assert ":new@db1" in (root / ENV).read_text()


def test_rollback_leaves_both_flags_true_and_no_drop_in(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS + "CACHE=true\n")
    status, out, _ = run("rollback")
    assert (status, out) == (0, "The gateway is without a database again.\n")
    text = (root / CONFIG).read_text()
    flags = ("disable_spend_logs: true\n", "disable_error_logs: true\n")
    assert all(text.count(flag) == 1 for flag in flags)
    rest = [line for line in text.splitlines(keepends=True) if "disable_" not in line]
    assert "".join(rest) == ORIGINAL
    assert [str(path) for path in (root / "etc/systemd/system").iterdir()] == []
    assert (root / ENV).exists()
    assert run("rollback")[1] == "Nothing is wired: nothing to roll back.\n"


def test_applying_after_a_rollback_takes_the_credentials_that_are_there(
    root: Path, run: Run
) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    run("rollback")
    assert run("apply")[0] == 0
    assert snapshot(root) == before


def test_another_base_moves_the_wiring_and_the_administrators_lines(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    env = root / ENV
    env.write_text(env.read_text() + "LITELLM_SALT_KEY=s\n")
    config = root / "srv/gateway/config/api-gateway/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(ORIGINAL)
    assert run("apply", answers="BASE=/srv/gateway\n")[0] == 0
    assert not env.exists()
    assert (root / CONFIG).read_text() == ORIGINAL
    assert "disable_spend_logs: false\n" in config.read_text()
    moved = (config.parent / "gateway.env").read_text()
    assert "LITELLM_SALT_KEY=s\n" in moved and "geh%40im" in moved
    drop_in = root / UNIT_FOLDERS[1] / "30-db.conf"
    assert "EnvironmentFile=/srv/gateway/config/api-gateway/gateway.env\n" in drop_in.read_text()


def test_plan_shows_a_diff_without_secrets_and_changes_nothing(root: Path, run: Run) -> None:
    before = snapshot(root)
    status, out, _ = run("plan", answers=ANSWERS)
    assert status == 0
    assert "+DATABASE_URL=postgresql://hx_gateway:***@db1:5432/hx_gateway\n" in out
    assert "+  disable_spend_logs: false\n" in out
    assert "restart hx-litellm-gateway.service\n" in out
    assert "geh" not in out and "sk-test-key" not in out
    assert snapshot(root) == before
    assert not (root / "var").exists()


def test_a_changed_password_shows_in_the_plan_though_both_are_masked(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    _, out, _ = run("plan", answers="PG_PASS=other\n")
    assert "-DATABASE_URL=postgresql://hx_gateway:***@" in out
    assert "+DATABASE_URL=postgresql://hx_gateway:***@" in out
    assert "other" not in out


def test_without_config_yaml_the_rest_is_written_and_that_is_said(root: Path, run: Run) -> None:
    (root / CONFIG).unlink()
    status, _, err = run("apply", answers=ANSWERS)
    assert status == 0
    assert f"/{CONFIG} is not there" in err
    assert (root / ENV).exists()


def test_later_leaves_everything_as_it_is(root: Path, run: Run) -> None:
    before = snapshot(root)
    status, out, _ = run("apply", answers="DATABASE=later\n")
    assert status == 0
    assert "dpkg-reconfigure hx-gateway-db" in out
    assert snapshot(root) == before


def test_a_planted_link_is_refused(root: Path, run: Run, tmp_path: Path) -> None:
    (root / CONFIG).unlink()
    (root / CONFIG).symlink_to("/etc/passwd")
    status, _, err = run("apply", answers=ANSWERS)
    assert status == 3
    assert "not a regular file" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="owners can only be given away by root")
def test_gateway_env_belongs_to_the_group_of_the_tree(root: Path, run: Run) -> None:
    (root / "etc").mkdir()
    (root / "etc/group").write_text("root:x:0:\nhx-gateway:x:4321:\n")
    run("apply", answers=ANSWERS)
    status = (root / ENV).stat()
    assert (status.st_uid, status.st_gid) == (0, 4321)


@pytest.mark.skipif(os.geteuid() != 0, reason="owners can only be given away by root")
def test_a_gateway_env_that_somebody_else_owns_is_not_believed(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    os.chown(root / ENV, 4321, 4321)
    status, _, err = run("apply")
    assert status == 3
    assert "belongs to the user id 4321" in err and f"'chown root /{ENV}'" in err
    assert run("rollback")[0] == 0


def test_a_gateway_that_was_wired_by_hand_is_taken_over_without_a_changed_byte(
    root: Path, run: Run
) -> None:
    """As the specification's steps 1 to 3 leave it, and an administrator's line."""
    flags = "general_settings:\n  disable_spend_logs: false\n  disable_error_logs: false\n"
    (root / CONFIG).write_text(ORIGINAL.replace("general_settings:\n", flags))
    (root / ENV).write_text(
        "DATABASE_URL=postgresql://me:geheim@db1:5432/mine\n"
        "REDIS_URL=redis://:rot@r1:6379/0\n"
        "OPENAI_API_KEY=x\n"
        "DISABLE_ADMIN_UI=true\n"
    )
    (root / ENV).chmod(0o640)
    for folder in UNIT_FOLDERS:
        (root / folder).mkdir(parents=True)
        (root / folder / "30-db.conf").write_text(f"[Service]\nEnvironmentFile=/{ENV}\n")
    before = snapshot(root)
    answers = what_the_host_has(run)
    assert answers["PG_USER"] == "me"
    # As the package does it: with an answer to every question.
    run("apply", answers="".join(f"{key}={value}\n" for key, value in answers.items()))
    assert snapshot(root) == before
    assert run("rollback")[0] == 0
    assert not (root / UNIT_FOLDERS[0] / "30-db.conf").exists()
    assert (root / ENV).read_bytes() == before[ENV]
    assert "disable_spend_logs: true\n" in (root / CONFIG).read_text()


@pytest.mark.parametrize(
    "name", ["/srv/link", "//opt/HX-Infrastructure-/api-gateway", "/up/config"]
)
@pytest.mark.parametrize("wired", [False, True])
def test_a_second_name_of_the_same_place_is_no_other_place(
    root: Path, run: Run, name: str, wired: bool
) -> None:
    """A move from a place to itself would take away the one copy of the password."""
    for link, target in (("srv/link", f"/{BASE}"), ("up", f"/{BASE}/config")):
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(target)
    (root / BASE / "config" / "config").symlink_to(f"/{BASE}/config")
    if wired:
        run("apply", answers=ANSWERS)
        before = snapshot(root)
    status, out, err = run("apply", answers=f"{ANSWERS}BASE={name}\n")
    assert status == 0, err
    if wired:
        assert snapshot(root) == before
    assert "geh" in (root / ENV).read_text()
    for folder in UNIT_FOLDERS:
        assert f"EnvironmentFile=/{ENV}\n" in (root / folder / "30-db.conf").read_text()
    assert f"is /{BASE} by another name, and that name stays." in err
    assert run("status")[1].count("yes") == 1


def by_hand(root: Path, url: str) -> None:
    """A gateway.env that somebody else has written, root's alone."""
    (root / ENV).write_text(f"DATABASE_URL={url}\n")
    (root / ENV).chmod(0o640)


@pytest.mark.parametrize("with_password", [False, True])
def test_a_database_by_hand_on_several_hosts_keeps_its_name_and_login(
    root: Path, run: Run, with_password: bool
) -> None:
    by_hand(root, "postgresql://llm:geheim@h1,h2:5432/litellm?connect_timeout=3")
    status, _, err = run("apply", answers="DATABASE=existing\n")
    assert status == 2
    assert "names several hosts, and LiteLLM can use one only." in err
    assert "PG_HOST is missing" in err and "geheim" not in err
    assert what_the_host_has(run) == {"PG_DB": "litellm", "PG_USER": "llm"}
    assert f"gateway.env  /{ENV}" in run("status")[1]
    password = "PG_PASS=neu\n" if with_password else ""
    status, _, err = run("apply", answers=f"PG_HOST=h1\n{password}")
    assert status == 0, err
    assert "names several hosts" in err and "What can be read of it is kept." in err
    assert "geheim" not in err
    wanted = "neu" if with_password else "geheim"
    assert f"postgresql://llm:{wanted}@h1:5432/litellm" in (root / ENV).read_text()


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "allow"])
def test_a_mode_by_hand_that_prisma_does_not_know_is_not_claimed(
    root: Path, run: Run, mode: str
) -> None:
    by_hand(root, f"postgresql://llm:geheim@h1/litellm?sslmode={mode}")
    assert f"sslmode prefer (DATABASE_URL says {mode}" in " ".join(run("status")[1].split())
    run("apply", answers="PG_SSLMODE=verify-full\n")
    lines = environment_files.values((root / ENV).read_text())
    assert "sslmode=require&sslaccept=strict" in lines["DATABASE_URL"]
    assert mode not in lines["DATABASE_URL"]
    assert "as llm, sslmode verify-full" in " ".join(run("status")[1].split())


def test_an_ipv6_address_stands_in_brackets_before_a_port(root: Path, run: Run) -> None:
    run("apply", answers="PG_HOST=2001:db8::1\nPG_PASS=p\nREDIS_HOST=::1\n")
    shown = " ".join(run("status")[1].split())
    assert "on [2001:db8::1]:5432 as" in shown and "[::1]:6379/0 as" in shown
