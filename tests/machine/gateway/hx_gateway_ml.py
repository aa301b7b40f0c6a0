"""A small gateway wrapper for the tests: an ASGI application in front of LiteLLM.

It answers `/healthz` itself and proxies `/v1/*`. HX_AUTHORIZATION chooses between the two kinds
of wrapper that sites run: `forward` (the default) hands the client's Authorization on, `own-key`
compares it with HX_MASTER_KEY (or MASTER_KEY), answers 401 itself when it differs, and sends
HX_UPSTREAM_KEY to LiteLLM, or no key at all when that is unset.

As the newest that is in use, it looks at PG_URL and REDIS_URL itself and says at `/healthz/deps`
whether it reaches them; one without asyncpg is as the older ones, which have no such thing.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

UPSTREAM = os.environ["HX_LITELLM_UPSTREAM"]
OWN_KEY = os.environ.get("HX_AUTHORIZATION", "forward") == "own-key"
MASTER_KEY = os.environ.get("HX_MASTER_KEY") or os.environ.get("MASTER_KEY", "")
UPSTREAM_KEY = os.environ.get("HX_UPSTREAM_KEY", "")


@asynccontextmanager
async def _upstream_client(application: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(base_url=UPSTREAM, timeout=60) as client:
        application.state.upstream = client
        yield


app = FastAPI(lifespan=_upstream_client)


@app.get("/healthz")
async def healthz() -> dict[str, object]:
    """Say that the wrapper runs, and which of the two servers its environment names."""
    return {
        "ok": True,
        "database": bool(os.environ.get("DATABASE_URL")),
        "redis": bool(os.environ.get("REDIS_URL")),
    }


async def dependencies() -> dict[str, bool]:
    """Say which of the servers that the environment names are reached."""
    return {"postgres": await _reached(_ask_postgres), "redis": await _reached(_ask_redis)}


if find_spec("asyncpg"):
    app.get("/healthz/deps")(dependencies)


async def _reached(ask: Callable[[], Awaitable[object]]) -> bool:
    with suppress(Exception):
        await asyncio.wait_for(ask(), timeout=3)
        return True
    return False


async def _ask_postgres() -> None:
    import asyncpg

    connection = await asyncpg.connect(os.environ["PG_URL"])
    await connection.fetchval("SELECT 1")
    await connection.close()


async def _ask_redis() -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(os.environ["REDIS_URL"]) as client:
        await client.ping()


@app.api_route("/v1/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def proxy(path: str, request: Request) -> Response:
    """Send the request on to LiteLLM and its answer back."""
    authorization = request.headers.get("authorization", "")
    if OWN_KEY:
        if not MASTER_KEY or authorization != f"Bearer {MASTER_KEY}":
            return JSONResponse({"error": {"message": "invalid wrapper key"}}, status_code=401)
        authorization = f"Bearer {UPSTREAM_KEY}" if UPSTREAM_KEY else ""
    headers = {"content-type": request.headers.get("content-type", "application/json")}
    if authorization:
        headers["authorization"] = authorization
    body = await request.body()
    if path == "embeddings":
        body = _prompt_as_input(body)
    try:
        answer = await request.app.state.upstream.request(
            request.method,
            f"/v1/{path}",
            params=request.query_params,
            headers=headers,
            content=body,
        )
    except httpx.HTTPError as error:
        message = f"LiteLLM does not answer: {type(error).__name__}"
        return JSONResponse({"error": {"message": message}}, status_code=502)
    return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])


def _prompt_as_input(body: bytes) -> bytes:
    request = json.loads(body)
    if "prompt" in request and "input" not in request:
        request["input"] = request.pop("prompt")
    return json.dumps(request).encode()
