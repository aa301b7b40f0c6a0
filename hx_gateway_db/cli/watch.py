"""`verify --watch`: the table drawn again and again, until somebody interrupts it."""

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from hx_gateway_db.checks.chain import read_chain
from hx_gateway_db.checks.spend import SpendRows
from hx_gateway_db.checks.verify import last_words, verify
from hx_gateway_db.cli import screen
from hx_gateway_db.cli.table import ending, row_lines, word_lines
from hx_gateway_db.host.host import Host


def watch(read: Callable[[], Host], seconds: float, stream: TextIO, colour: bool) -> None:
    """Look at the chain, wait `seconds`, and so on, until KeyboardInterrupt.

    A terminal is redrawn in place and never scrolls; anywhere else the tables follow each other.
    """
    drawing = screen.draws(stream)
    spend = SpendRows()
    if drawing:
        screen.write(stream, screen.CLEARED)
        screen.write(stream, "Asking the gateway ...", flush=True)
    while True:
        width, height = shutil.get_terminal_size()
        lines = _round(read(), spend, width if drawing else None, colour)
        if drawing:
            title = f"{time.strftime('%H:%M:%S')}, every {seconds:g} s, Ctrl-C ends it"
            screen.write(stream, _frame([title, *lines], width, height), flush=True)
        else:
            lines = [time.strftime("%F %T"), *lines, ""]
            screen.write(stream, screen.joined(lines), flush=True)
        time.sleep(seconds)


def _round(host: Host, spend: SpendRows, width: int | None, colour: bool) -> list[str]:
    """How a look at the chain ended, then the table, then what the units at fault have logged."""
    started = time.monotonic()
    chain = read_chain(host)
    rows = list(verify(chain, spend, started))
    lines = screen.wrapped("", ending(rows, time.monotonic() - started), width).splitlines()
    for row in rows:
        lines += row_lines(row, width, colour, brief=width is not None)
    return [*lines, *word_lines(last_words(chain, rows), width)]


def _frame(lines: list[str], width: int, height: int) -> screen.Drawn:
    """The lines from the top left on, over those of before, cut to what the screen holds.

    All but the first are no longer than `width` already.
    """
    # The cursor comes to stand on a line of its own.
    room = max(height - 1, 2)
    shown = [lines[0][:width], *lines[1:]]
    if len(lines) > room:
        left_out = f"... {len(lines) - room + 1} more: hx-gateway-db verify"
        shown = [*shown[: room - 1], left_out[:width]]
    return screen.frame(shown)
