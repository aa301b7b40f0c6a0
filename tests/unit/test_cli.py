"""The command on a tree of files: what it writes, what it says, and how it exits."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hx_gateway_db.cli import main

BASE = "opt/HX-Infrastructure-/api-gateway"
CONFIG = f"{BASE}/config/api-gateway/config.yaml"
ENV = f"{BASE}/config/api-gateway/gateway.env"
UNIT_FOLDERS = tuple(
    f"etc/systemd/system/{unit}.service.d" for unit in ("hx-litellm-gateway", "hx-gateway-ml")
)
ORIGINAL = """\
# site configuration
general_settings:
  master_key: sk-test-key   # do not tell

model_list:
  # chat
  - model_name: hx-chat
    litellm_params: {model: ollama/x, api_base: "http://h:1"}
"""
ANSWERS = "PG_HOST=db1\nPG_PASS=geh@im %\nREDIS_HOST=r1\nREDIS_PASS=rot\n"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    config = tmp_path / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text(ORIGINAL)
    config.chmod(0o640)
    return tmp_path


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("PG_HOST", "PG_PASS", "BASE"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, answers: str = "") -> tuple[int, str, str]:
        (root / "answers").write_text(answers)
        source = ["--answers", str(root / "answers")] if answers else []
        status = main(["--root", str(root), *arguments, *source])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def snapshot(root: Path) -> dict[str, bytes]:
    folders = [root / "opt", root / "etc"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


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


def test_the_cache_is_written_where_litellm_reads_it(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS + "CACHE=true\nRATE_LIMIT=30\n")
    import yaml

    settings = yaml.safe_load((root / CONFIG).read_text())["litellm_settings"]
    assert settings == {
        "cache": True,
        "cache_params": {"type": "redis", "namespace": "litellm"},
        "default_key_generate_params": {"rpm_limit": 30},
    }
    assert "LITELLM_REDIS_URL=redis://:rot@r1:6379/0\n" in (root / ENV).read_text()
    drop_in = (root / UNIT_FOLDERS[0] / "40-cache.conf").read_text()
    assert "Environment=LITELLM_RATE_LIMIT_TOKENS_PER_MINUTE=30\n" in drop_in


def test_switching_the_cache_off_takes_back_just_its_keys(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    run("apply", answers="CACHE=true\n")
    assert snapshot(root) != before
    run("apply", answers="CACHE=false\n")
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


def test_what_others_edited_since_stays_and_the_pristine_text_follows(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS + "CACHE=true\n")
    config = root / CONFIG
    config.write_text(config.read_text() + "# a later note\n")
    run("rollback")
    assert config.read_text().endswith("# a later note\n")
    pristine = (root / "var/lib/hx-gateway-db/config.yaml.pristine").read_text()
    assert pristine == ORIGINAL + "# a later note\n"


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


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("general_settings: [1\n", "config.yaml"),
        ("general_settings:\n  database_url: postgresql://x\n", "general_settings.database_url"),
    ],
)
def test_a_config_that_cannot_be_edited_is_refused_and_nothing_changed(
    root: Path, run: Run, spoil: str, reason: str
) -> None:
    (root / CONFIG).write_text(spoil)
    before = snapshot(root)
    status, _, err = run("apply", answers=ANSWERS)
    assert status == 3
    assert reason in err and len(err.splitlines()) == 1
    assert snapshot(root) == before


def test_wrong_answers_exit_2_with_the_place(root: Path, run: Run) -> None:
    status, _, err = run("apply", answers="PG_HOTS=db1\n")
    assert status == 2
    assert "answers, line 1: PG_HOTS is unknown" in err
    assert run("apply", answers="PG_HOST=db1\n")[0] == 2


def test_answers_are_read_from_the_environment_too(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_HOST", "db9")
    monkeypatch.setenv("PG_PASS", "p")
    assert run("apply")[0] == 0
    assert "@db9:5432" in (root / ENV).read_text()


def test_status_tells_what_the_files_hold_without_secrets(root: Path, run: Run) -> None:
    assert "wired" in run("status")[1]
    run("apply", answers=ANSWERS)
    _, out, _ = run("status")
    assert "hx_gateway on db1:5432 as hx_gateway" in out
    assert "geh" not in out
    assert json.loads(run("status", "--json")[1])["wired"] == "yes"


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


def test_a_mistake_of_ours_is_one_sentence_and_its_traceback_is_kept_for_debug(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> str:
        raise KeyError("postgresql://u:geh%40im%20%25@db1/d and geh@im % and sk-master-1")

    monkeypatch.setattr("hx_gateway_db.wiring.apply", crash)
    status, _, err = run("apply", answers=ANSWERS)
    assert (status, len(err.splitlines())) == (70, 1)
    assert "a mistake in hx-gateway-db itself (KeyError)" in err
    status, _, err = run("--debug", "apply", answers=ANSWERS)
    assert status == 70
    assert "Traceback" in err and "in crash" in err
    assert "geh" not in err and "sk-master" not in err


def test_control_characters_from_elsewhere_do_not_reach_the_terminal(root: Path, run: Run) -> None:
    (root / CONFIG).write_text("general_settings: {\x1b]0;mine\x07}\n")
    _, _, err = run("apply", answers=ANSWERS)
    assert "\x1b" not in err and "\x07" not in err


def test_recovering_undoes_an_interrupted_run_and_keeps_what_was_edited_since(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("recover")[:2] == (0, "No run was interrupted: nothing to recover.\n")
    with monkeypatch.context() as context:
        context.setattr("hx_gateway_db.journal.Journal.close", lambda journal: None)
        run("apply", answers=ANSWERS)
    config = root / CONFIG
    config.write_text(config.read_text() + "# a later note\n")
    status, out, err = run("recover")
    assert (status, out) == (0, "Everything is as it was before the interrupted run.\n")
    assert f"/{CONFIG} was edited by somebody else since: only our part" in err
    assert config.read_text() == ORIGINAL + "# a later note\n"
    assert not (root / ENV).exists()
    assert not (root / "etc/systemd").exists()


def test_a_report_that_nobody_can_read_does_not_undo_the_work(root: Path) -> None:
    answers = root / "answers"
    answers.write_text(ANSWERS)
    command = [sys.executable, "-m", "hx_gateway_db", "--root", str(root)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, "apply", "--answers", str(answers)], stdout=full, stderr=full, check=False
        )
    assert done.returncode == 0
    assert (root / ENV).exists()
