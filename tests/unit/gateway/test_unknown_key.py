"""What LiteLLM's answers to a key that nobody has made say of its database, as measured."""

import json

import pytest

from hx_gateway_db.findings import Level
from hx_gateway_db.gateway import http, unknown_key
from hx_gateway_db.gateway.http import Answer, NotAnswering
from hx_gateway_db.gateway.unknown_key import lookup, meaning


def answer(status: int, kind: str, message: str) -> Answer:
    body = {"error": {"message": message, "type": kind, "param": "None", "code": str(status)}}
    return Answer(status, body, json.dumps(body))


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (
            "1.74.15",
            "Authentication Error, Invalid proxy server token passed. Received API Key = sk-...body"
            ", Key Hash (Token) =7336. Unable to find token in cache or"
            " `LiteLLM_VerificationTokenTable`",
        ),
        ("1.108.7", "Authentication Error, Invalid API key provided."),
    ],
)
def test_a_key_that_was_looked_up_and_not_found_is_all_well(version: str, said: str) -> None:
    assert meaning(answer(401, "token_not_found_in_db", said)).level is Level.OK


@pytest.mark.parametrize(
    ("status", "kind", "said", "what", "cure"),
    [
        (400, "no_db_connection", "No connected db.", "without a database", "systemctl restart"),
        (
            503,
            "no_db_connection",
            "Service Unavailable, the authentication database is temporarily unreachable.",
            "has lost its database",
            "start the database",
        ),
        (
            401,
            "auth_error",
            "Authentication Error, Can't reach database server at `127.0.0.1`:`5432`",
            "does not reach its database server",
            "start the database",
        ),
        (
            401,
            "auth_error",
            "Authentication Error, All connection attempts failed",
            "the query engine of LiteLLM on port 4000 has ended",
            "systemctl restart hx-litellm-gateway",
        ),
        (
            401,
            "auth_error",
            'Authentication Error, role "hx_gateway" is not permitted to log in',
            "lets LiteLLM on port 4000 in no more",
            "hx-gateway-db check",
        ),
        (
            401,
            "auth_error",
            'Authentication Error, relation "LiteLLM_VerificationToken" does not exist',
            "a table of LiteLLM on port 4000 is missing",
            "hx-gateway-db verify",
        ),
        (
            401,
            "auth_error",
            "Authentication Error, token_not_found_in_db is what a liar would say",
            "can't look a virtual key up (HTTP 401)",
            "journalctl -u hx-litellm-gateway",
        ),
        (500, "internal", "x\x1b[31m", "can't look a virtual key up (HTTP 500)", "journalctl"),
        (429, "token_not_found_in_db", "", "can't look a virtual key up (HTTP 429)", "journalctl"),
    ],
)
def test_any_other_answer_is_a_failure_with_its_cure(
    status: int, kind: str, said: str, what: str, cure: str
) -> None:
    found = meaning(answer(status, kind, said))
    assert found.level is Level.FAILED
    assert what in found.what and cure in found.cure
    assert found.sentence.isprintable()


@pytest.mark.parametrize("body", [None, [], {"error": "text"}, {"error": {"type": ["x"]}}])
def test_an_answer_of_no_form_is_a_failure(body: object) -> None:
    assert meaning(Answer(401, body, "{")).level is Level.FAILED


def test_who_lets_everybody_in_has_no_virtual_keys() -> None:
    found = meaning(Answer(200, {}, "{}"))
    assert found.level is Level.FAILED and "lets in a key that nobody has made" in found.what


def test_another_key_is_asked_with_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []

    def call(port: int, method: str, path: str, key: str) -> Answer:
        keys.append(key)
        raise NotAnswering("port 4000 does not answer: nobody listens there")

    monkeypatch.setattr(http, "call", call)
    assert {lookup().level, lookup().level} == {Level.FAILED}
    assert len(set(keys)) == 2 and all(key.startswith("sk-") for key in keys)


def test_what_is_asked_is_neither_a_models_route_nor_information() -> None:
    # Of LiteLLM 1.108.7; a refusal at one of them is a row in LiteLLM_SpendLogs.
    assert not unknown_key._PATH.startswith(("/v1", "/key", "/model", "/user", "/health", "/team"))
