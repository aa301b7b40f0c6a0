"""The two units and the two ports: whether they run, and whether it is they who answer."""

import time
from collections.abc import Iterator
from contextlib import suppress

from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.gateway import answerer, http
from hx_gateway_db.gateway.answerer import Stranger
from hx_gateway_db.gateway.http import HeldByAnother, NotAnswering
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.systemd import listeners, units
from hx_gateway_db.systemd.units import ServiceFailed, Unit

PORTS = {LITELLM_UNIT: LITELLM_PORT, WRAPPER_UNIT: WRAPPER_PORT}
# LiteLLM's unit counts as active as soon as it is forked.
_STARTING_SECONDS = 60.0


def check_service(name: str, port: int) -> Iterator[Finding]:
    """What a unit does, then who answers on its port."""
    unit = units.unit(name) if units.available() else None
    yield (
        (unit_finding(unit) if unit.present else absent(unit))
        if unit
        else Subject(_id(name, "unit"), name).skipped("systemd does not run here")
    )
    yield _check_port(name, port, unit)


def absent(unit: Unit) -> Finding:
    """That a unit is not there or masked; who has its port tells whether it was renamed."""
    found, port = unit_finding(unit), PORTS[unit.name]
    stranger = None
    with suppress(ServiceFailed):
        stranger = answerer.on_port(port) if unit.load_state == "not-found" else None
    if stranger is None or not stranger.unit:
        return found
    return Subject(found.name, unit.name).failed(
        f"{found.what}, and {stranger.unit} has its port {port}",
        "what was wired is for that name: if it was renamed, it is without a database",
        f"name it {unit.name} again, then run 'hx-gateway-db apply'",
    )


def unit_finding(unit: Unit) -> Finding:
    """What a unit does, from its properties."""
    name, short = unit.name, unit.name.removesuffix(".service")
    read_log = f"mend what 'journalctl -u {short} -n 80 --no-pager' tells"
    level, what, cure = Level.FAILED, f"{name} is {unit.active_state}", read_log
    if unit.load_state == "masked":
        what, cure = f"{name} is masked", f"run 'systemctl unmask {short}' and start it"
    elif not unit.present:
        what, cure = f"{name} is not installed", "install the gateway's own unit file"
    elif unit.running:
        level, cure = Level.OK, ""
        what = f"active since {unit.since.partition(' ')[2] or 'an unknown time'}"
    elif unit.sub_state == "auto-restart":
        what = f"{name} ends again and again (exit status {unit.exit_status})"
    elif unit.active_state == "activating":
        level, what, cure = Level.WARNING, f"{name} is starting", "wait a moment"
    elif unit.result == "start-limit-hit":
        what = f"{name} has ended so often that systemd starts it no more"
        cure = f"{read_log}, then run 'systemctl reset-failed {short}' and start it"
    elif unit.active_state == "failed":
        what = f"{name} has failed ({unit.result}, exit status {unit.exit_status})"
    elif unit.active_state == "inactive":
        what, cure = f"{name} is stopped", f"run 'systemctl start {short}'"
    return Subject(_id(name, "unit"), name).found(level, what, cure=cure)


def port_finding(
    name: str, port: int, stranger: Stranger | None, status: int, silence: str = ""
) -> Finding:
    """Who answers on a port: `status` came back, or else `silence`, a clause.

    `stranger` holds it in the unit's place.
    """
    about, short = Subject(_id(name, "port"), f"port {port}"), name.removesuffix(".service")
    if stranger:
        return answerer.held(about.name, port, stranger)
    if status == 200:
        return about.ok(f"{short} answers on port {port}")
    cure = f"run 'systemctl restart {short}'"
    what = f"{short} answers its health check with HTTP {status}" if status else silence
    return about.failed(what, cure=cure)


def _check_port(name: str, port: int, unit: Unit | None) -> Finding:
    about = Subject(_id(name, "port"), f"port {port}")
    if unit is None:
        what = f"it can't be told who answers on {about.where}: nobody is asked"
        return about.skipped(what)
    try:
        status, silence = http.health(name), ""
    except HeldByAnother as error:
        return http.unanswered(about.name, port, error)
    except NotAnswering as error:
        status, silence = 0, str(error)
    if not status and not listeners.on_port(port):
        if not unit.running:
            what = "nobody listens, as the unit does not run"
            return about.skipped(what)
        if (age := time.monotonic() - unit.since_monotonic) < _STARTING_SECONDS:
            what = (
                f"{name.removesuffix('.service')} was started {age:.0f} s ago: nobody listens yet"
            )
            cure = "wait: with a database LiteLLM takes half a minute to start"
            return about.failed(what, cure=cure)
    stranger = answerer.on_port(port) or answerer.left_behind(port)
    return port_finding(name, port, stranger, status, silence)


def _id(name: str, what: str) -> str:
    return f"{'litellm' if name == LITELLM_UNIT else 'wrapper'}.{what}"
