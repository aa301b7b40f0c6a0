"""LITELLM_SALT_KEY: made for a database without LiteLLM's tables, found again, never changed.

It goes into gateway.env before anything else, in a transaction of its own: when the wiring is
undone, by whomever, the key with which LiteLLM may have encrypted something meanwhile stays.
"""

import os
from collections.abc import Mapping
from dataclasses import replace

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.host import gateway_env, render
from hx_gateway_db.host.gateway_env import SALT
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.salt import new_salt, salts, sha256
from hx_gateway_db.host.state import State, dump
from hx_gateway_db.layout import LITELLM_UNIT, STATE_FILE
from hx_gateway_db.progress import Progress
from hx_gateway_db.settings.answers import salt_wanted
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction.changes import Changes, FileChange
from hx_gateway_db.transaction.snapshot import FileImage, Metadata, take
from hx_gateway_db.transaction.transaction import interrupted
from hx_gateway_db.wiring.made import written

NAME = "gateway.salt-key"
_PUBLISHED = ("sk-1234", "sk-XXXXXXXX")
_LOST = "what LiteLLM has encrypted in the database can't be read without it"


def look(
    host: Host, fresh: bool | None, given: Mapping[str, str], moved_from: Host | None = None
) -> Finding:
    """What there is to say of it; `fresh`: the database has none of LiteLLM's tables.

    `moved_from` is the host as it is wired now when BASE changes: its key comes along.
    """
    env = host.layout.gateway_env
    about = Subject(NAME, str(env))
    there = salts(host) or (salts(moved_from) if moved_from else [])
    if there:
        return _present(about, [(salt.where, salt.value) for salt in there], fresh)
    if host.state and host.state.salt_sha256:
        what = f"the {SALT} that was made for the database is gone from {env}"
        return about.failed(what, _LOST, "put the line back from your copy of that file")
    if fresh is None:
        return about.skipped(f"whether a {SALT} can be made is known when the database answers")
    if fresh and salt_wanted(given):
        return about.ok(f"a {SALT} is made for the database")
    what = f"{LITELLM_UNIT} has no {SALT}"
    why = "LiteLLM encrypts what it stores with its master key, which can't be changed then"
    if fresh:
        return about.warning(what, why, "answer SALT=true")
    if host.state or host.settings:
        return about.ok(what, f"{why}: leave that as it is")
    cure = f"put a line '{SALT}=' with today's master key into {env}: then that can be changed"
    return about.warning(what, why, cure)


def _present(about: Subject, there: list[tuple[str, str]], fresh: bool | None) -> Finding:
    (where, value), *others = there
    if not value or value in _PUBLISHED:
        what = f"the {SALT} in {where} is {'an example' if value else 'empty'}"
        why = "everybody knows what LiteLLM then encrypts with"
        anew = "" if fresh else ", and enter anew what LiteLLM has stored (models, credentials)"
        return about.warning(what, why, f"put a random text there{anew}")
    other = next((place for place, text in others if text != value), None)
    if other:
        return about.warning(
            f"there is a {SALT} in {where} and another one in {other}",
            "LiteLLM takes the first, and can't read what it has encrypted with the other",
            "leave the one that was there when LiteLLM made its first key, and take out the other",
        )
    return about.ok(f"{where} has a {SALT}")


def note(host: Host, given: Mapping[str, str]) -> str:
    """What a plan says of it, which asks no server; empty if it is there."""
    wanted = salt_wanted(given) and not host.wired and not salts(host)
    return f"A {SALT} is made as well if the database has no tables of LiteLLM." if wanted else ""


def with_salt(
    host: Host,
    fresh: bool,
    given: Mapping[str, str],
    progress: Progress,
    moved_from: Host | None = None,
) -> Host:
    """`host` with a new one in gateway.env if it needs one; it is on disk then.

    Raises Refused.
    """
    missing = fresh and host.files[host.layout.config_yaml] is not None
    if not missing or not salt_wanted(given):
        return host
    if salts(host) or (moved_from and salts(moved_from)):
        return host
    host = _kept(host, new_salt())
    progress.say(
        f"{SALT} was made in {host.layout.gateway_env}: keep a copy of that file, since {_LOST}."
    )
    return host


def after_undo(before: Host, now: Host, served: bool, progress: Progress) -> None:
    """What is to become of a new one when the run that it was made for is undone.

    If LiteLLM has not `served` with it, it has encrypted nothing: the host is as `before`.
    """
    path = now.layout.gateway_env
    if served:
        progress.say(f"{SALT} stays in {path}: LiteLLM has run with it.")
        return
    root = now.layout.root
    if interrupted(root):  # the next run puts the rest back first
        return
    changes = [
        FileChange(file, now.files[file], before.files[file])
        for file in (path, STATE_FILE)
        if _content(take(root, file)) == _content(now.files[file])
    ]
    written(root, Changes(tuple(changes)))


def _content(image: FileImage | None) -> bytes | None:
    return image.content if image else None


def restored(host: Host, progress: Progress) -> Host:
    """`host` with the one that we made and that gateway.env has lost, if LiteLLM still knows it."""
    made = host.state.salt_sha256 if host.state else ""
    if not made or not host.layout.live or not units.available() or salts(host):
        return host
    try:
        value = units.environment(units.unit(LITELLM_UNIT)).get(SALT, "")
    except ServiceFailed:
        return host
    if sha256(value) != made:
        return host
    host = _kept(host, value)
    progress.say(f"{SALT} is in {host.layout.gateway_env} again, as {LITELLM_UNIT} has it.")
    return host


def _kept(host: Host, salt: str) -> Host:
    path = host.layout.gateway_env
    before, state = host.files[path], host.state or State(gateway_env=path)
    if path in host.distrusted and host.wired:
        raise Refused(host.distrusted[path].sentence)
    try:
        template = render.gateway_env_with_all_keys()
        text = gateway_env.with_salt(host.text(path), salt, template)
    except gateway_env.EnvFileRefusal as error:
        raise Refused(f"{path}, {error.what}" + ("" if error.cure else "."), error.cure) from None
    gid = host.group if os.geteuid() == 0 else os.getegid()
    # Until the group is made, nobody but root is to read it.
    metadata = Metadata(os.geteuid(), gid or 0, 0o640)
    if before and path not in host.distrusted:
        metadata = replace(metadata, attributes=before.metadata.attributes)
    image = FileImage(text.encode(), metadata)
    after = replace(state, salt_sha256=sha256(salt))
    remembered = FileImage(dump(after).encode(), Metadata(os.geteuid(), os.getegid(), 0o600))
    changes = (
        FileChange(STATE_FILE, host.files[STATE_FILE], remembered),
        FileChange(path, before, image),
    )
    written(host.layout.root, Changes(changes))
    files = {**host.files, path: image, STATE_FILE: remembered}
    return replace(host, files=files, state=after)
