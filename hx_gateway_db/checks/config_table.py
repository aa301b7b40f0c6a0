"""What of LiteLLM_Config has the better of what we set, as LiteLLM reads that table.

Read in proxy_server.py of 1.74.15, 1.81.0, 1.92.0 and 1.106.12. The table is read when
`general_settings.store_model_in_db` or the variable STORE_MODEL_IN_DB says so; newer versions also
believe the table's own word for it. Then, at its start and every few seconds after, LiteLLM puts
the row `environment_variables` into its own environment, over gateway.env: what connects anew,
Prisma's engine above all, connects with that. Of `general_settings` and `litellm_settings` no
version takes a key that is ours from the table while config.yaml has it; what config.yaml does not
have, newer ones take.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.host import config_yaml, gateway_env
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import last_with, parts
from hx_gateway_db.postgres.check import NotUsable
from hx_gateway_db.postgres.stored_config import TABLE, StoredKey, stored_keys
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.yaml_edit.edit import YamlRefusal, lookup

NAME = "litellm.config-table"
_SWITCH = "store_model_in_db"
_VARIABLE = "STORE_MODEL_IN_DB"
_ENVIRONMENT, _GENERAL = "environment_variables", "general_settings"
# Read again and again while LiteLLM runs; the other keys are read at its start only, from files.
_LIVE = (*config_yaml.FLAGS, config_yaml.BUFFER)
_DECISIVE = ("DATABASE_URL", "DIRECT_URL", "REDIS_URL")


def findings(host: Host, settings: Settings, variables: Mapping[str, str]) -> Iterator[Finding]:
    """One for each key of the table that is one of ours; none where the table has none.

    `variables` are LiteLLM's environment as far as it is known. A database that can't be asked is
    told by others.
    """
    names = [*dict.fromkeys((*_DECISIVE, *gateway_env.OWNED_KEYS))]
    ours = config_yaml.top_keys()
    wanted = {
        _ENVIRONMENT: [*names, *(name.lower() for name in names)],
        _GENERAL: [*ours[_GENERAL], _SWITCH],
        **{section: keys for section, keys in ours.items() if section != _GENERAL},
    }
    try:
        found = stored_keys(settings.postgres, wanted)
    except NotUsable:
        return
    switch = [key.flag for key in found if key.key == _SWITCH]
    read = _is_read(host, variables) or True in switch
    for key in found:
        if key.key != _SWITCH:
            yield _finding(key, read, host)


def _is_read(host: Host, variables: Mapping[str, str]) -> bool:
    with suppress(YamlRefusal):
        part = last_with(parts(host), _GENERAL)
        if config_yaml.settings_in_database(part.text):
            return True
    return variables.get(_VARIABLE, "").lower() == "true"


def _finding(stored: StoredKey, read: bool, host: Host) -> Finding:
    about = Subject(NAME, TABLE)
    key = f"{stored.section}.{stored.key}"
    what = f"the table {TABLE} has {key} as well"
    if not read:
        return about.ok(what, f"LiteLLM does not read it: {_SWITCH} is off")
    if stored.section == _ENVIRONMENT:
        name = stored.key.upper()
        why = f"LiteLLM puts it over the {name} of {host.layout.gateway_env} while it runs"
        level = Level.FAILED if name in _DECISIVE else Level.WARNING
        return about.found(level, what, why, _to_remove(_ENVIRONMENT, name, name.lower()))
    if (stored.section, stored.key) in _LIVE and not _in_config(stored, host):
        what = f"the table {TABLE} has {key}, and config.yaml has not"
        cure = _to_remove(stored.section, stored.key)
        return about.warning(what, "newer versions of LiteLLM go by it", cure)
    return about.ok(what, "what config.yaml says of it counts")


def _in_config(stored: StoredKey, host: Host) -> bool:
    with suppress(YamlRefusal):
        part = last_with(parts(host), stored.section)
        return lookup(part.text, (stored.section, stored.key)) is not None
    return True


def _to_remove(section: str, *keys: str) -> str:
    without = "".join(f" - '{key}'" for key in keys)
    return (
        f'run in that database: UPDATE "{TABLE}" SET param_value = param_value{without} WHERE'
        f" param_name = '{section}'; then run 'systemctl restart hx-litellm-gateway'"
    )
