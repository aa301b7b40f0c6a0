"""Chat and embedding as a client asks for them, and the second chat that the cache answers."""

import time

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.gateway import http, sentences
from hx_gateway_db.gateway.http import Answer, Entry, HeldByAnother, NotAnswering
from hx_gateway_db.redaction import said

CHAT = "model.chat"
EMBEDDING = "model.embedding"
CHAT_MODEL = "hx-chat"
EMBEDDING_MODEL = "emb-premium"
# A model that has to be loaded first takes its time.
_MODEL_SECONDS = 60.0
_EXPECTED = "HX-OK"
_SHOWN = 60
# A request that is answered from the cache proves nothing of the model. The reply is stored.
_PAST_THE_CACHE = {"no-cache": True, "use-cache": True}
_FROM_THE_CACHE = {"use-cache": True}
# LiteLLM stores a reply after it has sent it.
_PAUSES = (0.05, 0.5)


def chat(entry: Entry, models: list[str], cache_on: bool) -> tuple[Finding, str]:
    """The specification's chat, and the id in its reply, empty if there was none.

    With the cache on, it is one that does not come from there.
    """
    if CHAT_MODEL not in models:
        return _no_model(CHAT, CHAT_MODEL), ""
    answer = _ask(CHAT, CHAT_MODEL, entry, _chat_body(_PAST_THE_CACHE if cache_on else None))
    if isinstance(answer, Finding):
        return answer, ""
    where = f"port {entry.port}"
    try:
        reply = str(answer.body["id"])
        content = str(answer.body["choices"][0]["message"]["content"]).strip()
    except (KeyError, IndexError, TypeError):
        what = f"the answer of {CHAT_MODEL} holds no reply"
        return Subject(CHAT, where).warning(what), ""
    if content != _EXPECTED:
        shown = said(content, (entry.key,), _SHOWN)
        what = f"{CHAT_MODEL} replied {shown!r} instead of {_EXPECTED!r}"
        return Subject(CHAT, where).warning(what), reply
    return Subject(CHAT, where).ok(f"{CHAT_MODEL} on {where} says {_EXPECTED}"), reply


def embedding(entry: Entry, models: list[str], cache_on: bool) -> Finding:
    """The specification's embedding. With the cache on, one that does not come from it."""
    if EMBEDDING_MODEL not in models:
        return _no_model(EMBEDDING, EMBEDDING_MODEL)
    body: dict[str, object] = {"model": EMBEDDING_MODEL, "input": _EXPECTED}
    if cache_on:
        body["cache"] = _PAST_THE_CACHE
    answer = _ask(EMBEDDING, EMBEDDING_MODEL, entry, body, "/v1/embeddings")
    if isinstance(answer, Finding):
        return answer
    where = f"port {entry.port}"
    try:
        count = len(answer.body["data"][0]["embedding"])
    except (KeyError, IndexError, TypeError):
        what = f"the answer of {EMBEDDING_MODEL} holds no numbers"
        return Subject(EMBEDDING, where).warning(what)
    return Subject(EMBEDDING, where).ok(f"{EMBEDDING_MODEL} on {where} gives {count} numbers")


def cached_again(entry: Entry, reply: str) -> bool:
    """Whether the same chat, asked again, is answered from the cache: with an earlier reply's id.

    It is asked twice at most: each time that the cache does not answer, the model does.
    """
    replies = {reply}
    for pause in _PAUSES:
        time.sleep(pause)
        answer = _ask(sentences.CACHE, CHAT_MODEL, entry, _chat_body(_FROM_THE_CACHE))
        if isinstance(answer, Finding) or not isinstance(answer.body, dict):
            return False
        again = str(answer.body.get("id"))
        if again in replies:
            return True
        replies.add(again)
    return False


def _chat_body(cache: dict[str, bool] | None) -> dict[str, object]:
    question = {"role": "user", "content": f"Return exactly the text: {_EXPECTED}"}
    body: dict[str, object] = {
        "model": CHAT_MODEL,
        "messages": [question],
        "max_tokens": 10,
        "temperature": 0,
    }
    return body | {"cache": cache} if cache else body


def _ask(
    name: str, model: str, entry: Entry, body: object, path: str = "/v1/chat/completions"
) -> Answer | Finding:
    try:
        answer = http.call(entry.service, "POST", path, entry.key, body, _MODEL_SECONDS)
    except HeldByAnother as error:
        return http.unanswered(name, entry.port, error)
    except NotAnswering as error:
        return Subject(name, f"port {entry.port}").warning(f"{model} gives no reply: {error}")
    if answer.status != 200:
        return sentences.model_failed(name, model, answer.status, answer.message)
    return answer


def _no_model(name: str, model: str) -> Finding:
    return Subject(name, "config.yaml").skipped(f"the gateway has no model {model}")
