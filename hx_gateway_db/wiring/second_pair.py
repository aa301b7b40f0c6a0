"""What a second gateway beside the first is made of, for a change that is planned."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from hx_gateway_db.gateway.answerer import Service
from hx_gateway_db.handover.originals import original
from hx_gateway_db.handover.redirect import Exempt
from hx_gateway_db.handover.second_unit import (
    NotPossible,
    Original,
    Second,
    listens_on,
    second_unit,
)
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import LITELLM_UNIT, SECOND_CONFIG, SECOND_ENV, SECOND_UNITS, WRAPPER_UNIT
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd.loaded import Loaded
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage, Metadata, take
from hx_gateway_db.wiring.outside import Outside
from hx_gateway_db.wiring.plan import Plan

_UNIT_FILES = PurePosixPath("/run/systemd/system")
_LOOPBACK = "127."
_MIB = 1024 * 1024

Planned = Mapping[PurePosixPath, FileImage | None]
Moved = dict[PurePosixPath, PurePosixPath]


@dataclass(frozen=True)
class Pair:
    """The second services that there are to be, and the files that are staged for them.

    `ports` are theirs by the first ones'; empty where no requests are handed over, and `kept` says
    why, as a clause, unless nobody asked for it. `exempt` is who is not led to them. `size` are the
    bytes of memory that they take.
    """

    litellm: Service
    wrapper: Service | None
    staged: tuple[FileChange, ...] = field(repr=False)
    ports: Mapping[int, int]
    exempt: Exempt
    size: int
    kept: str = ""


def planned_pair(
    host: Host,
    changes: Iterable[FileChange],
    served: tuple[str, ...],
    handed: bool,
    outside: Outside,
) -> Pair:
    """The second pair for a host whose files are to be changed so.

    `served` are the units that answer now; `handed` says whether requests are to be handed over.
    Raises NotPossible, and ServiceFailed when systemd does not tell.
    """
    if LITELLM_UNIT not in served:
        raise NotPossible(f"{LITELLM_UNIT} does not answer now")
    planned = {change.path: change.after for change in changes}
    loaded = outside.units.loaded(LITELLM_UNIT)
    litellm = original(loaded, planned, host.layout.root)
    size = _require_memory(outside.memory.needed(LITELLM_UNIT), outside)
    wrapper, kept = None, ""
    if handed:
        try:
            wrapper = _wrapper(host, planned, served, outside)
            _require_redirect(litellm, wrapper, outside)
            if wrapper:
                size = _require_memory(size + outside.memory.needed(WRAPPER_UNIT), outside)
        except NotPossible as why:
            wrapper, kept, handed = None, str(why), False
    staged, environment, config = _staged_files(host, planned)
    ports = {}
    for unit in (litellm, *([wrapper] if wrapper else [])):
        ports[unit.port] = outside.redirect.free_port(unit.port)
        second = Second(
            ports[unit.port], environment, config if unit is litellm else {}, not handed
        )
        staged.append(_unit_file(host, unit, second))
    return Pair(
        Service(SECOND_UNITS[LITELLM_UNIT], ports[litellm.port]),
        Service(SECOND_UNITS[WRAPPER_UNIT], ports[wrapper.port]) if wrapper else None,
        tuple(staged),
        ports if handed else {},
        _exempt(loaded),
        size,
        kept,
    )


def foreseen(host: Host, plan: Plan, settings: Settings, outside: Outside) -> str:
    """What a plan says of it: which way it would go, and what that costs. Empty if LiteLLM is not
    to be restarted, or nobody asked for a second one.
    """
    if not outside.live(host.layout.root) or not settings.trial or LITELLM_UNIT not in plan.restart:
        return ""
    try:
        served = outside.readiness.answering()
        pair = planned_pair(host, plan.changes.files, served, settings.handover, outside)
    except NotPossible as why:
        return f"It would not be tried on a second gateway: {why}."
    except ServiceFailed as failure:
        return f"It would not be tried on a second gateway: {failure}"
    way = "new requests go to that" if pair.ports else "requests are refused"
    kept = f" ({pair.kept})" if pair.kept else ""
    return (
        f"It would be tried on a second gateway first, which takes {pair.size // _MIB} MiB of"
        f" memory for some seconds; while the units restart, {way}{kept}."
    )


def _wrapper(
    host: Host, planned: Planned, served: tuple[str, ...], outside: Outside
) -> Original | None:
    """The wrapper of which there is to be a second one; None while it does not run."""
    if WRAPPER_UNIT not in served:
        return None
    # It is stopped meanwhile, also where the change is none of its business.
    if why := outside.obstacle(WRAPPER_UNIT):
        raise NotPossible(f"{WRAPPER_UNIT} would not come up again: {why}")
    wrapper = original(outside.units.loaded(WRAPPER_UNIT), planned, host.layout.root)
    second_unit(wrapper, Second(wrapper.port))
    return wrapper


def _require_redirect(litellm: Original, wrapper: Original | None, outside: Outside) -> None:
    units = (litellm, *([wrapper] if wrapper else []))
    hosts = [listens_on(unit) for unit in units]
    for unit, address in zip(units, hosts, strict=True):
        # To which of its addresses a connection goes, a redirect does not keep.
        if address and not address.startswith(_LOOPBACK):
            raise NotPossible(f"{unit.name} listens on {address} only")
    elsewhere = not all(address.startswith(_LOOPBACK) for address in hosts)
    if obstacle := outside.redirect.obstacle(tuple(unit.port for unit in units), elsewhere):
        raise NotPossible(obstacle)


def _require_memory(needed: int, outside: Outside) -> int:
    """The same bytes, if they are free."""
    there = outside.memory.available()
    if needed > there:
        raise NotPossible(
            f"a second gateway takes {needed // _MIB} MiB of memory, and {there // _MIB} are free"
        )
    return needed


def _staged_files(host: Host, planned: Planned) -> tuple[list[FileChange], Moved, Moved]:
    """The new gateway.env and config.yaml, and where each is instead of its place.

    LiteLLM reads what its configuration names from beside that. The environment is read by systemd
    alone, and lies where nobody else can put another file.
    """
    layout = host.layout
    config_yaml = layout.config_yaml.with_name(SECOND_CONFIG)
    staged: list[FileChange] = []
    environment: Moved = {}
    config: Moved = {}
    if image := planned.get(layout.gateway_env):
        environment[layout.gateway_env] = SECOND_ENV
        staged.append(_staged(host, SECOND_ENV, replace(image, metadata=_private())))
    if image := planned.get(layout.config_yaml):
        config[layout.config_yaml] = config_yaml
        staged.append(_staged(host, config_yaml, image))
    return staged, environment, config


def _unit_file(host: Host, unit: Original, second: Second) -> FileChange:
    image = FileImage(second_unit(unit, second).encode(), _private())
    return _staged(host, _UNIT_FILES / SECOND_UNITS[unit.name], image)


def _staged(host: Host, path: PurePosixPath, image: FileImage) -> FileChange:
    return FileChange(path, take(host.layout.root, path), image)


def _private() -> Metadata:
    return Metadata(os.geteuid(), os.getegid(), 0o600)


def _exempt(litellm: Loaded) -> Exempt:
    group = PurePosixPath(litellm.shown.get("ControlGroup") or "/")
    return Exempt(litellm.shown.get("User", ""), group.parent)
