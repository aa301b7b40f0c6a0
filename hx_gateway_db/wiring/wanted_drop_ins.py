"""What the drop-ins shall be, each as its record says, given what an administrator has in it."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from hx_gateway_db.host import drop_in, render
from hx_gateway_db.host.drop_ins import DROP_INS, PRISMA_LINES, DropIn, on_host, redis_user
from hx_gateway_db.host.host import Host
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage, Metadata, take
from hx_gateway_db.wiring.wanted import Edit


def wired_drop_ins(settings: Settings, host: Host, present: Host) -> list[Edit]:
    """Those of the gateway's units, for a gateway that is wired as `settings` say.

    `present` is the host as it is wired now, maybe with another BASE.
    """
    return [_wired(record, settings, host, present) for record in DROP_INS]


def with_prisma(edits: list[Edit], environment: Mapping[str, str]) -> list[Edit]:
    """The same with exactly the lines that a prepared Prisma client needs as its environment."""
    from hx_gateway_db.prisma.prepare import drop_in_lines

    rendered = "\n".join(drop_in_lines(environment))
    prepared = {record.path for record in DROP_INS if record.prepared}
    return [_with_lines(edit, rendered) if edit.change.path in prepared else edit for edit in edits]


def redis_drop_ins(settings: Settings, host: Host, unit: str) -> list[FileChange]:
    """That of the Redis `unit` that has to be given our user again at its start, and had to before.

    An empty `unit` is none.
    """
    earlier = host.state.redis_unit if host.state else ""
    changes = [_wired(redis_user(unit), settings, host, host).change] if unit else []
    if earlier not in ("", unit):
        changes.append(_unwired(redis_user(earlier), host))
    return changes


def unwired_drop_ins(host: Host) -> list[FileChange]:
    """All of them without what is ours, for a gateway without a database."""
    return [_unwired(record, host) for record in on_host(host.state)]


def _wired(record: DropIn, settings: Settings, host: Host, present: Host) -> Edit:
    ours, before = record.ours, _present(host, record.path)
    wanted = record.wanted(settings)
    shown = settings if wanted else present.settings
    rendered = render.drop_in(record, shown, host.layout)
    if ours is None:
        after = _image(rendered if wanted else None, before)
        return Edit(FileChange(record.path, before, after))
    existing = _in_place(host.text(record.path), rendered, ours, host, present)
    earlier = {}
    if record.wanted(present.settings):
        earlier = drop_in.named(render.drop_in(record, present.settings, host.layout), ours)
    now = drop_in.named(rendered, ours)

    def may_stay(line: str) -> bool:
        name = ours.name(line)
        as_ever = not wanted or (name is not None and earlier.get(name) == now[name])
        return as_ever and ours.effect(line) == name

    settled = drop_in.settle(existing, rendered, ours, may_stay)
    outcome = "left as it is" if wanted else f"it goes with {record.purpose}"
    edited = [line for line in settled.edited if record.edited(line, present.state)]
    notes = [f"{ours.shown(line)} was edited since: {outcome}." for line in edited]
    lines = drop_in.owned(existing or "", ours).values()
    ignored = [line for line in lines if ours.effect(line) is None]
    notes += [f"{line} is ignored by systemd: written anew." for line in ignored]
    if not wanted:
        return Edit(_unwired(record, host), tuple(notes))
    return Edit(FileChange(record.path, before, _image(settled.text, before)), tuple(notes))


def _in_place(
    existing: str | None, rendered: str, ours: drop_in.Ownership, host: Host, present: Host
) -> str | None:
    """`existing` with lines that name another gateway.env than the one that is wanted mended.

    Of a host that is wired those of the BASE before; of another, all if none is as wanted.
    """
    if existing is None:
        return None
    if host.wired:
        before, after = present.layout.gateway_env, host.layout.gateway_env
        return drop_in.moved(existing, ours, str(before), str(after))
    there = drop_in.owned(existing, ours).keys()
    if there and not there & drop_in.named(rendered, ours).keys():
        return drop_in.merge(existing, rendered, ours)
    return existing


def _unwired(record: DropIn, host: Host) -> FileChange:
    """A drop-in without what is ours; gone when nothing else is in it."""
    before = _present(host, record.path)
    text = None
    if before and record.ours:
        text = host.text(record.path) or ""
        if record.prepared:
            text = drop_in.merge(text, "", record.prepared)
        text = drop_in.strip(text, record.ours, render.drop_in(record, None, host.layout))
    return FileChange(record.path, before, _image(text, before))


def _with_lines(edit: Edit, rendered: str) -> Edit:
    before, after = edit.change.before, edit.change.after
    text = drop_in.merge(after.content.decode() if after else None, rendered, PRISMA_LINES)
    return replace(edit, change=replace(edit.change, after=_image(text, before)))


def _present(host: Host, path: PurePosixPath) -> FileImage | None:
    return host.files[path] if path in host.files else take(host.layout.root, path)


def _image(text: str | None, before: FileImage | None) -> FileImage | None:
    if text is None:
        return None
    metadata = before.metadata if before else Metadata(os.geteuid(), os.getegid(), 0o644)
    return FileImage(text.encode(), metadata)
