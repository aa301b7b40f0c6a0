"""Programs run as a unit would run them: as its user, in its sandbox, with its environment.

So that what is found holds for the gateway's service too, also while that does not run.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from hx_gateway_db.programs import Ended
from hx_gateway_db.systemd import environment_files, started_program, units
from hx_gateway_db.systemd.passed_on import NAMES
from hx_gateway_db.systemd.started_program import StartedProgram
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction import foreign_file
from hx_gateway_db.transaction.foreign_file import Unreadable

# What decides whether a program can read, write and execute (systemd.exec(5)).
_COPIED = (
    *("User", "Group", "SupplementaryGroups", "DynamicUser", "WorkingDirectory", "UMask"),
    *("ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers"),
    *("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths"),
    *("BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem", "ProtectProc", "ProcSubset"),
    *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectClock"),
    *("ProtectControlGroups", "ProtectHostname", "NoNewPrivileges", "CapabilityBoundingSet"),
    *("AmbientCapabilities", "SystemCallFilter", "SystemCallArchitectures"),
    *("SystemCallErrorNumber", "MemoryDenyWriteExecute", "LockPersonality"),
    *("RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LimitNOFILE", "LimitNPROC"),
    *("LimitAS", "PassEnvironment", "UnsetEnvironment"),
)
_NETWORK = ("PrivateNetwork", "IPAddressAllow", "IPAddressDeny", "RestrictAddressFamilies")
# Copied as they are, they would be removed with the program.
_FOLDERS = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
}
_READ = ("LoadState", "ExecStart", "Environment", "EnvironmentFiles", "RootDirectory", "RootImage")
# What `systemctl show` prints for a filter or an error number that is not set.
_NOT_SET = ("", "~", "2147483646")
_FILE = re.compile(r"(?P<path>.*) \(ignore_errors=(?P<ignored>yes|no)\)")
_VARIABLE = re.compile(r"\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<bare>(?:\\.|[^\s\"\\])+)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# systemd.exec(5), "Process Exit Codes"
_NOT_STARTED = {
    200: "its WorkingDirectory= can't be entered",
    203: "the program can't be executed",
    216: "its group does not exist",
    217: "its user does not exist",
    226: "its sandbox can't be set up",
}
_BEGINNING = 1024
_HEAD_SECONDS = 20.0
_LARGEST_FILE = 1024 * 1024

_PASSWORDS = ("DATABASE_URL", "DIRECT_URL", "PG_URL", "REDIS_URL", "LITELLM_REDIS_URL")
# What the names of secrets end in, of the gateway's own and of those of its models' providers.
_SECRET = re.compile(
    r"(?i)(KEY|KEYS|TOKEN|SECRET|PASS|PASSWORD|PASSWD|CREDENTIALS?|AUTH|DSN|SALT)$"
)
_LOGIN = re.compile(r"://[^/\s@]*@")
# A command line holds no more words than it may; these are the names of other people's choice.
_MOST_SECRETS = 500
_LONGEST_NAME = 128
# What the programs that we run are told by, about where to download from say.
_NEEDED = re.compile(r"(?i)(npm|node|prisma)_")


class Unavailable(Exception):
    """Nothing can be run as the unit would run it; the message is a clause that says why."""


@dataclass(frozen=True)
class Sandbox:
    """What systemd makes of a unit.

    `environment` is what its Environment= lines say, `environment_files` the files that it reads
    over that, as EnvironmentFile= has them.
    """

    unit: str
    properties: tuple[tuple[str, str], ...]
    environment: Mapping[str, str] = field(repr=False)
    environment_files: tuple[str, ...]
    program: StartedProgram

    @property
    def user(self) -> str:
        return dict(self.properties).get("User", "root")

    def variables(self) -> dict[str, str]:
        """The environment that the unit's files make, as far as they can be read now."""
        found = dict(self.environment)
        for file in self.environment_files:
            found |= variables(file.removeprefix("-"))
        return found

    def online(self) -> "Sandbox":
        """The same with nothing to keep a program from the network."""
        kept = tuple(item for item in self.properties if item[0] not in _NETWORK)
        return replace(self, properties=kept)

    def without_passwords(self) -> "Sandbox":
        """The same for programs that need not know what the gateway logs in with.

        They run as its user, who could look it up; but some of them, npm's say, are strangers to
        the gateway, and print what they find where something goes wrong.
        """
        names = {*_PASSWORDS, *_secrets(self.variables())[:_MOST_SECRETS]}
        unset = ("UnsetEnvironment", " ".join(sorted(names)))
        return replace(self, properties=(*self.properties, unset))

    def python(self) -> tuple[str, ...]:
        """What starts the Python that runs the unit's program. Raises Unavailable for another."""
        path = self.program.path
        try:
            head = foreign_file.beginning(path, _BEGINNING).decode(errors="replace")
        except Unreadable as error:
            head = "" if error.missing else self._beginning(path)
            if not head:
                raise Unavailable(
                    f"{path}, which {self.unit} starts, can't be used: {error}"
                ) from None
        python = started_program.python_of(self.program, head)
        if python is None:
            raise Unavailable(f"{self.unit} starts {path}, which is no Python script")
        return (python,) if "/" in python else ("/usr/bin/env", python)

    def _beginning(self, path: str) -> str:
        """As its user sees it, whom it may belong to: pipx and uv start their programs by links."""
        command = ("/usr/bin/head", "-c", str(_BEGINNING), "--", path)
        ended = run(self.without_passwords(), command, seconds=_HEAD_SECONDS)
        return ended.output if ended.status == 0 else ""


def sandbox_of(unit: str) -> Sandbox:
    """The sandbox of a unit of this system. Raises Unavailable."""
    if not units.available():
        raise Unavailable("systemd does not run here")
    try:
        shown = units.properties(unit, (*_READ, *_COPIED, *_NETWORK, *_FOLDERS))
    except ServiceFailed as error:
        raise Unavailable(str(error).removesuffix(".")) from None
    single = dict(shown)
    program = started_program.shown(single.get("ExecStart", ""))
    if single.get("LoadState") != "loaded" or program is None:
        raise Unavailable(f"{unit} is {single.get('LoadState', 'not there')}")
    if single.get("RootDirectory") or single.get("RootImage"):
        raise Unavailable(f"{unit} has a root of its own (RootDirectory= or RootImage=)")
    settable = (*_COPIED, *_NETWORK)
    copied = [item for item in shown if item[0] in settable and item[1] not in _NOT_SET]
    return Sandbox(
        unit=unit,
        properties=(*map(_as_set, copied), *_writable(single)),
        environment=environment(single.get("Environment", "")),
        environment_files=tuple(_file(value) for key, value in shown if key == "EnvironmentFiles"),
        program=program,
    )


def run(
    sandbox: Sandbox,
    command: Sequence[str],
    program: str = "",
    *,
    drop_in: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    places: Mapping[PurePosixPath, Path] | None = None,
    seconds: float,
    waiting: Callable[[float], None] = lambda seconds: None,
) -> Ended:
    """Run a command in the sandbox; it reads `program` from its standard input.

    `drop_in` is set as Environment= lines of a later drop-in would be: the unit's own environment
    files win over it. `overrides` wins over those. `places` are folders that the command may
    write to: where it sees each, and where it is. Raises Unavailable when it does not start,
    ServiceFailed when it has not ended after `seconds`.
    """
    with ExitStack() as stack:
        # Environment= of a unit can be read by everybody, and so can a command line.
        first = _environment_file({**sandbox.environment, **(drop_in or {})}, stack)
        last = _environment_file(overrides or {}, stack)
        files = (first, *sandbox.environment_files, last)
        settings = [*sandbox.properties, *(("EnvironmentFile", file) for file in files)]
        for seen, real in (places or {}).items():
            settings += [("BindPaths", f"{real}:{seen}"), ("ReadWritePaths", str(seen))]
        ended = units.run_beside(settings, command, program, seconds, waiting)
    if ended.status in _NOT_STARTED:
        raise Unavailable(f"{sandbox.unit} could not be started: {_NOT_STARTED[ended.status]}")
    return ended


def variables(pattern: str) -> dict[str, str]:
    """What environment files set: one, or all those of a pattern, as EnvironmentFile= has it.

    As far as they can be read: see `foreign_file`.
    """
    found: dict[str, str] = {}
    for path in environment_files.matching(pattern):
        with suppress(Unreadable):
            found |= environment_files.values(
                foreign_file.read(path, _LARGEST_FILE).decode(errors="replace")
            )
    return found


def _secrets(variables: Mapping[str, str]) -> list[str]:
    return [
        name
        for name, value in variables.items()
        if _NAME.fullmatch(name)
        and len(name) < _LONGEST_NAME
        and name not in NAMES
        and not _NEEDED.match(name)
        and (_SECRET.search(name) or _LOGIN.search(value))
    ]


def environment(shown: str) -> dict[str, str]:
    """The variables in the property Environment as `systemctl show` prints it."""
    words = (
        re.sub(r"\\(.)", r"\1", match["quoted"] or match["bare"] or "", flags=re.DOTALL)
        for match in _VARIABLE.finditer(shown)
    )
    return dict(word.partition("=")[::2] for word in words)


def _environment_file(values: Mapping[str, str], stack: ExitStack) -> str:
    """A file that only root can read, and that is gone when `stack` is closed or this process."""
    descriptor = os.memfd_create("environment")
    stack.callback(os.close, descriptor)
    with open(os.dup(descriptor), "w") as file:
        for name, value in values.items():
            if _NAME.fullmatch(name):
                quoted = re.sub(r'(["\\`$])', r"\\\1", value)
                file.write(f'{name}="{quoted}"\n')
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _as_set(shown: tuple[str, str]) -> tuple[str, str]:
    """A property as it is set, where `systemctl show` prints it otherwise."""
    name, value = shown
    if name == "WorkingDirectory" and value.startswith("!"):
        return name, f"-{value[1:]}"
    return shown


def _writable(shown: Mapping[str, str]) -> list[tuple[str, str]]:
    """The folders that systemd keeps for the unit, which it may write to."""
    dynamic = shown.get("DynamicUser") == "yes"
    return [
        ("ReadWritePaths", f"-{parent}/{'private/' if dynamic else ''}{name}")
        for key, parent in _FOLDERS.items()
        for name in shown.get(key, "").split()
    ]


def _file(shown: str) -> str:
    match = _FILE.fullmatch(shown)
    if match is None:
        return shown
    return f"{'-' if match['ignored'] == 'yes' else ''}{match['path']}"
