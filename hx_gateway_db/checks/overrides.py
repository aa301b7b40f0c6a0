"""What would keep LiteLLM from using the URLs in gateway.env, although it is read."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.host import config_yaml
from hx_gateway_db.host.drop_ins import DATABASE
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import Part, parts
from hx_gateway_db.layout import UNITS
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.values import Settings, redis_use
from hx_gateway_db.systemd import environment_files, unit_environment, unit_file
from hx_gateway_db.systemd import units as services
from hx_gateway_db.systemd.sandbox import Unavailable
from hx_gateway_db.systemd.unit_environment import Defeat
from hx_gateway_db.transaction.foreign_file import Unreadable

_NAME = "gateway.config-overrides"
# Read in both (`_get_redis_client_logic` in litellm/_redis.py); neither says so.
_EITHER = "LiteLLM 1.74 goes to the REDIS_URL of gateway.env all the same, 1.109 goes there"
# The others can be overridden without harm to the database.
_DECISIVE = {"DATABASE_URL", "DIRECT_URL", "REDIS_URL"}


def findings(host: Host, settings: Settings) -> Iterator[Finding]:
    """One for each thing that overrides; a single one that says that none does."""
    path = host.layout.config_yaml
    configuration = parts(host)
    culprits = [finding for part in configuration for finding in _of_part(part, path, settings)]
    culprits += [
        finding for part in configuration[1:] for finding in _replaced(part, path, settings)
    ]
    yield from culprits
    units = [unit for unit in UNITS if host.layout.live and services.available()]
    found = [finding for unit in units for finding in _of_unit(unit, host, settings)]
    yield from found
    if not culprits and not found:
        what = "neither config.yaml nor a unit's drop-in overrides gateway.env"
        yield Subject(_NAME, str(path)).ok(what)


def _of_part(part: Part, path: PurePosixPath, settings: Settings) -> Iterator[Finding]:
    """What in one file of the configuration LiteLLM prefers to gateway.env."""
    keys = []
    if config_yaml.overrides_database(part.text):
        keys.append(("general_settings.database_url", _preferred("DATABASE_URL")))
    if settings.redis and config_yaml.overrides_cache(part.text):
        keys.append(("litellm_settings.cache_params.url", _preferred("REDIS_URL")))
    if settings.redis and (redis_use(settings).any or config_yaml.caches(part.text)):
        keys += [(key, _EITHER) for key in config_yaml.cache_places(part.text)]
    names = ["DIRECT_URL", *_wanted(settings)]
    keys += [
        (f"environment_variables.{name}", _preferred(name))
        for name in config_yaml.overriding_variables(part.text, names)
    ]
    where = said(str(part.path))
    for key, why in keys:
        what = f"{where} sets {key}"
        cure = f"remove {key} from {path}" if part.path == path else f"remove {key} from that file"
        yield Subject(_NAME, where).failed(what, why, cure)


def _preferred(name: str) -> str:
    return f"LiteLLM prefers it to the {name} of gateway.env"


def _replaced(part: Part, path: PurePosixPath, settings: Settings) -> Iterator[Finding]:
    """What an included file takes from what we set in config.yaml."""
    where = said(str(part.path))
    about = Subject(_NAME, where)
    if part.problem:
        what = f"{path} includes {where}, but {part.problem}"
        yield about.failed(what, "LiteLLM does not start then", "mend or remove that line")
        return
    for section, keys in (
        ("general_settings", config_yaml.off(part.text)),
        ("litellm_settings", config_yaml.without(part.text, redis_use(settings))),
    ):
        if keys and part.has(section):
            yield about.failed(
                f"{path} includes {where}, whose {section} take the place of all of its own",
                f"{' and '.join(keys)} is not as it has to be there",
                f"move {section} from that file to {path}",
            )


def _wanted(settings: Settings) -> dict[str, str]:
    from hx_gateway_db.host import render

    return environment_files.values(render.gateway_env(settings))


def _of_unit(unit: str, host: Host, settings: Settings) -> list[Finding]:
    gateway_env = str(host.layout.gateway_env)
    try:
        defeats = _defeats(unit, host, settings)
    except Unavailable as reason:
        return [Subject(_NAME, unit).skipped(f"not all that {unit} reads is known: {reason}")]
    return [_defeated(unit, defeat, gateway_env) for defeat in defeats]


def _defeats(unit: str, host: Host, settings: Settings) -> list[Defeat]:
    shown = dict(services.properties(unit, ("FragmentPath", "DropInPaths")))
    fragment = shown.get("FragmentPath", "")
    if not fragment:
        return []
    from hx_gateway_db.host import render

    layout, ours = host.layout, str(DATABASE[unit].path)
    gateway_env = str(layout.gateway_env)
    texts = []
    for path in unit_environment.in_order(fragment, shown.get("DropInPaths", "").split(), ours):
        text = _text(path)
        if path == ours and gateway_env not in text:
            text += render.drop_in(DATABASE[unit], settings, layout)
        texts.append((path, text))
    named = {path for path in unit_environment.environment_files(texts) if path != gateway_env}
    contents = {
        pattern: {
            name: value
            for path in environment_files.matching(pattern)
            for name, value in environment_files.values(_text(path)).items()
        }
        for pattern in named
    }
    return unit_environment.defeats(texts, gateway_env, _wanted(settings), contents)


def _text(path: str) -> str:
    """A file that the unit is made of; empty when it is not there. Raises Unavailable."""
    try:
        return unit_file.read(path)
    except Unreadable as error:
        if error.missing:
            return ""
        raise Unavailable(f"of {path}, {error}") from None


def _defeated(unit: str, defeat: Defeat, gateway_env: str) -> Finding:
    names = " and ".join(defeat.variables)
    if not defeat.variables:
        what = f"{defeat.by} empties EnvironmentFile= of {unit}"
        why = f"{unit} does not read {gateway_env} then"
        cure = f"remove the empty EnvironmentFile= from {defeat.by}"
    elif defeat.file:
        what = f"{unit} takes {names} from {defeat.file}, which {defeat.by} names"
        why, cure = "systemd reads it after gateway.env", f"remove {names} from {defeat.file}"
    else:
        what = f"{defeat.by} takes {names} away from {unit}"
        why, cure = "UnsetEnvironment= wins", f"remove {names} from UnsetEnvironment= there"
    harmless = bool(defeat.variables) and not set(defeat.variables) & _DECISIVE
    level = Level.WARNING if harmless else Level.FAILED
    return Subject(_NAME, defeat.by).found(level, what, why, cure)
