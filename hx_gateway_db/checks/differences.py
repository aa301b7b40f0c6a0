"""What was wired against what is there: the one comparison of status, check, verify and apply.

What we left (the state file knows), the files, the units as systemd has them in memory, and the
processes that run. Nothing is asked over the network, and nothing is changed.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from hx_gateway_db.checks import files_left, overrides, running
from hx_gateway_db.checks.units import absent
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import UNITS
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.loaded import Loaded
from hx_gateway_db.systemd.sandbox import Unavailable
from hx_gateway_db.systemd.units import ServiceFailed, Units
from hx_gateway_db.yaml_edit.edit import YamlRefusal

NAME = files_left.NAME


def compare(host: Host, live: bool, units: Units = units) -> Iterator[Finding]:
    """A finding for each difference; a single one, of OK, that says that there is none.

    With what follows from another it is not told twice. Where systemd does not run (`live`), only
    the files are compared. Of a host that is not wired, nothing is known.
    """
    if not host.wired:
        yield Subject(NAME, "").skipped("nothing is wired")
        return
    found = list(_found(host, live, units))
    yield from found
    if not found:
        what = "files, units and processes" if live else "the files"
        yield Subject(NAME, str(host.layout.config_folder)).ok(f"{what} are as they were wired")


def _found(host: Host, live: bool, units: Units) -> Iterator[Finding]:
    looks: list[Callable[[], Iterator[Finding]]] = [
        partial(files_left.differences, host),
        partial(_configured, host),
    ]
    looks += [partial(_unit, name, host, units) for name in UNITS if live]
    for look in looks:
        try:
            yield from look()
        except (Refused, ServiceFailed, Unavailable) as error:
            yield Subject(NAME, "").skipped(f"not all is compared: {str(error).rstrip('.')}")


def _configured(host: Host) -> Iterator[Finding]:
    """What LiteLLM's configuration has the better of."""
    # What config.yaml itself is like is told with the files.
    with suppress(YamlRefusal):
        if host.settings:
            yield from overrides.in_configuration(host, host.settings)


def _unit(name: str, host: Host, units: Units) -> Iterator[Finding]:
    unit = units.loaded(name)
    if not unit.present:
        yield absent(units.unit(name))
        return
    defeats = _defeats(unit, host)
    yield from defeats
    yield from running.differences(unit, host, bool(defeats), units)


def _defeats(unit: Loaded, host: Host) -> list[Finding]:
    """What beats gateway.env in a unit that has our drop-in."""
    if host.settings is None or unit.name in files_left.missing_drop_ins(host):
        return []
    found = overrides.in_unit(unit, host, host.settings)
    return [finding for finding in found if finding.level is not Level.SKIPPED]
