"""Whether the ports of the gateway are its own, on a running system."""

from collections.abc import Iterator

from hx_gateway_db import listeners, services, started_program
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT

_PORTS = {LITELLM_UNIT: LITELLM_PORT, WRAPPER_UNIT: WRAPPER_PORT}


def findings() -> Iterator[Finding]:
    """One for each unit."""
    for unit, port in _PORTS.items():
        yield _port(unit, port)


def _port(unit: str, port: int) -> Finding:
    name, where = "gateway.ports", f"port {port}"
    shown = dict(
        services.properties(unit, ("LoadState", "ActiveState", "ControlGroup", "ExecStart"))
    )
    if shown.get("LoadState") != "loaded":
        return Finding(name, Level.SKIPPED, where, f"{unit} is {shown.get('LoadState')}")
    program = started_program.shown(shown.get("ExecStart", ""))
    if program and program.port not in (None, port):
        what = f"{unit} is started with --port {program.port}, not {port}"
        why = f"hx-gateway-db and the wrapper ask port {port}"
        cure = f"set --port {port} in ExecStart= of {unit}"
        return Finding(name, Level.FAILED, where, what, why, cure)
    holders = listeners.on_port(port)
    group = shown.get("ControlGroup", "")
    # systemd itself holds a socket that it activates.
    foreign = [holder for holder in holders if not holder.within(group) and holder.pid != 1]
    if foreign:
        return _taken(unit, port, foreign[0])
    if shown.get("ActiveState") == "active" and not holders:
        what = f"{unit} runs, but does not listen on port {port}"
        cure = f"see 'journalctl -u {unit}'"
        return Finding(name, Level.WARNING, where, what, "it may be starting still", cure)
    return Finding(name, Level.OK, where, f"port {port} is left to {unit}")


def _taken(unit: str, port: int, by: listeners.Listener) -> Finding:
    who = by.unit or (f"{by.name} (process {by.pid})" if by.pid else "a process that can't be seen")
    what = f"port {port} is taken by {who}, not by {unit}"
    why = "LiteLLM would silently choose another port" if unit == LITELLM_UNIT else ""
    if by.unit.endswith(".service"):
        cure = f"run 'systemctl disable --now {by.unit}', or give it another port"
    else:
        cure = f"run 'kill {by.pid}', or give it another port" if by.pid else "find and stop it"
    return Finding("gateway.ports", Level.FAILED, f"port {port}", what, why, cure)
