"""The command on a tree of files: what it writes, what it says, and how it exits."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hx_gateway_db.cli.parser import main

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

    monkeypatch.setattr("hx_gateway_db.wiring.apply.apply", crash)
    status, _, err = run("apply", answers=ANSWERS)
    assert (status, len(err.splitlines())) == (70, 1)
    assert "a mistake in hx-gateway-db itself (KeyError)" in err
    status, _, err = run("--debug", "apply", answers=ANSWERS)
    assert status == 70
    assert "Traceback" in err and "in crash" in err
    assert "geh" not in err and "sk-master" not in err


def test_a_library_that_is_missing_is_named_with_the_cure(root: Path, tmp_path: Path) -> None:
    (tmp_path / "libraries").mkdir()
    missing = "raise ModuleNotFoundError('gone', name='jinja2')"
    (tmp_path / "libraries/jinja2.py").write_text(missing)
    path = f"{tmp_path}/libraries:{Path(__file__).parents[3]}"
    done = subprocess.run(
        [sys.executable, "-m", "hx_gateway_db", "--root", str(root), "apply"],
        env={"PG_HOST": "db1", "PG_PASS": "p", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr == (
        "hx-gateway-db: the Python library jinja2 can't be loaded:"
        " run 'apt --fix-broken install'.\n"
    )


def test_control_characters_from_elsewhere_do_not_reach_the_terminal(root: Path, run: Run) -> None:
    (root / CONFIG).write_text("general_settings: {\x1b]0;mine\x07}\n")
    _, _, err = run("apply", answers=ANSWERS)
    assert "\x1b" not in err and "\x07" not in err


def test_recovering_undoes_an_interrupted_run_and_keeps_what_was_edited_since(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("recover")[:2] == (0, "No run was interrupted: nothing to recover.\n")
    with monkeypatch.context() as context:
        context.setattr("hx_gateway_db.transaction.journal.Journal.close", lambda journal: None)
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


CACHE_ON = ANSWERS + "CACHE=true\n"
CACHE_CONF = f"{UNIT_FOLDERS[0]}/40-cache.conf"


def edit(file: Path, *replacements: tuple[str, str]) -> None:
    """What an administrator does with an editor; each replacement has to be one."""
    text = file.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def state(root: Path) -> bytes:
    return (root / "var/lib/hx-gateway-db/state").read_bytes()


def what_the_host_has(run: Run) -> dict[str, str]:
    """What config reads back, and hands on to apply."""
    lines = run("answers")[1].splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (CONFIG, "disable_spend_logs: false", "disable_spend_logs: true", "disable_spend_logs"),
        (CONFIG, "disable_error_logs: false", "disable_error_logs: true", "disable_error_logs"),
        (CONFIG, "type: redis", "type: redis-semantic", "cache_params.type"),
        (CONFIG, "namespace: litellm", "namespace: mine", "cache_params.namespace"),
        (CONFIG, "cache: true", "cache: false", "litellm_settings.cache"),
        (CONFIG, "rpm_limit: 60", "rpm_limit: 5", ""),
        (ENV, "LITELLM_REDIS_URL=redis://:rot@r1", "LITELLM_REDIS_URL=redis://:rot@r2", "LITELLM"),
        (ENV, "DATABASE_URL=postgresql://", "DATABASE_URL=postgres://", ""),
        (ENV, "@db1:5432/", "@db2/", ""),
        (ENV, "\nREDIS_URL=redis://:rot@r1:6379/0", "\nREDIS_URL=redis://:rot@r1", ""),
        (ENV, "DISABLE_ADMIN_UI=true", "DISABLE_ADMIN_UI=no", ""),
        (ENV, "DISABLE_ADMIN_UI=true", "# on\nDISABLE_ADMIN_UI='true'\nLITELLM_SALT_KEY=s", ""),
        (f"{UNIT_FOLDERS[1]}/30-db.conf", "File=/opt", "File = -/opt", "EnvironmentFile = -/opt"),
        (f"{UNIT_FOLDERS[1]}/30-db.conf", "[Service]", "# mine\n[Service]\nNice=5", ""),
        (CACHE_CONF, "LITELLM_CACHE=1", "LITELLM_CACHE=0", "LITELLM_CACHE"),
        (CACHE_CONF, "RATE_LIMIT_ENABLED=1", "RATE_LIMIT_ENABLED=0", "RATE_LIMIT_ENABLED"),
        (CACHE_CONF, "PER_MINUTE=60", "PER_MINUTE=9", "LITELLM_RATE_LIMIT_TOKENS_PER_MINUTE"),
    ],
)
def test_an_edit_survives_and_nothing_is_written(
    root: Path, run: Run, file: str, old: str, new: str, said: str
) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / file, (old, new))
    before, remembered = snapshot(root), state(root)
    answers = what_the_host_has(run)
    answers.pop("EDITED", None)
    for given in ("", "".join(f"{key}={value}\n" for key, value in answers.items())):
        assert run("apply", answers=given)[1].startswith("Nothing to change")
        assert (snapshot(root), state(root)) == (before, remembered)
    notes = [line for line in run("plan")[1].splitlines() if "edited since" in line]
    assert len(notes) == bool(said)
    assert all(f"/{file}: " in note and said in note for note in notes)
    assert "rot" not in "".join(notes)


def test_edits_survive_a_change_of_something_else(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / ENV, ("LITELLM_REDIS_URL=redis://:rot@r1", "LITELLM_REDIS_URL=redis://:rot@r2"))
    edit(root / CONFIG, ("type: redis", "type: s3"), ("spend_logs: false", "spend_logs: true"))
    edit(root / CACHE_CONF, ("LITELLM_CACHE=1", "LITELLM_CACHE=0"))
    status, _, err = run("apply", answers="PG_HOST=db2\nRATE_LIMIT=7\n")
    assert status == 0
    assert err.count("was edited since") == 4
    assert "@db2:5432" in (root / ENV).read_text()
    assert "LITELLM_REDIS_URL=redis://:rot@r2" in (root / ENV).read_text()
    text = (root / CONFIG).read_text()
    assert all(value in text for value in ("type: s3", "spend_logs: true", "rpm_limit: 7"))
    drop_in = (root / CACHE_CONF).read_text()
    assert "LITELLM_CACHE=0\n" in drop_in
    assert "PER_MINUTE=7\n" in drop_in and "limit: 7 req/min" in drop_in


def test_what_was_lost_is_written_again(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    complete = snapshot(root)
    (root / UNIT_FOLDERS[1] / "30-db.conf").unlink()
    edit(root / CONFIG, ("  disable_spend_logs: false\n", ""), ("    namespace: litellm\n", ""))
    edit(root / CACHE_CONF, ("Environment=LITELLM_CACHE=1\n", ""))
    run("apply")
    lines = {name: sorted(content.splitlines()) for name, content in snapshot(root).items()}
    assert lines == {name: sorted(content.splitlines()) for name, content in complete.items()}


def test_todays_limit_is_the_one_in_force(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / CONFIG, ("rpm_limit: 60", "rpm_limit: 5"))
    assert what_the_host_has(run)["RATE_LIMIT"] == "5"
    assert what_the_host_has(run)["EDITED"] == "RATE_LIMIT"
    edit(root / CONFIG, ("rpm_limit: 5", "rpm_limit: os.environ/RPM"))
    assert what_the_host_has(run)["RATE_LIMIT"] == "60"


def test_a_new_redis_server_wins_over_an_edited_url_for_the_cache(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / ENV, ("LITELLM_REDIS_URL=redis://:rot@r1", "LITELLM_REDIS_URL=redis://:rot@r2"))
    _, _, err = run("apply", answers="REDIS_HOST=r3\n")
    assert "LITELLM_REDIS_URL was edited since: it is as REDIS_URL again." in err
    assert (root / ENV).read_text().count("redis://:rot@r3:6379/0\n") == 2


def test_the_url_for_the_cache_follows_an_edited_redis_url(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / ENV, ("\nREDIS_URL=redis://:rot@r1", "\nREDIS_URL=redis://:rot@r2"))
    run("apply")
    assert (root / ENV).read_text().count("redis://:rot@r2:6379/0\n") == 2


def test_a_url_for_the_cache_of_ones_own_stays_while_the_cache_is_off(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / ENV, ("DISABLE_ADMIN_UI", "LITELLM_REDIS_URL=redis://mine\nDISABLE_ADMIN_UI"))
    before = snapshot(root)
    run("apply")
    assert snapshot(root) == before
    run("apply", answers="PG_HOST=db2\n")
    assert "LITELLM_REDIS_URL=redis://mine\n" in (root / ENV).read_text()


def test_switching_the_cache_off_takes_edits_of_it_away_and_says_so(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    run("apply", answers="CACHE=true\nRATE_LIMIT=7\n")
    edit(root / CONFIG, ("type: redis", "type: s3"))
    edit(root / CACHE_CONF, ("LITELLM_CACHE=1", "LITELLM_CACHE=0"))
    edit(root / ENV, ("LITELLM_REDIS_URL=redis://:rot@r1", "LITELLM_REDIS_URL=redis://:rot@r2"))
    _, _, err = run("apply", answers="CACHE=false\n")
    assert err.count(" was edited since") == err.count(": it goes with the cache.") == 3
    assert snapshot(root) == before


def test_a_removed_40_cache_conf_switches_the_cache_off_entirely(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    run("apply", answers="CACHE=true\n")
    (root / CACHE_CONF).unlink()
    assert what_the_host_has(run)["CACHE"] == "false"
    assert what_the_host_has(run)["EDITED"] == "CACHE"
    run("apply")
    assert snapshot(root) == before


def test_a_rollback_undoes_edited_values_and_keeps_the_others_edits(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(
        root / CONFIG,
        ("type: redis", "type: s3"),
        ("spend_logs: false", "spend_logs: 0"),
        ("# chat", "# chat, edited"),
    )
    edit(root / CACHE_CONF, ("LITELLM_CACHE=1", "LITELLM_CACHE=0"))
    run("apply", answers="PG_HOST=db2\n")
    run("rollback")
    pristine = root / "var/lib/hx-gateway-db/config.yaml.pristine"
    assert pristine.read_text() == ORIGINAL.replace("# chat", "# chat, edited")
    assert not (root / CACHE_CONF).exists()
    text = (root / CONFIG).read_text()
    assert "s3" not in text and "disable_spend_logs: true\n" in text


def test_a_move_keeps_the_form_of_an_edited_drop_in(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / UNIT_FOLDERS[1] / "30-db.conf", ("=/opt", "=-/opt"))
    assert run("apply", answers="BASE=/srv/gateway\n")[0] == 0
    for folder, dash in zip(UNIT_FOLDERS, ("", "-"), strict=True):
        assert (root / folder / "30-db.conf").read_text() == (
            f"[Service]\nEnvironmentFile={dash}/srv/gateway/config/api-gateway/gateway.env\n"
        )


@pytest.mark.parametrize(
    ("old", "new", "edited"),
    [
        ("@db1:", "@db2:", "PG_HOST"),
        (":geh%40im%20%25@", ":other@", "PG_PASS"),
        ("hx_gateway:geh%40im%20%25@db1:5432/", "me:x@db2/", "PG_HOST PG_USER PG_PASS"),
        (":5432/hx_gateway", "/hx_gateway?sslmode=require", "PG_SSLMODE"),
        (":rot@r1:6379/0", "u:p@r1:1/2", "REDIS_PORT REDIS_USER REDIS_PASS REDIS_DB"),
        ("\nREDIS_URL=redis://:rot@r1:6379/0\n", "\n", "REDIS"),
        ("DISABLE_ADMIN_UI=true", "DISABLE_ADMIN_UI=false", "DISABLE_ADMIN_UI"),
        ("DISABLE_ADMIN_UI=true", "X=1\nDISABLE_ADMIN_UI='true'", None),
        ("5432/hx_gateway", "5432/hx_gateway?connection_limit=5", None),
    ],
)
def test_the_answers_say_which_of_them_were_edited(
    root: Path, run: Run, old: str, new: str, edited: str | None
) -> None:
    run("apply", answers=ANSWERS)
    assert "EDITED" not in what_the_host_has(run)
    edit(root / ENV, (old, new))
    assert set((what_the_host_has(run).get("EDITED") or "").split()) == set((edited or "").split())
    report = json.loads(run("answers", "--json")[1])
    assert "PG_HOST" in report and "PG_PASS" not in report
    assert " ".join(report.get("EDITED", ())) == what_the_host_has(run).get("EDITED", "")


def test_an_edit_stays_one_until_an_answer_replaces_it(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / ENV, ("@db1:", "@db2:"))
    run("apply", answers="PG_HOST=db2\nPG_PORT=6543\n")
    assert what_the_host_has(run)["EDITED"] == "PG_HOST"
    run("rollback")
    assert what_the_host_has(run)["EDITED"] == "PG_HOST"
    run("apply", answers="PG_HOST=db1\n")
    assert "EDITED" not in what_the_host_has(run)


def test_a_rollback_of_a_cache_is_no_edit(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    run("rollback")
    assert "EDITED" not in what_the_host_has(run)


def test_what_was_edited_is_no_answer(root: Path, run: Run) -> None:
    assert run("apply", answers=ANSWERS + "EDITED=PG_HOST\n")[0] == 2


def test_an_edited_host_is_no_local_database_any_more(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS.replace("db1", "127.0.0.1"))
    path = root / "var/lib/hx-gateway-db/state"
    path.write_text(path.read_text() + "local-database hx_gateway\n")
    assert what_the_host_has(run)["DATABASE"] == "local"
    edit(root / ENV, ("@127.0.0.1:", "@db2:"))
    assert what_the_host_has(run)["DATABASE"] == "existing"


def test_an_earlier_versions_state_knows_of_no_edit_and_is_not_rewritten(
    root: Path, run: Run
) -> None:
    run("apply", answers=ANSWERS)
    path = root / "var/lib/hx-gateway-db/state"
    lines = path.read_text().splitlines(keepends=True)
    earlier = "".join(line for line in lines if not line.startswith(("left ", "salt ")))
    path.write_text(earlier)
    edit(root / ENV, ("@db1:", "@db2:"))
    assert "EDITED" not in what_the_host_has(run)
    assert run("apply")[1].startswith("Nothing to change")
    assert path.read_text() == earlier
    run("apply", answers="PG_PORT=6543\n")
    edit(root / ENV, ("@db2:", "@db3:"))
    assert what_the_host_has(run)["EDITED"] == "PG_HOST"


def test_no_value_is_in_the_state_file(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    assert b"geh" not in state(root) and b"rot" not in state(root)
    left = [line.split()[1:] for line in state(root).decode().splitlines() if "left" in line]
    digests = dict(left)
    assert {"PG_PASS", "REDIS_PASS", "PG_HOST"} <= set(digests)
    assert "BASE" not in digests


def test_a_file_of_ones_own_that_a_first_run_left_is_known_from_then_on(
    root: Path, run: Run
) -> None:
    (root / ENV).write_text("DATABASE_URL=postgres://u:p@db1/d\n")
    run("apply")
    assert (root / ENV).read_text().startswith("DATABASE_URL=postgres://u:p@db1/d\n")
    assert "EDITED" not in what_the_host_has(run)
    edit(root / ENV, ("@db1/", "@db2/"))
    assert what_the_host_has(run)["EDITED"] == "PG_HOST"


def test_a_line_that_systemd_ignores_is_mended_and_that_is_said(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    edit(root / UNIT_FOLDERS[0] / "30-db.conf", (f"=/{ENV}", f'="/{ENV}"'))
    _, _, err = run("apply")
    assert f'30-db.conf: EnvironmentFile="/{ENV}" is ignored by systemd: written anew.' in err
    assert snapshot(root) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="owners can only be given away by root")
def test_a_gateway_env_that_somebody_else_owns_is_not_believed(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    os.chown(root / ENV, 4321, 4321)
    status, _, err = run("apply")
    assert status == 3
    assert "belongs to the user id 4321" in err and f"'chown root /{ENV}'" in err
    assert run("rollback")[0] == 0


SEVERAL = CACHE_ON + "REDIS_TRANSACTION_BUFFER=true\n"
SHARED = "EXPERIMENTAL_MULTI_INSTANCE_RATE_LIMITING=true\n"
BUFFER = "use_redis_transaction_buffer: true\n"


def test_several_gateways_gather_their_spend_and_count_a_keys_requests_together(
    root: Path, run: Run
) -> None:
    run("apply", answers=CACHE_ON)
    one_gateway = snapshot(root)
    assert SHARED not in (root / ENV).read_text()
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "false"
    assert run("apply", answers="REDIS_TRANSACTION_BUFFER=true\n")[0] == 0
    assert f"\n  {BUFFER}" in (root / CONFIG).read_text()
    assert f"newer ones always do)\n{SHARED}" in (root / ENV).read_text()
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "true"
    assert "EDITED" not in what_the_host_has(run)
    assert run("apply")[1].startswith("Nothing to change")
    run("apply", answers="REDIS_TRANSACTION_BUFFER=false\n")
    assert snapshot(root) == one_gateway


def test_the_spend_buffer_goes_with_redis(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS + "REDIS=false\n")
    without = snapshot(root)
    run("apply", answers=ANSWERS + "REDIS=true\nREDIS_TRANSACTION_BUFFER=true\n")
    assert snapshot(root) != without
    run("apply", answers="REDIS=false\n")
    assert snapshot(root) == without


def test_a_rollback_takes_the_spend_buffer_back_and_it_has_to_be_answered_anew(
    root: Path, run: Run
) -> None:
    run("apply", answers=SEVERAL)
    run("rollback")
    text = (root / CONFIG).read_text()
    assert "redis" not in text and "litellm_settings" not in text
    answers = what_the_host_has(run)
    assert "EDITED" not in answers
    assert answers["REDIS_TRANSACTION_BUFFER"] == answers["CACHE"] == "false"
    run("apply")
    assert SHARED not in (root / ENV).read_text()


def test_todays_spend_buffer_is_the_one_in_force(root: Path, run: Run) -> None:
    run("apply", answers=SEVERAL)
    edit(root / CONFIG, (BUFFER, BUFFER.replace("true", "false")))
    answers = what_the_host_has(run)
    assert (answers["REDIS_TRANSACTION_BUFFER"], answers["EDITED"]) == (
        "false",
        "REDIS_TRANSACTION_BUFFER",
    )
    run("apply")
    assert "buffer" not in (root / CONFIG).read_text()
    assert SHARED not in (root / ENV).read_text()
    assert "cache: true\n" in (root / CONFIG).read_text()


def test_a_spend_buffer_that_an_administrator_added_is_todays_value(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / CONFIG, ("general_settings:\n", f"general_settings:\n  {BUFFER}"))
    answers = what_the_host_has(run)
    assert (answers["REDIS_TRANSACTION_BUFFER"], answers["EDITED"]) == (
        "true",
        "REDIS_TRANSACTION_BUFFER",
    )
    run("apply")
    assert "mode: default_off\n" in (root / CONFIG).read_text()
    edit(root / CONFIG, (f"  {BUFFER}", ""))
    run("apply")
    assert "default_off" not in (root / CONFIG).read_text()


def test_a_spend_buffer_from_before_us_is_no_answer(root: Path, run: Run) -> None:
    edit(root / CONFIG, ("general_settings:\n", f"general_settings:\n  {BUFFER}"))
    run("apply", answers=ANSWERS)
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "false"
    assert BUFFER in (root / CONFIG).read_text()
    run("apply", answers="REDIS_TRANSACTION_BUFFER=true\n")
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "true"
    run("rollback")
    assert BUFFER in (root / CONFIG).read_text()
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "false"


def test_an_answered_spend_buffer_waits_for_config_yaml(root: Path, run: Run) -> None:
    config = (root / CONFIG).read_bytes()
    (root / CONFIG).unlink()
    run("apply", answers=SEVERAL)
    (root / CONFIG).write_bytes(config)
    run("apply")
    assert BUFFER in (root / CONFIG).read_text()


def test_with_another_base_the_spend_buffer_moves_along(root: Path, run: Run) -> None:
    run("apply", answers=SEVERAL)
    config = root / CONFIG.replace(BASE, "srv/gw")
    config.parent.mkdir(parents=True)
    config.write_text(ORIGINAL)
    run("apply", answers="BASE=/srv/gw\n")
    assert BUFFER in config.read_text() and "default_off" not in config.read_text()
    assert (root / CONFIG).read_text() == ORIGINAL
    assert SHARED in (root / ENV.replace(BASE, "srv/gw")).read_text()


@pytest.mark.parametrize("line", [SHARED, SHARED.replace("true", "false"), "LITELLM_REDIS_URL=x\n"])
def test_a_line_of_ones_own_from_before_us_stays_while_ours_is_off(
    root: Path, run: Run, line: str
) -> None:
    (root / ENV).write_text(line)
    for answers in (ANSWERS, "PG_HOST=db2\n", "PG_HOST=db3\n"):
        assert "edited since" not in run("apply", answers=answers)[2]
        assert (root / ENV).read_text().startswith(line)


def test_edited_shared_limits_stay_and_go_with_the_spend_buffer(root: Path, run: Run) -> None:
    run("apply", answers=SEVERAL)
    edit(root / ENV, (SHARED, SHARED.replace("true", "false")))
    for answers in ("", "PG_HOST=db2\n"):
        _, _, err = run("apply", answers=answers)
        assert f"{SHARED.partition('=')[0]} was edited since: left as it is." in err
    assert SHARED.replace("true", "false") in (root / ENV).read_text()
    _, _, err = run("apply", answers="REDIS_TRANSACTION_BUFFER=false\n")
    assert f"{SHARED.partition('=')[0]} was edited since: it goes with the spend buffer." in err
    assert SHARED.partition("=")[0] not in (root / ENV).read_text()


def test_a_cache_that_was_added_since_survives_a_purge_after_another_run(
    root: Path, run: Run
) -> None:
    run("apply", answers=ANSWERS)
    file = root / CONFIG
    file.write_text(file.read_text() + "litellm_settings:\n  cache: true\n")
    run("apply", answers="REDIS_HOST=r2\n")
    run("apply", answers="PG_HOST=db2\n")
    run("rollback")
    pristine = root / "var/lib/hx-gateway-db/config.yaml.pristine"
    assert pristine.read_text() == ORIGINAL + "litellm_settings:\n  cache: true\n"


@pytest.mark.parametrize("options", [("--watch", "--json"), ("--watch", "2", "--wait")])
def test_a_watch_is_nothing_else(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *options]) == 2
    assert "without --wait and --json" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "0.5", "-1", "nan", "inf", "soon"])
def test_a_watch_leaves_the_gateway_a_second(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", f"--watch={seconds}"])
    assert ended.value.code == 2
    assert "is no number of seconds from 1 to 86400" in capsys.readouterr().err


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
    assert what_the_host_has(run)["PG_USER"] == "me"
    assert run("apply")[0] == 0
    assert snapshot(root) == before
    assert run("rollback")[0] == 0
    assert not (root / UNIT_FOLDERS[0] / "30-db.conf").exists()
    assert (root / ENV).read_bytes() == before[ENV]
    assert "disable_spend_logs: true\n" in (root / CONFIG).read_text()


def test_an_escape_sequence_in_gateway_env_is_shown_to_nobody(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    env = root / ENV
    env.write_text(env.read_text().replace("//hx_gateway:", "//hx%1b%5d0;owned%07%c2%9bx:"))
    for command in (("answers",), ("answers", "--json"), ("status",), ("plan",)):
        _, out, err = run(*command)
        assert not set(out + err) & set("\x1b\x07\x9b")
    assert "PG_USER contains a control character" in run("status")[1]


def test_a_url_in_place_of_a_host_is_not_repeated(root: Path, run: Run) -> None:
    before = snapshot(root)
    status, out, err = run("apply", answers="PG_HOST=postgresql://u:geheim@db1/d\nPG_PASS=x\n")
    assert status == 2 and "whole URL" in err and "geheim" not in out + err
    assert snapshot(root) == before
