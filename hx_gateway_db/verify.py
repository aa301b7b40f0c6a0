"""The specification's step 6 as a table: each check with its time and a plain reason."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum

from hx_gateway_db import gateway, services
from hx_gateway_db.gateway import Answer, NotAnswering, ProofFailed
from hx_gateway_db.host import Host
from hx_gateway_db.layout import LITELLM_PORT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.proof import find_master_key

EMBEDDING_MODEL = "emb-premium"
CHAT_MODEL = "hx-chat"
_MODEL_SECONDS = 60.0


class Result(Enum):
    """A warning is a model's own backend failing, which is not the database's fault."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Row:
    """One check; `seconds` is how long it took."""

    name: str
    result: Result
    seconds: float
    detail: str


class _Skip(Exception):
    """The check can't be made; the message says why."""


class _BackendFailed(Exception):
    """The gateway is fine, the model behind it is not."""


def verify(host: Host) -> Iterator[Row]:
    """Run the checks one after the other, yielding each row as it is known."""
    yield _row("database of LiteLLM", _readiness)
    yield _row("wrapper health", _wrapper_health)
    with ExitStack() as stack:
        keys: list[str] = []
        yield _row("virtual key", lambda: _virtual_key(host, stack, keys))
        yield _row("models", lambda: _models(keys))
        yield _row("embedding", lambda: _embedding(keys))
        yield _row("chat", lambda: _chat(keys))


def _row(name: str, check: Callable[[], str]) -> Row:
    started = time.monotonic()
    try:
        result, detail = Result.OK, check()
    except _Skip as reason:
        result, detail = Result.SKIPPED, str(reason)
    except _BackendFailed as reason:
        result, detail = Result.WARNING, str(reason)
    except (ProofFailed, NotAnswering) as reason:
        result, detail = Result.FAILED, str(reason)
    return Row(name, result, time.monotonic() - started, detail)


def _readiness() -> str:
    state = gateway.database_state()
    if state != "connected":
        raise ProofFailed(state)
    return state


def _wrapper_health() -> str:
    answer = gateway.call(WRAPPER_PORT, "GET", "/healthz")
    if answer.status != 200:
        raise ProofFailed(answer.reason())
    return f"HTTP {answer.status}"


def _virtual_key(host: Host, stack: ExitStack, keys: list[str]) -> str:
    config = host.files[host.layout.config_yaml]
    master = find_master_key(config.content if config else b"")
    if master is None:
        raise _Skip("no master key in config.yaml or the unit's environment")
    key = stack.enter_context(gateway.virtual_key(master))
    names = gateway.models(LITELLM_PORT, key)
    keys.append(gateway.wrapper_key(key, services.environment(services.unit(WRAPPER_UNIT))))
    through = "it" if keys[0] == key else "its own key"
    return f"{len(names)} models for it; the wrapper accepts {through}"


def _models(keys: list[str]) -> str:
    names = gateway.models(WRAPPER_PORT, _key(keys))
    return f"{len(names)} models on port {WRAPPER_PORT}"


def _embedding(keys: list[str]) -> str:
    body = {"model": EMBEDDING_MODEL, "input": "HX-OK"}
    answer = _ask(keys, "/v1/embeddings", EMBEDDING_MODEL, body)
    try:
        return f"{len(answer.body['data'][0]['embedding'])} numbers"
    except (KeyError, IndexError, TypeError):
        raise _BackendFailed(f"no embedding in the answer: {answer.reason()}") from None


def _chat(keys: list[str]) -> str:
    question = {"role": "user", "content": "Return exactly the text: HX-OK"}
    body = {"model": CHAT_MODEL, "messages": [question], "max_tokens": 10, "temperature": 0}
    answer = _ask(keys, "/v1/chat/completions", CHAT_MODEL, body)
    try:
        said = str(answer.body["choices"][0]["message"]["content"]).strip()
    except (KeyError, IndexError, TypeError):
        raise _BackendFailed(f"no reply in the answer: {answer.reason()}") from None
    if said != "HX-OK":
        raise _BackendFailed(f"the model replied {said[:60]!r} instead of 'HX-OK'")
    return said


def _ask(keys: list[str], path: str, model: str, body: object) -> Answer:
    key = _key(keys)
    if model not in gateway.models(WRAPPER_PORT, key):
        raise _Skip(f"the gateway has no model {model}")
    answer = gateway.call(WRAPPER_PORT, "POST", path, key, body, _MODEL_SECONDS)
    if answer.status in (401, 403) or "No connected db" in answer.text:
        raise ProofFailed(answer.reason())
    if answer.status != 200:
        raise _BackendFailed(answer.reason())
    return answer


def _key(keys: list[str]) -> str:
    if not keys:
        raise _Skip("there is no key to ask with")
    return keys[0]
