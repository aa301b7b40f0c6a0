"""verify's table as a person sees it, in terminals of several widths and in a file."""

import pytest

from hx_gateway_db.checks.verify import Row, Words
from hx_gateway_db.cli.table import ending, row_lines, word_lines
from hx_gateway_db.findings import Finding, Level

OK = Row(Finding("litellm.port", Level.OK, "", "it answers", "as it should", "no cure"), 0.02)
FAILED = Row(
    Finding(
        "wrapper.unit",
        Level.FAILED,
        "",
        "hx-gateway-ml.service is stopped",
        "somebody stopped it",
        "run 'systemctl start hx-gateway-ml'",
    ),
    1.25,
)
WARNING = Row(Finding("model.chat", Level.WARNING, "", "no reply"), 3.0)


def test_in_a_file_no_line_is_wrapped() -> None:
    assert row_lines(FAILED, None) == [
        "failed   wrapper.unit      1.25s hx-gateway-ml.service is stopped (somebody stopped it)",
        "                                 Cure: run 'systemctl start hx-gateway-ml'",
    ]


def test_at_80_columns_the_text_stands_in_a_column() -> None:
    assert row_lines(FAILED, 80) == [
        "failed   wrapper.unit      1.25s hx-gateway-ml.service is stopped (somebody",
        "                                 stopped it)",
        "                                 Cure: run 'systemctl start hx-gateway-ml'",
    ]


def test_at_40_columns_the_text_stands_below() -> None:
    assert row_lines(FAILED, 40) == [
        "failed   wrapper.unit      1.25s",
        "  hx-gateway-ml.service is stopped",
        "  (somebody stopped it)",
        "  Cure: run 'systemctl start",
        "  hx-gateway-ml'",
    ]


@pytest.mark.parametrize("width", [20, 33, 40, 62, 63, 80, 200])
@pytest.mark.parametrize("row", [OK, FAILED, WARNING])
@pytest.mark.parametrize("brief", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, row: Row, brief: bool) -> None:
    assert all(len(line) <= width for line in row_lines(row, width, brief=brief))


@pytest.mark.parametrize("width", [40, 80])
def test_what_is_well_takes_one_line_in_brief(width: int) -> None:
    assert len(row_lines(OK, width, brief=True)) == 1
    assert row_lines(FAILED, width, brief=True) == row_lines(FAILED, width)


def test_what_is_well_needs_no_cure() -> None:
    assert "no cure" not in "".join(row_lines(OK, 200))


def test_colour_repeats_what_the_word_says() -> None:
    coloured = row_lines(FAILED, 80, colour=True)
    assert coloured[0].startswith("\033[31mfailed\033[0m   wrapper.unit")
    plain = [line.replace("\033[31m", "").replace("\033[0m", "") for line in coloured]
    assert plain == row_lines(FAILED, 80)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([OK], "All well, in 1.2 s."),
        ([OK, WARNING], "All well but for 1 warning, in 1.2 s."),
        ([WARNING, WARNING], "All well but for 2 warnings, in 1.2 s."),
        ([OK, WARNING, FAILED], "1 of 3 checks failed (wrapper.unit), in 1.2 s."),
    ],
)
def test_how_it_ended(rows: list[Row], sentence: str) -> None:
    assert ending(rows, 1.23) == sentence


def test_a_unit_s_words_say_where_there_are_more() -> None:
    assert list(word_lines([Words("hx-gateway-ml.service", ["ERROR: no port"])], None)) == [
        "hx-gateway-ml logged last:",
        "  ERROR: no port",
        "More: journalctl -u hx-gateway-ml -n 80 --no-pager",
    ]


def test_json_has_the_names_that_scripts_rely_on() -> None:
    assert FAILED.as_json() == {
        "name": "wrapper.unit",
        "result": "failed",
        "seconds": 1.25,
        "detail": "hx-gateway-ml.service is stopped (somebody stopped it)",
        "cure": "run 'systemctl start hx-gateway-ml'",
    }
