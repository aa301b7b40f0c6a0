"""What would keep LiteLLM from using the URLs in gateway.env, although it is read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.host import config_yaml, gateway_env
from hx_gateway_db.host.drop_ins import DATABASE
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import Part, last_with, parts
from hx_gateway_db.layout import UNITS
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.values import Settings, redis_use
from hx_gateway_db.systemd import environment_files, unit_environment, unit_file
from hx_gateway_db.systemd import units as services
from hx_gateway_db.systemd.loaded import Loaded
from hx_gateway_db.systemd.sandbox import Unavailable
from hx_gateway_db.systemd.unit_environment import Defeat
from hx_gateway_db.transaction.foreign_file import Unreadable

NAME = "gateway.config-overrides"
_RESTART = "then run 'systemctl restart hx-litellm-gateway'"
# Read in both (`_get_redis_client_logic` in litellm/_redis.py); neither says so.
_EITHER = "LiteLLM 1.74 goes to the REDIS_URL of gateway.env all the same, 1.109 goes there"
# The others can be overridden without harm to the database.
_DECISIVE = {"DATABASE_URL", "DIRECT_URL", "REDIS_URL"}


def findings(host: Host, settings: Settings) -> Iterator[Finding]:
    """One for each thing that overrides; a single one that says that none does."""
    found = in_configuration(host, settings)
    if host.layout.live and services.available():
        loaded = map(services.loaded, UNITS)
        found += [finding for unit in loaded for finding in in_unit(unit, host, settings)]
    yield from found
    if not found:
        what = "neither config.yaml nor a unit's drop-in overrides gateway.env"
        yield Subject(NAME, str(host.layout.config_yaml)).ok(what)


def in_configuration(host: Host, settings: Settings) -> list[Finding]:
    """What LiteLLM's configuration sets in the place of gateway.env, or takes away from ours.

    Raises YamlRefusal when config.yaml can't be read.
    """
    configuration = parts(host)
    found = list(_preferred(configuration, settings))
    for part in configuration[1:]:
        found += _replaced(part, configuration, settings)
    return found


def _preferred(configuration: Sequence[Part], settings: Settings) -> Iterator[Finding]:
    """What LiteLLM prefers to gateway.env: of each section, the last one counts."""
    path = configuration[0].path
    general, litellm, environment = (
        last_with(configuration, section)
        for section in ("general_settings", "litellm_settings", "environment_variables")
    )
    keys = []
    if config_yaml.overrides_database(general.text):
        keys.append((general, "general_settings.database_url", _instead_of("DATABASE_URL")))
    if settings.redis and config_yaml.overrides_cache(litellm.text):
        keys.append((litellm, "litellm_settings.cache_params.url", _instead_of("REDIS_URL")))
    if settings.redis and (redis_use(settings).any or config_yaml.caches(litellm.text)):
        keys += [(litellm, key, _EITHER) for key in config_yaml.cache_places(litellm.text)]
    names = ["DIRECT_URL", *_wanted(settings)]
    keys += [
        (environment, f"environment_variables.{name}", _instead_of(name))
        for name in config_yaml.overriding_variables(environment.text, names)
    ]
    for part, key, why in keys:
        where = said(str(part.path))
        what = f"{where} sets {key}"
        cure = f"remove {key} from {path}" if part.path == path else f"remove {key} from that file"
        yield Subject(NAME, where).failed(what, why, f"{cure}, {_RESTART}")


def _instead_of(name: str) -> str:
    return f"LiteLLM prefers it to the {name} of gateway.env"


def _replaced(part: Part, configuration: Sequence[Part], settings: Settings) -> Iterator[Finding]:
    """What an included file takes from what we set in config.yaml."""
    path, where = configuration[0].path, said(str(part.path))
    about = Subject(NAME, where)
    if part.problem:
        what = f"{path} includes {where}, but {said(part.problem)}"
        yield about.failed(what, "LiteLLM does not start then", "mend or remove that line")
        return
    for section, keys in (
        ("general_settings", config_yaml.off(part.text)),
        ("litellm_settings", config_yaml.without(part.text, redis_use(settings))),
    ):
        if keys and last_with(configuration, section) is part:
            yield about.failed(
                f"{path} includes {where}, whose {section} take the place of all of its own",
                f"{' and '.join(keys)} is not as it has to be there",
                f"move {section} from that file to {path}, {_RESTART}",
            )


def in_unit(unit: Loaded, host: Host, settings: Settings) -> list[Finding]:
    """What in a unit's files, or in what they read, has the better of gateway.env."""
    try:
        defeats = _defeats(unit, host, settings)
    except Unavailable as reason:
        what = f"not all that {unit.name} reads is known: {reason}"
        return [Subject(NAME, unit.name).skipped(what)]
    return [_defeated(unit.name, defeat, str(host.layout.gateway_env)) for defeat in defeats]


def _defeats(unit: Loaded, host: Host, settings: Settings) -> list[Defeat]:
    if not unit.fragment:
        return []
    from hx_gateway_db.host import render

    layout, ours = host.layout, str(DATABASE[unit.name].path)
    path_of_ours = str(layout.gateway_env)
    texts = []
    # What systemd has not read yet, it reads when the unit is next restarted by us.
    drop_ins = unit_file.drop_ins(unit.name, layout.root) if unit.outdated else unit.drop_ins
    for path in unit_environment.in_order(unit.fragment, drop_ins, ours):
        text = _text(path, layout.root)
        if path == ours and path_of_ours not in text:
            text += render.drop_in(DATABASE[unit.name], settings, layout)
        texts.append((path, text))
    named = {path for path in unit_environment.environment_files(texts) if path != path_of_ours}
    contents = {
        pattern: {
            name: value
            for path in environment_files.matching(pattern)
            for name, value in environment_files.values(_text(path, layout.root)).items()
        }
        for pattern in named
    }
    return unit_environment.defeats(texts, path_of_ours, _wanted(settings), contents)


def _wanted(settings: Settings) -> dict[str, str]:
    # What yields to an administrator's is no loss.
    offered = {line.key for line in gateway_env.OFFERED}
    lines = gateway_env.lines_for(settings)
    return {key: value for key, value in lines.items() if key not in offered}


def _text(path: str, root: Path) -> str:
    """A file that the unit is made of; empty when it is not there. Raises Unavailable."""
    try:
        return unit_file.read(path, root)
    except Unreadable as error:
        if error.missing:
            return ""
        raise Unavailable(f"of {path}, {error}") from None


def _defeated(unit: str, defeat: Defeat, ours: str) -> Finding:
    names = " and ".join(defeat.variables)
    by = f"{defeat.by}, then run 'hx-gateway-db apply'"
    if not defeat.variables:
        what = f"{defeat.by} empties EnvironmentFile= of {unit}"
        why = f"{unit} does not read {ours} then"
        cure = f"remove the empty EnvironmentFile= from {by}"
    elif defeat.file:
        what = f"{unit} takes {names} from {defeat.file}, which {defeat.by} names"
        why = "systemd reads it after gateway.env"
        cure = f"remove {names} from {defeat.file}, then run 'hx-gateway-db apply'"
    else:
        what = f"{defeat.by} takes {names} away from {unit}"
        why = "UnsetEnvironment= wins"
        cure = f"remove {names} from UnsetEnvironment= in {by}"
    harmless = bool(defeat.variables) and not set(defeat.variables) & _DECISIVE
    level = Level.WARNING if harmless else Level.FAILED
    return Subject(NAME, defeat.by).found(level, what, why, cure)
