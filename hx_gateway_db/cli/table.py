"""What verify found, as text: a table for a terminal of any width, or lines for a file."""

from collections.abc import Iterator, Sequence

from hx_gateway_db.checks.verify import Row, Words
from hx_gateway_db.cli.screen import NARROWEST_TEXT, broken, in_colour
from hx_gateway_db.findings import Finding, Level, outcome

_LEVEL_WIDTH, _NAME_WIDTH = 9, 17
_TEXT_COLUMN = _LEVEL_WIDTH + _NAME_WIDTH + 7
_NARROWEST_LINE = 10
_COLOURS = {Level.OK: "32", Level.WARNING: "33", Level.FAILED: "31", Level.SKIPPED: "2"}


def row_lines(row: Row, width: int | None, colour: bool = False, brief: bool = False) -> list[str]:
    """A row in lines of at most `width` characters, None for as long as they are.

    Colour only repeats what the first word says. With `brief`, what needs nobody's attention
    takes one line.
    """
    finding = row.finding
    head = f"{finding.level.value:<{_LEVEL_WIDTH}}{finding.name:<{_NAME_WIDTH}}{row.seconds:5.2f}s"
    if width is not None:
        head = head[:width]
    below = width is not None and width < _TEXT_COLUMN + NARROWEST_TEXT
    column = 2 if below else _TEXT_COLUMN
    if brief and finding.level in (Level.OK, Level.SKIPPED):
        texts = [] if below else _wrapped(finding.what, width, column)[:1]
    else:
        texts = [line for text in _texts(finding) for line in _wrapped(text, width, column)]
    if below:
        lines = [head, *(f"  {text}" for text in texts)]
    else:
        lines = [f"{head} {texts[0]}", *(f"{' ' * column}{text}" for text in texts[1:])]
    if colour:
        lines[0] = in_colour(lines[0], finding.level.value, _COLOURS[finding.level])
    return lines


def _texts(finding: Finding) -> Iterator[str]:
    yield f"{finding.what} ({finding.why})" if finding.why else finding.what
    if finding.cure and finding.level is not Level.OK:
        yield f"Cure: {finding.cure}"


def ending(rows: Sequence[Row], seconds: float) -> str:
    """How it ended, in one sentence."""
    return f"{outcome([row.finding for row in rows])}, in {seconds:.1f} s."


def word_lines(words: Sequence[Words], width: int | None) -> Iterator[str]:
    """What the units at fault have logged, and where there is more."""
    for said in words:
        short = said.unit.removesuffix(".service")
        yield f"{short} logged last:"
        for line in said.lines:
            yield from (f"  {part}" for part in _wrapped(line, width, 2))
        yield from _wrapped(f"More: journalctl -u {short} -n 80 --no-pager", width, 0)


def _wrapped(text: str, width: int | None, column: int) -> list[str]:
    if width is None:
        return [text]
    return broken(text, max(width - column, _NARROWEST_LINE))
