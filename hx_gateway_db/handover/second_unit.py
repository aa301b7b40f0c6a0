"""The unit file of a second service, from the files of the first: another port, other files.

Only its section [Service] comes along: by what else stands in a unit it would be stopped with the
first (PartOf=, Requires=), or stop it (Conflicts=).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hx_gateway_db.systemd import environment_files, unit_file
from hx_gateway_db.systemd.started_program import StartedProgram

SLICE = "hxgatewaydb.slice"
LOOPBACK = "127.0.0.1"
# What may do something to the first one when it is done for a second one.
_BESIDES = (
    *("ExecCondition", "ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost"),
    *("PIDFile", "BusName", "Sockets", "FileDescriptorStoreMax"),
)
_ENVIRONMENT_FILE = "EnvironmentFile"
# systemd.unit(5): those that stand for the unit's own name.
_OWN_NAME = re.compile(r"(?<!%)(?:%%)*%[nNpPiIj]")
# What systemd takes apart differently than at blanks, or looks up (systemd.service(5)).
_NOT_PLAIN = re.compile(r"[\"'\\$%;]")
_PREFIXES = "@-:+!|"
_PORT = "--port"
_HOST = "--host"
_CONFIG = ("--config", "-c")
_ANYWHERE = ("0.0.0.0", "::", "")
_YES = ("1", "yes", "y", "true", "t", "on")


class NotPossible(Exception):
    """There can't be a second one; the message says why, as a clause."""


@dataclass(frozen=True)
class Original:
    """A unit whose like is wanted: its program's name, the port that it is on, and the texts of its
    file and its drop-ins in systemd's order.
    """

    name: str
    program: str
    port: int
    texts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Second:
    """What is different about the second one.

    `environment` and `config` are files that it reads in place of others: their places, to where
    the new ones lie. `on_loopback`: nobody from elsewhere is to reach it.
    """

    port: int
    environment: Mapping[PurePosixPath, PurePosixPath] = field(default_factory=dict)
    config: Mapping[PurePosixPath, PurePosixPath] = field(default_factory=dict)
    on_loopback: bool = False


def second_unit(original: Original, second: Second) -> str:
    """The text of its unit file. Raises NotPossible."""
    lines = [(key, value) for text in original.texts for key, value in _service(text)]
    for key in _BESIDES:
        if _last(lines, key):
            raise NotPossible(
                f"{original.name} has a {key}=, which may not be meant for a second one"
            )
    if _last(lines, "Type") == "forking" or _last(lines, "DynamicUser").lower() in _YES:
        raise NotPossible(f"{original.name} has a Type= or DynamicUser= that can't be had twice")
    if any(_OWN_NAME.search(value) for _, value in lines):
        raise NotPossible(f"{original.name} has a specifier for its own name (%n, say)")
    command = _command(_effective(lines, "ExecStart"), original, second)
    kept = [_line(key, value, second) for key, value in lines if key != "ExecStart"]
    return "\n".join(
        [
            "[Unit]",
            f"Description=A second {original.name} for the time of a change (hx-gateway-db)",
            "[Service]",
            *(line for each in kept for line in each),
            f"ExecStart={' '.join(command)}",
            "Restart=no",
            f"Slice={SLICE}",
            # They are the first one's as well.
            "RuntimeDirectoryPreserve=yes",
            "StandardOutput=journal",
            "StandardError=journal",
            "",
        ]
    )


def listens_on(original: Original) -> str:
    """The address that its program is told to listen on; empty for all of them.

    Raises NotPossible.
    """
    lines = [(key, value) for text in original.texts for key, value in _service(text)]
    host = _started(_words(_effective(lines, "ExecStart"), original)).value(_HOST) or ""
    return "" if host in _ANYWHERE else host


def _service(text: str) -> Iterator[tuple[str, str]]:
    return unit_file.assignments(text, "Service")


def _effective(lines: Sequence[tuple[str, str]], key: str) -> list[str]:
    """The values that count: an empty one takes back those before (systemd.syntax(7))."""
    found: list[str] = []
    for name, value in lines:
        if name == key:
            found = [*found, value] if value else []
    return found


def _last(lines: Sequence[tuple[str, str]], key: str) -> str:
    values = _effective(lines, key)
    return values[-1] if values else ""


def _line(key: str, value: str, second: Second) -> list[str]:
    """A line, and behind a file that is another one for the second, that."""
    line = f"{key}={value}"
    if key != _ENVIRONMENT_FILE or not value:
        return [line]
    pattern = value.removeprefix("-")
    if PurePosixPath(pattern) in second.environment:
        return [f"{key}={second.environment[PurePosixPath(pattern)]}"]
    matched = environment_files.matching(pattern) if pattern.startswith("/") else []
    new = [
        second.environment[path]
        for path in map(PurePosixPath, matched)
        if path in second.environment
    ]
    return [line, *(f"{key}={path}" for path in new)]


def _words(commands: list[str], original: Original) -> list[str]:
    if len(commands) != 1 or _NOT_PLAIN.search(commands[0]) or commands[0][:1] in _PREFIXES:
        raise NotPossible(f"{original.name} starts no plain {original.program}")
    words = commands[0].split()
    if PurePosixPath(words[0]).name != original.program:
        raise NotPossible(f"{original.name} starts no plain {original.program}")
    if _started(words).port != original.port:
        raise NotPossible(
            f"{original.name} starts {original.program} without {_PORT} {original.port}"
        )
    return words


def _started(words: Sequence[str]) -> StartedProgram:
    return StartedProgram(words[0], tuple(words[1:]))


def _command(commands: list[str], original: Original, second: Second) -> list[str]:
    words = _with_option(_words(commands, original), (_PORT,), str(second.port))
    for path, new in second.config.items():
        if PurePosixPath(_started(words).value(*_CONFIG) or "") != path:
            raise NotPossible(f"{original.name} starts {original.program} without --config {path}")
        words = _with_option(words, _CONFIG, str(new))
    if second.on_loopback:
        words = [*_without(words, _HOST), _HOST, LOOPBACK]
    return words


def _with_option(words: Sequence[str], names: Sequence[str], value: str) -> list[str]:
    """With another value behind each occurrence of an option."""
    new: list[str] = []
    expected = False
    for word in words:
        name, equals, _ = word.partition("=")
        if expected:
            new.append(value)
        elif name in names and equals:
            new.append(f"{name}={value}")
        else:
            new.append(word)
        expected = not expected and word in names
    return new


def _without(words: Sequence[str], name: str) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word != name and not word.startswith(f"{name}="):
            kept.append(word)
        skip = not skip and word == name
    return kept
