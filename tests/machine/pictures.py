"""`make pictures`: docs/pictures, drawn from what a person sees on a booted machine.

Run as root with HX_DEB naming the built package. What a terminal was sent is read by a terminal
emulator (pyte), and what then stands on the screen is drawn (rich).
"""

import io
import os
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pexpect
import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.machine import step
from tests.machine.image import build_image
from tests.machine.installation import existing, make_database, preseed
from tests.machine.machine import Machine

FOLDER = Path(__file__).resolve().parents[2] / "docs/pictures"
_PASSWORD = "of-the-database"
# What pyte knows.
_TERMINAL = {"TERM": "linux", "LC_ALL": "C.UTF-8"}
# A window of its own colours, so that it can be read on a light page and on a dark one.
_PAPER, _INK = (30, 32, 38), (216, 218, 222)
_THEME = TerminalTheme(
    _PAPER,
    _INK,
    [
        *((30, 32, 38), (205, 72, 72), (80, 176, 104), (200, 160, 70)),
        *((70, 110, 190), (170, 100, 180), (70, 160, 170), (216, 218, 222)),
    ],
    [
        *((120, 124, 132), (230, 110, 110), (120, 210, 140), (230, 200, 110)),
        *((120, 160, 230), (210, 150, 220), (110, 200, 210), (255, 255, 255)),
    ],
)
# No font is fetched: the reader's own monospaced one is stretched to the columns.
_SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>TITLE</title>
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; \
line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 16px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" \
clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
_NAMES = {"brown": "yellow", "brightbrown": "bright_yellow"}


class _Screen:
    """What stands on the terminal of a program in the machine."""

    def __init__(self, program: "pexpect.spawn[str]", columns: int, rows: int) -> None:
        program.setwinsize(rows, columns)
        self._program = program
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)

    def wait(self, until: Callable[[str], bool], seconds: float) -> None:
        """Read until what is on the screen is as wanted, and for a second on."""
        ends = time.monotonic() + seconds
        quiet = 0
        while quiet < 2:
            try:
                self._stream.feed(self._program.read_nonblocking(65536, timeout=0.5))
                quiet = 0
            except pexpect.TIMEOUT:
                quiet += until("\n".join(self._screen.display))
            except pexpect.EOF:
                return
            if time.monotonic() > ends:
                raise step.StepFailed("\n".join(self._screen.display))

    def text(self) -> Text:
        """The screen with its colours, to the last line that is not empty."""
        lines = [self._line(row) for row in range(self._screen.lines)]
        while lines and not lines[-1].plain.strip():
            lines.pop()
        return Text("\n").join(lines)

    def _line(self, row: int) -> Text:
        line = Text()
        cells = [self._screen.buffer[row][column] for column in range(self._screen.columns)]
        for style, run in groupby(cells, _style):
            line.append("".join(cell.data for cell in run), style)
        return line


def _style(cell: pyte.screens.Char) -> Style:
    colours = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
    front, back = map(_colour, colours)
    return Style(color=front, bgcolor=back, bold=cell.bold)


def _colour(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    if len(name) == 6 and all(digit in "0123456789abcdef" for digit in name):
        return f"#{name}"
    return name.replace("bright", "bright_")


def main() -> int:
    """Draw both pictures; returns the exit status."""
    deb = Path(os.environ.get("HX_DEB", ""))
    FOLDER.mkdir(exist_ok=True)
    with Machine(build_image("bookworm")) as machine:
        with step.shown("start of the container and its gateway"):
            machine.boot()
            machine.wait_for_gateway()
        make_database(machine, _PASSWORD)
        with step.shown("picture of a failed check"):
            preseed(machine, existing("mistyped"))
            machine.put(deb, "/root/package.deb")
            program = machine.spawn(
                ["dpkg", "--install", "/root/package.deb"],
                env={"DEBIAN_FRONTEND": "dialog", **_TERMINAL},
            )
            dialog = _Screen(program, 80, 24)
            dialog.wait(lambda shown: "check PG_USER and PG_PASS" in shown, 120)
            _draw(dialog, 80, "failed-check", "A check that failed during the installation")
            program.sendcontrol("c")
            program.close(force=True)
        with step.shown("picture of verify"):
            preseed(machine, existing(_PASSWORD))
            machine.run(
                ["dpkg", "--configure", "--pending"], env={"DEBIAN_FRONTEND": "noninteractive"}
            )
            program = machine.spawn(["hx-gateway-db", "verify", "--wait"], env=_TERMINAL)
            table = _Screen(program, 100, 24)
            table.wait(lambda shown: False, 120)
            _draw(table, 100, "verify", "hx-gateway-db verify on a wired gateway")
    return 0


def _draw(screen: _Screen, columns: int, name: str, title: str) -> None:
    console = Console(
        record=True,
        width=columns,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(screen.text(), soft_wrap=True)
    svg = console.export_svg(
        title=title, theme=_THEME, unique_id="screen", code_format=_SVG.replace("TITLE", title)
    )
    (FOLDER / f"{name}.svg").write_text("\n".join(map(str.rstrip, svg.splitlines())) + "\n")


if __name__ == "__main__":
    sys.exit(main())
