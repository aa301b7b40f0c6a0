"""The proof that the gateway has its database: a virtual key that both services accept."""

from hx_gateway_db import gateway, postgres, services
from hx_gateway_db.config_yaml import master_key
from hx_gateway_db.errors import Refused
from hx_gateway_db.gateway import ProofFailed
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.settings import Settings
from hx_gateway_db.yaml_edit import YamlRefusal


def prove(settings: Settings, config: bytes) -> list[str]:
    """See that LiteLLM's tables are there, its cache answers, and a short-lived virtual key works.

    `config` is LiteLLM's config.yaml. Returns what was proven, and what could not be and why.
    Raises ProofFailed when the gateway answers as one without its database.
    """
    database = settings.postgres
    state = gateway.database_state()
    if state != "connected":
        raise ProofFailed(f"LiteLLM's readiness says of the database: {state}")
    try:
        missing = postgres.missing_tables(database)
    except Refused as error:
        raise ProofFailed(str(error)) from None
    if missing:
        raise ProofFailed(
            f"LiteLLM did not make its tables ({', '.join(missing)} missing in {database.database})"
        )
    master = find_master_key(config)
    if master is None:
        return [
            "LiteLLM is connected and has its tables. Neither config.yaml nor the unit's"
            " environment has a master key: the check with a virtual key was skipped."
        ]
    if settings.cache:
        gateway.check_cache(master)
    wrapper = services.unit(WRAPPER_UNIT)
    with gateway.virtual_key(master) as key:
        gateway.models(LITELLM_PORT, key)
        if not wrapper.running:
            return [
                "A virtual key works: the gateway has its database.",
                f"{WRAPPER_UNIT} is not running: the check through it was skipped.",
            ]
        own = gateway.wrapper_key(key, services.environment(wrapper))
        gateway.models(WRAPPER_PORT, own)
    return ["A virtual key works: the gateway has its database."]


def find_master_key(config: bytes) -> str | None:
    """LiteLLM's master key; None when it has none that can be found."""
    try:
        return master_key(config, services.environment(services.unit(LITELLM_UNIT)))
    except YamlRefusal:
        return None
