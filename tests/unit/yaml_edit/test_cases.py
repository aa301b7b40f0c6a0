"""What the benchmark counts as a right edit."""

import pytest

from bench.yaml_cases import Case, cases
from hx_gateway_db.yaml_edit.edit import SetKey, YamlRefusal, edit
from tests.yaml_corpus import ERRORS, SPEND_ON

TEXT = b"# c\ngeneral_settings:\n  a: 1\n"
CASE = Case(TEXT, (b"# c", b"general_settings:", b"  a: 1", b""), refused=False)
FLAGS = b"  disable_spend_logs: false\n  disable_error_logs: false\n"


def test_our_edit_is_right_on_every_document() -> None:
    for case in cases():
        try:
            edited = edit(case.text, [SPEND_ON, SetKey(ERRORS, False)])
        except YamlRefusal:
            edited = None
        assert case.is_right(edited), case.text


@pytest.mark.parametrize("edited", [TEXT + FLAGS, TEXT.replace(b"  a", FLAGS + b"  a")])
def test_the_flags_may_stand_anywhere_in_their_section(edited: bytes) -> None:
    assert CASE.is_right(edited)


@pytest.mark.parametrize(
    "edited",
    [
        None,
        TEXT,
        TEXT.replace(b"# c\n", b"") + FLAGS,
        TEXT.replace(b"1", b"1 ") + FLAGS,
        TEXT.replace(b"1", b"2") + FLAGS,
        TEXT + FLAGS.replace(b"false", b"'false'"),
        TEXT + FLAGS + b" :\t[",
        (TEXT + FLAGS).replace(b"\n", b"\r\n"),
    ],
)
def test_an_edit_that_is_refused_or_harms_is_not_right(edited: bytes | None) -> None:
    assert not CASE.is_right(edited)


def test_a_text_to_be_refused_may_be_refused_or_left_and_not_be_damaged() -> None:
    case = Case(b"general_settings: text\n", (b"general_settings: text", b""), refused=True)
    assert case.is_right(None)
    assert case.is_right(case.text)
    assert not case.is_right(b"general_settings:\n" + FLAGS)
