"""The files that we wired, against what we left in them: what is gone, and what was edited."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.host import config_yaml, drop_in, gateway_env
from hx_gateway_db.host.drop_ins import CACHE, DATABASE, DropIn, on_host
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.redaction import said
from hx_gateway_db.systemd import environment_files, unit_variables

NAME = "gateway.wiring"
_APPLY = "'hx-gateway-db apply'"
APPLY = f"run {_APPLY}"
_CACHE_OFF = (
    f"{APPLY} to switch it off entirely, or 'dpkg-reconfigure hx-gateway-db' to have it again"
)
_ASK = "run 'dpkg-reconfigure hx-gateway-db' to answer it again"


def differences(host: Host) -> Iterator[Finding]:
    """What the files of a wired host have lost of what we left there; none for another host.

    Raises Refused when a file is no text.
    """
    if not host.wired or host.distrusted:
        # What can't be believed is told as that.
        return
    for path, refusal in host.unusable.items():
        yield Subject(NAME, str(path)).failed(refusal.what, cure=refusal.cure)
    yield from _gateway_env(host)
    for record in _left(host):
        yield from _drop_in(record, host)
    yield from _config(host)


def edits(host: Host) -> Iterator[Finding]:
    """What an administrator has set to something else since: that counts, and stays."""
    if not host.wired or host.distrusted:
        return
    where = str(host.layout.gateway_env)
    for key in host.edited:
        if key not in ("CACHE", "RATE_LIMIT", "REDIS_TRANSACTION_BUFFER", "REDIS"):
            yield Subject(NAME, where).ok(f"{key} was edited in {where}: that counts")


def missing_drop_ins(host: Host) -> set[str]:
    """The units that have lost a drop-in of ours, or its lines."""
    return {record.unit for record in _left(host) if any(_drop_in(record, host))}


def _left(host: Host) -> list[DropIn]:
    """The drop-ins that a wired host has by us."""
    return [
        record
        for record in on_host(host.state)
        if record.wanted(host.settings) or (record is CACHE and host.cache_ours)
    ]


def _gateway_env(host: Host) -> Iterator[Finding]:
    path = host.layout.gateway_env
    about = Subject(NAME, str(path))
    if path in host.unusable:
        return
    text = host.text(path)
    if text is None:
        why = "the units that read it do not start any more once they are stopped"
        yield about.failed(f"{path} is not there any more", why, _restore(path))
        return
    lines = environment_files.values(text)
    if "DATABASE_URL" not in lines:
        why = "LiteLLM has no database once it is restarted"
        yield about.failed(f"DATABASE_URL is not in {path} any more", why, _restore(path))
        return
    if "REDIS_URL" not in lines and host.left.has("REDIS", "true"):
        why = "what Redis is there for counts as switched off"
        cure = f"{_ASK}, or {_APPLY} to go on without"
        yield about.failed(f"REDIS_URL is not in {path} any more", why, cure)
        return
    postgres = host.settings.postgres if host.settings else None
    left = dict(host.left.digests)
    ours = [line.key for line in gateway_env.SAID if line.answer.key in left]
    ours += [
        line.key
        for line in gateway_env.DERIVED
        if line.key in left and line.needed(postgres, host.redis_use)
    ]
    ours += [
        line.key
        for line in gateway_env.OFFERED
        if line.key in dict(host.left.lines)
        and not unit_variables.sets(host.layout.root, line.unit, line.key, (path,))
    ]
    for key in ours:
        if key not in lines:
            yield about.warning(f"{key} is not in {path} any more", cure=APPLY)


def _restore(path: PurePosixPath) -> str:
    return f"put {path} back from a backup, or {_ASK}"


def _drop_in(record: DropIn, host: Host) -> Iterator[Finding]:
    about = Subject(NAME, str(record.path))
    if record.path in host.unusable:
        return
    text = host.text(record.path)
    why = _without(record)
    if text is None:
        cure = _CACHE_OFF if record is CACHE else APPLY
        yield about.failed(f"{record.path} is not there any more", why, cure)
        return
    if record.ours is None:
        return
    there = drop_in.owned(text, record.ours)
    for name in record.sets(host.layout):
        if name not in there or record.ours.effect(there[name]) is None:
            yield about.failed(f"{record.path} has lost its line for {name}", why, APPLY)


def _without(record: DropIn) -> str:
    if record in DATABASE.values():
        return f"{record.unit} reads no gateway.env once it is restarted"
    if record is CACHE:
        return "the cache counts as switched off, and config.yaml has it on"
    return "the gateway's user is forgotten when that Redis is restarted"


def _config(host: Host) -> Iterator[Finding]:
    path = host.layout.config_yaml
    about = Subject(NAME, str(path))
    image = host.files[path]
    if path in host.unusable or (host.state and host.state.config != path):
        return
    if image is None:
        why = f"{LITELLM_UNIT} does not start without it"
        cure = f"put it back, then {APPLY}"
        yield about.failed(f"{path} is not there any more", why, cure)
        return
    try:
        lost = config_yaml.lost(image.content, host.config_present)
        edited = config_yaml.edited(image.content, host.config_present)
    except Refused as refusal:
        yield about.failed(f"{path}: {refusal.what.rstrip('.')}", cure=f"mend it, then {APPLY}")
        return
    if lost and not _cache_drop_in_lost(host):
        names = " and ".join(", ".join(_said(key) for key in lost).rsplit(", ", 1))
        level = Level.FAILED if any(key.matters for key in lost) else Level.WARNING
        why = "it was written anew since, as from a template or a backup"
        yield about.found(level, f"{path} has lost what was set there: {names}", why, APPLY)
    for name, value in edited.items():
        why = "it was edited since, and stays like that: LiteLLM goes by it"
        cure = f"if that is not meant, remove {name} there, then {APPLY}"
        yield about.warning(f"{name} in {path} is {said(value)}", why, cure)


def _said(key: config_yaml.Lost) -> str:
    return f"{key.key} (now {said(key.now)})" if key.now else key.key


def _cache_drop_in_lost(host: Host) -> bool:
    """Whether the cache counts as switched off: an apply then takes its keys away."""
    return host.cache_ours and not host.cache_on
