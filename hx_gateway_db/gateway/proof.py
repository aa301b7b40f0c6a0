"""What proves that the gateway has its database: above all a key that both services accept."""

from collections.abc import Mapping
from dataclasses import replace

from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.gateway import http, sentences
from hx_gateway_db.gateway.answerer import LITELLM, WRAPPER, Service
from hx_gateway_db.gateway.http import NotAnswering, ProofFailed
from hx_gateway_db.host.config_yaml import master_key
from hx_gateway_db.layout import LITELLM_PORT
from hx_gateway_db.postgres import check
from hx_gateway_db.postgres.check import NotUsable
from hx_gateway_db.settings.values import Postgres, Settings, address, redis_use
from hx_gateway_db.systemd import units
from hx_gateway_db.yaml_edit.edit import YamlRefusal


def prove(
    settings: Settings,
    config: bytes,
    litellm: Service = LITELLM,
    wrapper: Service | None = WRAPPER,
) -> list[str]:
    """See that LiteLLM's tables are there, its cache answers, and a short-lived virtual key works.

    `config` is LiteLLM's config.yaml; a `wrapper` that is None is not asked. Returns what was
    proven, and what could not be and why. Raises ProofFailed when the gateway answers as one
    without its database.
    """
    environment = units.environment(units.unit(litellm.unit))
    for finding in (readiness(environment, litellm), tables(settings.postgres)):
        if finding.level is Level.FAILED:
            raise ProofFailed(finding)
    master = find_master_key(config, environment)
    if master is None:
        return [
            "LiteLLM is connected and has its tables. The check with a virtual key was skipped:"
            f" {no_master_key(litellm).sentence}"
        ]
    if settings.redis and redis_use(settings).any:
        http.check_cache(master, settings.redis, litellm)
    proven = ["A virtual key works: the gateway has its database."]
    with http.virtual_key(master, litellm) as made:
        http.models(litellm, made.key)
        if wrapper is None:
            return proven
        unit = units.unit(wrapper.unit)
        if not unit.running:
            return [*proven, f"{wrapper.unit} is not running: the check through it was skipped."]
        entry = http.wrapper_entry(made.key, units.environment(unit), wrapper)
        http.models(wrapper, entry.key)
    return proven


def readiness(environment: Mapping[str, str], litellm: Service = LITELLM) -> Finding:
    """What LiteLLM says of its database. `environment` is that of its running process."""
    try:
        answer = http.readiness(litellm)
    except NotAnswering as error:
        return http.unanswered(sentences.READINESS, litellm.port, error)
    state = http.state_in(answer)
    if answer.status != 200 or state != http.CONNECTED:
        return sentences.not_ready(answer.status, state, "DATABASE_URL" in environment)
    return Subject(sentences.READINESS, f"port {LITELLM_PORT}").ok(
        "LiteLLM is connected to its database", "it looks again every 2 minutes"
    )


def tables(database: Postgres) -> Finding:
    """Whether LiteLLM's tables are in its database, which is asked directly."""
    where = f"{database.database} on {address(database.host, database.port)}"
    try:
        missing = check.missing_tables(database)
    except NotUsable as error:
        return replace(error.finding, name=sentences.TABLES)
    if missing:
        return sentences.tables_missing(missing, where)
    return Subject(sentences.TABLES, where).ok(f"LiteLLM's tables are in {where}")


def find_master_key(config: bytes, environment: Mapping[str, str]) -> str | None:
    """LiteLLM's master key; None when it has none that can be found.

    `environment` is that of LiteLLM's running process.
    """
    try:
        return master_key(config, dict(environment))
    except YamlRefusal:
        return None


def no_master_key(litellm: Service = LITELLM) -> Finding:
    """Why no master key was found, as far as LiteLLM itself can tell."""
    if http.open_to_all(litellm):
        return Subject(sentences.KEY, f"port {LITELLM_PORT}").failed(
            "LiteLLM has no master key",
            "it lets in whoever reaches it, and no virtual key means anything",
            "set general_settings.master_key in config.yaml and restart it",
        )
    return Subject(sentences.KEY, f"port {LITELLM_PORT}").skipped(
        "the master key is neither in config.yaml nor in the unit's environment",
        "without it no virtual key can be made",
    )
