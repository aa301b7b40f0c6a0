"""Settings and what the host has now, to the list of changes that lead from one to the other."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.host import gateway_env
from hx_gateway_db.host.config_yaml import Origin
from hx_gateway_db.host.host import Host, free_system_group_id, tracked
from hx_gateway_db.host.left import Left
from hx_gateway_db.host.state import State, dump
from hx_gateway_db.host.turn import Turn
from hx_gateway_db.layout import (
    CONFIG_YAML,
    GATEWAY_ENV,
    GATEWAY_GROUP,
    LITELLM_UNIT,
    PRISTINE_CONFIG,
    STATE_FILE,
    UNITS,
    WRAPPER_UNIT,
    Layout,
)
from hx_gateway_db.settings.answers import from_host
from hx_gateway_db.settings.litellm import LiteLLM
from hx_gateway_db.settings.values import Settings, redis_use
from hx_gateway_db.systemd import environment_files
from hx_gateway_db.transaction.changes import Changes, FileChange, Group
from hx_gateway_db.transaction.folders import exists
from hx_gateway_db.transaction.snapshot import FileImage, Metadata
from hx_gateway_db.wiring.diff import unified
from hx_gateway_db.wiring.made import Made
from hx_gateway_db.wiring.provisioning import is_ours, remembered
from hx_gateway_db.wiring.wanted import Edit
from hx_gateway_db.wiring.wanted_config import left_config, unwired_config, wired_config
from hx_gateway_db.wiring.wanted_drop_ins import (
    redis_drop_ins,
    unwired_drop_ins,
    wired_drop_ins,
    with_prisma,
)
from hx_gateway_db.wiring.wanted_env import offered_by_us, wired_gateway_env


@dataclass(frozen=True)
class Plan:
    """What is to be done. `restart` names the units whose inputs change; `notes` are for people.

    `config_left`: LiteLLM's configuration can't be made one for a gateway without a database.
    """

    layout: Layout
    changes: Changes = field(repr=False)
    restart: tuple[str, ...]
    notes: tuple[str, ...] = ()
    state: State | None = None
    config_left: bool = False
    draft: "_Draft | None" = field(default=None, repr=False)

    def with_made(self, made: Made, host: Host) -> "Plan":
        """The plan of an apply, with what was made for it on the servers of what is `host` now."""
        return self._redrawn(lambda draft: replace(draft, made=made, host=host))

    def with_prisma(self, environment: Mapping[str, str]) -> "Plan":
        """The same with the environment that LiteLLM needs for a client that was prepared."""
        return self._redrawn(lambda draft: replace(draft, prisma=environment))

    def with_settings(self, settings: Settings) -> "Plan":
        """The same for settings that hold what was left to be found out about the servers."""
        return self._redrawn(lambda draft: replace(draft, settings=settings))

    def with_outdated(self, units: tuple[str, ...]) -> "Plan":
        """The same, restarting `units` as well, which run with files of before."""
        return self._redrawn(lambda draft: replace(draft, outdated=units))

    @property
    def outdated(self) -> tuple[str, ...]:
        return self.draft.outdated if self.draft else ()

    def _redrawn(self, change: Callable[["_Draft"], "_Draft"]) -> "Plan":
        assert self.draft
        changed = change(self.draft)
        return self if changed == self.draft else changed.plan()

    @property
    def empty(self) -> bool:
        """Whether the host is already as it shall be."""
        return not self.changes.files and not self.restart

    def diff(self) -> str:
        """The changes as a unified diff without context, secrets redacted."""
        return "".join(unified(change) for change in self.changes.files)


def plan_apply(
    settings: Settings,
    host: Host,
    moved_from: Host | None,
    litellm: Callable[[], LiteLLM],
    *,
    whole: bool = False,
) -> Plan:
    """The plan that wires `host` as `settings` say.

    `moved_from` is the host as it is wired now when BASE changes: what is there goes. `litellm`
    finds out which LiteLLM it is that is wired, where that matters. `whole` is as in
    `wired_gateway_env`.
    Raises Refused when a file can't be edited safely.
    """
    for path, distrust in host.distrusted.items():
        if path != host.layout.gateway_env:
            raise Refused(distrust.sentence)
    config, origin = wired_config(settings, host)
    return _Draft(settings, host, moved_from, config, origin, litellm, whole).plan()


@dataclass(frozen=True)
class _Draft:
    """What a plan to wire a host is made of, to which a run adds what it makes and finds out.

    `config` is the edit of config.yaml if that is there, `origin` where it comes from then. `whole`
    is as in `wired_gateway_env`.
    """

    settings: Settings
    host: Host
    moved_from: Host | None
    config: Edit | None
    origin: Origin | None
    litellm: Callable[[], LiteLLM]
    whole: bool
    made: Made = field(default_factory=Made)
    prisma: Mapping[str, str] | None = None
    outdated: tuple[str, ...] = ()

    def plan(self) -> Plan:
        """The plan as far as it is known now. Raises Refused."""
        settings, host, present = self.settings, self.host, self.moved_from or self.host
        layout, previous = host.layout, host.state
        group = None
        # A tree without /etc/group is no system that could have one.
        if host.group is None and host.groups and os.geteuid() == 0:
            group = Group(GATEWAY_GROUP, free_system_group_id(host))
        gid = host.group if group is None else group.gid
        env = wired_gateway_env(settings, host, present, gid, self.litellm, whole=self.whole)
        edits = [env, *wired_drop_ins(settings, host, present)]
        if self.prisma is not None:
            edits = with_prisma(edits, self.prisma)
        ours = _kept(host, settings, self.made)
        notes: list[str] = []
        if self.config is None:
            notes.append(
                f"{layout.config_yaml} is not there: when LiteLLM's configuration is in place,"
                " run 'hx-gateway-db apply' again."
            )
        else:
            # A machine that dies in between must come up with a LiteLLM that starts: it does not
            # with a cache in config.yaml and no REDIS_URL.
            edits.insert(len(edits) if redis_use(settings).any else 0, self.config)
        notes += [sentence for edit in edits for sentence in edit.said]
        changes = [edit.change for edit in edits]
        changes += redis_drop_ins(settings, host, ours.redis_unit)
        if self.moved_from:
            changes += _left_behind(self.moved_from)
        changed = [change for change in changes if change.before != change.after]
        restart = set(affected_units(changed)) | set(previous.restart if previous else ())
        restart |= set(self.outdated)
        if restart >= set(UNITS) and not self.whole:
            return replace(self, whole=True).plan()
        env_text = env.change.after.content.decode() if env.change.after else ""
        left = host.left.after(
            _known(present) if previous else {}, _left_by_apply(settings, ours.database, env_text)
        )
        state = State(
            wired=True,
            gateway_env=layout.gateway_env,
            config=layout.config_yaml if self.origin else None,
            config_sha256=self.origin.left_sha256 if self.origin else "",
            folders=_made_folders(host, previous),
            group=group.name if group else previous.group if previous else "",
            local_database=ours.database,
            local_port=ours.port,
            redis_user=ours.redis_user,
            redis_unit=ours.redis_unit,
            no_trial=not settings.trial,
            no_handover=not settings.handover,
            transaction_buffer=settings.transaction_buffer,
            salt_sha256=previous.salt_sha256 if previous else "",
            postgres=previous.postgres if previous else Turn(),
            redis=previous.redis if previous else Turn(),
            left=left.with_lines(env.offered),
        )
        gone = _emptied(changed)
        changed += _state_changes(host, state, self.origin)
        whole = Changes(tuple(changed), group, gone)
        return Plan(layout, whole, in_order(restart), tuple(notes), state, draft=self)


def editable(host: Host, refusal: Refused | None = None) -> Finding:
    """What planning for `host` has found out about its files: whether they can be edited safely."""
    where = str(host.layout.config_folder)
    files = Subject("files.edit", where)
    if refusal:
        return files.failed(refusal.what, cure=refusal.cure)
    return files.ok(f"the files in {where} can be edited safely")


def plan_rollback(host: Host, *, leave_config: bool = False) -> Plan:
    """The plan that leaves a gateway without a database (the specification's rollback).

    gateway.env stays: it is configuration (Debian policy 10.7.3), read back by a later install.
    config.yaml stays as it is with `leave_config`, and where it can't be edited safely: its owner
    must not be able to keep the package from being removed.
    """
    if host.state is None or not host.state.wired:
        return Plan(host.layout, Changes(()), (), ("Nothing is wired: nothing to roll back.",))
    config, origin, why_not = _unwired_config(host, leave_config)
    changes = [config] if config else []
    notes = [_left_as_it_is(path, str(why)) for path, why in host.unusable.items()]
    notes += [host.problem] if host.problem else []
    notes += [_left_as_it_is(host.layout.config_yaml, why_not)] if why_not else []
    changes += unwired_drop_ins(host)
    changed = [change for change in changes if change.before != change.after]
    restart = {*affected_units(changed), *host.state.restart}
    state = replace(
        host.state,
        wired=False,
        config=host.layout.config_yaml if origin else None,
        config_sha256=origin.left_sha256 if origin else "",
        restart=(),
        redis_unit="",
        transaction_buffer=False,
        left=_left_by_rollback(host),
    )
    changed += _state_changes(host, state, origin)
    folders = _emptied(changed)
    gone = config is None and host.state.config == host.layout.config_yaml
    return Plan(
        host.layout,
        Changes(tuple(changed), None, folders),
        in_order(restart),
        tuple(notes),
        state,
        config_left=gone or bool(why_not) or host.layout.config_yaml in host.unusable,
    )


def _unwired_config(host: Host, leave: bool) -> tuple[FileChange | None, Origin | None, str]:
    """The change of config.yaml if there is one, its origin then, and why it can't be made."""
    if leave:
        return None, host.origin, "somebody changes it again and again."
    if host.files[host.layout.config_yaml] is None:
        return None, host.origin, ""
    try:
        return *unwired_config(host), ""
    except Refused as refusal:
        return None, host.origin, str(refusal)


def _left_as_it_is(path: PurePosixPath, why: str) -> str:
    """One line; the file is what the sentence `why` is about."""
    subject = f"{path} "
    why = f"it {why.removeprefix(subject)}" if why.startswith(subject) else why
    why = why.removeprefix(f"{path}: ").removeprefix(f"{path}, ")
    return f"{path} is left as it is: {why}"


def remembering(plan: Plan, host: Host, units: tuple[str, ...]) -> Plan:
    """The plan, remembering `units` as still running with what the files held before."""
    if plan.state is None or plan.state.restart == units:
        return plan
    state = replace(plan.state, restart=units)
    others = [change for change in plan.changes.files if change.path != STATE_FILE]
    files = [*others, _state_file(host, state)]
    changed = tuple(change for change in files if change.before != change.after)
    return replace(plan, changes=replace(plan.changes, files=changed), state=state)


def affected_units(changes: Iterable[FileChange]) -> tuple[str, ...]:
    """The units that read one of the files whose content changes, LiteLLM's first."""
    units: set[str] = set()
    for change in changes:
        content = change.after.content if change.after else None
        if change.before is not None and change.before.content == content:
            continue
        unit = change.path.parent.name.removesuffix(".d")
        if unit in UNITS:
            units.add(unit)
        elif change.path.name == GATEWAY_ENV:
            units |= {LITELLM_UNIT, WRAPPER_UNIT}
        elif change.path.name == CONFIG_YAML:
            units.add(LITELLM_UNIT)
    return in_order(units)


def _kept(host: Host, settings: Settings, made: Made) -> Made:
    """What we have made on this host, now and in earlier runs."""
    before = host.state
    if before is None:
        return made
    redis = settings.redis
    user = made.redis_user or before.redis_user
    used = redis is not None and is_ours(redis) and remembered(redis) == user
    unit = made.redis_unit if made.redis_user else before.redis_unit
    return Made(
        database=made.database or before.local_database,
        port=made.port or before.local_port,
        redis_user=user,
        redis_unit=unit if used else "",
    )


def _left_behind(host: Host) -> list[FileChange]:
    """What has to happen to the files below a BASE that is no longer the gateway's."""
    env = host.layout.gateway_env
    config = left_config(host)
    return [FileChange(env, host.files[env], None), *([config] if config else [])]


def _emptied(changes: Iterable[FileChange]) -> tuple[PurePosixPath, ...]:
    """The drop-in folders that may have nothing left in them."""
    parents = (change.path.parent for change in changes if change.after is None)
    return tuple(parent for parent in parents if parent.suffix == ".d")


def _state_changes(host: Host, state: State, origin: Origin | None) -> list[FileChange]:
    before = host.files[PRISTINE_CONFIG]
    after = FileImage(origin.pristine, _private()) if origin else None
    files = [_state_file(host, state), FileChange(PRISTINE_CONFIG, before, after)]
    return [change for change in files if change.before != change.after]


def _state_file(host: Host, state: State) -> FileChange:
    image = FileImage(dump(state).encode(), _private())
    return FileChange(STATE_FILE, host.files[STATE_FILE], image)


def _left_by_apply(settings: Settings, local_database: str, text: str) -> dict[str, str]:
    # Of what no answer stands for, only what we want: the rest is an administrator's.
    wanted = gateway_env.lines_for(settings)
    lines = environment_files.values(text)
    ours = {key: value for key, value in lines.items() if key in wanted}
    waiting = [line.answer.key for line in gateway_env.SAID if line.key not in lines]
    values = from_host(settings, local_database).items()
    return tracked({key: value for key, value in values if key not in waiting}, ours)


def _left_by_rollback(host: Host) -> Left:
    """gateway.env stays as it is; the cache and the spend buffer are off."""
    values = host.values
    off = {key: "false" for key in ("CACHE", "REDIS_TRANSACTION_BUFFER") if key in values}
    others = {key: value for key, value in values.items() if key not in off and key != "RATE_LIMIT"}
    if host.settings is None:
        return host.left
    return host.left.after(others, others | off).with_lines(offered_by_us(host))


def _known(present: Host) -> dict[str, str]:
    """The values that a run finds, but what it carries out itself: a cache that is to be off."""
    gone = present.cache_ours and not present.cache_on
    return {key: value for key, value in present.values.items() if not (gone and key == "CACHE")}


def _private() -> Metadata:
    return Metadata(os.geteuid(), os.getegid(), 0o600)


def _made_folders(host: Host, previous: State | None) -> tuple[PurePosixPath, ...]:
    # Deepest first, the order in which purge can remove them.
    earlier = previous.folders if previous else ()
    folder = host.layout.config_folder
    parents = [path for path in (folder, *folder.parents) if path != PurePosixPath("/")]
    missing = [path for path in parents if not exists(host.layout.root, path)]
    return (*missing, *(path for path in earlier if path not in missing))


def in_order(units: set[str]) -> tuple[str, ...]:
    """The units in the order in which they are restarted."""
    return tuple(unit for unit in UNITS if unit in units)
