"""Copies of the secret: passwords of the database and of Redis in other places than gateway.env.

A key of LiteLLM's or of a model's provider is the site's, and none of these.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from hx_gateway_db.findings import Finding, Subject, to_run
from hx_gateway_db.host.config_yaml import REFERENCE
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import parts
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd import environment_files, sandbox, unit_file
from hx_gateway_db.systemd.loaded import Loaded
from hx_gateway_db.transaction.foreign_file import Unreadable, opened
from hx_gateway_db.yaml_edit.edit import YamlRefusal, lookup

NAME = "gateway.secret-copies"
_SECTIONS = ("general_settings", "litellm_settings", "router_settings", "environment_variables")
_SERVERS = ("postgres", "redis", "valkey")
# As LiteLLM, libpq and the specification call them; nobody else's password is meant.
_PASSWORD = re.compile(
    r"(?i)(?:pg_?pass(?:word)?|(?:postgres|postgresql|redis|database|db|cache)_?pass(?:word)?"
    r"|password)"
)
_VARIABLE = re.compile(r"\$\{?\w+\}?")
_MOST_VALUES = 10_000
_DEEPEST = 12
# One that is shorter can stand anywhere by chance.
_SHORTEST = 8


@dataclass(frozen=True)
class _Secrets:
    """What a copy is recognized by, besides its name or form: the passwords themselves."""

    known: tuple[str, ...]

    def is_copy(self, name: str, value: str) -> bool:
        """Whether a value is a password, or has one in it; a name of a variable is none."""
        if not value or value.startswith(REFERENCE) or _VARIABLE.fullmatch(value):
            return False
        named = bool(_PASSWORD.fullmatch(name.rpartition(".")[2]))
        return named or _has_login(value) or value in self.known


def findings(host: Host, settings: Settings, units: Sequence[Loaded]) -> Iterator[Finding]:
    """One for each copy, without its value; a single one that says that there is none."""
    secrets = _Secrets(tuple(x for x in settings.secrets if len(x) >= _SHORTEST))
    found = [*_in_configuration(host, secrets)]
    for unit in units:
        found += _in_unit(unit, secrets)
        found += _in_files(unit, host, secrets)
    yield from dict.fromkeys(found)
    if not found:
        what = "the passwords stand in gateway.env alone"
        yield Subject(NAME, str(host.layout.gateway_env)).ok(what)


def _in_configuration(host: Host, secrets: _Secrets) -> Iterator[Finding]:
    for part in parts(host):
        where = said(str(part.path))
        open_to_all = _open_to_all(host.layout.root, part.path)
        why = "everybody can read that file" if open_to_all else "gateway.env is where it stands"
        for key, value in _values(part.text):
            if secrets.is_copy(key, value):
                yield Subject(NAME, where).warning(
                    f"{said(key)} in {where} holds a password",
                    why,
                    "remove it there, or let it name a variable of gateway.env (os.environ/NAME)",
                )


def _values(text: bytes) -> Iterator[tuple[str, str]]:
    """The texts in the sections that have settings, each with the way to it."""
    for section in _SECTIONS:
        with suppress(YamlRefusal):
            yield from islice(_walk(section, lookup(text, (section,)), _DEEPEST), _MOST_VALUES)


def _walk(path: str, value: object, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif depth and isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(f"{path}.{key}", inner, depth - 1)
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _walk(path, inner, depth - 1)


def _in_unit(unit: Loaded, secrets: _Secrets) -> Iterator[Finding]:
    """What `systemctl show` tells everybody."""
    about, whoever = Subject(NAME, unit.name), "everybody can read it with 'systemctl show'"
    names = _copies(sandbox.environment(unit.shown.get("Environment", "")), secrets)
    if names:
        yield about.warning(
            f"Environment= of {unit.name} holds a password ({', '.join(names)})",
            whoever,
            "move it to a file that root alone can read, which EnvironmentFile= names",
        )
    command = unit.shown.get("ExecStart", "")
    if any(_has_login(word) or word in secrets.known for word in _words(command)):
        yield about.warning(
            f"the command line of {unit.name} holds a password",
            f"{whoever} and with 'ps'",
            "take it out of ExecStart=, since gateway.env has it",
        )


def _words(command: str) -> Iterator[str]:
    for word in command.split():
        yield word
        yield word.partition("=")[2]


def _in_files(unit: Loaded, host: Host, secrets: _Secrets) -> Iterator[Finding]:
    """Environment files that everybody can read."""
    for pattern in unit.environment_files:
        for path in environment_files.matching(pattern):
            if not _open_to_all(host.layout.root, PurePosixPath(path)):
                continue
            with suppress(Unreadable):
                text = unit_file.read(path, host.layout.root)
                if names := _copies(environment_files.values(text), secrets):
                    yield Subject(NAME, path).warning(
                        f"{said(path)} holds a password ({', '.join(names)})",
                        f"everybody can read that file, which {unit.name} reads",
                        to_run("chmod", "o-rwx", path),
                    )


def _copies(variables: Mapping[str, str], secrets: _Secrets) -> list[str]:
    return [said(name) for name, value in variables.items() if secrets.is_copy(name, value)]


def _has_login(value: str) -> bool:
    """Whether it is the URL of a database or a Redis with a password in it."""
    scheme, _, rest = value.strip().partition("://")
    password = rest.rpartition("@")[0].partition(":")[2]
    known = scheme.lower().startswith(_SERVERS)
    return known and bool(password) and not _VARIABLE.fullmatch(password)


def _open_to_all(root: Path, path: PurePosixPath) -> bool:
    """Whether everybody may read a file. (Its folder may still keep them out.)"""
    with suppress(Unreadable), opened(path, root) as file:
        return bool(os.fstat(file.fileno()).st_mode & stat.S_IROTH)
    return False
