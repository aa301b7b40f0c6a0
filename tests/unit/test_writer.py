"""The command writes in one place, and nothing that a stranger has said gets there but as text."""

import ast
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import hx_gateway_db
from hx_gateway_db.checks.verify import Row
from hx_gateway_db.cli import commands, screen, terminal
from hx_gateway_db.cli.parser import main
from hx_gateway_db.cli.table import row_lines
from hx_gateway_db.cli.watch import _frame
from hx_gateway_db.findings import Finding, Level

PACKAGE = Path(hx_gateway_db.__file__).parent
# What answers the package over a pipe, as another user or in the gateway's Python.
PROGRAMS = {"prisma/guest_generator.py", "prisma/guest_probe.py", "postgres/guest_superuser.py"}
# What is written to elsewhere: files, pipes, and what is to become a file.
FILES = {"file", "os", "transaction", "copy"}
TITLE, CSI, TURNED = "\x1b]0;owned\x07", "\x9b31m", "\u202eabc"
HOSTILE = f"a{TITLE}{CSI}{TURNED}\ud800\r\x08"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_writes_to_the_terminal_but_the_one_writer() -> None:
    others = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if name in PROGRAMS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id == "print":
                others.append(f"{name}:{called.lineno}: print")
            if isinstance(called, ast.Attribute) and called.attr in ("write", "writelines"):
                where = ast.unparse(called.value)
                if where not in (*FILES, "screen"):
                    others.append(f"{name}: {where}.{called.attr}")
    assert others == ["cli/screen.py: stream.write"]


def written(text: str, *, exact: bool = False, to_a_person: bool = True) -> str:
    stream = Terminal() if to_a_person else io.StringIO()
    screen.write(stream, text, exact=exact)
    return stream.getvalue()


@pytest.mark.parametrize("exact", [False, True])
def test_a_person_sees_every_text_without_what_a_terminal_obeys(exact: bool) -> None:
    shown = written(f"{HOSTILE}\tb\nc", exact=exact)
    assert shown.replace("\ufffd", "") == "a]0;owned31mabc\tb\nc"


def test_a_program_gets_what_it_reads_as_it_is_but_for_control_characters() -> None:
    text = f"PG_USER={TURNED} \u200d {'x' * 10_000}\n"
    assert written(text, exact=True, to_a_person=False) == text
    assert written(HOSTILE, exact=True, to_a_person=False).replace("\ufffd", "") == (
        f"a]0;owned31m{TURNED}"
    )


def test_a_long_line_is_cut_for_a_person() -> None:
    lines = written(f"{'x' * 10_000}\nend\n").split("\n")
    assert len(lines[0]) < 2100 and lines[1:] == ["end", ""]


def test_colours_and_places_are_ours_alone() -> None:
    row = Row(Finding("model.chat", Level.FAILED, "", HOSTILE, HOSTILE, HOSTILE), 1.0)
    for width in (None, 40, 200):
        lines = row_lines(row, width, colour=True)
        for drawn in (screen.joined(lines), _frame(["title", *lines], 200, 50)):
            text = written(drawn)
            for ours in ("\x1b[31m", "\x1b[0m", "\x1b[H", "\x1b[K", "\x1b[J", "\r\n"):
                text = text.replace(ours, "")
            assert not any(
                sign in text for sign in ("\x1b", "\x9b", "\u202e", "\x07", "\r", "\x08")
            )
            assert "owned" in text
    assert "\x1b[31m" in written(screen.joined(row_lines(row, None, colour=True)))


def test_an_fstring_of_what_is_drawn_is_just_text_again() -> None:
    drawn = screen.in_colour("failed it", "failed", "31")
    assert "\x1b" in written(drawn) and "\x1b" not in written(f"{drawn}")


def test_what_is_waited_for_is_just_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(screen, "width", lambda stream: 200)
    news = terminal.Terminal(stream)
    news._watched = True
    news.waiting(HOSTILE, 1.0)
    news.clear()
    assert "\x1b" not in stream.getvalue() and "\u202e" not in stream.getvalue()


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    commands._print_json({"what": HOSTILE})
    said = capsys.readouterr().out
    assert said.isascii() and "\x1b" not in said
    assert json.loads(said) == {"what": HOSTILE}


def test_a_traceback_holds_no_secret_and_no_endless_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_secrets", lambda options: ["geheim"])
    error = ValueError(f"{'x' * 299}geheim{'y' * 10_000_000} {HOSTILE}")
    text = commands._traceback(error, SimpleNamespace())  # type: ignore[arg-type]
    assert "Error: xxx" in text and "geh" not in text and len(text) < 1000


def test_a_complaint_of_the_command_line_is_just_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--root", HOSTILE.replace("\ud800", ""), "status"])
    said = capsys.readouterr().err
    assert "owned" in said and not set(said) & set("\x1b\x9b\u202e\x07\r\x08")
