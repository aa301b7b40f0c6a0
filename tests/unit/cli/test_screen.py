"""What the command prints on terminals of several widths, in a pipe, and in any locale."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

import pexpect
import pytest

from hx_gateway_db.checks.preflight import Inspection
from hx_gateway_db.cli.parser import main
from hx_gateway_db.cli.screen import coloured, draws, wrapped
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.wiring.outside import Outside

PROJECT = Path(__file__).resolve().parents[3]
CONFIG = "opt/HX-Infrastructure-/api-gateway/config/api-gateway/config.yaml"
USER = "müller ☃"
ANSWERS = f"PG_HOST=db1.example.org\nPG_PASS=geheim\nPG_USER={USER}\nREDIS=true\nCACHE=true\n"
COMMANDS = ("plan", "apply", "check", "provision", "rollback", "recover", "status", "verify")
HELP = (("--help",), *((command, "--help") for command in (*COMMANDS, "answers")))
READING = (("status",), ("plan",), ("answers",), ("provision", "--print"))
FINDINGS = (
    Finding("postgres.login", Level.OK, "db1", "db1.example.org:5432 lets the user hx_gateway in"),
    Finding(
        "gateway.salt",
        Level.WARNING,
        "gateway.env",
        "hx-litellm-gateway.service has no LITELLM_SALT_KEY",
        "LiteLLM then encrypts with the master key what it stores",
        f"put it into /{CONFIG}",
    ),
    Finding("postgres.tables", Level.FAILED, "db1", "there is no right to create", "", "grant it"),
    Finding("redis", Level.SKIPPED, "db1", "there is none"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree that is wired; its user's name is not in ASCII."""
    config = tmp_path / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text("general_settings:\n  master_key: sk-test-key\n")
    (tmp_path / "answers").write_text(ANSWERS)
    arguments = ["--root", str(tmp_path), "apply", "--answers", str(tmp_path / "answers")]
    assert main(arguments) == 0
    return tmp_path


@pytest.fixture
def latin_1(tmp_path: Path) -> dict[str, str]:
    """The environment of a locale whose encoding is not UTF-8."""
    locale = str(tmp_path / "de_DE.ISO-8859-1")
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", locale]
    subprocess.run(command, check=True)
    return {"LOCPATH": str(tmp_path), "LC_ALL": "de_DE.ISO-8859-1"}


def command_line(root: Path, arguments: tuple[str, ...]) -> list[str]:
    """As the program in /usr/sbin runs it, isolated from Python's own environment variables."""
    program = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r}); sys.argv[0] = 'hx-gateway-db'\n"
        "from hx_gateway_db.cli.parser import main; sys.exit(main())"
    )
    # The libraries are the virtual environment's, which -I leaves.
    place = [] if arguments[0] == "provision" else ["--root", str(root)]
    given = ["--answers", str(root / "answers")] if arguments[0] == "provision" else []
    return [sys.executable, "-I", "-c", program, *place, *arguments, *given]


def environment(more: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm", **more}


def on_terminal(root: Path, arguments: tuple[str, ...], width: int, **more: str) -> str:
    command = command_line(root, arguments)
    variables: Any = environment(more)  # the stub wants os.environ's class
    terminal = pexpect.spawn(
        command[0],
        command[1:],
        dimensions=(24, width),
        env=variables,
        encoding="utf-8",
        codec_errors="replace",
        timeout=30,
    )
    said = str(terminal.read())
    terminal.close()
    assert terminal.exitstatus == 0, said
    return said.replace("\r\n", "\n")


def in_pipe(root: Path, arguments: tuple[str, ...], **more: str) -> bytes:
    command = command_line(root, arguments)
    done = subprocess.run(command, env=environment(more), capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return done.stdout


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
@pytest.mark.parametrize("width", [80, 40])
def test_help_fits_the_terminal(
    arguments: tuple[str, ...],
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        main(arguments)
    # A command is there to be copied, and not broken.
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  $ ")]
    assert lines[0].startswith("usage: hx-gateway-db")
    assert [line for line in lines if len(line) > width] == []


@pytest.mark.parametrize("width", [80, 40])
def test_status_fits_the_terminal_but_for_a_path_that_is_there_to_be_copied(
    root: Path, width: int
) -> None:
    lines = on_terminal(root, ("status",), width).splitlines()
    longer = [line for line in lines if len(line) > width]
    assert [line.split()[-1] for line in longer] in (
        [],
        [f"/{CONFIG.replace('config.yaml', 'gateway.env')}"],
    )
    assert any(USER in line for line in lines)
    assert "wired                 yes" in lines


@pytest.mark.parametrize("width", [80, 40, None])
def test_each_finding_of_check_begins_with_a_word_and_fits(width: int | None) -> None:
    for finding in FINDINGS:
        text = wrapped(f"{finding.level.value:<8} ", finding.sentence, width)
        lines = text.splitlines()
        assert lines[0].split()[0] == finding.level.value
        assert all(line.startswith(" ") for line in lines[1:])
        assert " ".join(text.split()) == f"{finding.level.value} {finding.sentence}"
        if width:
            assert all(len(line) <= width or f"/{CONFIG}" in line for line in lines)


@pytest.mark.parametrize("arguments", [*READING, ("--help",)], ids=" ".join)
@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1", "TERM": "dumb"}], ids=["", "plain"])
def test_a_pipe_gets_no_escape_sequence(
    root: Path, arguments: tuple[str, ...], more: dict[str, str]
) -> None:
    assert b"\x1b" not in in_pipe(root, arguments, **more)


@pytest.mark.parametrize("arguments", [("answers",), ("provision", "--print")], ids=" ".join)
@pytest.mark.parametrize("locale", ["POSIX", "nowhere.UTF-8"])
def test_a_pipe_gets_utf_8_in_any_locale(
    root: Path, arguments: tuple[str, ...], locale: str
) -> None:
    expected = in_pipe(root, arguments)
    more = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LC_ALL": locale}
    assert in_pipe(root, arguments, **more) == expected
    assert USER in expected.decode()


@pytest.mark.parametrize("arguments", [("answers",), ("provision", "--print")], ids=" ".join)
def test_a_pipe_gets_utf_8_where_the_locale_has_another_encoding(
    root: Path, latin_1: dict[str, str], arguments: tuple[str, ...]
) -> None:
    assert in_pipe(root, arguments, **latin_1) == in_pipe(root, arguments)


def test_a_terminal_gets_the_number_of_what_it_cannot_show(
    root: Path, latin_1: dict[str, str]
) -> None:
    assert r"m�ller \u2603" in on_terminal(root, ("status",), 80, **latin_1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "more", "colour", "drawn"),
    [
        (Terminal(), {}, True, True),
        (Terminal(), {"NO_COLOR": "1"}, False, True),
        (Terminal(), {"TERM": "dumb"}, False, False),
        (io.StringIO(), {}, False, False),
    ],
)
def test_colour_and_redrawing_are_for_terminals_that_know_them(
    stream: TextIO,
    more: dict[str, str],
    colour: bool,
    drawn: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm", **more}.items():
        monkeypatch.setenv(name, value)
    assert (coloured(stream), draws(stream)) == (colour, drawn)


def test_json_is_the_same_everywhere(root: Path) -> None:
    arguments = ("status", "--json")
    expected = json.loads(in_pipe(root, arguments))
    assert json.loads(in_pipe(root, arguments, LC_ALL="C")) == expected
    assert json.loads(on_terminal(root, arguments, 40)) == expected


def test_check_ends_with_what_needs_attention(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hx_gateway_db.wiring import apply

    outside = Outside(inspect=lambda *_: Inspection(FINDINGS))
    monkeypatch.setattr(apply, "REAL", outside)
    assert main(["check", "--answers", str(root / "answers")]) == 6
    *lines, last = capsys.readouterr().out.splitlines()
    # What can be made of a salt is known when a database answers.
    levels = ["ok", "skipped", "skipped", "warning", "failed"]
    assert [line.split()[0] for line in lines] == levels
    assert last == "1 of 5 checks failed (postgres.tables)."
