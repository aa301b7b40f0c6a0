"""What LiteLLM 1.74.15, 1.108.7 and wrappers answered when they said no, and what that means."""

import pytest

from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.gateway import sentences
from hx_gateway_db.settings.values import Redis

REDIS = Redis("db2", user="hx", password="geheim")
UNREACHABLE = (
    '{"message": "Service Unhealthy (Error 111 connecting to db2:6379. Connection refused.)", ...}'
)
WITHOUT_REASON = (
    '{"message": "Service Unhealthy", "litellm_cache_params": "{}", "health_check_cache_params":'
    ' "{\\"pool\\": \\"<redis.asyncio.connection.BlockingConnectionPool>\\"}"}'
)
MISSING = 'Authentication Error, relation "LiteLLM_VerificationToken" does not exist'
BACKEND = "litellm.{}: OpenAIException - {}. Received Model Group=hx-chat"


@pytest.mark.parametrize(
    ("finding", "what", "cure"),
    [
        (
            sentences.virtual_key_refused(400, "No connected db."),
            "LiteLLM on port 4000 runs without a database",
            "dpkg-reconfigure hx-gateway-db",
        ),
        (
            sentences.virtual_key_refused(500, "{'error': 'DB not connected. This endpoint ..."),
            "LiteLLM on port 4000 runs without a database",
            "dpkg-reconfigure hx-gateway-db",
        ),
        (
            sentences.virtual_key_refused(401, "Authentication Error, Invalid proxy server token"),
            "refuses the master key that config.yaml names",
            "systemctl restart hx-litellm-gateway",
        ),
        (
            sentences.virtual_key_refused(500, "{'error': 'Internal Server Error.'}"),
            "can't make a virtual key",
            "journalctl -u hx-litellm-gateway",
        ),
        (
            sentences.virtual_key_refused(401, MISSING),
            "LiteLLM's tables are missing in its database",
            "restore them from a backup",
        ),
        (
            sentences.no_models(4000, 401, MISSING),
            "LiteLLM's tables are missing in its database",
            "restore them from a backup",
        ),
        (
            sentences.no_models(4010, 401, "Authentication Error, Invalid proxy server token"),
            "refuses the virtual key that LiteLLM has just made (HTTP 401)",
            "journalctl",
        ),
        (
            sentences.no_models(4010, 502, "LiteLLM does not answer: ConnectError"),
            "does not get through to LiteLLM (HTTP 502)",
            "HX_LITELLM_UPSTREAM",
        ),
        (
            sentences.not_ready(503, "", given=True),
            "has lost its database",
            "start the database",
        ),
        (
            sentences.not_ready(503, "stalled", given=True),
            "waits too long for its database (it says 'stalled')",
            "look at the load",
        ),
        (
            sentences.not_ready(200, "Not connected", given=False),
            "runs without a database (it says 'Not connected')",
            "systemctl restart hx-litellm-gateway",
        ),
        (
            sentences.not_ready(200, "Not connected", given=True),
            "was given a database and runs without it",
            "journalctl",
        ),
        (
            sentences.tables_missing(["LiteLLM_SpendLogs"], "hx on db1:5432"),
            "hx on db1:5432 has no LiteLLM_SpendLogs",
            "restore them from a backup",
        ),
        (sentences.wrapper_without_key(), "has no HX_MASTER_KEY", "set HX_MASTER_KEY"),
        (
            sentences.wrapper_upstream_refused(False),
            "has no HX_UPSTREAM_KEY",
            "set HX_UPSTREAM_KEY",
        ),
        (
            sentences.wrapper_upstream_refused(True),
            "refuses the HX_UPSTREAM_KEY",
            "HX_UPSTREAM_KEY",
        ),
        (sentences.wrapper_own_key_refused(), "refuses the HX_MASTER_KEY that is in", "ml.env"),
        (sentences.wrapper_with_another_litellm(), "does not know the virtual", "UPSTREAM"),
        (
            sentences.cache_refused(REDIS, UNREACHABLE),
            "LiteLLM on port 4000 does not reach Redis at db2:6379",
            "check REDIS_HOST and REDIS_PORT",
        ),
        (
            sentences.cache_refused(REDIS, WITHOUT_REASON),
            "LiteLLM on port 4000 does not reach its cache in Redis at db2:6379",
            "journalctl -u hx-litellm-gateway",
        ),
        (
            sentences.cache_refused(REDIS, "Service Unhealthy (invalid username-password pair)"),
            "Redis at db2:6379 refuses LiteLLM's login as hx",
            "check REDIS_USER and REDIS_PASS",
        ),
        (
            sentences.cache_refused(
                REDIS, "Service Unhealthy (NOPERM this user has no permissions"
            ),
            "does not let the user hx do what LiteLLM's cache does",
            "hx-gateway-db provision --print",
        ),
        (
            sentences.cache_refused(REDIS, "Cache not initialized. litellm.cache is None"),
            "runs without a cache, although it is on",
            "systemctl restart hx-litellm-gateway",
        ),
        (sentences.cache_refused(REDIS, "MISCONF Redis is configured"), "no writes", "its disk"),
        (sentences.cache_refused(REDIS, "OOM command not allowed"), "memory is full", "maxmemory"),
        (sentences.cache_refused(REDIS, "READONLY You can't write"), "is a replica", "REDIS_HOST"),
        (sentences.cache_refused(REDIS, "LOADING Redis is loading"), "still loading", "wait"),
        (sentences.cache_refused(REDIS, "who knows"), "does not reach its cache", "journalctl"),
    ],
)
def test_a_failure_names_cause_and_cure(finding: Finding, what: str, cure: str) -> None:
    assert finding.level is Level.FAILED
    assert what in finding.what and cure in finding.cure
    assert "geheim" not in finding.sentence


@pytest.mark.parametrize(
    ("status", "message", "what"),
    [
        (500, BACKEND.format("InternalServerError", "Connection error."), "can't be reached"),
        (401, BACKEND.format("AuthenticationError", "Incorrect API key"), "refuses LiteLLM's key"),
        (404, BACKEND.format("NotFoundError", "no such model"), "does not know that model"),
        (429, BACKEND.format("RateLimitError", "slow down"), "is at its own limit"),
        (408, BACKEND.format("Timeout", "APITimeoutError"), "does not answer in time"),
        (500, "something else", "hx-chat gives no reply (HTTP 500)"),
    ],
)
def test_a_model_s_own_server_is_a_warning(status: int, message: str, what: str) -> None:
    finding = sentences.model_failed("model.chat", "hx-chat", status, message)
    assert finding.level is Level.WARNING
    assert what in finding.what and finding.cure


@pytest.mark.parametrize(
    ("status", "message"), [(400, "No connected db."), (401, "Authentication Error, no key")]
)
def test_a_gateway_that_refuses_a_chat_itself_has_failed(status: int, message: str) -> None:
    finding = sentences.model_failed("model.chat", "hx-chat", status, message)
    assert finding.level is Level.FAILED


def test_litellm_s_own_401_is_told_from_the_wrapper_s() -> None:
    assert sentences.litellm_refuses("Authentication Error, No api key passed in.")
    newer = "LiteLLM Virtual Key expected. Received=no****, expected to start with 'sk-'."
    assert sentences.litellm_refuses(newer)
    assert not sentences.litellm_refuses("invalid wrapper key")
