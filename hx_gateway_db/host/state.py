"""What the package must remember about a host, and cannot read back from the rendered files.

One file of lines `KEYWORD VALUE`, because postrm reads it with nothing but sh.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any

from hx_gateway_db.errors import Refused
from hx_gateway_db.host import turn
from hx_gateway_db.host.left import Left
from hx_gateway_db.host.turn import Turn
from hx_gateway_db.layout import STATE_FILE


@dataclass(frozen=True)
class _Form:
    """How a field stands in the file: its value as lines, and back from those that were found.

    A field of which no line was found has its default. A keyword of `once` stands in one line at
    most, and not without a value.
    """

    lines: Callable[[Any], Iterable[tuple[str, str]]]
    value: Callable[[Mapping[str, Sequence[str]]], Any]
    once: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()


_FORM = "form"


def _one(keyword: str, read: Callable[[str], Any] = str) -> dict[str, _Form]:
    form = _Form(
        lambda value: [(keyword, str(value))] if value else [],
        lambda found: read(found[keyword][0]),
        once=(keyword,),
    )
    return {_FORM: form}


def _flag(keyword: str) -> dict[str, _Form]:
    form = _Form(
        lambda value: [(keyword, "yes")] if value else [], lambda found: True, once=(keyword,)
    )
    return {_FORM: form}


def _each(keyword: str, read: Callable[[str], Any] = str) -> dict[str, _Form]:
    form = _Form(
        lambda value: [(keyword, str(item)) for item in value],
        lambda found: tuple(map(read, found[keyword])),
        repeated=(keyword,),
    )
    return {_FORM: form}


def _turn(server: str) -> dict[str, _Form]:
    form = _Form(
        lambda value: value.lines(server),
        lambda found: turn.read(server, {keyword: lines[0] for keyword, lines in found.items()}),
        once=tuple(f"{server}-{name}" for name in ("new", "old", "since")),
    )
    return {_FORM: form}


def _left_lines(left: Left) -> Iterable[tuple[str, str]]:
    salt = [("salt", left.salt)] if left.salt else []
    return [
        *salt,
        *(("left", f"{key} {digest}") for key, digest in left.digests),
        *(("line", f"{key} {digest}") for key, digest in left.lines),
    ]


def _left_value(found: Mapping[str, Sequence[str]]) -> Left:
    salt = found.get("salt", ("",))[0]
    return Left(salt, _digests(found.get("left", ())), _digests(found.get("line", ())))


def _digests(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((key, digest) for key, _, digest in (line.partition(" ") for line in lines))


_LEFT = {_FORM: _Form(_left_lines, _left_value, once=("salt",), repeated=("left", "line"))}


@dataclass(frozen=True, kw_only=True)
class State:
    """`config_sha256` is config.yaml as we left it; beside the state lie its pristine bytes.

    `folders` and `group` were made by us. `local_database` is the role and database that we made
    on this host's server at `local_port`; `redis_user` a user of its Redis and the port, which
    the server `redis_unit` forgets when it ends. `restart` are units that still run with what the
    files held before. `transaction_buffer` says whether keys of config.yaml are there for the
    spend buffer. `salt_sha256` is of the LITELLM_SALT_KEY that we made, which has too many bits for
    it to tell anything. `no_trial` and `no_handover`: what was answered to TRIAL and HANDOVER.
    `postgres` and `redis` are their logins in turn. `left` is what we wrote last, as digests.

    The order of the fields is that of the file's lines.
    """

    wired: bool = field(default=False, metadata=_flag("wired"))
    gateway_env: PurePosixPath = field(metadata=_one("gateway-env", PurePosixPath))
    config: PurePosixPath | None = field(default=None, metadata=_one("config", PurePosixPath))
    config_sha256: str = field(default="", metadata=_one("config-sha256"))
    folders: tuple[PurePosixPath, ...] = field(default=(), metadata=_each("folder", PurePosixPath))
    group: str = field(default="", metadata=_one("group"))
    local_database: str = field(default="", metadata=_one("local-database"))
    local_port: str = field(default="", metadata=_one("local-port"))
    redis_user: str = field(default="", metadata=_one("redis-user"))
    redis_unit: str = field(default="", metadata=_one("redis-unit"))
    restart: tuple[str, ...] = field(default=(), metadata=_each("restart"))
    no_trial: bool = field(default=False, metadata=_flag("no-trial"))
    no_handover: bool = field(default=False, metadata=_flag("no-handover"))
    transaction_buffer: bool = field(default=False, metadata=_flag("transaction-buffer"))
    salt_sha256: str = field(default="", metadata=_one("salt-sha256"))
    postgres: Turn = field(default_factory=Turn, metadata=_turn("postgres"))
    redis: Turn = field(default_factory=Turn, metadata=_turn("redis"))
    left: Left = field(default_factory=Left, metadata=_LEFT)


_FORMS: Mapping[str, _Form] = {entry.name: entry.metadata[_FORM] for entry in fields(State)}
_ONCE = {keyword for form in _FORMS.values() for keyword in form.once}
_REPEATED = {keyword for form in _FORMS.values() for keyword in form.repeated}


def dump(state: State) -> str:
    """The state file's text."""
    lines = ["# Kept by hx-gateway-db(8); read by its purge."]
    for name, form in _FORMS.items():
        lines += [f"{keyword} {value}" for keyword, value in form.lines(getattr(state, name))]
    return "\n".join(lines) + "\n"


def load(text: str) -> State:
    """The state in `text`. Raises Refused with the line that can't be read."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        keyword, _, value = line.partition(" ")
        if keyword == "#":
            continue
        if keyword not in _REPEATED and (keyword not in _ONCE or keyword in found or not value):
            raise Refused(f"{STATE_FILE}, line {number}: {keyword!r} is not expected there.")
        found.setdefault(keyword, []).append(value)
    if "gateway-env" not in found:
        raise Refused(f"{STATE_FILE} does not name gateway.env.")
    there = {
        name: form.value(found)
        for name, form in _FORMS.items()
        if found.keys() & {*form.once, *form.repeated}
    }
    return State(**there)
