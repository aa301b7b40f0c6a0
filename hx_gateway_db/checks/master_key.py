"""Whether LiteLLM has a master key, and starts with the one it has."""

from collections.abc import Mapping

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.host import config_yaml
from hx_gateway_db.settings.litellm import MASTER_KEY_NEEDED, LiteLLM, shown

NAME = "gateway.master-key"
_PUBLISHED = "sk-1234"


def finding(path: str, config: bytes, variables: Mapping[str, str], litellm: LiteLLM) -> Finding:
    """What there is to say of the key in `config`, the text of config.yaml at `path`.

    `variables` are the environment that LiteLLM will have.
    """
    about = Subject(NAME, path)
    key = (config_yaml.master_key(config, variables) or "").strip()
    if key not in ("", _PUBLISHED):
        return about.ok("LiteLLM has a master key")
    what = f"LiteLLM has {'the published sk-1234 as' if key else 'no'} master key"
    cure = f"set general_settings.master_key in {path}"
    if not litellm.has(MASTER_KEY_NEEDED):
        why = f"LiteLLM {shown(MASTER_KEY_NEEDED.since)} and newer do not start with that"
        return about.warning(what, why, cure)
    if config_yaml.weak_key_permitted(config, variables):
        return about.warning(what, "whoever reaches it may do everything", cure)
    return about.failed(what, f"{litellm} does not start with that", cure)
