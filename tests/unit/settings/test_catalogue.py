"""The table of answers, and what stands elsewhere because of it."""

import re
from pathlib import Path

import pytest

from hx_gateway_db.layout import DEFAULT_BASE
from hx_gateway_db.settings.catalogue import ANSWERS, STEP_0, Kind
from tests.unit.written import PROJECT, differences

WRITTEN = (
    *("debian/hx-gateway-db.config", "debian/hx-gateway-db.postinst"),
    *("debian/hx-gateway-db.postrm", "debian/hx-gateway-db.8", "docs/questions.md"),
    "debian/hx-gateway-db-files.5",
)
ROWS = {answer.key: answer for answer in ANSWERS}


def test_each_answer_has_one_row() -> None:
    assert len(ROWS) == len(ANSWERS)
    assert set(STEP_0) <= set(ROWS)


def test_an_answer_is_asked_after_what_it_needs_which_can_be_so() -> None:
    asked: set[str] = set()
    for answer in ANSWERS:
        key, equals, values = answer.needs.partition("=")
        if key:
            assert key in asked, answer.key
            if equals:
                assert set(values.split("|")) < set(ROWS[key].choices), answer.key
            else:
                assert ROWS[key].kind is Kind.BOOLEAN, answer.key
        assert key or not answer.goes, answer.key
        asked.add(answer.key)


def test_a_choice_has_choices_with_the_default_among_them_and_nothing_else_has() -> None:
    for answer in ANSWERS:
        assert bool(answer.choices) == (answer.kind is Kind.CHOICE), answer.key
        # At DATABASE no value tells that nobody was there to choose: see debian/*.config.
        if answer.key != "DATABASE":
            assert not answer.choices or answer.default in answer.choices, answer.key


def test_the_maintainer_scripts_know_a_secret_by_its_name() -> None:
    assert [a.key for a in ANSWERS if a.secret != a.key.endswith("_PASS")] == []


def test_the_default_folder_is_the_one_that_is_looked_for_on_a_host() -> None:
    assert ROWS["BASE"].default == str(DEFAULT_BASE)


def test_an_answer_that_is_a_line_has_a_comment_and_both_can_stand_in_a_script() -> None:
    for answer in ANSWERS:
        assert re.fullmatch(r"[A-Z_]*", answer.variable)
        assert re.fullmatch(r"[A-Za-z0-9 ,.;:/()=-]*", answer.comment)
        assert bool(answer.variable) == bool(answer.comment)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_follows_from_the_table_is_written(name: str, tmp_path: Path) -> None:
    assert differences("debian/write-answers", WRITTEN, name, tmp_path) == "", "make tables"


def test_each_answer_is_in_the_script_that_hands_it_over_and_in_both_documents() -> None:
    _, postinst, _, manual, questions, files = ((PROJECT / name).read_text() for name in WRITTEN)
    for answer in ANSWERS:
        assert f"\n.B {answer.key}\n" in manual
        assert f"`{answer.question} {answer.debconf_type}" in questions
        assert not answer.variable or f"\n.B {answer.variable}\n" in files
        assert f" {answer.question} " in " ".join(postinst.replace('"', " ").split())
