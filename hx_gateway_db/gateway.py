"""The gateway seen from outside: LiteLLM on 4000, the wrapper on 4010. The only HTTP client."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Timer
from typing import Any

from hx_gateway_db.layout import LITELLM_PORT, WRAPPER_PORT

_HOST = "127.0.0.1"
_SECONDS = 10.0
_LARGEST_ANSWER = 4 * 1024 * 1024


class NotAnswering(Exception):
    """No HTTP answer; the message says what happened instead."""


class ProofFailed(Exception):
    """The gateway answers, but not as one that has its database; the message says how.

    `port` is the one that was asked.
    """

    def __init__(self, message: str, port: int = LITELLM_PORT) -> None:
        super().__init__(message)
        self.port = port


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `body` is the decoded JSON, or None when it is none."""

    status: int
    body: Any
    text: str

    def reason(self) -> str:
        """Status and error message in one line."""
        message = self.text
        if isinstance(self.body, dict):
            error = self.body.get("error", self.body.get("detail", self.body))
            message = str(error.get("message", error) if isinstance(error, dict) else error)
        return f"HTTP {self.status}: {' '.join(message.split())[:300]}"


def call(
    port: int,
    method: str,
    path: str,
    key: str | None = None,
    body: object = None,
    seconds: float = _SECONDS,
) -> Answer:
    """One request to this machine, all of it within `seconds`. Raises NotAnswering."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPConnection(_HOST, port, timeout=seconds)
    try:
        with _time_limit(connection, seconds) as over:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            text = response.read(_LARGEST_ANSWER).decode(errors="replace")
            if over:
                raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, TimeoutError) or over:
            reason = f"did not answer within {seconds:.0f} s"
        else:
            reason = f"does not answer ({error})"
        raise NotAnswering(f"port {port} {reason}") from None
    except ValueError:
        raise NotAnswering(
            f"port {port} was not asked: the key has characters that no HTTP header can have"
        ) from None
    finally:
        connection.close()
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        decoded = None
    return Answer(response.status, decoded, text)


@contextmanager
def _time_limit(connection: http.client.HTTPConnection, seconds: float) -> Iterator[list[bool]]:
    """Cut the connection off after `seconds`: its own limit starts anew with each byte.

    The list is empty until that happens.
    """
    over: list[bool] = []

    def cut_off() -> None:
        over.append(True)
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()


def alive() -> bool:
    """Whether LiteLLM serves at all."""
    return _status(LITELLM_PORT, "/health/liveliness") == 200


def wrapper_alive() -> bool:
    """Whether the wrapper answers its own health check."""
    return _status(WRAPPER_PORT, "/healthz") == 200


def database_state() -> str:
    """What LiteLLM says of its database: `connected`, or anything else.

    LiteLLM caches the answer (two minutes in 1.74), so ask only once it is alive.
    """
    try:
        answer = call(LITELLM_PORT, "GET", "/health/readiness")
    except NotAnswering as error:
        return str(error)
    if isinstance(answer.body, dict) and answer.status == 200:
        return str(answer.body.get("db", "unknown"))
    return answer.reason()


@contextmanager
def virtual_key(master_key: str) -> Iterator[str]:
    """A key that lives for the length of the block, and ten minutes at most.

    Raises ProofFailed when LiteLLM can't make one, which without a database it can't.
    """
    body = {"duration": "10m", "metadata": {"made_by": "hx-gateway-db"}}
    answer = _answer(LITELLM_PORT, "POST", "/key/generate", master_key, body)
    key = answer.body.get("key") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(key, str):
        raise ProofFailed(f"LiteLLM can't make a virtual key: {answer.reason()}")
    try:
        yield key
    finally:
        # If LiteLLM is gone by now, the key ends by itself.
        with suppress(NotAnswering):
            call(LITELLM_PORT, "POST", "/key/delete", master_key, {"keys": [key]})


def models(port: int, key: str) -> list[str]:
    """The model names that `/v1/models` lists. Raises ProofFailed."""
    answer = _answer(port, "GET", "/v1/models", key)
    if answer.status != 200 or not isinstance(answer.body, dict):
        raise ProofFailed(f"/v1/models on port {port}: {answer.reason()}", port)
    listed = answer.body.get("data")
    if not isinstance(listed, list):
        raise ProofFailed(f"/v1/models on port {port} lists no models: {answer.reason()}", port)
    return [str(model.get("id")) for model in listed if isinstance(model, dict)]


def check_cache(master_key: str) -> None:
    """See that LiteLLM reaches its cache in Redis. Raises ProofFailed."""
    answer = _answer(LITELLM_PORT, "GET", "/cache/ping", master_key)
    if answer.status != 200:
        raise ProofFailed(f"LiteLLM does not reach its cache in Redis: {answer.reason()}")


def wrapper_key(key: str, environment: dict[str, str]) -> str:
    """The key that the wrapper accepts: the client's where it forwards it, else its own.

    `environment` is the wrapper's. Raises ProofFailed when it accepts neither.
    """
    answer = _answer(WRAPPER_PORT, "GET", "/v1/models", key)
    if answer.status != 401:
        return key
    own = environment.get("HX_MASTER_KEY") or environment.get("MASTER_KEY")
    if not own:
        raise ProofFailed(
            "the wrapper refuses a virtual key and has no HX_MASTER_KEY or MASTER_KEY of its own"
            f" in its environment: {answer.reason()}",
            WRAPPER_PORT,
        )
    answer = _answer(WRAPPER_PORT, "GET", "/v1/models", own)
    if answer.status == 401:
        raise ProofFailed(
            "the wrapper accepts its own key, but LiteLLM refuses what the wrapper sends on: set"
            f" HX_UPSTREAM_KEY in the wrapper's environment. {answer.reason()}",
            WRAPPER_PORT,
        )
    return own


def _answer(
    port: int, method: str, path: str, key: str | None = None, body: object = None
) -> Answer:
    try:
        return call(port, method, path, key, body)
    except NotAnswering as error:
        raise ProofFailed(str(error), port) from None


def _status(port: int, path: str) -> int:
    try:
        return call(port, "GET", path, seconds=3.0).status
    except NotAnswering:
        return 0
