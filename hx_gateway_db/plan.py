"""Settings and what the host has now, to the list of changes that lead from one to the other."""

import difflib
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TypeVar

from hx_gateway_db import config_yaml, drop_in, env_file, render
from hx_gateway_db.answers import from_host
from hx_gateway_db.changes import Changes, FileChange, Group
from hx_gateway_db.edits import Left
from hx_gateway_db.errors import Refused
from hx_gateway_db.folders import exists
from hx_gateway_db.host import Host, free_system_group_id, tracked
from hx_gateway_db.layout import (
    CONFIG_YAML,
    GATEWAY_ENV,
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
class _Edit:
    """The change of one file, and what there is to say about values edited in it."""

    change: FileChange
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> list[str]:
        return [f"{self.change.path}: {note}" for note in self.notes]


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
    present = moved_from or host
    group = None
    # A tree without /etc/group is no system that could have one.
    if host.group is None and host.groups and os.geteuid() == 0:
        group = Group(GATEWAY_GROUP, free_system_group_id(host))
    env = _gateway_env(settings, host, present, host.group if group is None else group.gid)
    edits = [
        env,
        *(_database_drop_in(unit, host, present) for unit in UNITS),
        _cache_drop_in(settings.cache, host, present),
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
        edits.insert(len(edits) if settings.cache else 0, config)
    notes += [sentence for edit in edits for sentence in edit.said]
    changes = [edit.change for edit in edits]
    if moved_from:
        changes += _left_behind(moved_from)
    changed = [change for change in changes if change.before != change.after]
    restart = set(affected_units(changed)) | set(previous.restart if previous else ())
    env_text = env.change.after.content.decode() if env.change.after else ""
    made_here = local_database or (previous.local_database if previous else "")
    state = State(
        wired=True,
        gateway_env=layout.gateway_env,
        config=layout.config_yaml if origin else None,
        config_sha256=origin.left_sha256 if origin else "",
        folders=_made_folders(host, previous),
        group=group.name if group else previous.group if previous else "",
        local_database=made_here,
        left=host.left.after(
            present.values if previous else {},
            tracked(from_host(settings, made_here), env_text),
        ),
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
            host, lambda: config_yaml.unwired(image.content, host.cache_ours, host.origin)
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
        left=_left_by_rollback(host),
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
        elif change.path.name == GATEWAY_ENV:
            units += [LITELLM_UNIT, WRAPPER_UNIT]
        elif change.path.name == CONFIG_YAML:
            units.append(LITELLM_UNIT)
    return units


def _gateway_env(settings: Settings, host: Host, present: Host, gid: int | None) -> _Edit:
    path = host.layout.gateway_env
    before = host.files[path]
    source = present if before is None else host
    existing = source.text(source.layout.gateway_env)
    cache_url = env_file.values(existing or "").get(env_file.CACHE_URL)
    cache_url_stays = cache_url is not None and _cache_url_stays(cache_url, settings, present)
    kept = _same_in_meaning(settings, source.settings)
    kept += [env_file.CACHE_URL] if cache_url_stays else []
    try:
        text = env_file.merge(
            existing, render.gateway_env(settings), render.gateway_env_with_all_keys(), kept
        )
    except env_file.EnvFileRefusal as error:
        raise Refused(f"{path}, {error}.") from None
    owner = (0, gid) if os.geteuid() == 0 and gid is not None else (os.geteuid(), os.getegid())
    trusted = before is not None and before.metadata.uid in (0, os.geteuid())
    if before is not None and host.wired and not trusted:
        raise Refused(
            f"{path} is not root's any more but belongs to the user id {before.metadata.uid}, who"
            " could have written what is in it: look at its lines, then run"
            f" 'chown root {path}'."
        )
    # The ACL of a file that somebody else has made would say who reads the password.
    attributes = before.metadata.attributes if before and trusted else ()
    image = FileImage(text.encode(), Metadata(*owner, 0o640, attributes))
    return _Edit(FileChange(path, before, image), _on_cache_url(cache_url, text, settings, present))


def _same_in_meaning(settings: Settings, present: Settings | None) -> list[str]:
    """The keys of gateway.env that stay as they are written, since they say what is wanted."""
    if present is None:
        return []
    same = {
        "DATABASE_URL": settings.postgres == present.postgres,
        "REDIS_URL": settings.redis == present.redis,
        "DISABLE_ADMIN_UI": settings.disable_admin_ui == present.disable_admin_ui,
    }
    return [key for key in same if same[key]]


def _cache_url_stays(url: str, settings: Settings, present: Host) -> bool:
    """Whether LITELLM_REDIS_URL is an administrator's, and what we want of it the same as ever."""
    if settings.cache is None:
        return not present.cache_ours and not present.left.has(env_file.CACHE_URL, url)
    before = present.settings
    same = before is not None and before.cache is not None and before.redis == settings.redis
    return present.wired and same and _cache_url_edited(url, present)


def _cache_url_edited(url: str, present: Host) -> bool:
    return bool(present.left.edited({env_file.CACHE_URL: url}))


def _on_cache_url(url: str | None, text: str, settings: Settings, present: Host) -> tuple[str, ...]:
    if url is None or not _cache_url_edited(url, present):
        return ()
    now = env_file.values(text).get(env_file.CACHE_URL)
    if now is None:
        outcome = "it goes with the cache"
    elif now != url:
        outcome = "it is as REDIS_URL again"
    elif settings.cache:
        outcome = "left as it is"
    else:
        return ()
    return (f"{env_file.CACHE_URL} was edited since: {outcome}.",)


def _left_behind(host: Host) -> list[FileChange]:
    """What has to happen to the files below a BASE that is no longer the gateway's."""
    env, config = host.layout.gateway_env, host.layout.config_yaml
    changes = [FileChange(env, host.files[env], None)]
    image = host.files[config]
    if image is not None:
        content = _edited(host, lambda: config_yaml.pristine(image.content, host.origin))
        changes.append(FileChange(config, image, FileImage(content, image.metadata)))
    return changes


def _database_drop_in(unit: str, host: Host, present: Host) -> _Edit:
    path = database_drop_in(unit)
    file = str(host.layout.gateway_env)
    rendered = render.database_drop_in(host.layout)
    existing = host.text(path)
    if existing is not None and host.wired:
        existing = drop_in.moved(existing, str(present.layout.gateway_env), file)
    elif existing is not None and file not in drop_in.owned(existing, drop_in.DATABASE_LINES):
        existing = drop_in.merge(existing, rendered, drop_in.DATABASE_LINES)
    settled = drop_in.settle(
        existing, rendered, drop_in.DATABASE_LINES, lambda line: drop_in.path(line) == file
    )
    change = FileChange(path, host.files[path], _image(settled.text, host.files[path]))
    notes = [f"{line} was edited since: left as it is." for line in settled.edited]
    present_lines = drop_in.owned(existing or "", drop_in.DATABASE_LINES).values()
    ignored = [line for line in present_lines if drop_in.path(line) is None]
    notes += [f"{line} is ignored by systemd: written anew." for line in ignored]
    return _Edit(change, tuple(notes))


def _cache_drop_in(cache: Cache | None, host: Host, present: Host) -> _Edit:
    path = cache_drop_in()
    existing = host.text(path)
    before = present.settings.cache if present.settings else None
    standing = _standing_cache_lines(cache, before)
    rendered = render.cache_drop_in(cache or before or Cache())
    settled = drop_in.settle(
        existing,
        rendered,
        drop_in.CACHE_LINES,
        lambda line: drop_in.CACHE_LINES.name(line) in standing,
    )
    names = [
        drop_in.CACHE_LINES.name(line) for line in settled.edited if _line_edited(line, present)
    ]
    outcome = "left as it is" if cache else "it goes with the cache"
    notes = tuple(f"LITELLM_{name} was edited since: {outcome}." for name in names)
    if cache is None:
        return _Edit(_stripped(host, path, drop_in.CACHE_LINES, rendered), notes)
    return _Edit(FileChange(path, host.files[path], _image(settled.text, host.files[path])), notes)


def _standing_cache_lines(cache: Cache | None, before: Cache | None) -> frozenset[str]:
    """The lines of which we want today what we wanted when we wrote them."""
    if cache and not before:
        return frozenset()
    changed = cache is not None and cache != before
    return drop_in.CACHE_NAMES - drop_in.LIMIT_NAMES if changed else drop_in.CACHE_NAMES


def _line_edited(line: str, present: Host) -> bool:
    """Whether an administrator has edited it; the limit can be as we left it and yet outdated."""
    name = drop_in.CACHE_LINES.name(line)
    if name == drop_in.RATE_LIMIT:
        return bool(present.left.edited({"RATE_LIMIT": drop_in.value(line) or ""}))
    return present.wired and name not in drop_in.LIMIT_NAMES


def _stripped(
    host: Host, path: PurePosixPath, ours: drop_in.Ownership, rendered: str
) -> FileChange:
    before = host.files[path]
    existing = host.text(path)
    text = None if existing is None else drop_in.strip(existing, ours, rendered)
    return FileChange(path, before, None if text is None else _image(text, before))


def _wired_config(settings: Settings, host: Host) -> tuple[_Edit | None, config_yaml.Origin | None]:
    path = host.layout.config_yaml
    image = host.files[path]
    if image is None:
        return None, None
    if _edited(host, lambda: config_yaml.overrides_database(image.content)):
        raise Refused(
            f"{path} sets general_settings.database_url, which overrides the DATABASE_URL of"
            " gateway.env: remove that line first."
        )
    present = config_yaml.Present(
        host.origin, host.wired, host.cache_ours, host.settings.cache if host.settings else None
    )
    wired = _edited(host, lambda: config_yaml.wired(image.content, settings.cache, present))
    change = FileChange(path, image, FileImage(wired.text, image.metadata))
    if wired.text == image.content and host.origin is not None:
        return _Edit(change, wired.notes), host.origin
    return _Edit(change, wired.notes), _origin(host, image.content, wired.text)


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


def _left_by_rollback(host: Host) -> Left:
    """gateway.env stays as it is; the cache is off."""
    values = {
        key: value for key, value in host.values.items() if key not in ("CACHE", "RATE_LIMIT")
    }
    return host.left.after(values, values | {"CACHE": "false"}) if host.settings else host.left


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
