"""debconf's line and editor frontends; its dialogs and teletype are in test_debconf.py."""

import pytest

from tests.package.debconf import Debconf
from tests.package.test_debconf import (
    ABORT,
    CHANGES,
    DATABASE,
    DECISION,
    EDITED,
    EVERY_QUESTION,
    FAILED_CHECK,
    HOST,
    MISSING,
    NO_ROLE,
    NO_SECRETS,
    PASSWORD,
    PORT,
    WIRED,
    answer,
    existing_database,
    select_stale_answers,
)

EVERY_ANSWER = {
    **WIRED,
    **NO_SECRETS,
    "PG_USER": "me",
    "PG_PASS": "secret",
    "REDIS_PASS": "other",
}
BAD_ANSWERS = (
    (HOST, "two words", "neither a host name nor an IP address"),
    (PORT, "five", "not a whole number from 1 to 65535"),
    ("Database user:", "", "1 to 63 characters"),
    ("Folder of the gateway:", "/a b", "not a path that starts with a slash"),
)
# GNU's readline puts the default on the line, where a person takes it away; its Ctrl-U is
# debconf's "previous question". The stub that perl has without it prints a prompt, no more.
READLINES = {"gnu": "\x01\x0b", "stub": ""}
PAGE_UP = "\x1b[5~"


def on_lines(kind: str, *conversation: tuple[str, str]) -> list[tuple[str, str]]:
    """The conversation as it is typed with this readline."""
    return [(question, READLINES[kind] + reply) for question, reply in conversation]


@pytest.mark.parametrize("kind", READLINES)
def test_readline_asks_everything(debconf: Debconf, kind: str) -> None:
    debconf.install_command()
    dialog = debconf.dialog(priority="low", frontend="readline", PERL_RL=kind.capitalize())
    answer(dialog, *on_lines(kind, *EVERY_QUESTION))
    assert debconf.given == EVERY_ANSWER


@pytest.mark.parametrize("kind", READLINES)
@pytest.mark.parametrize(("question", "bad", "message"), BAD_ANSWERS)
def test_readline_explains_a_bad_answer_and_asks_again(
    debconf: Debconf, kind: str, question: str, bad: str, message: str
) -> None:
    debconf.install_command()
    conversation = asked_twice(question, bad, f"{message}(?s:.)*{question}")
    dialog = debconf.dialog(priority="low", frontend="readline", PERL_RL=kind.capitalize())
    answer(dialog, *on_lines(kind, *conversation))
    assert debconf.given == EVERY_ANSWER


def asked_twice(question: str, bad: str, again: str) -> list[tuple[str, str]]:
    """Every question, of which one is answered badly and then comes again as `again`."""
    at = [text for text, _ in EVERY_QUESTION].index(question)
    mended = (again, EVERY_QUESTION[at][1])
    return [*EVERY_QUESTION[:at], (question, bad), mended, *EVERY_QUESTION[at + 1 :]]


def test_page_up_in_readline_goes_back_one_question(debconf: Debconf) -> None:
    debconf.install_command()
    dialog = debconf.dialog(frontend="readline", PERL_RL="Gnu")
    for question, reply in on_lines("gnu", (DATABASE, "existing"), (HOST, "wrong")):
        dialog.expect(question)
        dialog.sendline(reply)
    dialog.expect(PASSWORD)
    dialog.send(PAGE_UP)
    answer(dialog, *on_lines("gnu", (HOST, "right"), (PASSWORD, "secret")))
    assert (debconf.given["PG_HOST"], debconf.given["PG_PASS"]) == ("right", "secret")


@pytest.mark.parametrize("kind", READLINES)
@pytest.mark.parametrize(("reply", "host"), [("keep", "db1"), ("replace", "db0")])
def test_in_readline_the_edits_are_shown_and_decided(
    debconf: Debconf, kind: str, reply: str, host: str
) -> None:
    debconf.install_command()
    debconf.host_has(**EDITED)
    select_stale_answers(debconf)
    dialog = debconf.dialog("0.1.0", frontend="readline", PERL_RL=kind.capitalize())
    dialog.expect(DECISION)
    assert CHANGES in (dialog.before or "").replace("\r", "")
    dialog.sendline(READLINES[kind] + reply)
    answer(dialog)
    assert debconf.given["PG_HOST"] == host


@pytest.mark.parametrize("kind", READLINES)
@pytest.mark.parametrize(
    ("reply", "attempts", "status"),
    [("Try again", 2, 0), ("Try anyway", 2, 0), (ABORT, 1, 3)],
)
def test_in_readline_a_failed_check_is_shown_and_decided(
    debconf: Debconf, kind: str, reply: str, attempts: int, status: int
) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=MISSING)
    dialog = debconf.dialog(frontend="readline", PERL_RL=kind.capitalize())
    dialog.expect(FAILED_CHECK)
    assert r"PostgreSQL at db1:5432 has no role hx \n." in (dialog.before or "")
    dialog.sendline(READLINES[kind] + reply)
    answer(dialog)
    assert (len(debconf.attempts), dialog.exitstatus) == (attempts, status)


def test_everything_can_be_answered_in_an_editor(debconf: Debconf) -> None:
    debconf.install_command()
    assert debconf.edit(*EVERY_QUESTION).returncode == 0
    assert debconf.unasked == []
    assert len(debconf.pages) == len(EVERY_QUESTION)
    assert debconf.given == EVERY_ANSWER


@pytest.mark.parametrize(("question", "bad", "message"), BAD_ANSWERS)
def test_in_an_editor_a_bad_answer_is_explained_and_asked_again(
    debconf: Debconf, question: str, bad: str, message: str
) -> None:
    debconf.install_command()
    debconf.edit(*asked_twice(question, bad, question))
    assert debconf.unasked == []
    assert debconf.given == EVERY_ANSWER
    at = [text for text, _ in EVERY_QUESTION].index(question)
    assert message in debconf.pages[at + 1]


@pytest.mark.parametrize(("reply", "host"), [("keep", "db1"), ("replace", "db0")])
def test_in_an_editor_the_edits_are_shown_and_decided(
    debconf: Debconf, reply: str, host: str
) -> None:
    debconf.install_command()
    debconf.host_has(**EDITED)
    select_stale_answers(debconf)
    debconf.edit((DECISION, reply), old_version="0.1.0")
    assert all(change.strip() in debconf.pages[0] for change in CHANGES.splitlines())
    assert "stale" not in debconf.pages[0]
    assert debconf.given["PG_HOST"] == host


def test_in_an_editor_a_failed_check_is_shown_and_an_administrator_can_log_in(
    debconf: Debconf,
) -> None:
    debconf.install_command()
    debconf.command_ends_with(3, 0, found=MISSING)
    done = debconf.edit(
        *EVERY_QUESTION,
        (FAILED_CHECK, "Administrator login"),
        ("PostgreSQL administrator's name:", "dba"),
        ("PostgreSQL administrator's password:", 'a "quoted" word'),
    )
    assert (done.returncode, debconf.unasked) == (0, [])
    assert NO_ROLE in debconf.pages[len(EVERY_QUESTION)]
    assert debconf.given["PG_ADMIN_PASS"] == 'a "quoted" word'
    assert debconf.occurrences("quoted") == []


def test_an_editor_that_changes_nothing_does_not_get_the_same_question_for_ever(
    debconf: Debconf,
) -> None:
    debconf.install_command()
    debconf.select(DATABASE="existing")
    debconf.edit()
    assert debconf.given["PG_HOST"] == ""
    debconf.command_ends_with(3, found=MISSING)
    assert debconf.edit().returncode == 3
