"""What the command says, in lines of the terminal that it is said on."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from hx_gateway_db.cli import screen
from hx_gateway_db.cli.screen import broken, wrapped

PROJECT = Path(__file__).resolve().parents[3]
PATH = "/opt/HX-Infrastructure-/api-gateway/config/api-gateway/gateway.env"
WARNING = (
    "Warning: hx-litellm-gateway.service has no LITELLM_SALT_KEY (LiteLLM then encrypts with the"
    f" master key what it stores): put a line into {PATH} before the first apply."
)
COMMAND = "'runuser -u hx-gateway --pty -- /opt/gateway/venv/bin/prisma generate'"
SAID = "a_word " * 30
PROGRAM = f"""
import sys
from hx_gateway_db.cli.screen import write_wrapped
for stream in (sys.stdout, sys.stderr):
    write_wrapped(stream, {SAID.strip()!r}, flush=True)
"""


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_a_line_ends_at_a_word(columns: int) -> None:
    lines = wrapped("", WARNING, columns).splitlines()
    assert [line for line in lines if len(line) > columns and line != PATH] == []
    assert " ".join(lines) == WARNING


def test_a_command_in_quotes_stays_on_one_line_to_be_copied() -> None:
    text = f"There is no client: run {COMMAND}, and then look at what isn't there."
    for columns in (80, 40):
        lines = wrapped("", text, columns).splitlines()
        assert any(line.startswith(f"{COMMAND},") for line in lines)
    assert wrapped("", "the servers' own 'x y' (see 'a b').", 20).splitlines() == [
        "the servers' own",
        "'x y' (see 'a b').",
    ]


def test_the_rest_of_an_indented_line_is_as_far_to_the_right() -> None:
    stream = Screen(40)
    screen.write_wrapped(stream, f"It failed:\n    {'log ' * 20}")
    first, *rest = stream.getvalue().splitlines()
    assert first == "It failed:"
    assert len(rest) > 1 and all(re.match(r" {4}\S", line) for line in rest)


def test_a_pipe_gets_each_line_whole() -> None:
    stream = io.StringIO()
    screen.write_wrapped(stream, WARNING, first="warning  ")
    assert stream.getvalue() == f"warning  {WARNING}\n"


class Screen(io.StringIO):
    """A terminal of some width."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.slave

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)
        super().close()


@pytest.mark.parametrize("terminal", ["stdout", "stderr"])
def test_each_stream_is_judged_by_itself(terminal: str) -> None:
    wide = Screen(50)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=PROJECT,
        stdout=wide.slave if terminal == "stdout" else subprocess.PIPE,
        stderr=wide.slave if terminal == "stderr" else subprocess.PIPE,
    )
    piped = b"".join(filter(None, process.communicate(timeout=60))).decode()
    shown = os.read(wide.master, 65536).decode()
    wide.close()
    assert piped.splitlines() == [SAID.strip()]
    assert {len(line) for line in shown.splitlines()} == {48, 13}


def test_a_character_of_two_columns_counts_as_two() -> None:
    text = "データベース hx_gateway の準備 ができました " * 3
    for columns in (20, 24, 40):
        for whole in (False, True):
            lines = broken(text, columns, whole=whole)
            assert max(map(wcswidth, lines)) <= columns
            assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(st.text(alphabet="ab '.\u00e9\u5b57\u0301", max_size=60), st.integers(1, 30), st.booleans())
def test_nothing_is_lost_and_nothing_too_long_but_what_stays_whole(
    text: str, columns: int, whole: bool
) -> None:
    lines = broken(text, columns, whole=whole)
    assert "".join("".join(lines).split()) == "".join(text.split())
    if not whole:
        assert max(map(wcswidth, lines)) <= max(columns, 2)


def test_a_terminal_without_a_size_as_apt_has_it_in_a_pipe_keeps_lines_whole() -> None:
    ours, theirs = os.openpty()
    with open(theirs, "w") as stream, open(ours, "rb", buffering=0) as reader:
        assert os.get_terminal_size(theirs).columns == 0
        screen.write_wrapped(stream, "word " * 40, flush=True)
        assert reader.read(4096).count(b"\n") == 1
