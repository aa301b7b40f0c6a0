"""The gateway seen from outside: LiteLLM on 4000, the wrapper on 4010. The only HTTP client.

Nothing is sent to whom `answerer` has not seen to be the port's unit, and no answer counts of
anybody else.
"""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from hx_gateway_db.findings import Finding
from hx_gateway_db.gateway import answerer, sentences
from hx_gateway_db.gateway.answerer import HOST, LITELLM, WRAPPER, NotTheUnit, Service
from hx_gateway_db.gateway.exchange import NoHttp, exchange
from hx_gateway_db.layout import LITELLM_PORT
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.values import Redis
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import ServiceFailed

_SECONDS = 10.0
_STATUS_SECONDS = 3.0
# A look at the whole chain makes four at most.
_REQUESTS_A_MINUTE = 10
_LARGEST_ANSWER = 4 * 1024 * 1024


class NotAnswering(Exception):
    """No HTTP answer; the message says, as a clause, what happened instead."""


class HeldByAnother(NotAnswering):
    """A process that is not the unit's is on its port; what it answers does not count."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


class ProofFailed(Exception):
    """The gateway does not answer as one that has its database; `finding` says how.

    `port` is the one that was asked.
    """

    def __init__(self, finding: Finding, port: int = LITELLM_PORT) -> None:
        super().__init__(finding.sentence)
        self.finding = finding
        self.port = port


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `body` is the decoded JSON, or None when it is none."""

    status: int
    body: Any
    text: str

    @property
    def message(self) -> str:
        """What it says of an error, in one line."""
        message = self.text
        if isinstance(self.body, dict):
            error = self.body.get("error", self.body.get("detail", self.body))
            message = str(error.get("message", error) if isinstance(error, dict) else error)
        return " ".join(message.split())


@dataclass(frozen=True)
class VirtualKey:
    """A key that LiteLLM has made, and the requests per minute that it gives one; None: any."""

    key: str = field(repr=False)
    rpm_limit: int | None = None


@dataclass(frozen=True)
class Entry:
    """Where and with which key the gateway is asked; `forwarded`: a virtual key works there."""

    service: Service
    key: str = field(repr=False)
    forwarded: bool = True

    @property
    def port(self) -> int:
        return self.service.port


def call(
    service: Service,
    method: str,
    path: str,
    key: str | None = None,
    body: object = None,
    seconds: float = _SECONDS,
) -> Answer:
    """One request to a service of this machine, all within `seconds`. Raises NotAnswering."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key:
        if not _fits_a_header(key):
            raise NotAnswering(
                f"port {service.port} was not asked: the key has characters that no HTTP header"
                " can have"
            )
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body)
    status, read = _ask(service, (method, path), headers, data, seconds, _LARGEST_ANSWER)
    text = read.decode(errors="replace")
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        decoded = None
    return Answer(status, decoded, text)


def status(service: Service, path: str, seconds: float = _STATUS_SECONDS) -> int:
    """The status of an answer to GET, of which no more is read. Raises NotAnswering."""
    return _ask(service, ("GET", path), {}, None, seconds, 0)[0]


def health(unit: str, litellm: Service = LITELLM, wrapper: Service = WRAPPER) -> int:
    """The status of a unit's own health check. Raises NotAnswering."""
    if unit == litellm.unit:
        return status(litellm, "/health/liveliness")
    return status(wrapper, "/healthz")


def unanswered(name: str, port: int, error: NotAnswering) -> Finding:
    """The finding of that name for a port that has not answered."""
    if isinstance(error, HeldByAnother):
        return replace(error.finding, name=name)
    return sentences.no_answer(name, port, str(error))


def _ask(
    service: Service,
    request: tuple[str, str],
    headers: Mapping[str, str],
    body: str | None,
    seconds: float,
    most: int,
) -> tuple[int, bytes]:
    port = service.port
    unknown = f"it can't be told who answers on port {port}"
    if not units.available():
        raise NotAnswering(f"{unknown}, since systemd does not run here")
    deadline = time.monotonic() + seconds
    try:
        source = (service.source, 0) if service.source else None
        with socket.create_connection((HOST, port), seconds, source) as connection:
            answerer.see(connection, service, deadline)
            answer = exchange(connection, request, headers, body, most, deadline)
            answerer.see_again(connection, service)
            return answer
    except NotTheUnit as error:
        finding = answerer.held("", port, error.stranger)
        if error.stranger.process.pid:
            raise HeldByAnother(finding) from None
        # It may be the unit's own that is just ending.
        raise NotAnswering(finding.what) from None
    except ServiceFailed as error:
        raise NotAnswering(f"{unknown} ({said(str(error)).rstrip('.')})") from None
    except TimeoutError:
        reason = f"did not answer within {seconds:.0f} s"
    except ConnectionRefusedError:
        reason = "does not answer: nobody listens there"
    except (OSError, NoHttp):
        reason = "ends the connection without an HTTP answer"
    raise NotAnswering(f"port {port} {reason}")


def _fits_a_header(key: str) -> bool:
    return key.isprintable() and all(ord(character) < 256 for character in key)


CONNECTED = "connected"


def readiness(service: Service = LITELLM) -> Answer:
    """LiteLLM's readiness; `database_state` reads it. Raises NotAnswering.

    LiteLLM caches what it says of the database (settings/litellm.py: FRESH_READINESS), so ask only
    once it is alive.
    """
    return call(service, "GET", "/health/readiness")


def database_state(litellm: Service = LITELLM) -> str:
    """What LiteLLM says of its database: CONNECTED, or anything else."""
    try:
        answer = readiness(litellm)
    except NotAnswering as error:
        return str(error)
    return state_in(answer) or f"HTTP {answer.status}"


def state_in(answer: Answer) -> str:
    """What a readiness says of the database; empty for one that says nothing."""
    return said(str(answer.body.get("db", ""))) if isinstance(answer.body, dict) else ""


@contextmanager
def virtual_key(master_key: str, service: Service = LITELLM) -> Iterator[VirtualKey]:
    """A key that lives for the length of the block, and ten minutes at most.

    Where the default limit, which it tells, is too low for a check, it may make more requests.
    Raises ProofFailed when LiteLLM can't make one, which without a database it can't.
    """
    body = {"duration": "10m", "metadata": {"made_by": "hx-gateway-db"}}
    answer = _answer(sentences.KEY, service, "POST", "/key/generate", master_key, body)
    made = answer.body if isinstance(answer.body, dict) else {}
    key, limit = made.get("key"), made.get("rpm_limit")
    if answer.status != 200 or not isinstance(key, str):
        raise ProofFailed(sentences.virtual_key_refused(answer.status, answer.message))
    if not isinstance(limit, int):
        limit = None
    try:
        if limit is not None and limit < _REQUESTS_A_MINUTE:
            lifted = {"key": key, "rpm_limit": _REQUESTS_A_MINUTE}
            _answer(sentences.KEY, service, "POST", "/key/update", master_key, lifted)
        yield VirtualKey(key, limit)
    finally:
        # If LiteLLM is gone by now, the key ends by itself.
        with suppress(NotAnswering):
            call(service, "POST", "/key/delete", master_key, {"keys": [key]})


def open_to_all(service: Service = LITELLM) -> bool:
    """Whether LiteLLM asks for no key at all, which it does without a master key."""
    with suppress(NotAnswering):
        return status(service, "/v1/models") == 200
    return False


def models(service: Service, key: str) -> list[str]:
    """The model names that `/v1/models` lists. Raises ProofFailed."""
    answer = _answer(sentences.MODELS, service, "GET", "/v1/models", key)
    listed = answer.body.get("data") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(listed, list):
        finding = sentences.no_models(service.port, answer.status, answer.message)
        raise ProofFailed(finding, service.port)
    return [str(model.get("id")) for model in listed if isinstance(model, dict)]


def check_cache(master_key: str, redis: Redis, service: Service = LITELLM) -> None:
    """See that LiteLLM reaches its cache in Redis. Raises ProofFailed."""
    answer = _answer(sentences.CACHE, service, "GET", "/cache/ping", master_key)
    if answer.status != 200:
        # LiteLLM finds out that a Redis that was restarted has closed a connection by using it.
        answer = _answer(sentences.CACHE, service, "GET", "/cache/ping", master_key)
    if answer.status != 200:
        raise ProofFailed(sentences.cache_refused(redis, answer.message))


def wrapper_entry(key: str, environment: Mapping[str, str], service: Service = WRAPPER) -> Entry:
    """How to ask the wrapper: with the client's key where it forwards it, else with its own.

    `key` is one that LiteLLM accepts; `environment` is the wrapper's. Raises ProofFailed when the
    wrapper accepts neither, or does not get through to LiteLLM.
    """
    port = service.port
    answer = _ask_wrapper(key, service)
    if answer.status not in (401, 403):
        return Entry(service, key)
    if sentences.litellm_refuses(answer.message):
        raise ProofFailed(sentences.wrapper_with_another_litellm(), port)
    own = environment.get("HX_MASTER_KEY") or environment.get("MASTER_KEY")
    if not own:
        raise ProofFailed(sentences.wrapper_without_key(), port)
    answer = _ask_wrapper(own, service)
    if answer.status not in (401, 403):
        return Entry(service, own, forwarded=False)
    if sentences.litellm_refuses(answer.message):
        has_key = bool(environment.get("HX_UPSTREAM_KEY"))
        raise ProofFailed(sentences.wrapper_upstream_refused(has_key), port)
    raise ProofFailed(sentences.wrapper_own_key_refused(), port)


def _ask_wrapper(key: str, service: Service) -> Answer:
    answer = _answer(sentences.WRAPPER, service, "GET", "/v1/models", key)
    if answer.status >= 500:
        raise ProofFailed(sentences.wrapper_without_litellm(answer.status), service.port)
    return answer


def _answer(
    name: str, service: Service, method: str, path: str, key: str | None = None, body: object = None
) -> Answer:
    try:
        return call(service, method, path, key, body)
    except NotAnswering as error:
        raise ProofFailed(unanswered(name, service.port, error), service.port) from None
