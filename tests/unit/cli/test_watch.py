"""What a watch draws: a frame that fills the screen and never scrolls it."""

from hx_gateway_db.cli.watch import _frame

LINES = [f"line {number}" for number in range(30)]


def rows(frame: str) -> list[str]:
    return frame.replace("\033[H", "").replace("\033[J", "").replace("\033[K", "").split("\r\n")


def test_a_frame_starts_at_the_top_left_and_clears_what_was_there() -> None:
    frame = _frame(LINES[:3], 80, 24)
    assert frame.startswith("\033[Hline 0\033[K\r\n") and frame.endswith("\r\n\033[J")
    assert rows(frame) == ["line 0", "line 1", "line 2", ""]


def test_what_the_screen_does_not_hold_is_counted() -> None:
    shown = rows(_frame(LINES, 80, 24))
    assert len(shown) == 24
    assert shown[21:] == ["line 21", "... 8 more: hx-gateway-db verify", ""]


def test_a_line_too_wide_for_the_screen_does_not_break_it() -> None:
    assert rows(_frame(["x" * 100, *LINES], 40, 10))[0] == "x" * 40
    assert all(len(row) <= 20 for row in rows(_frame(["x", *LINES], 20, 10)))
