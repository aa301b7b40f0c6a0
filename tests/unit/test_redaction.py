"""No secret survives redaction."""

import json
from collections.abc import Callable

import pytest

from hx_gateway_db.redaction import printable, redact, said, said_lines


def test_a_secret_goes_raw_and_percent_encoded() -> None:
    text = "raw p@ss w, url p%40ss%20w, form p%40ss+w"
    assert redact(text, ["p@ss w"]) == "raw ***, url ***, form ***"


@pytest.mark.parametrize("form", [repr, json.dumps])
def test_a_secret_that_a_program_logged_in_quotes_goes(form: Callable[[str], str]) -> None:
    secret = "qu'o\"te\\d"
    quoted = form(secret)
    assert secret not in quoted
    assert redact(f"login with {quoted}!", [secret]) == f"login with {quoted[0]}***{quoted[-1]}!"


def test_the_password_of_any_url_goes() -> None:
    assert redact("-DATABASE_URL=postgresql://u:old@h:5432/d") == (
        "-DATABASE_URL=postgresql://u:***@h:5432/d"
    )
    assert redact("redis://:pw@h:6379/0") == "redis://:***@h:6379/0"


def test_litellm_keys_go() -> None:
    assert redact("key sk-hx-dev-1234 was refused") == "key *** was refused"


def test_text_without_secrets_stays() -> None:
    assert redact("http://127.0.0.1:4000/health said no", [""]) == (
        "http://127.0.0.1:4000/health said no"
    )


def test_of_many_lines_the_last_are_said_each_cut_and_indented() -> None:
    text = "first\n  File x\n" + "    " + "y" * 400 + "\nlast: a b secret\x1b[0m"
    assert said_lines(text, ["a b secret"], most_lines=3) == [
        "  File x",
        "    " + "y" * 300 + " ...",
        "last: ***\ufffd[0m",
    ]


def test_a_secret_at_the_cut_is_out_before_it_is_cut() -> None:
    for filling in range(280, 305):
        line = f"{'x' * filling}correct horse battery"
        assert "corr" not in said(line, ["correct horse battery"])
        assert "geh" not in said(f"{'x' * filling} postgresql://u:geheim@db1/d")


@pytest.mark.parametrize(
    "sign", ["\x1b", "\x9b", "\x7f", "\r", "\u202e", "\u2066", "\ud800", "\u2028"]
)
def test_nothing_that_does_more_than_appear_is_printable(sign: str) -> None:
    assert printable(f"a{sign}b\tc\n") == "a\ufffdb\tc\n"


def test_exact_text_keeps_what_is_no_control_character() -> None:
    assert printable("\u202e\u200d\ue000\x1b\x9b", exact=True) == "\u202e\u200d\ue000\ufffd\ufffd"
