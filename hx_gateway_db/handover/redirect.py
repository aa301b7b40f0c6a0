"""New connections to the gateway's ports led to those of a second one, by a table of nftables.

Of a table of our own; nothing of anybody else's is touched. A connection that is there stays where
it is. The rules stay until nobody uses the second one any more, and only the map that they look
into is emptied: with the last rule that translates addresses, what was translated is cut off.
The only caller of nft(8).
"""

import json
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from hx_gateway_db.handover.second_unit import LOOPBACK, NotPossible
from hx_gateway_db.programs import captured
from hx_gateway_db.redaction import said
from hx_gateway_db.systemd import listeners, units
from hx_gateway_db.systemd.units import ServiceFailed

TABLE = "hx_gateway_db"
# Whoever asks from here is not redirected: our own looks at the real units.
SOURCE = "127.0.0.77"
_MAP = "second"
_SECONDS = 20.0
_CONNECT_SECONDS = 3.0
_LARGEST_RULESET = 16 * 1024 * 1024
_UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")
_HYBRID = Path("/sys/fs/cgroup/unified")
# nft looks a control group up below /sys/fs/cgroup, wherever its hierarchy is mounted.
_AS_UNIFIED = (
    *("unshare", "--mount", "sh", "-ec"),
    f'mount --bind {_HYBRID} /sys/fs/cgroup; exec "$@"',
    "sh",
)
# Verdicts by which a packet does not come through, or may not.
_AWAY = ("drop", "reject", "queue")
_LEGACY = (Path("/proc/net/ip_tables_names"), Path("/proc/net/ip6_tables_names"))
_PORTS = range(1, 10)  # how far from the first one's port the second one's is looked for
_PROBE = "import socket, sys; socket.create_connection(sys.argv[1:], 3)"


@dataclass(frozen=True)
class Exempt:
    """Whose connections stay: LiteLLM asks its own port whether it is free before it listens, and
    takes a random one if it seems not to be. `group` is the control group that its unit is in
    (that of the unit itself is a new one with each start), `user` whom it runs as.
    """

    user: str
    group: PurePosixPath


class Redirect(Protocol):
    """What leads connections elsewhere: the functions of this module."""

    def free_port(self, near: int) -> int:
        """See `free_port`."""

    def obstacle(self, ports: tuple[int, ...], from_elsewhere: bool) -> str:
        """See `obstacle`."""

    def put(self, ports: Mapping[int, int], exempt: Exempt) -> None:
        """See `put`."""

    def empty(self) -> None:
        """See `empty`."""

    def remove(self) -> None:
        """See `remove`."""

    def present(self) -> bool:
        """See `present`."""


def free_port(near: int) -> int:
    """A port behind `near` on which nobody listens. Raises NotPossible."""
    for port in (near + step for step in _PORTS):
        if not listeners.on_port(port):
            return port
    raise NotPossible(f"no port from {near + _PORTS[0]} to {near + _PORTS[-1]} is free")


def obstacle(ports: tuple[int, ...], from_elsewhere: bool) -> str:
    """What is in the way of leading these ports' connections elsewhere, as a clause; or empty.

    `from_elsewhere`: other machines are to get through as well, to ports that a filter may not
    know.
    """
    if not shutil.which("nft"):
        return "nft is not there (install the package nftables)"
    if not _UNIFIED.exists() and not _HYBRID.is_dir():
        return "this system has no unified control groups"
    try:
        listed = json.loads(_nft(["--json", "list", "ruleset"]))["nftables"]
        rules = [entry for entry in listed if isinstance(entry, dict)]
    except ServiceFailed as error:
        return str(error).rstrip(".")
    except (ValueError, KeyError, TypeError, RecursionError):
        return "nft does not list its rules"
    if table := next(_redirecting(rules, ports), ""):
        return f"nftables' table {said(table)} redirects one of the ports as well"
    if not from_elsewhere:
        return ""
    if table := next(_filtering(rules), ""):
        return f"nftables' table {said(table)} might keep other machines from a second port"
    if any("filter" in _text(path) for path in _LEGACY):
        return "iptables (legacy) might keep other machines from a second port"
    return ""


def put(ports: Mapping[int, int], exempt: Exempt) -> None:
    """Lead new connections to other ports of this machine, `ports` by where they were to go.

    Sees first, on a port that is nobody's, that it does what it should. Raises ServiceFailed, and
    then nothing is redirected.
    """
    try:
        trial = free_port(max(ports.values()))
        _load(_table(exempt))
        _nft(["add", "element", "inet", TABLE, _MAP, f"{{ {trial} : {min(ports.values())} }}"])
        _see(trial, exempt)
        elements = ", ".join(f"{port} : {to}" for port, to in ports.items())
        _nft(["add", "element", "inet", TABLE, _MAP, f"{{ {elements} }}"])
        _nft(["delete", "element", "inet", TABLE, _MAP, f"{{ {trial} }}"])
    except (NotPossible, ServiceFailed, LookupError) as error:
        remove()
        raise ServiceFailed(f"{error}".rstrip(".") + ".") from None


def empty() -> None:
    """From now on new connections go where they want to. Raises ServiceFailed."""
    _nft(["flush", "map", "inet", TABLE, _MAP])


def remove() -> None:
    """Take the table away, if it is there; who is still connected by it is cut off."""
    with suppress(ServiceFailed):
        _nft(["delete", "table", "inet", TABLE])


def present() -> bool:
    """Whether the table is there."""
    if not shutil.which("nft"):
        return False
    with suppress(ServiceFailed):
        return bool(_nft(["list", "table", "inet", TABLE]))
    return False


def _table(exempt: Exempt) -> str:
    uid = int(exempt.user) if exempt.user.isdigit() else pwd.getpwnam(exempt.user or "root").pw_uid
    parts = exempt.group.parts[1:]
    group = f'socket cgroupv2 level {len(parts)} "{"/".join(parts)}"'
    # What begins a connection: of those that are there the kernel has not known before either.
    begins = "tcp flags & (fin | syn | rst | ack) == syn"
    lead = f"{begins} fib daddr type local redirect to :tcp dport map @{_MAP}"
    return f"""\
table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  map {_MAP} {{ type inet_service : inet_service; }}
  chain output {{
    type nat hook output priority -100; policy accept;
    ip saddr {SOURCE} accept
    meta skuid {uid} {group} accept
    {lead}
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    {lead}
  }}
}}
"""


def _see(port: int, exempt: Exempt) -> None:
    """See that a port is redirected for us, and not for those who are exempt."""
    if not _connects(port):
        raise ServiceFailed("a redirected connection does not come through")
    if _connects(port, SOURCE):
        raise ServiceFailed(f"a connection from {SOURCE} is redirected as well")
    settings = [("User", exempt.user or "root"), ("Slice", exempt.group.name)]
    command = ["/usr/bin/python3", "-I", "-c", _PROBE, LOOPBACK, str(port)]
    if units.run_beside(settings, command, "", _SECONDS).status == 0:
        raise ServiceFailed("LiteLLM's own look at its port would be redirected as well")


def _connects(port: int, source: str = "") -> bool:
    with (
        suppress(OSError),
        socket.create_connection(
            (LOOPBACK, port), _CONNECT_SECONDS, (source, 0) if source else None
        ),
    ):
        return True
    return False


def _redirecting(listed: list[dict[str, Any]], ports: tuple[int, ...]) -> Iterator[str]:
    """The tables of others that translate addresses and have a rule about one of the ports."""
    tables = _with_chain(listed, "nat", ("prerouting", "output"))
    for rule in _of(listed, "rule", tables):
        if any(_is_about(value, ports) for value in _values(rule.get("expr"))):
            yield _name(rule)


def _filtering(listed: list[dict[str, Any]]) -> Iterator[str]:
    """The tables that may keep somebody from a port of this machine."""
    for chain in _chains(listed, "filter", ("input", "prerouting")):
        if chain.get("policy") == "drop":
            yield _name(chain)
    tables = _with_chain(listed, "filter", ("input", "prerouting"))
    for rule in _of(listed, "rule", tables):
        if any(key in _AWAY for key in _values(rule.get("expr"))):
            yield _name(rule)


def _values(expression: Any) -> Iterator[Any]:
    """Everything in a rule's expression: keys, numbers, words, and ranges as lists."""
    if isinstance(expression, dict):
        for key, value in expression.items():
            yield key
            yield from _values(value)
    elif isinstance(expression, list):
        yield expression
        for value in expression:
            yield from _values(value)
    else:
        yield expression


def _is_about(value: Any, ports: tuple[int, ...]) -> bool:
    match value:
        case int():
            return value in ports
        case [int() as low, int() as high]:
            return any(low <= port <= high for port in ports)
    return False


def _chains(
    listed: list[dict[str, Any]], kind: str, hooks: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    for entry in listed:
        chain = entry.get("chain")
        if isinstance(chain, dict) and chain.get("type") == kind and chain.get("hook") in hooks:
            yield chain


def _with_chain(
    listed: list[dict[str, Any]], kind: str, hooks: tuple[str, ...]
) -> set[tuple[str, str]]:
    return {_key(chain) for chain in _chains(listed, kind, hooks)} - {("inet", TABLE)}


def _of(
    listed: list[dict[str, Any]], what: str, tables: set[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    for entry in listed:
        found = entry.get(what)
        if isinstance(found, dict) and _key(found) in tables:
            yield found


def _key(entry: dict[str, Any]) -> tuple[str, str]:
    return str(entry.get("family")), str(entry.get("table"))


def _name(entry: dict[str, Any]) -> str:
    return " ".join(_key(entry))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _load(script: str) -> None:
    _nft(["--file", "-"], script)


def _nft(arguments: list[str], script: str = "") -> str:
    """What nft prints. Raises ServiceFailed."""
    as_unified = () if _UNIFIED.exists() or not script else _AS_UNIFIED
    command = [*as_unified, "nft", *arguments]
    try:
        ended = captured(command, _SECONDS, input=script, most=_LARGEST_RULESET)
    except (OSError, subprocess.TimeoutExpired):
        raise ServiceFailed("nft can't be run.") from None
    if ended.status != 0:
        reason = said(ended.errors.strip().splitlines()[0]) if ended.errors.strip() else "no reason"
        raise ServiceFailed(f"nft fails: {reason.rstrip('.')}.")
    return ended.output
