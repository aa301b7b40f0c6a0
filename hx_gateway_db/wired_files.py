"""Each file as it has to be, given what it is and what an administrator has edited in it.

Ours is three-way: what we left, what stands there now, what is wanted. An edited value stays for
as long as what we want has not changed; where that has, ours is written, and it is said.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from hx_gateway_db import config_yaml, drop_in, env_file, render
from hx_gateway_db.changes import FileChange
from hx_gateway_db.errors import Refused
from hx_gateway_db.host import Host
from hx_gateway_db.layout import cache_drop_in, database_drop_in
from hx_gateway_db.settings import Cache, Settings
from hx_gateway_db.snapshot import FileImage, Metadata
from hx_gateway_db.yaml_edit import YamlRefusal

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Edit:
    """The change of one file, and what there is to say about values edited in it."""

    change: FileChange
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> list[str]:
        return [f"{self.change.path}: {note}" for note in self.notes]


def wired_gateway_env(settings: Settings, host: Host, present: Host, gid: int | None) -> Edit:
    """gateway.env (specification, step 1).

    `gid` is the id of its group, `present` the host as it is wired now, maybe with another BASE.
    Raises Refused when it can't be changed safely, or is somebody else's now.
    """
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
    return Edit(FileChange(path, before, image), _on_cache_url(cache_url, text, settings, present))


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


def wired_database_drop_in(unit: str, host: Host, present: Host) -> Edit:
    """A unit's 30-db.conf (specification, step 2)."""
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
    return Edit(change, tuple(notes))


def wired_cache_drop_in(cache: Cache | None, host: Host, present: Host) -> Edit:
    """40-cache.conf (specification, step 4), or what an administrator has in it without a cache."""
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
        return Edit(stripped(host, path, drop_in.CACHE_LINES, rendered), notes)
    return Edit(FileChange(path, host.files[path], _image(settled.text, host.files[path])), notes)


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


def stripped(host: Host, path: PurePosixPath, ours: drop_in.Ownership, rendered: str) -> FileChange:
    """A drop-in without our lines; gone when nothing else is in it."""
    before = host.files[path]
    existing = host.text(path)
    text = None if existing is None else drop_in.strip(existing, ours, rendered)
    return FileChange(path, before, None if text is None else _image(text, before))


def wired_config(settings: Settings, host: Host) -> tuple[Edit | None, config_yaml.Origin | None]:
    """config.yaml (specification, steps 3 and 4; None: it isn't there), and its origin then.

    Raises Refused when it can't be edited safely or would override gateway.env.
    """
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
        return Edit(change, wired.notes), host.origin
    return Edit(change, wired.notes), _origin(host, image.content, wired.text)


def unwired_config(host: Host) -> tuple[FileChange | None, config_yaml.Origin | None]:
    """config.yaml for a gateway without a database (None: it isn't there), and its origin then."""
    path = host.layout.config_yaml
    image = host.files[path]
    if image is None:
        return None, None
    content = _edited(
        host, lambda: config_yaml.unwired(image.content, host.cache_ours, host.origin)
    )
    change = FileChange(path, image, FileImage(content, image.metadata))
    return change, _origin(host, image.content, content)


def _origin(host: Host, before: bytes, after: bytes) -> config_yaml.Origin:
    pristine = _edited(host, lambda: config_yaml.pristine(before, host.origin))
    return config_yaml.Origin(pristine, hashlib.sha256(after).hexdigest())


def _edited(host: Host, edit: Callable[[], _Result]) -> _Result:
    try:
        return edit()
    except YamlRefusal as error:
        raise Refused(f"{host.layout.config_yaml}: {error}") from None


def left_behind(host: Host) -> list[FileChange]:
    """What has to happen to the files below a BASE that is no longer the gateway's."""
    env, config = host.layout.gateway_env, host.layout.config_yaml
    changes = [FileChange(env, host.files[env], None)]
    image = host.files[config]
    if image is not None:
        content = _edited(host, lambda: config_yaml.pristine(image.content, host.origin))
        changes.append(FileChange(config, image, FileImage(content, image.metadata)))
    return changes


def _image(text: str, before: FileImage | None) -> FileImage:
    metadata = before.metadata if before else Metadata(os.geteuid(), os.getegid(), 0o644)
    return FileImage(text.encode(), metadata)
