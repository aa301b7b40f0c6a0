"""Settings and what the host has now, to the list of changes that lead from one to the other."""

import difflib
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TypeVar

from hx_gateway_db import config_yaml, drop_in, env_file, render
from hx_gateway_db.changes import Changes, FileChange, Group
from hx_gateway_db.errors import Refused
from hx_gateway_db.folders import exists
from hx_gateway_db.host import Host, free_system_group_id
from hx_gateway_db.layout import (
    GATEWAY_GROUP,
    LITELLM_UNIT,
    PRISTINE_CONFIG,
    STATE_FILE,
    STATE_FOLDER,
    UNITS,
    WRAPPER_UNIT,
    Layout,
    cache_drop_in,
    database_drop_in,
    drop_in_folder,
)
from hx_gateway_db.redaction import redact
from hx_gateway_db.settings import Cache, Settings
from hx_gateway_db.snapshot import FileImage, Metadata
from hx_gateway_db.state import State, dump
from hx_gateway_db.yaml_edit import YamlRefusal

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Plan:
    """What is to be done. `restart` names the units whose inputs change; `notes` are for people."""

    layout: Layout
    changes: Changes = field(repr=False)
    restart: tuple[str, ...]
    notes: tuple[str, ...] = ()
    state: State | None = None

    @property
    def empty(self) -> bool:
        """Whether the host is already as it shall be."""
        return not self.changes.files and not self.restart

    def diff(self) -> str:
        """The changes as a unified diff without context, secrets redacted."""
        return "".join(_diff(change) for change in self.changes.files)


def plan_apply(
    settings: Settings, host: Host, moved_from: Host | None = None, local_database: str = ""
) -> Plan:
    """The plan that wires `host` as `settings` say.

    `moved_from` is the host as it is wired now when BASE changes: what is there goes.
    `local_database` names a role and database that this run makes on the host's own server.
    Raises Refused when a file can't be edited safely.
    """
    layout = host.layout
    previous = host.state
    group = None
    # A tree without /etc/group is no system that could have one.
    if host.group is None and host.groups and os.geteuid() == 0:
        group = Group(GATEWAY_GROUP, free_system_group_id(host))
    changes = [
        _gateway_env(settings, host, moved_from, host.group if group is None else group.gid),
        *(_database_drop_in(unit, host) for unit in UNITS),
        _cache_drop_in(settings.cache, host),
    ]
    notes: list[str] = []
    config, origin = _wired_config(settings, host)
    if config is None:
        notes.append(
            f"{layout.config_yaml} is not there: when LiteLLM's configuration is in place,"
            " run 'hx-gateway-db apply' again."
        )
    else:
        # A machine that dies in between must come up with a LiteLLM that starts: it does not
        # with a cache in config.yaml and no REDIS_URL.
        changes.insert(len(changes) if settings.cache else 0, config)
    if moved_from:
        changes += _left_behind(moved_from)
    changed = [change for change in changes if change.before != change.after]
    restart = set(affected_units(changed)) | set(previous.restart if previous else ())
    state = State(
        wired=True,
        gateway_env=layout.gateway_env,
        config=layout.config_yaml if origin else None,
        config_sha256=origin.left_sha256 if origin else "",
        folders=_made_folders(host, previous),
        group=group.name if group else previous.group if previous else "",
        local_database=local_database or (previous.local_database if previous else ""),
    )
    changed += _state_changes(host, state, origin)
    return Plan(layout, Changes(tuple(changed), group), _in_order(restart), tuple(notes), state)


def plan_rollback(host: Host) -> Plan:
    """The plan that leaves a gateway without a database (the specification's rollback).

    gateway.env stays: it is configuration (Debian policy 10.7.3), read back by a later install.
    """
    if host.state is None or not host.state.wired:
        return Plan(host.layout, Changes(()), (), ("Nothing is wired: nothing to roll back.",))
    changes = []
    image = host.files[host.layout.config_yaml]
    origin = None
    if image is not None:
        content = _edited(
            host, lambda: config_yaml.unwired(image.content, host.cache_on, host.origin)
        )
        changes.append(
            FileChange(host.layout.config_yaml, image, FileImage(content, image.metadata))
        )
        origin = _origin(host, image.content, content)
    for unit in UNITS:
        path = database_drop_in(unit)
        rendered = render.database_drop_in(host.layout)
        changes.append(_stripped(host, path, drop_in.DATABASE_LINES, rendered))
    rendered = render.cache_drop_in(Cache())
    changes.append(_stripped(host, cache_drop_in(), drop_in.CACHE_LINES, rendered))
    changed = [change for change in changes if change.before != change.after]
    restart = {*affected_units(changed), *host.state.restart}
    state = replace(
        host.state,
        wired=False,
        config=host.layout.config_yaml if origin else None,
        config_sha256=origin.left_sha256 if origin else "",
        restart=(),
    )
    changed += _state_changes(host, state, origin)
    folders = tuple(drop_in_folder(unit) for unit in UNITS)
    return Plan(host.layout, Changes(tuple(changed), None, folders), _in_order(restart), (), state)


def remembering(plan: Plan, host: Host, units: tuple[str, ...]) -> Plan:
    """The plan, remembering `units` as still running with what the files held before."""
    if plan.state is None or plan.state.restart == units:
        return plan
    state = replace(plan.state, restart=units)
    others = [change for change in plan.changes.files if change.path != STATE_FILE]
    files = [*others, _state_file(host, state)]
    changed = tuple(change for change in files if change.before != change.after)
    return replace(plan, changes=replace(plan.changes, files=changed), state=state)


def affected_units(changes: Iterable[FileChange]) -> list[str]:
    """The units that read one of the files whose content changes."""
    units = []
    for change in changes:
        content = change.after.content if change.after else None
        if change.before is not None and change.before.content == content:
            continue
        unit = change.path.parent.name.removesuffix(".d")
        if unit in UNITS:
            units.append(unit)
        elif change.path.name == "gateway.env":
            units += [LITELLM_UNIT, WRAPPER_UNIT]
        elif change.path.name == "config.yaml":
            units.append(LITELLM_UNIT)
    return units


def _gateway_env(
    settings: Settings, host: Host, moved_from: Host | None, gid: int | None
) -> FileChange:
    path = host.layout.gateway_env
    present = host.text(path)
    if present is None and moved_from:
        present = moved_from.text(moved_from.layout.gateway_env)
    try:
        text = env_file.merge(
            present, render.gateway_env(settings), render.gateway_env_with_all_keys()
        )
    except env_file.EnvFileRefusal as error:
        raise Refused(f"{path}, {error}.") from None
    before = host.files[path]
    owner = (0, gid) if os.geteuid() == 0 and gid is not None else (os.geteuid(), os.getegid())
    attributes = before.metadata.attributes if before else ()
    return FileChange(path, before, FileImage(text.encode(), Metadata(*owner, 0o640, attributes)))


def _left_behind(host: Host) -> list[FileChange]:
    """What has to happen to the files below a BASE that is no longer the gateway's."""
    env, config = host.layout.gateway_env, host.layout.config_yaml
    changes = [FileChange(env, host.files[env], None)]
    image = host.files[config]
    if image is not None:
        content = _edited(host, lambda: config_yaml.pristine(image.content, host.origin))
        changes.append(FileChange(config, image, FileImage(content, image.metadata)))
    return changes


def _database_drop_in(unit: str, host: Host) -> FileChange:
    path = database_drop_in(unit)
    text = drop_in.merge(
        host.text(path), render.database_drop_in(host.layout), drop_in.DATABASE_LINES
    )
    return FileChange(path, host.files[path], _image(text, host.files[path]))


def _cache_drop_in(cache: Cache | None, host: Host) -> FileChange:
    path = cache_drop_in()
    if cache is None:
        return _stripped(host, path, drop_in.CACHE_LINES, render.cache_drop_in(Cache()))
    text = drop_in.merge(host.text(path), render.cache_drop_in(cache), drop_in.CACHE_LINES)
    return FileChange(path, host.files[path], _image(text, host.files[path]))


def _stripped(
    host: Host, path: PurePosixPath, ours: drop_in.Ownership, rendered: str
) -> FileChange:
    before = host.files[path]
    existing = host.text(path)
    text = None if existing is None else drop_in.strip(existing, ours, rendered)
    return FileChange(path, before, None if text is None else _image(text, before))


def _wired_config(
    settings: Settings, host: Host
) -> tuple[FileChange | None, config_yaml.Origin | None]:
    path = host.layout.config_yaml
    image = host.files[path]
    if image is None:
        return None, None
    if _edited(host, lambda: config_yaml.overrides_database(image.content)):
        raise Refused(
            f"{path} sets general_settings.database_url, which overrides the DATABASE_URL of"
            " gateway.env: remove that line first."
        )
    content = _edited(
        host,
        lambda: config_yaml.wired(image.content, settings.cache, host.cache_on, host.origin),
    )
    change = FileChange(path, image, FileImage(content, image.metadata))
    if content == image.content and host.origin is not None:
        return change, host.origin
    return change, _origin(host, image.content, content)


def _origin(host: Host, before: bytes, after: bytes) -> config_yaml.Origin:
    pristine = _edited(host, lambda: config_yaml.pristine(before, host.origin))
    return config_yaml.Origin(pristine, hashlib.sha256(after).hexdigest())


def _edited(host: Host, edit: Callable[[], _Result]) -> _Result:
    try:
        return edit()
    except YamlRefusal as error:
        raise Refused(f"{host.layout.config_yaml}: {error}") from None


def _state_changes(host: Host, state: State, origin: config_yaml.Origin | None) -> list[FileChange]:
    before = host.files[PRISTINE_CONFIG]
    after = FileImage(origin.pristine, _private()) if origin else None
    files = [_state_file(host, state), FileChange(PRISTINE_CONFIG, before, after)]
    return [change for change in files if change.before != change.after]


def _state_file(host: Host, state: State) -> FileChange:
    image = FileImage(dump(state).encode(), _private())
    return FileChange(STATE_FILE, host.files[STATE_FILE], image)


def _private() -> Metadata:
    return Metadata(os.geteuid(), os.getegid(), 0o600)


def _image(text: str, before: FileImage | None) -> FileImage:
    metadata = before.metadata if before else Metadata(os.geteuid(), os.getegid(), 0o644)
    return FileImage(text.encode(), metadata)


def _made_folders(host: Host, previous: State | None) -> tuple[PurePosixPath, ...]:
    # Deepest first, the order in which purge can remove them.
    earlier = previous.folders if previous else ()
    folder = host.layout.config_folder
    parents = [path for path in (folder, *folder.parents) if path != PurePosixPath("/")]
    missing = [path for path in parents if not exists(host.layout.root, path)]
    return (*missing, *(path for path in earlier if path not in missing))


def _in_order(units: set[str]) -> tuple[str, ...]:
    return tuple(unit for unit in UNITS if unit in units)


def _diff(change: FileChange) -> str:
    if change.path.is_relative_to(STATE_FOLDER):
        return ""
    name = str(change.path)
    before = _lines(change.before)
    after = _lines(change.after)
    lines = list(
        difflib.unified_diff(
            before,
            after,
            name if change.before else "/dev/null",
            name if change.after else "/dev/null",
            n=0,
        )
    )
    if not lines and change.after and change.before:
        metadata = change.after.metadata
        lines = [f"{name}: owner {metadata.uid}:{metadata.gid}, mode {metadata.mode:04o}\n"]
    return "".join(redact(line if line.endswith("\n") else line + "\n") for line in lines)


def _lines(image: FileImage | None) -> list[str]:
    return image.content.decode(errors="replace").split("\n") if image else []
