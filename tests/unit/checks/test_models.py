"""What a model's answer can be without doing us any harm."""

import pytest

from hx_gateway_db.checks import models
from hx_gateway_db.gateway import http
from hx_gateway_db.gateway.answerer import LITELLM
from hx_gateway_db.gateway.http import Answer, Entry

ENTRY = Entry(LITELLM, "sk-of-ours-1234")


def answers(monkeypatch: pytest.MonkeyPatch, body: object) -> None:
    monkeypatch.setattr(http, "call", lambda *_: Answer(200, body, ""))
    monkeypatch.setattr(models, "_PAUSES", (0.0, 0.0))


@pytest.mark.parametrize("identifier", [[], {}, None, 7])
def test_an_id_that_is_no_text_is_compared_like_one(
    monkeypatch: pytest.MonkeyPatch, identifier: object
) -> None:
    answers(monkeypatch, {"id": identifier})
    assert models.cached_again(ENTRY, str(identifier))
    assert models.cached_again(ENTRY, "another")  # the second is the first one's again


def test_a_reply_is_shown_in_one_line_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    content = "x" * 55 + f"{ENTRY.key}\033[2J" + "y" * 1_000_000
    answers(monkeypatch, {"id": "1", "choices": [{"message": {"content": content}}]})
    found, _ = models.chat(ENTRY, ["hx-chat"], cache_on=False)
    assert "x" * 55 in found.what and "sk-of" not in found.what and "\033" not in found.what
    assert len(found.what) < 200
