"""What the units of a wired host run with, against the files that they should run with."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from hx_gateway_db.checks import configuration
from hx_gateway_db.checks.files_left import APPLY, NAME, missing_drop_ins
from hx_gateway_db.findings import Finding, Subject, to_run
from hx_gateway_db.host.drop_ins import DROP_INS
from hx_gateway_db.host.gateway_env import OWNED_KEYS
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.pending import pending
from hx_gateway_db.layout import LITELLM_UNIT, UNITS
from hx_gateway_db.systemd import environment_files, unit_file
from hx_gateway_db.systemd.loaded import Loaded
from hx_gateway_db.systemd.units import Units

_THEN = APPLY.removeprefix("run ")
_NANOSECONDS = 1_000_000_000


def differences(unit: Loaded, host: Host, defeated: bool, units: Units) -> Iterator[Finding]:
    """What keeps a unit of a wired host from its files, and what it has not read yet.

    `defeated`: it is known that something overrides gateway.env, so that the unit runs with
    something else follows from it. Raises SystemdSilent.
    """
    if unit.name in missing_drop_ins(host):
        return
    if found := _another(unit, host):
        yield found
    if defeated:
        return
    if found := _not_read(unit, host):
        yield found
    else:
        yield from _process(unit, host, units)


def outdated(host: Host, units: Units) -> tuple[str, ...]:
    """The running units that a restart gives files which they do not run with. Raises as above."""
    if not host.wired:
        return ()
    found = (units.loaded(name) for name in UNITS)
    return tuple(unit.name for unit in found if unit.running and _is_outdated(unit, host, units))


def _not_read(unit: Loaded, host: Host) -> Finding | None:
    """Why systemd does not read a drop-in of ours that is there."""
    if unit.outdated:
        return Subject(NAME, unit.name).warning(
            f"{unit.name} runs with other unit files than those that are there now",
            "systemd has not read them since they were changed",
            APPLY,
        )
    ours = (drop_in.path for drop_in in DROP_INS if drop_in.unit == unit.name)
    for path in ours:
        if host.files.get(path) is None or str(path) in unit.drop_ins:
            continue
        why = f"{unit.name} is without it then"
        if other := _in_its_place(path, unit, host):
            cure = f"{to_run('rm', str(other))}, then {_THEN}"
            return Subject(NAME, str(other)).failed(f"{other} takes the place of {path}", why, cure)
        what = f"systemd does not read {path}"
        return Subject(NAME, str(path)).failed(what, why, APPLY)
    return None


def _in_its_place(path: PurePosixPath, unit: Loaded, host: Host) -> PurePosixPath | None:
    """The drop-in of the same name that systemd reads, or that masks ours."""
    for other in map(PurePosixPath, unit.drop_ins):
        if other.name == path.name:
            return other
    for folder in map(PurePosixPath, unit_file.ABOVE):
        place = folder / path.parent.name / path.name
        if os.path.lexists(host.layout.root / place.relative_to("/")):
            return place
    return None


def _another(unit: Loaded, host: Host) -> Finding | None:
    if unit.name != LITELLM_UNIT:
        return None
    return configuration.another(host.layout.root, host.layout.config_yaml, unit.shown)


def _process(unit: Loaded, host: Host, units: Units) -> Iterator[Finding]:
    about, short = Subject(NAME, unit.name), unit.name.removesuffix(".service")
    if not unit.running:
        return
    if pending(host, unit.name, units):
        why = "it could not be restarted when they were written"
        yield about.warning(f"{unit.name} runs with the files of before", why, APPLY)
    elif why := _older(unit, host):
        cure = f"run 'systemctl restart {short}'"
        yield about.warning(f"{unit.name} runs with the files of before", why, cure)
    elif names := _other_values(unit, host):
        listed = " and ".join(names)
        yield about.failed(
            f"{unit.name} was started with another {listed} than {host.layout.gateway_env} has",
            "what its ExecStart= runs sets it",
            f"take {listed} out of that, then 'systemctl restart {short}'",
        )


def _is_outdated(unit: Loaded, host: Host, units: Units) -> bool:
    return unit.outdated or bool(_older(unit, host)) or pending(host, unit.name, units)


def _older(unit: Loaded, host: Host) -> str:
    """Why a process runs with something older than the files; empty if it doesn't, or can't tell.

    Its environment is that of its start; what LiteLLM has read of config.yaml nobody can see.
    """
    layout, started = host.layout, unit.started * _NANOSECONDS
    if not started:
        return ""
    config = host.files[layout.config_yaml]
    if unit.name == LITELLM_UNIT and config and config.modified > started:
        return f"{layout.config_yaml} was written after it was started"
    newest = max((_changed(layout.root / path.lstrip("/")) for path in unit.files), default=0)
    names = _other_values(unit, host) if newest > started else []
    return f"it was started with another {' and '.join(names)}" if names else ""


def _changed(path: Path) -> int:
    """When a file was changed last, in nanoseconds; 0 if it can't be told.

    A copy with the times of its original was changed when it was put there.
    """
    with suppress(OSError):
        return path.stat().st_ctime_ns
    return 0


def _other_values(unit: Loaded, host: Host) -> list[str]:
    """The variables of ours that the process has otherwise than gateway.env says them."""
    path = host.layout.gateway_env
    if not unit.environment or host.files[path] is None or path in host.distrusted:
        return []
    said = environment_files.values(host.text(path) or "")
    return [key for key in OWNED_KEYS if key in said and unit.environment.get(key) != said[key]]
