"""The systemd unit that a Redis of this machine runs as."""

import re

from hx_gateway_db.systemd import started_program, units
from hx_gateway_db.systemd.listeners import Listener
from hx_gateway_db.systemd.units import ServiceFailed

# Its name becomes part of a path: a user may have a unit of any name, and a service one of its own.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@_.:-]{0,200}\.service")
_PROGRAM = re.compile(r".*/(?:redis|valkey|keydb)-server[A-Za-z0-9_.-]*")


def unit_of(process: Listener | None) -> str:
    """The system's unit that a process is the server of; empty when it is in a container, say.

    As systemd knows it: whose control group it is, and what it starts.
    """
    name = process.unit if process else ""
    if process is None or not _NAME.fullmatch(name) or not units.available():
        return ""
    try:
        known = units.properties(name, ("ControlGroup", "ExecStart"))
    except ServiceFailed:
        return ""
    if ("ControlGroup", process.group) not in known:
        return ""
    started = [started_program.shown(value) for key, value in known if key == "ExecStart"]
    servers = [program for program in started if program and _PROGRAM.fullmatch(program.path)]
    return name if servers else ""
