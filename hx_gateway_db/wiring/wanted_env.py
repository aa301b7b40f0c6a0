"""What gateway.env shall be (specification, step 1), given what an administrator has in it."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.host import gateway_env, render
from hx_gateway_db.host.gateway_env import DERIVED, OFFERED, SAID, SALT, Derived
from hx_gateway_db.host.host import Host
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.litellm import LiteLLM
from hx_gateway_db.settings.urls import another_database
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd import environment_files, unit_variables
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage, Metadata
from hx_gateway_db.wiring.wanted import Edit


@dataclass(frozen=True)
class EnvEdit(Edit):
    """`offered` are the lines, by key, that are ours as long as nobody edits them."""

    offered: Mapping[str, str] = field(default_factory=dict, repr=False)


_TAKEN_OVER = (
    "others than root could write it: it is root's now, with our lines anew and its other lines as"
    " they were; look at those."
)


def wired_gateway_env(
    settings: Settings,
    host: Host,
    present: Host,
    gid: int | None,
    litellm: Callable[[], LiteLLM],
    *,
    whole: bool = False,
) -> EnvEdit:
    """gateway.env for a gateway that is wired as `settings` say.

    `gid` is the id of its group, `present` the host as it is wired now, maybe with another BASE,
    `litellm` finds out which LiteLLM is to read it.
    What is offered to other services, and a line that this host has never had, waits for a run that
    restarts both units anyway, so that no upgrade restarts them for that: with `whole` it does not.
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
    template = render.gateway_env_with_all_keys()
    offered = _offered(lines)
    others = {key: said for key, said in offered.items() if not _ours(key, said, present)}
    elsewhere = _set_elsewhere(host, present)
    without = elsewhere
    if not whole:
        without = [*elsewhere, *_never_had(settings, lines, present)]
        kept += offered
    rendered = render.gateway_env(settings, without)
    try:
        text = gateway_env.merge(existing, rendered, template, kept, others)
        # A line that nobody reads is not worth a change, but goes with one.
        if text != existing and (dead := gateway_env.dead(settings, litellm)):
            rendered = render.gateway_env(settings, [*without, *dead])
            text = gateway_env.merge(existing, rendered, template, kept, others)
        if before is not None and present is not host:
            text = _with_its_salt(text, present, path, template)
    except gateway_env.EnvFileRefusal as error:
        raise Refused(f"{path}, {error.what}" + ("" if error.cure else "."), error.cure) from None
    owner = (0, gid) if os.geteuid() == 0 and gid is not None else (os.geteuid(), os.getegid())
    # The ACL of a file that somebody else has made would say who reads the password.
    attributes = before.metadata.attributes if before and not distrust else ()
    image = FileImage(text.encode(), Metadata(*owner, 0o640, attributes))
    notes = _on_derived_lines(lines, text, settings, present)
    notes += tuple(_on_others(others, settings))
    if distrust:
        notes = (_TAKEN_OVER, *notes)
    now = _offered(environment_files.values(text))
    ours = {key: said for key, said in now.items() if key not in others}
    return EnvEdit(FileChange(path, before, image), notes, ours)


def offered_by_us(host: Host) -> dict[str, str]:
    """Those lines of gateway.env that are offered to other services, and not an administrator's."""
    offered = _offered(environment_files.values(host.text(host.layout.gateway_env) or ""))
    return {key: said for key, said in offered.items() if _ours(key, said, host)}


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
    if present is None:
        return []
    answered = [
        line.key
        for line in gateway_env.ANSWERED
        if getattr(settings, line.field) == getattr(present, line.field)
    ]
    return answered + [line.key for line in SAID if line.value(settings) == line.value(present)]


def _offered(lines: Mapping[str, str]) -> dict[str, str]:
    """What those of OFFERED say that are there, also one that only python-dotenv reads."""
    said = {key.removeprefix("export "): value for key, value in lines.items()}
    return {line.key: said[line.key] for line in OFFERED if line.key in said}


def _ours(key: str, value: str, present: Host) -> bool:
    """Whether a line of OFFERED is as we wrote it, or was edited together with what it follows."""
    if present.left.has_line(key, value):
        return True
    settings = present.settings
    return settings is not None and gateway_env.lines_for(settings).get(key) == value


def _set_elsewhere(host: Host, present: Host) -> list[str]:
    """The keys that their units have from elsewhere: in gateway.env they would win over that."""
    ours = (host.layout.gateway_env, present.layout.gateway_env)
    root = host.layout.root
    return [line.key for line in OFFERED if unit_variables.sets(root, line.unit, line.key, ours)]


def _never_had(settings: Settings, lines: Mapping[str, str], present: Host) -> Iterator[str]:
    """The keys that are not there, that we never wrote, and that nobody has answered otherwise."""
    left = present.left
    known = {key for key, _ in (*left.digests, *left.lines)} | _offered(lines).keys()
    yield from (line.key for line in OFFERED if line.key not in known)
    for line in SAID:
        unanswered = line.value(settings) == line.answer.default
        if line.key not in lines and line.answer.key not in known and unanswered:
            yield line.key


def _on_others(others: Mapping[str, str], settings: Settings) -> Iterator[str]:
    for key, value in others.items():
        if differs := another_database(value, settings.postgres):
            yield (
                f"{key} is an administrator's and stays, but {said(differs)} than DATABASE_URL: if"
                " that is not meant, remove the line and run 'hx-gateway-db apply'."
            )


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
