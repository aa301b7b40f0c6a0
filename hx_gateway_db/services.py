"""systemd: what the units are doing, and restarting them. The only caller of systemctl."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hx_gateway_db.errors import RolledBack

_RESTART_SECONDS = 150.0
_QUERY_SECONDS = 20.0
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "MainPID", "InvocationID")


class ServiceFailed(RolledBack):
    """`unit` can't be restarted or does not stay up; empty when it is no unit's fault."""

    def __init__(self, message: str, unit: str = "") -> None:
        super().__init__(message)
        self.unit = unit


@dataclass(frozen=True)
class Unit:
    """A unit's properties as `systemctl show` names them."""

    name: str
    load_state: str
    active_state: str
    sub_state: str
    main_pid: int
    invocation: str

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


def available() -> bool:
    """Whether systemd runs this machine (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def unit(name: str) -> Unit:
    """The present state of a unit, also of one that is missing. Raises ServiceFailed."""
    command = ["systemctl", "show", f"--property={','.join(_PROPERTIES)}", name]
    # A systemd that can't tell, since the machine goes down say, must not pass for one that has
    # no such unit: nothing would be restarted, and nothing proven.
    lines = _checked(command, _QUERY_SECONDS).stdout.splitlines()
    values = dict(line.partition("=")[::2] for line in lines)
    return Unit(
        name=name,
        load_state=values.get("LoadState", ""),
        active_state=values.get("ActiveState", ""),
        sub_state=values.get("SubState", ""),
        main_pid=int(values.get("MainPID") or 0),
        invocation=values.get("InvocationID", ""),
    )


def daemon_reload() -> None:
    """Make systemd read changed drop-ins. Raises ServiceFailed."""
    _checked(["systemctl", "daemon-reload"], _QUERY_SECONDS)


def restart(name: str) -> Unit:
    """Restart a unit and return it as it is then. Raises ServiceFailed."""
    # A unit that has just crashed often could else not be started (StartLimitBurst=).
    _run(["systemctl", "reset-failed", name], _QUERY_SECONDS)
    _checked(["systemctl", "restart", name], _RESTART_SECONDS, name)
    return unit(name)


def policy_forbids(name: str) -> bool:
    """Whether a maintainer script runs us and policy-rc.d forbids it a restart (invoke-rc.d(8))."""
    policy = Path("/usr/sbin/policy-rc.d")
    if "DPKG_MAINTSCRIPT_PACKAGE" not in os.environ or not os.access(policy, os.X_OK):
        return False
    return _run([str(policy), name.removesuffix(".service"), "restart"], 20.0).returncode in (
        101,
        104,
    )


def environment(running: Unit) -> dict[str, str]:
    """The environment that a running unit's main process was started with; {} if unknown."""
    try:
        data = Path(f"/proc/{running.main_pid}/environ").read_bytes()
    except OSError:
        return {}
    entries = data.decode(errors="replace").split("\0")
    return dict(entry.partition("=")[::2] for entry in entries if "=" in entry)


def journal(name: str, lines: int = 12) -> str:
    """The last lines that a unit logged; not redacted yet."""
    command = ["journalctl", "--no-pager", "--output=cat", f"--lines={lines}", f"--unit={name}"]
    return _run(command, _QUERY_SECONDS).stdout.strip()


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServiceFailed(f"'{' '.join(command)}' did not end in {seconds:.0f} s.") from None
    except OSError as error:
        raise ServiceFailed(f"'{command[0]}' can't be run: {error.strerror}.") from None


def _checked(
    command: list[str], seconds: float, unit: str = ""
) -> subprocess.CompletedProcess[str]:
    result = _run(command, seconds)
    if result.returncode != 0:
        reason = result.stderr.strip().split("\n")[0]
        raise ServiceFailed(f"'{' '.join(command)}' failed: {reason}", unit)
    return result
