"""What gateway.env shall be (specification, step 1), given what an administrator has in it."""

import os
from collections.abc import Mapping
from pathlib import PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.host import gateway_env, render
from hx_gateway_db.host.gateway_env import DERIVED, SALT, Derived
from hx_gateway_db.host.host import Host
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd import environment_files
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage, Metadata
from hx_gateway_db.wiring.wanted import Edit

_TAKEN_OVER = (
    "others than root could write it: it is root's now, with our lines anew and its other lines as"
    " they were; look at those."
)


def wired_gateway_env(settings: Settings, host: Host, present: Host, gid: int | None) -> Edit:
    """gateway.env for a gateway that is wired as `settings` say.

    `gid` is the id of its group, `present` the host as it is wired now, maybe with another BASE.
    Raises Refused when it can't be changed safely, or is somebody else's now.
    """
    path = host.layout.gateway_env
    before = host.files[path]
    source = present if before is None else host
    existing = source.text(source.layout.gateway_env)
    lines = environment_files.values(existing or "")
    distrust = source.distrusted.get(source.layout.gateway_env)
    if distrust and host.wired:
        raise Refused(distrust.sentence)
    kept = _same_in_meaning(settings, source.settings)
    if not distrust:
        kept += [
            line.key
            for line in DERIVED
            if line.key in lines and _stays(line, lines[line.key], settings, present)
        ]
    rendered, template = render.gateway_env(settings), render.gateway_env_with_all_keys()
    try:
        text = gateway_env.merge(existing, rendered, template, kept)
        if before is not None and present is not host:
            text = _with_its_salt(text, present, path, template)
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


def _with_its_salt(text: str, present: Host, path: PurePosixPath, template: str) -> str:
    """`text` with the LITELLM_SALT_KEY of a gateway.env that goes. Raises Refused."""
    old = present.layout.gateway_env
    salt = environment_files.values(present.text(old) or "").get(SALT)
    there = environment_files.values(text).get(SALT)
    if salt is None or there == salt:
        return text
    if there is not None:
        raise Refused(
            f"{old} and {path} have a {SALT} each, and the former goes",
            "put the one with which LiteLLM has encrypted into both",
        )
    return gateway_env.with_salt(text, salt, template)


def _same_in_meaning(settings: Settings, present: Settings | None) -> list[str]:
    """The keys of gateway.env that stay as they are written, since they say what is wanted."""
    return [
        line.key
        for line in gateway_env.ANSWERED
        if present and getattr(settings, line.field) == getattr(present, line.field)
    ]


def _stays(line: Derived, value: str, settings: Settings, present: Host) -> bool:
    """Whether it is an administrator's with this `value`, and what we want of it as ever."""
    wanted = line.value(settings)
    if wanted is None:
        return not _have_left(line, present) and not present.left.has(line.key, value)
    before = line.value(present.settings) if present.settings else None
    return present.wired and wanted == before and _is_edited(line, value, present)


def _have_left(line: Derived, present: Host) -> bool:
    settings = present.settings if present.wired else None
    return line.needed(settings.postgres if settings else None, present.redis_use)


def _is_edited(line: Derived, value: str, present: Host) -> bool:
    return bool(present.left.edited({line.key: value}))


def _on_derived_lines(
    lines: Mapping[str, str], text: str, settings: Settings, present: Host
) -> tuple[str, ...]:
    values = environment_files.values(text)
    notes = []
    for line in DERIVED:
        key = line.key
        if key not in lines or not _is_edited(line, lines[key], present):
            continue
        if key not in values:
            outcome = f"it goes with {line.purpose(settings)}"
        elif values[key] != lines[key]:
            outcome = f"it is {line.shown or values[key]} again"
        elif line.value(settings) is not None and _have_left(line, present):
            outcome = "left as it is"
        else:
            continue
        notes.append(f"{key} was edited since: {outcome}.")
    return tuple(notes)
