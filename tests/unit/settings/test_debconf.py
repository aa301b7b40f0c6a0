"""What debconf is told of a host, and of answers that contradict what was edited there."""

import subprocess

import pytest

from hx_gateway_db.findings import Cure, Subject
from hx_gateway_db.settings.debconf import (
    answers_to_apply,
    debconf_lines,
    finding_lines,
    given_answers,
)

TODAY = {"DATABASE": "existing", "PG_HOST": "db1", "PG_USER": r"a \ b", "PG_PASS": "geheim"}
EDITED = ("DATABASE", "PG_HOST", "PG_USER", "PG_PASS")


def told(edited: tuple[str, ...] = (), **given: str) -> list[str]:
    return list(debconf_lines(TODAY, edited, given))


def test_todays_values_are_set_but_for_what_was_answered_and_no_password_is_told() -> None:
    assert told() == ["set database existing", "set pg-host db1", r"set pg-user a\ \\\ b"]
    assert told(PG_HOST="db2", PG_PASS="p") == ["set database existing", r"set pg-user a\ \\\ b"]


def test_an_answer_that_contradicts_an_edit_is_shown_beside_what_was_edited() -> None:
    lines = told(EDITED, DATABASE="local", PG_HOST="db2", PG_USER=r"a \ b", PG_PASS="other")
    assert lines == [
        "keep database existing",
        "keep pg-host db1",
        "keep pg-pass ",
        r"changes \ DATABASE:\ existing\ ->\ local\n\ PG_HOST:\ db1\ ->\ db2\n"
        r"\ PG_PASS:\ (not\ shown)",
    ]


def test_what_changes_nothing_contradicts_no_edit() -> None:
    lines = told(EDITED, DATABASE="later", PG_HOST="db1", PG_PASS="")
    assert lines == [r"set pg-user a\ \\\ b"]


@pytest.mark.parametrize("control", ["\x1b]0;x\x07", "\x9b31m", "\r", "\x7f"])
def test_a_terminal_is_told_nothing_that_it_would_obey(control: str) -> None:
    given = {"PG_HOST": f"b{control}"}
    lines = list(debconf_lines({"PG_HOST": f"a{control}", "PG_DB": control}, ["PG_HOST"], given))
    assert not set("\x1b\x07\x9b\r\x7f") & set("".join(lines))


def test_answers_are_read_out_of_debconfs_escapes() -> None:
    lines = (
        "pg-host=db1\npg-user=a\\ \\\\\\ b\npg-pass=\nredis-user=one\\ntwo\npg-admin-user=x\nno\n"
    )
    assert given_answers(lines) == {
        "PG_HOST": "db1",
        "PG_USER": r"a \ b",
        "PG_PASS": "",
        # What debconf's files make a line break of.
        "REDIS_USER": r"one\ntwo",
        "PG_ADMIN_USER": "x",
    }


def test_for_an_apply_an_empty_field_is_meant_to_be_so_and_a_host_elsewhere_is_not() -> None:
    lines = "database=local\npg-host=db1\nredis-user=\nredis-cacert=\npg-pass=\nredis-pass=\n"
    assert answers_to_apply(lines) == {
        "DATABASE": "local",
        "REDIS_USER": "none",
        "REDIS_CACERT": "none",
        "PG_PASS": "",
        "REDIS_PASS": "",
    }
    assert answers_to_apply("database=existing\npg-host=db1\n")["PG_HOST"] == "db1"


def test_postinst_is_told_what_to_show_who_cures_it_and_what_to_ask() -> None:
    found = (
        Subject("postgres.login", "db1").failed("It refuses\x1b", by=Cure.POSTGRES_ADMINISTRATOR),
        Subject("postgres.version", "db1").ok("it is new"),
        Subject("gateway.ca-file", "f", ("REDIS_CACERT",)).failed("No file", cure="put it there"),
        Subject("postgres.administrator", "db1", ("PG_ADMIN_PASS",)).failed(
            "It refuses the boss", by=Cure.POSTGRES_ADMINISTRATOR
        ),
    )
    assert list(finding_lines(found)) == [
        r"findings -\ It\ refuses.\n-\ No\ file:\ put\ it\ there.\n-\ It\ refuses\ the\ boss.",
        "cure postgres",
        "propose administrator",
        "ask pg-user pg-pass redis-cacert",
    ]
    assert "propose retry" in finding_lines(found[:1])


def test_debconfs_own_program_reads_the_escapes_as_they_are_meant() -> None:
    value = 'a \\ b\\n  c\t"d"'
    (line,) = debconf_lines({"PG_USER": value}, (), {})
    escaped = line.removeprefix("set pg-user ")
    done = subprocess.run(
        ["debconf-escape", "-u"], input=escaped, capture_output=True, text=True, check=True
    )
    assert done.stdout == value
