"""Whether the ports of the gateway are its own, on a running system."""

from collections.abc import Iterator

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.gateway import answerer
from hx_gateway_db.gateway.answerer import Stranger
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT, WRAPPER_PORT
from hx_gateway_db.systemd import listeners, started_program, units

_NAME = "gateway.ports"


def findings() -> Iterator[Finding]:
    """One for each unit."""
    for port in (LITELLM_PORT, WRAPPER_PORT):
        yield _port(answerer.unit_of(port), port)


def _port(unit: str, port: int) -> Finding:
    about = _about(port)
    shown = dict(units.properties(unit, ("LoadState", "ActiveState", "ExecStart")))
    if shown.get("LoadState") != "loaded":
        return about.skipped(f"{unit} is {shown.get('LoadState')}")
    program = started_program.shown(shown.get("ExecStart", ""))
    if program and program.port not in (None, port):
        what = f"{unit} is started with --port {program.port}, not {port}"
        why = f"hx-gateway-db and the wrapper ask port {port}"
        cure = f"set --port {port} in ExecStart= of {unit}"
        return about.failed(what, why, cure)
    if stranger := answerer.on_port(port):
        return _taken(unit, port, stranger)
    if leftover := answerer.left_behind(port):
        return answerer.held(_NAME, port, leftover)
    if shown.get("ActiveState") == "active" and not listeners.on_port(port):
        what = f"{unit} runs, but does not listen on port {port}"
        cure = f"see 'journalctl -u {unit}'"
        return about.warning(what, "it may be starting still", cure)
    return about.ok(f"port {port} is left to {unit}")


def _about(port: int) -> Subject:
    return Subject(_NAME, f"port {port}")


def _taken(unit: str, port: int, by: Stranger) -> Finding:
    who = by.unit or (f"another program ({by.words})" if by.process.pid else by.words)
    what = f"port {port} is taken by {who}, not by {unit}"
    why = "LiteLLM would silently choose another port" if unit == LITELLM_UNIT else ""
    cure = f"run '{by.ending}', or give it another port" if by.ending else "find and stop it"
    return _about(port).failed(what, why, cure)
