"""systemd: what the units are doing, restarting them, running a command beside them.

The only caller of systemctl and systemd-run.
"""

import itertools
import math
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hx_gateway_db.errors import HxError
from hx_gateway_db.layout import SYSTEMD_RUNS
from hx_gateway_db.programs import MOST, Ended, captured
from hx_gateway_db.systemd.loaded import PROPERTIES, Loaded, as_shown

_RESTART_SECONDS = 150.0
# For a unit that has for ever.
_LONGEST_STOP = 24 * 3600.0
_SPAN = re.compile(r"(\d{1,9})(us|ms|s|min|h|d|w|month|y)\b")
_SPANS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}
_QUERY_SECONDS = 20.0
# More than exec(2) takes at once; and what a person reads the end of.
_LARGEST_ENVIRONMENT = 4 * 1024 * 1024
_LARGEST_LOG = 256 * 1024
# Not hx-gateway-*: the site's drop-ins for its units could be meant for that as well.
_BESIDE = "run-hxgatewaydb"
_serial = itertools.count()
_POLICY = Path("/usr/sbin/policy-rc.d")
_PROPERTIES = (
    *("LoadState", "ActiveState", "SubState", "MainPID", "InvocationID"),
    *("ActiveEnterTimestamp", "ActiveEnterTimestampMonotonic", "Result", "ExecMainStatus"),
    "NRestarts",
)


class ServiceFailed(HxError):
    """`unit` can't be restarted or does not stay up; empty when it is no unit's fault."""

    def __init__(self, message: str, unit: str = "") -> None:
        super().__init__(message)
        self.unit = unit


class SystemdSilent(ServiceFailed):
    """systemd does not say what was asked: it is going down, say, or can't be reached."""


@dataclass(frozen=True)
class Unit:
    """A unit's properties as `systemctl show` names them.

    `since` is when it became active last (empty for never), as `Tue 2026-11-24 18:50:31 UTC`, and
    `since_monotonic` the same in seconds of time.monotonic(); `result` and `exit_status` are how
    its main process ended last; `restarts` is how often systemd has started it anew by itself.
    """

    name: str
    load_state: str
    active_state: str
    sub_state: str
    main_pid: int
    invocation: str
    since: str = ""
    since_monotonic: float = 0.0
    result: str = ""
    exit_status: int = 0
    restarts: int = 0

    @property
    def present(self) -> bool:
        return self.load_state == "loaded"

    @property
    def running(self) -> bool:
        return self.active_state == "active"

    @property
    def wanted(self) -> bool:
        """Whether it runs, or would if it did not fail: not one that an admin stopped."""
        return self.present and self.active_state != "inactive"

    def why_left_alone(self) -> str:
        """One sentence on a unit that is not `wanted`."""
        if self.load_state == "masked":
            return f"{self.name} is masked: left alone."
        if not self.present:
            return f"{self.name} is not installed: its drop-in waits for it."
        return f"{self.name} is stopped: left stopped; start it with 'systemctl start {self.name}'."


class Units(Protocol):
    """What a change of the gateway asks of systemd: the functions of this module."""

    def available(self) -> bool:
        """See `available`."""

    def unit(self, name: str) -> Unit:
        """See `unit`."""

    def daemon_reload(self) -> None:
        """See `daemon_reload`."""

    def restart(self, name: str) -> Unit:
        """See `restart`."""

    def start(self, name: str) -> None:
        """See `start`."""

    def stop(self, *names: str) -> None:
        """See `stop`."""

    def policy_forbids(self, name: str) -> bool:
        """See `policy_forbids`."""

    def started_since(self, name: str, moment: float) -> bool:
        """See `started_since`."""

    def journal(self, name: str) -> str:
        """See `journal`."""

    def loaded(self, name: str) -> Loaded:
        """See `loaded`."""

    def for_dpkg(self) -> bool:
        """See `for_dpkg`."""


def available() -> bool:
    """Whether systemd runs this machine."""
    return SYSTEMD_RUNS.is_dir()


def unit(name: str) -> Unit:
    """The present state of a unit, also of one that is missing. Raises SystemdSilent."""
    command = ["systemctl", "show", f"--property={','.join(_PROPERTIES)}", name]
    # A systemd that can't tell, since the machine goes down say, must not pass for one that has
    # no such unit: nothing would be restarted, and nothing proven.
    lines = _asked(command, name)
    values = dict(line.partition("=")[::2] for line in lines)
    return Unit(
        name=name,
        load_state=values.get("LoadState", ""),
        active_state=values.get("ActiveState", ""),
        sub_state=values.get("SubState", ""),
        main_pid=int(values.get("MainPID") or 0),
        invocation=values.get("InvocationID", ""),
        since=values.get("ActiveEnterTimestamp", ""),
        since_monotonic=int(values.get("ActiveEnterTimestampMonotonic") or 0) / 1_000_000,
        result=values.get("Result", ""),
        exit_status=int(values.get("ExecMainStatus") or 0),
        restarts=int(values.get("NRestarts") or 0),
    )


def loaded(name: str) -> Loaded:
    """A unit as systemd has it in memory, also one that is missing. Raises SystemdSilent."""
    shown = properties(name, PROPERTIES)
    pid = int(dict(shown).get("MainPID") or 0)
    return as_shown(name, shown, environment_of(pid) if pid else {})


def properties(name: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Properties of a unit as `systemctl show` prints them; one that is a list can come twice.

    Times are in UTC, to the microsecond. Those that this systemd does not know are missing. Raises
    SystemdSilent.
    """
    command = ["systemctl", "show", "--timestamp=us+utc", f"--property={','.join(names)}", name]
    lines = _asked(command, name)
    return [(key, value) for key, equals, value in (x.partition("=") for x in lines) if equals]


def started_since(name: str, moment: float) -> bool:
    """Whether a unit became active after `moment` (seconds since 1970), with the files of now.

    Raises SystemdSilent.
    """
    names = ("ActiveEnterTimestamp", "NeedDaemonReload")
    command = ["systemctl", "show", "--timestamp=unix", f"--property={','.join(names)}", name]
    lines = _asked(command, name)
    values = dict(line.partition("=")[::2] for line in lines)
    # In whole seconds: when in doubt, it has not.
    since = values.get("ActiveEnterTimestamp", "").removeprefix("@")
    return values.get("NeedDaemonReload") == "no" and since.isdigit() and int(since) > moment


def run_beside(
    settings: Sequence[tuple[str, str]],
    command: Sequence[str],
    program: str,
    seconds: float,
    waiting: Callable[[float], None] = lambda seconds: None,
) -> Ended:
    """Run a command in a transient service with these properties (systemd-run(1)).

    It reads `program` from its standard input. `waiting` is called with the seconds so far.
    Raises ServiceFailed when it has not ended after `seconds`; then it is stopped.
    """
    name = f"{_BESIDE}{os.getpid()}x{next(_serial)}.service"
    limits = (("RuntimeMaxSec", f"{seconds + 5:.0f}"), ("TimeoutStopSec", "5"))
    options = [f"--property={key}={value}" for key, value in (*settings, *limits)]
    run = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={name}", *options]
    try:
        ended = captured(
            [*run, "--", *command], seconds, input=program, together=True, waiting=waiting
        )
        if ended.cut:
            raise ServiceFailed(f"'{command[0]}' printed more than {MOST // 2**20} MiB.")
        return ended
    except BaseException as error:
        # It is systemd's child, not ours: one that is cut off goes on by itself.
        _run(["systemctl", "stop", name], _QUERY_SECONDS)
        if isinstance(error, subprocess.TimeoutExpired):
            raise ServiceFailed(f"'{command[0]}' did not end in {seconds:.0f} s.") from None
        if isinstance(error, OSError):
            raise ServiceFailed(f"'systemd-run' can't be run: {error.strerror}.") from None
        raise


def stop_left_behind() -> None:
    """Stop what `run_beside` has started for processes of ours that were killed."""
    command = ["systemctl", "list-units", "--plain", "--no-legend", "--full", f"{_BESIDE}*"]
    for line in _run(command, _QUERY_SECONDS).output.splitlines():
        name = line.split()[0]
        if not Path("/proc", name.removeprefix(_BESIDE).partition("x")[0]).exists():
            _run(["systemctl", "stop", name], _QUERY_SECONDS)


def daemon_reload() -> None:
    """Make systemd read changed drop-ins. Raises ServiceFailed."""
    _checked(["systemctl", "daemon-reload"], _QUERY_SECONDS)


def restart(name: str) -> Unit:
    """Restart a unit and return it as it is then. Raises ServiceFailed.

    It has all the time that it is given to answer what it has begun (TimeoutStopSec=).
    """
    # A unit that has just crashed often could else not be started (StartLimitBurst=).
    _run(["systemctl", "reset-failed", name], _QUERY_SECONDS)
    _checked(["systemctl", "restart", name], _RESTART_SECONDS + _stopping(name), name)
    return unit(name)


def for_dpkg() -> bool:
    """Whether a maintainer script runs us."""
    return "DPKG_MAINTSCRIPT_PACKAGE" in os.environ


def start(name: str) -> None:
    """Start a unit. Raises ServiceFailed."""
    _checked(["systemctl", "start", name], _QUERY_SECONDS, name)


def stop(*names: str) -> None:
    """Stop units, also failed ones, of which nothing is left to be seen. Raises ServiceFailed.

    Each has all the time that it is given for that (TimeoutStopSec=).
    """
    seconds = _QUERY_SECONDS + max(map(_stopping, names))
    _checked(["systemctl", "stop", *names], seconds)
    _run(["systemctl", "reset-failed", *names], _QUERY_SECONDS)


def _stopping(name: str) -> float:
    """The seconds that systemd gives a unit to end."""
    shown = dict(properties(name, ("TimeoutStopUSec",))).get("TimeoutStopUSec", "")
    return min(seconds_of(shown), _LONGEST_STOP)


def seconds_of(span: str) -> float:
    """Of `1min 30s`, as systemctl shows a time span (systemd.time(7)); infinite for `infinity`."""
    if span == "infinity":
        return math.inf
    return sum(int(number) * _SPANS[unit] for number, unit in _SPAN.findall(span))


def policy_forbids(name: str) -> bool:
    """Whether a maintainer script runs us and policy-rc.d forbids it to restart a unit.

    It is asked as deb-systemd-invoke(1p) does, of which 101 is the only no.
    """
    if not for_dpkg() or not os.access(_POLICY, os.X_OK):
        return False
    return _run([str(_POLICY), name, "restart"], _QUERY_SECONDS).status == 101


def environment(running: Unit) -> dict[str, str]:
    """The environment that a running unit's main process was started with; {} if unknown."""
    return environment_of(running.main_pid)


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with; {} if unknown."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            data = file.read(_LARGEST_ENVIRONMENT)
    except OSError:
        return {}
    entries = data.decode(errors="replace").split("\0")
    return dict(entry.partition("=")[::2] for entry in entries if "=" in entry)


def journal(name: str, lines: int = 12, minutes: int = 0) -> str:
    """The last lines that a unit logged, or of them those of the last minutes; not redacted yet.

    Of a unit that logs more than a log should hold, the newest of them.
    """
    # The newest first, so that what is too much is cut off at the other end. And with --since
    # alone, journalctl before 256 counts the lines from there and not from the end.
    command = ["journalctl", "--no-pager", "--output=cat", f"--lines={lines}", f"--unit={name}"]
    command += ["--reverse", *([f"--since=-{minutes}min"] if minutes else [])]
    newest = _run(command, _QUERY_SECONDS, _LARGEST_LOG).output.splitlines()
    return "\n".join(reversed(newest)).strip()


def _asked(command: list[str], name: str) -> list[str]:
    """The lines of an answer on a unit. Raises SystemdSilent."""
    try:
        return _checked(command, _QUERY_SECONDS).output.splitlines()
    except ServiceFailed as error:
        raise SystemdSilent(f"systemd does not say what {name} does: {error}") from None


def _run(command: list[str], seconds: float, most: int = MOST) -> Ended:
    try:
        return captured(command, seconds, most=most)
    except subprocess.TimeoutExpired:
        raise ServiceFailed(f"'{' '.join(command)}' did not end in {seconds:.0f} s.") from None
    except OSError as error:
        raise ServiceFailed(f"'{command[0]}' can't be run: {error.strerror}.") from None


def _checked(command: list[str], seconds: float, unit: str = "") -> Ended:
    result = _run(command, seconds)
    if result.status != 0:
        reason = result.errors.strip().split("\n")[0]
        raise ServiceFailed(f"'{' '.join(command)}' failed: {reason}", unit)
    return result
