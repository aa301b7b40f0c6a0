"""Who answers on a port of the gateway: the unit that it belongs to, or a stranger.

Any user may listen on such a port while nobody does, as when LiteLLM restarts, which then takes
another one and says nothing. The process that has accepted our own connection is who answers: one
that listens can hand the connection or the port on.
"""

import math
import re
import shlex
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.redaction import said
from hx_gateway_db.systemd import listeners, units
from hx_gateway_db.systemd.listeners import Listener
from hx_gateway_db.systemd.units import ServiceFailed

HOST = "127.0.0.1"
# Of what systemd allows (systemd.unit(5)), what no command takes for an option or a pattern.
_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]{0,200}\.(?:service|scope|socket)")
# A connection is in no process's hands while one gives it to another.
_LOOKS = 3
_PAUSE_SECONDS = 0.005
# Each unit's control group, which seldom changes: systemctl is asked anew when it does not fit.
_groups: dict[str, str] = {}
# On each port, the process of the unit that has answered last, to be looked at first.
_last: dict[int, int] = {}


@dataclass(frozen=True)
class Service:
    """A unit and the port that it answers on; asked from the address `source`, if there is one."""

    unit: str
    port: int
    source: str = ""


LITELLM = Service(LITELLM_UNIT, LITELLM_PORT)
WRAPPER = Service(WRAPPER_UNIT, WRAPPER_PORT)


@dataclass(frozen=True)
class Stranger:
    """A process that is not of the unit whose port it is on.

    `unit` is the system's unit that it is, if systemd itself says so: a user can give a control
    group any name. Its `pid` is 0 when it can't be seen. `left_behind`: it was of the unit whose
    port it is on, and that has ended since.
    """

    process: Listener
    unit: str = ""
    left_behind: bool = False

    @property
    def words(self) -> str:
        """What is known of it, for a sentence."""
        by = self.process
        if not by.pid:
            return "a process that can't be seen"
        last = self.unit or f"user {by.user}"
        return ", ".join(word for word in (said(by.name), f"process {by.pid}", last) if word)

    @property
    def ending(self) -> str:
        """The command that ends it; empty for one that can't be seen."""
        if self.unit.endswith(".service"):
            return f"systemctl disable --now {shlex.quote(self.unit)}"
        return f"kill {self.process.pid}" if self.process.pid else ""


class NotTheUnit(Exception):
    """`stranger` answers instead of the unit that was asked."""

    def __init__(self, stranger: Stranger) -> None:
        super().__init__(stranger.words)
        self.stranger = stranger


def unit_of(port: int) -> str:
    """The unit whose port it is."""
    return LITELLM_UNIT if port == LITELLM_PORT else WRAPPER_UNIT


def see(connection: socket.socket, service: Service, deadline: float) -> None:
    """See that a connection to a service was accepted by its unit; until then, nothing is sent.

    Raises NotTheUnit, TimeoutError when nobody accepts it before `deadline` (time.monotonic()),
    another OSError when it was accepted and closed, and ServiceFailed when systemd can't tell.
    """
    by, looks = _other_end(connection, service.port, deadline), 1
    while by and not by.pid and looks < _LOOKS and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
        by, looks = _other_end(connection, service.port, deadline), looks + 1
    if by is None:
        raise ConnectionResetError
    if not by.pid and time.monotonic() >= deadline:
        raise TimeoutError
    _require(by, service)


def see_again(connection: socket.socket, service: Service) -> None:
    """See, once there is an answer, that the unit still is at the other end, or on the port.

    Raises NotTheUnit and ServiceFailed.
    """
    by = None
    with suppress(OSError):  # it is closed on both sides
        by = _other_end(connection, service.port, 0.0)
    if by and by.pid:
        _require(by, service)
    elif stranger := _on_port(service):
        raise NotTheUnit(stranger)


def on_port(port: int) -> Stranger | None:
    """Who holds a port; None when that is its unit, or nobody.

    Whoever else listens on other addresses than the one that we ask is let be, unless nobody
    listens there: then the unit could not either. Raises ServiceFailed.
    """
    return _on_port(Service(unit_of(port), port))


def _on_port(service: Service) -> Stranger | None:
    port = service.port
    listening = listeners.on_port(port, address=HOST) or listeners.on_port(port)
    for anew in (False, True):
        found = intruder(listening, _group(service.unit, anew))
        if found is None:
            return None
    return known(found) if found else None


def left_behind(port: int) -> Stranger | None:
    """The process of its unit that holds a port although that has ended, or was started anew.

    As KillMode=process or none leave one (systemd.kill(5)). Raises ServiceFailed.
    """
    shown = dict(units.properties(unit_of(port), ("ActiveState", "ControlGroup", "MainPID")))
    main = int(shown.get("MainPID") or 0)
    if not main and shown.get("ActiveState") == "active":
        return None  # which is its main process, systemd does not know
    since = listeners.started(main) if main else math.inf
    for one in listeners.on_port(port):
        ours = one.pid != 1 and one.within(shown.get("ControlGroup", ""))
        if ours and 0 < listeners.started(one.pid) < since:
            return Stranger(one, left_behind=True)
    return None


def intruder(listening: Sequence[Listener], group: str) -> Listener | None:
    """The first that is not within a control group; systemd itself holds what it activates."""
    return next((one for one in listening if not one.within(group) and one.pid != 1), None)


def known(process: Listener) -> Stranger:
    """A process, with the system's unit that it is."""
    with suppress(ServiceFailed):
        if _UNIT_NAME.fullmatch(process.unit) and _asked(process.unit) == process.group:
            return Stranger(process, process.unit)
    return Stranger(process)


def held(name: str, port: int, by: Stranger) -> Finding:
    """The finding of that name for a port on which a stranger is."""
    unit = unit_of(port)
    about, short = Subject(name, f"port {port}"), unit.removesuffix(".service")
    random = ", and LiteLLM listens on a random port" if port == LITELLM_PORT else ""
    if by.left_behind:
        return about.failed(
            f"port {port} is held by a process that {unit} left behind ({by.words})",
            f"another one can't have it{random}",
            f"run 'systemctl kill {short}', then 'systemctl start {short}'",
        )
    return about.failed(
        f"port {port} is held by another program ({by.words})",
        f"it is {unit}'s{random}",
        f"stop that, then run 'systemctl restart {short}'",
    )


def _other_end(connection: socket.socket, port: int, deadline: float) -> Listener | None:
    return listeners.other_end(connection, deadline, first=_last.get(port, 0))


def _require(by: Listener, service: Service) -> None:
    for anew in (False, True):
        if by.within(_group(service.unit, anew)):
            _last[service.port] = by.pid
            return
    raise NotTheUnit(known(by))


def _group(unit: str, anew: bool) -> str:
    """A unit's control group, empty for one that does not run."""
    if anew or unit not in _groups:
        _groups[unit] = _asked(unit)
    return _groups[unit]


def _asked(unit: str) -> str:
    return dict(units.properties(unit, ("ControlGroup",))).get("ControlGroup", "")
