"""Long work shows that it goes on: a line in place on a terminal, now and then one in a pipe."""

import io
import sys
import time

import pytest

from tests.machine import step
from tests.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that it is, to be set."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_on_a_terminal_one_line_is_replaced(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("image")
    progress.say("a long step")
    clock[0] += 75
    progress.say("next\x1b[2J")
    progress.end()
    first, second, blank, end = terminal.getvalue().split("\r")[1:]
    assert first == " 0:00  image: a long step"
    assert second.rstrip() == " 1:15  image: next\ufffd[2J"
    assert len(second) == len(first)
    assert blank.strip() == "" and end == " 1:15  image\n"


def test_in_a_pipe_a_line_is_written_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress("image")
    for _ in range(30):
        progress.say("step")
        clock[0] += 1
    assert capsys.readouterr().err.splitlines() == [
        " 0:00  image: step",
        " 0:10  image: step",
        " 0:20  image: step",
    ]


def test_a_step_that_fails_shows_its_last_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(step.StepFailed, match=r"The build failed with exit status 3:\nwhy\n"):
        step.run("build", ["sh", "-c", "echo why; exit 3"])
    step.run("build", ["true"])
    assert capsys.readouterr().err.splitlines()[-1] == " 0:00  build"
