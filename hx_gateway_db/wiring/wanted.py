"""Each file as it has to be, given what it is and what an administrator has edited in it.

Ours is three-way: what we left, what stands there now, what is wanted. An edited value stays for
as long as what we want has not changed; where that has, ours is written, and it is said.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from hx_gateway_db.errors import Refused
from hx_gateway_db.host import config_yaml, drop_in, gateway_env, render
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import cache_drop_in, database_drop_in
from hx_gateway_db.settings.values import Cache, Settings, redis_use
from hx_gateway_db.systemd import environment_files
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage, Metadata
from hx_gateway_db.yaml_edit.edit import YamlRefusal

_Result = TypeVar("_Result")
_TAKEN_OVER = (
    "others than root could write it: it is root's now, with our lines anew and its other lines as"
    " they were; look at those."
)


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
    values = environment_files.values(existing or "")
    lines = {key: values[key] for key in gateway_env.DERIVED_KEYS if key in values}
    rendered = render.gateway_env(settings)
    distrust = source.distrusted.get(source.layout.gateway_env)
    if distrust and host.wired:
        raise Refused(distrust.sentence)
    kept = _same_in_meaning(settings, source.settings)
    if not distrust:
        kept += [key for key in lines if _derived_line_stays(key, lines[key], rendered, present)]
    try:
        text = gateway_env.merge(existing, rendered, render.gateway_env_with_all_keys(), kept)
    except gateway_env.EnvFileRefusal as error:
        raise Refused(f"{path}, {error.what}" + ("" if error.cure else "."), error.cure) from None
    owner = (0, gid) if os.geteuid() == 0 and gid is not None else (os.geteuid(), os.getegid())
    # The ACL of a file that somebody else has made would say who reads the password.
    attributes = before.metadata.attributes if before and not distrust else ()
    image = FileImage(text.encode(), Metadata(*owner, 0o640, attributes))
    notes = _on_derived_lines(lines, text, settings, present)
    if distrust:
        notes = (_TAKEN_OVER, *notes)
    return Edit(FileChange(path, before, image), notes)


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


def _derived_line_stays(key: str, value: str, rendered: str, present: Host) -> bool:
    """Whether a line of DERIVED_KEYS is an administrator's, and what we want of it as ever."""
    wanted = environment_files.values(rendered)
    if key not in wanted:
        return not _have_left(key, present) and not present.left.has(key, value)
    rendered = render.gateway_env(present.settings) if present.settings else ""
    before = environment_files.values(rendered)
    same = wanted[key] == before.get(key)
    return present.wired and same and _derived_line_edited(key, value, present)


def _have_left(key: str, present: Host) -> bool:
    use = present.redis_use
    if key == gateway_env.NO_ADVISORY_LOCK:
        return bool(present.wired and present.settings and present.settings.postgres.pgbouncer)
    return use.shared_limits if key == gateway_env.SHARED_LIMITS else use.cache is not None


def _derived_line_edited(key: str, value: str, present: Host) -> bool:
    return bool(present.left.edited({key: value}))


def _on_derived_lines(
    lines: Mapping[str, str], text: str, settings: Settings, present: Host
) -> tuple[str, ...]:
    values = environment_files.values(text)
    wanted = environment_files.values(render.gateway_env(settings))
    notes = []
    for key, value in lines.items():
        if not _derived_line_edited(key, value, present):
            continue
        if key not in values:
            outcome = f"it goes with {_purpose(key, settings)}"
        elif values[key] != value:
            outcome = (
                f"it is {'as REDIS_URL' if key == gateway_env.CACHE_URL else values[key]} again"
            )
        elif key in wanted and _have_left(key, present):
            outcome = "left as it is"
        else:
            continue
        notes.append(f"{key} was edited since: {outcome}.")
    return tuple(notes)


def _purpose(key: str, settings: Settings) -> str:
    if key == gateway_env.NO_ADVISORY_LOCK:
        return "PgBouncer"
    return "the spend buffer" if settings.cache else "the cache"


def wired_database_drop_in(
    unit: str, host: Host, present: Host, prisma: Mapping[str, str] | None = None
) -> Edit:
    """A unit's 30-db.conf (specification, step 2).

    `prisma` is the environment for a client that was prepared; None leaves what is there.
    """
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
    text = settled.text
    if prisma is not None:
        from hx_gateway_db.prisma.prepare import drop_in_lines

        lines = "\n".join(drop_in_lines(prisma))
        text = drop_in.merge(text, lines, drop_in.PRISMA_LINES)
    change = FileChange(path, host.files[path], _image(text, host.files[path]))
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
    if existing is not None:
        existing = drop_in.merge(existing, "", drop_in.PRISMA_LINES)
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
            " gateway.env",
            "remove that line first",
        )
    present = _config_present(host)
    wired = _edited(host, lambda: config_yaml.wired(image.content, redis_use(settings), present))
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
    content = _edited(host, lambda: config_yaml.unwired(image.content, _config_present(host)))
    change = FileChange(path, image, FileImage(content, image.metadata))
    return change, _origin(host, image.content, content)


def _origin(host: Host, before: bytes, after: bytes) -> config_yaml.Origin:
    pristine = _edited(host, lambda: config_yaml.pristine(before, _config_present(host)))
    return config_yaml.Origin(pristine, hashlib.sha256(after).hexdigest())


def _config_present(host: Host) -> config_yaml.Present:
    in_force = host.settings is not None and host.settings.transaction_buffer
    return config_yaml.Present(
        host.origin, host.wired, host.redis_use, in_force and not host.buffer_ours
    )


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
        content = _edited(host, lambda: config_yaml.pristine(image.content, _config_present(host)))
        changes.append(FileChange(config, image, FileImage(content, image.metadata)))
    return changes


def _image(text: str, before: FileImage | None) -> FileImage:
    metadata = before.metadata if before else Metadata(os.geteuid(), os.getegid(), 0o644)
    return FileImage(text.encode(), metadata)
