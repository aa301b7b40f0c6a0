"""The translations of the debconf questions: whole, and fit for what debconf does with them."""

import re
import subprocess
from pathlib import Path

import pexpect
import polib
import pytest
from wcwidth import wcswidth

from tests.package.debconf import Debconf

PO = Path(__file__).resolve().parents[2] / "debian/po"
LANGUAGES = ("de", "es", "fr", "it", "ja", "pt_BR")
# debconf breaks lines for a dialog of 80 columns here, also those that begin with a blank.
_VERBATIM_COLUMNS = 69
_PROMPT_COLUMNS = 70
# In a dialog of 40 columns more of a choice is cut off.
_CHOICE_COLUMNS = 19


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def translation(language: str) -> polib.POFile:
    return polib.pofile(str(PO / f"{language}.po"))


def run(*command: str | Path) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PO.parents[1])
    return done.stdout + done.stderr


def test_every_language_that_was_promised_is_there_and_no_other() -> None:
    assert sorted(path.stem for path in PO.glob("*.po")) == sorted(LANGUAGES)


def test_a_translation_is_well_formed_and_whole(language: str, translation: polib.POFile) -> None:
    said = run(
        "msgfmt", "--check", "--statistics", "--output-file=/dev/null", PO / f"{language}.po"
    )
    template = polib.pofile(str(PO / "templates.pot"))
    assert said.strip() == f"{len(template)} translated messages."
    assert {entry.msgid for entry in translation} == {entry.msgid for entry in template}
    assert not translation.obsolete_entries()


def test_the_translators_have_nothing_to_be_asked_for() -> None:
    said = run("podebconf-report-po", "--podir=debian/po", "--default", "--deadline=+10days")
    assert "No outdated files" in said


def test_a_translation_says_that_a_native_speaker_has_to_look_at_it(
    translation: polib.POFile,
) -> None:
    assert "Needs a review by a native speaker." in translation.header


def test_a_translation_keeps_what_debconf_puts_in(translation: polib.POFile) -> None:
    for entry in translation:
        variables = sorted(re.findall(r"\$\{\w+\}", entry.msgid))
        assert sorted(re.findall(r"\$\{\w+\}", entry.msgstr)) == variables, entry.msgid


def test_a_prompt_stays_a_prompt_and_fits_into_a_line(translation: polib.POFile) -> None:
    prompts = [entry for entry in translation if is_prompt(entry.msgid)]
    assert len(prompts) > 20
    for entry in prompts:
        assert entry.msgstr[-1] == entry.msgid[-1], entry.msgid
        assert wcswidth(entry.msgstr) <= _PROMPT_COLUMNS, entry.msgstr


def is_prompt(text: str) -> bool:
    return text[-1] in ":?" and len(text) <= _PROMPT_COLUMNS


def test_lines_that_are_kept_as_they_are_fit_into_a_dialog(translation: polib.POFile) -> None:
    kept = [
        line for entry in translation for line in entry.msgstr.split("\n") if line.startswith(" ")
    ]
    assert kept
    assert [line for line in kept if wcswidth(line) > _VERBATIM_COLUMNS] == []


def test_the_choices_of_a_question_stay_different_and_short_and_no_comma_cuts_one(
    translation: polib.POFile,
) -> None:
    choices: dict[str, list[str]] = {}
    for entry in translation:
        for file, line in entry.occurrences:
            if "Choices" in entry.comment:
                choices.setdefault(f"{file}:{line}", []).append(entry.msgstr)
    assert len(choices) == 5
    for translated in choices.values():
        assert len(set(translated)) == len(translated)
        assert not [choice for choice in translated if re.search(r"(?<!\\),", choice)]
        assert all(wcswidth(choice) <= _CHOICE_COLUMNS for choice in translated)


def test_a_translated_dialog_leads_to_the_same_answers(
    debconf: Debconf, language: str, translation: polib.POFile
) -> None:
    debconf.install_command()
    # With its encoding: a C locale says none that debconf could convert to.
    dialog = debconf.dialog(LANGUAGE=f"{language}.UTF-8")
    prompts = {entry.msgid: entry.msgstr for entry in translation}
    for prompt, reply in (
        ("Database for the gateway:", "2"),
        ("PostgreSQL server's host name or address:", "db1"),
        ("Database user's password:", "secret"),
    ):
        dialog.expect_exact(prompts[prompt])
        dialog.sendline(reply)
    dialog.expect(pexpect.EOF)
    assert debconf.given["DATABASE"] == "existing"
    assert (debconf.given["PG_HOST"], debconf.given["PG_PASS"]) == ("db1", "secret")
