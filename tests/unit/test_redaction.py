"""No secret survives redaction."""

import json
from collections.abc import Callable

import pytest

from hx_gateway_db.redaction import redact


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
