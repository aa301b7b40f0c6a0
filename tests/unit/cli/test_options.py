"""Options that are about every command: before its name and after it they mean the same."""

from pathlib import Path

import pytest

from hx_gateway_db.cli.parser import main, new_parser
from tests.unit.tree import ANSWERS, CONFIG, ENV

COMMANDS = (
    *("plan", "apply", "check", "provision", "rollback", "recover", "status", "verify"),
    "answers",
)


@pytest.fixture
def tree(root: Path) -> list[str]:
    return ["--root", str(root)]


@pytest.mark.parametrize("after", [False, True])
def test_a_tree_is_worked_on_wherever_it_is_named(
    root: Path, tree: list[str], after: bool, tmp_path: Path
) -> None:
    answers = tmp_path / "given"
    answers.write_text(ANSWERS)
    apply = ["apply", "--answers", str(answers)]
    assert main([*apply, *tree] if after else [*tree, *apply]) == 0
    assert "@db1:5432" in (root / ENV).read_text()
    assert "disable_spend_logs: false" in (root / CONFIG).read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_them_and_shows_them(
    command: str, tree: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert "\n  --root DIR" in shown and "\n  --debug" in shown
    # Those that ask servers and units refuse a tree, which they can only if they have read it.
    status = main([command, *tree])
    assert status in (0, 2)
    if command in ("check", "provision", "verify"):
        assert "can't be used with --root" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["--debug", "status"], ["status", "--debug"]], ids=" ".join)
def test_a_traceback_is_shown_wherever_it_is_asked_for(
    line: list[str],
    tree: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def crash(*arguments: object) -> None:
        raise KeyError

    monkeypatch.setattr("hx_gateway_db.checks.status.status", crash)
    assert main([*tree, *line]) == 70
    assert "Traceback" in capsys.readouterr().err
    assert main([*tree, "status"]) == 70
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("places", [(2, 0), (1, 1), (0, 2)])
def test_two_trees_are_not_taken_for_one(
    places: tuple[int, int], tree: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = places
    with pytest.raises(SystemExit) as end:
        main([*tree * before, "status", *tree * after])
    assert end.value.code == 2
    assert "--root is given twice: name one folder." in capsys.readouterr().err


def test_two_periods_are_not_taken_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["verify", "--watch", "2", "--watch=3"])
    assert "--watch is given twice" in capsys.readouterr().err


def test_without_them_a_command_works_on_this_host() -> None:
    parser = new_parser()
    assert "root" not in vars(parser.parse_args(["status"]))
    for line in (["--debug", "status"], ["status", "--debug"]):
        assert parser.parse_args(line).debug
