"""Answers, and the settings that they lead to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hx_gateway_db.errors import InvalidSettings, UsageError
from hx_gateway_db.settings.answers import (
    KEYS,
    administrators,
    from_settings,
    parse_answers,
    to_answer,
    to_settings,
    written,
)
from hx_gateway_db.settings.catalogue import VARIABLES
from hx_gateway_db.settings.urls import database_url, parse_database_url
from hx_gateway_db.settings.values import Cache, Login, Postgres, Redis, Settings

# What the rows of the table say that are lines and nothing else, without an answer and with others.
UNANSWERED = tuple((row.variable, row.default) for row in VARIABLES if row.default)
ANSWERED = tuple((name, "false" if said == "true" else said) for name, said in UNANSWERED)
PRESENT = Settings(
    Postgres("db1", "d", "u", "old", parameters=(("connection_limit", "5"),)),
    Redis("r1", user="ru", password="rp", tls=True),
    Cache(30),
    variables=UNANSWERED,
)


def no_password() -> str:
    raise AssertionError("no password was to be generated")


def test_values_are_taken_literally() -> None:
    text = '# from the vault\nPG_HOST=db1\n\nPG_PASS= a\\b="c" # d\' \r\n'
    assert parse_answers(text, "x") == {"PG_HOST": "db1", "PG_PASS": ' a\\b="c" # d\' '}


@pytest.mark.parametrize("line", ["PG_HOST", "geheim", "PG_PASSWORD=geheim", "PG_DB=a\nPG_DB=b"])
def test_a_line_that_is_no_answer_is_refused_with_its_place_but_not_its_value(line: str) -> None:
    with pytest.raises(UsageError, match=r"secrets\.txt, line \d") as refusal:
        parse_answers(line, "secrets.txt")
    assert "geheim" not in str(refusal.value)


def test_host_and_password_are_enough() -> None:
    settings = to_settings({"PG_HOST": "db1", "PG_PASS": "p"}, None, no_password)
    postgres = Postgres("db1", "hx_gateway", "hx_gateway", "p")
    assert settings == Settings(postgres, variables=UNANSWERED)


def test_a_redis_host_alone_switches_redis_on() -> None:
    settings = to_settings(
        {"PG_HOST": "db1", "PG_PASS": "p", "REDIS_HOST": "r1"}, None, no_password
    )
    assert settings.redis == Redis("r1")


def test_no_answers_keep_everything_that_the_host_has() -> None:
    assert to_settings({}, PRESENT, no_password) == PRESENT


def test_an_empty_answer_is_no_answer_whichever_it_is() -> None:
    checked = replace(PRESENT.postgres, sslmode="verify-full", ca_file="/ca")
    assert PRESENT.redis
    present = replace(PRESENT, postgres=checked, redis=replace(PRESENT.redis, ca_file="/ca"))
    for key in KEYS:
        assert to_settings({key: ""}, present, no_password) == present, key


def test_none_takes_away_what_can_be_without() -> None:
    checked = replace(PRESENT.postgres, sslmode="verify-full", ca_file="/ca")
    present = replace(PRESENT, postgres=checked)
    given = {"PG_SSLROOTCERT": "none", "REDIS_USER": "none"}
    settings = to_settings(given, present, no_password)
    assert (settings.postgres.sslmode, settings.postgres.ca_file) == ("verify-full", "")
    assert settings.redis == Redis("r1", password="rp", tls=True)
    settings = to_settings({"REDIS_USER": "none", "REDIS_PASS": "none"}, present, no_password)
    assert settings.redis == Redis("r1", tls=True)
    named = {"PG_PASS": "none", "PG_DB": "none", "PG_USER": "none"}
    postgres = to_settings(named, present, no_password).postgres
    assert (postgres.password, postgres.database, postgres.user) == ("none", "none", "none")


def test_what_a_host_has_is_written_as_answers_that_lead_to_it() -> None:
    assert PRESENT.redis
    whole = replace(PRESENT, postgres=replace(PRESENT.postgres, parameters=()))
    for present in (whole, replace(whole, redis=replace(PRESENT.redis, user="", tls=False))):
        given = to_answer(from_settings(present))
        other = Settings(
            Postgres("db9", "x", "y", "z", sslmode="verify-full", ca_file="/ca"),
            Redis("r9", user="u", password="v", tls=True, ca_file="/ca"),
        )
        assert to_settings(given, other, no_password) == present


def test_redis_without_tls_keeps_no_parameters_for_tls() -> None:
    parameters = (("ssl_cert_reqs", "none"), ("socket_timeout", "5"))
    redis = Redis("r1", tls=True, parameters=parameters)
    present = Settings(Postgres("db1", "d", "u", "old"), redis)
    assert to_settings({}, present, no_password).redis == redis
    plain = to_settings({"REDIS_TLS": "false"}, present, no_password).redis
    assert plain == Redis("r1", parameters=parameters[1:])


def test_switching_redis_off_needs_the_cache_off_too() -> None:
    with pytest.raises(InvalidSettings, match="CACHE"):
        to_settings({"REDIS": "false"}, PRESENT, no_password)
    assert to_settings({"REDIS": "false", "CACHE": "false"}, PRESENT, no_password).redis is None


def test_a_local_database_gets_a_generated_password_once() -> None:
    settings = to_settings({"DATABASE": "local"}, None, lambda: "generated")
    assert (settings.postgres.host, settings.postgres.password) == ("127.0.0.1", "generated")
    again = to_settings({"DATABASE": "local"}, settings, no_password)
    assert again == settings


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        ({}, "PG_HOST"),
        ({"PG_HOST": "h"}, "PG_PASS"),
        ({"PG_HOST": "h", "PG_PASS": "p", "PG_PORT": "x"}, "PG_PORT"),
        ({"PG_HOST": "h", "PG_PASS": "p", "REDIS": "maybe"}, "REDIS"),
        ({"DATABASE": "somewhere"}, "DATABASE"),
    ],
)
def test_what_is_missing_or_wrong_is_named(answers: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidSettings, match=named):
        to_settings(answers, None, no_password)


def test_settings_become_answers_that_lead_back_to_them() -> None:
    plain = Settings(Postgres("db1", "d", "u", "p"), Redis("r1"), variables=ANSWERED)
    assert to_settings(from_settings(plain), None, no_password) == plain


def test_what_needs_what_was_switched_off_goes_with_it() -> None:
    present = Settings(
        Postgres("h", "d", "u", "p", sslmode="verify-full", ca_file="/ca"),
        Redis("r", tls=True, ca_file="/ca"),
        transaction_buffer=True,
    )
    plain = to_settings({"PG_SSLMODE": "require", "REDIS_TLS": "false"}, present, no_password)
    assert plain.postgres.ca_file == ""
    assert plain.redis == Redis("r")
    assert plain.transaction_buffer
    assert not to_settings({"REDIS": "false"}, present, no_password).transaction_buffer


def test_prisma_checks_the_name_wherever_it_checks_the_certificate() -> None:
    given = {"PG_HOST": "h", "PG_PASS": "p", "PG_SSLMODE": "verify-ca"}
    assert to_settings(given, None, no_password).postgres.sslmode == "verify-full"


def test_an_administrator_s_login_is_no_part_of_the_settings() -> None:
    given = {
        "PG_HOST": "h",
        "PG_PASS": "p",
        "PG_ADMIN_USER": "postgres",
        "PG_ADMIN_PASS": "geheim",
        "REDIS_ADMIN_PASS": "ra",
    }
    assert administrators(given) == {
        "postgres": Login("postgres", "geheim"),
        "redis": Login("default", "ra"),
    }
    settings = to_settings(given, None, no_password)
    assert settings == to_settings({"PG_HOST": "h", "PG_PASS": "p"}, None, no_password)
    assert "geheim" not in repr(administrators(given))


def test_an_empty_redis_host_is_no_answer() -> None:
    given = {"PG_HOST": "db1", "PG_PASS": "p", "REDIS_HOST": ""}
    assert to_settings(given, None, no_password).redis is None


def test_a_mode_that_prisma_does_not_know_stays_with_prefer_and_goes_with_another() -> None:
    url = "postgresql://u:p@h:5432/d?sslmode=verify-full&connection_limit=3"
    present = Settings(parse_database_url(url))
    kept = to_settings({"PG_SSLMODE": "prefer"}, present, no_password)
    assert database_url(kept.postgres) == url
    asked = to_settings({"PG_SSLMODE": "verify-full"}, present, no_password)
    assert asked.postgres.sslmode == "verify-full"
    assert "sslmode=require&sslaccept=strict" in database_url(asked.postgres)
    assert "verify-full" not in database_url(asked.postgres)


def test_what_can_be_read_of_a_url_that_cannot_be_used_takes_the_place_of_defaults() -> None:
    readable = {"PG_DB": "litellm", "PG_USER": "llm", "PG_PASS": "p"}
    settings = to_settings({"PG_HOST": "db1"}, None, no_password, readable)
    assert (settings.postgres.database, settings.postgres.user) == ("litellm", "llm")
    with pytest.raises(InvalidSettings, match="PG_HOST is missing"):
        to_settings({}, None, no_password, readable)


@pytest.mark.parametrize("mark", ["'", '"'])
def test_a_value_in_quotes_is_asked_about_and_the_cure_works(mark: str) -> None:
    with pytest.raises(UsageError, match="line 2: the value of PG_PASS is in quotes") as error:
        parse_answers(f"PG_HOST=db1\nexport PG_PASS={mark}geh eim{mark}", "the file")
    assert "geh eim" not in str(error.value) and mark * 2 in str(error.value)
    really = f"PG_PASS={mark * 2}geh eim{mark * 2}"
    assert parse_answers(really, "the file") == {"PG_PASS": f"{mark}geh eim{mark}"}


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n")))
def test_what_is_written_is_read_back(value: str) -> None:
    assert parse_answers(f"PG_USER={written(value)}", "the file") == {"PG_USER": value}


@pytest.mark.parametrize("beginning", ["\ufeff", "export\t", "export  ", "\ufeffexport \t"])
def test_what_an_editor_or_a_shell_puts_before_a_key_is_no_part_of_it(beginning: str) -> None:
    assert parse_answers(f"{beginning}PG_HOST=db1\n", "the file") == {"PG_HOST": "db1"}


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (
            {"PG_HOST": "postgresql://u:geheim@db1:5433/d?sslmode=require"},
            "PG_HOST is a whole URL: answer its parts, PG_HOST=db1, PG_PORT=5433, PG_DB=d,"
            " PG_USER=u, the password as PG_PASS.",
        ),
        (
            {"PG_HOST": "db1", "REDIS_HOST": "redis://:geheim@r1/2"},
            "REDIS_HOST is a whole URL: answer its parts, REDIS_HOST=r1, REDIS_DB=2, the password"
            " as REDIS_PASS.",
        ),
        ({"PG_HOST": "://"}, "PG_HOST is a whole URL: answer its parts."),
        (
            {"PG_HOST": "db1:5433"},
            "PG_HOST has a port as well: answer PG_PORT=5433, and the host alone as PG_HOST.",
        ),
        (
            {"PG_HOST": "[::1]:5433"},
            "PG_HOST has a port as well: answer PG_PORT=5433, and the host alone as PG_HOST.",
        ),
        (
            {"PG_HOST": "[::1]"},
            "PG_HOST is an IPv6 address in brackets: leave the brackets out.",
        ),
        (
            {"PG_HOST": "db1", "REDIS_HOST": "fe80::1%eth0"},
            "REDIS_HOST has a zone (%), which LiteLLM's client libraries can't use: answer an"
            " address that holds without one, or a name.",
        ),
        (
            {"DATABASE": "local", "PG_HOST": "db1"},
            "PG_HOST is answered beside DATABASE=local, which makes one on this machine: leave"
            " PG_HOST out, or answer DATABASE=existing.",
        ),
        (
            {"PG_HOST": "db1", "REDIS_PASS": "geheim"},
            "REDIS_PASS is answered, but not for which Redis: answer REDIS_HOST.",
        ),
    ],
)
def test_what_is_written_otherwise_than_meant_is_told_with_what_to_write(
    answers: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InvalidSettings) as error:
        to_settings({"PG_PASS": "p", **answers}, None, no_password)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "answers",
    [
        {"PG_HOST": "2001:db8::1"},
        {"PG_HOST": "::1"},
        {"DATABASE": "local", "PG_HOST": "127.0.0.1"},
        {"DATABASE": "local", "PG_HOST": ""},
        {"PG_HOST": "db1", "REDIS": "false", "REDIS_PASS": "p"},
        {"PG_HOST": "db1", "REDIS": "true", "REDIS_PASS": "p"},
    ],
)
def test_what_is_written_as_meant_is_taken(answers: dict[str, str]) -> None:
    to_settings({"PG_PASS": "p", **answers}, None, no_password)
