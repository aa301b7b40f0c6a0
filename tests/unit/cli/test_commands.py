"""What the command says of what went wrong, and how it exits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hx_gateway_db.cli.parser import main
from hx_gateway_db.layout import Layout
from hx_gateway_db.systemd.units import SystemdSilent, Unit
from tests.unit.tree import ANSWERS, CONFIG, ENV, Run, snapshot


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


class Silence:
    """A systemd that is going down: systemctl finds nobody."""

    def available(self) -> bool:
        return True

    def unit(self, name: str) -> Unit:
        raise SystemdSilent("systemd does not say what it does: no bus.")


@pytest.mark.parametrize("json", [False, True])
def test_a_status_that_systemd_does_not_tell_is_said_to_be_unknown_and_the_rest_shown(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    run("apply", answers=ANSWERS)
    monkeypatch.setattr("hx_gateway_db.checks.status.units", Silence())
    monkeypatch.setattr(Layout, "live", True)
    status, out, err = run("status", *(["--json"] if json else []))
    assert (status, err) == (3, "hx-gateway-db: systemd does not say what it does: no bus.\n")
    assert "hx_gateway on db1:5432" in out
    assert "rolled back" not in out + err


def test_a_second_file_of_answers_is_not_taken_for_the_first(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--root", str(root), "plan", "--answers", "a", "--answers", "b"])
    assert end.value.code == 2
    assert "--answers is given twice: put all answers into one file." in capsys.readouterr().err
