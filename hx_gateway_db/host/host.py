"""What the host has now: the files that matter, and the settings that they hold."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hx_gateway_db.errors import InvalidSettings, Refused
from hx_gateway_db.findings import to_run
from hx_gateway_db.host import drop_in, gateway_env
from hx_gateway_db.host.drop_ins import (
    CACHE,
    CACHE_LINES,
    DATABASE,
    DATABASE_LINES,
    RATE_LIMIT,
    WATCH,
    on_host,
)
from hx_gateway_db.host.left import Left
from hx_gateway_db.host.state import State, load
from hx_gateway_db.host.trust import Distrust, distrust
from hx_gateway_db.layout import (
    DEFAULT_BASE,
    GATEWAY_GROUP,
    GROUPS,
    PRISTINE_CONFIG,
    STATE_FILE,
    Layout,
)
from hx_gateway_db.settings.answers import KEYS, from_host
from hx_gateway_db.settings.urls import readable
from hx_gateway_db.settings.values import Cache, RedisUse, Settings
from hx_gateway_db.systemd import environment_files
from hx_gateway_db.transaction.snapshot import FileImage, take

if TYPE_CHECKING:
    from hx_gateway_db.host.config_yaml import Lost, Origin, Present

# config_yaml is loaded where it is needed: the questions wait for "answers", and mostly have none
# about Redis.


@dataclass(frozen=True)
class Host:
    """`settings` is None when the host has none that can be believed; `problem` then says why.

    `readable` are the answers that its URLs hold all the same.

    `files` are all that a plan for the present BASE reads, those that are missing as None.
    `groups` maps the names in the host's own /etc/group to their ids. `unusable` says
    what keeps a file from being read; only a host that was read leniently has such files,
    and they count as missing.
    """

    layout: Layout
    files: Mapping[PurePosixPath, FileImage | None] = field(repr=False)
    state: State | None
    settings: Settings | None
    problem: str
    groups: Mapping[str, int] = field(repr=False)
    unusable: Mapping[PurePosixPath, Refused] = field(default_factory=dict)
    readable: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def distrusted(self) -> Mapping[PurePosixPath, Distrust]:
        """The files that are believed where root alone can write them, and that others can."""
        found = {path: self._distrust(path) for path in self.files if path not in self._not_asked}
        return {path: reason for path, reason in found.items() if reason}

    @property
    def _not_asked(self) -> tuple[PurePosixPath, ...]:
        # The state folder is root's alone, and LiteLLM's configuration may be its user's.
        return (STATE_FILE, PRISTINE_CONFIG, GROUPS, self.layout.config_yaml)

    def _distrust(self, path: PurePosixPath) -> Distrust | None:
        image = self.files[path]
        if image is None:
            return None
        if path != self.layout.gateway_env:
            return distrust(path, image.metadata, "root", 0o644)
        group = "" if self.group is None else GATEWAY_GROUP
        return distrust(path, image.metadata, group, 0o640)

    @property
    def group(self) -> int | None:
        return self.groups.get(GATEWAY_GROUP)

    @property
    def wired(self) -> bool:
        return self.state is not None and self.state.wired

    @property
    def cache_on(self) -> bool:
        """Whether 40-cache.conf switches the cache on."""
        text = self.text(CACHE.path)
        return bool(text and drop_in.owned(text, CACHE_LINES))

    @property
    def watched(self) -> bool:
        """Whether it is looked every few minutes that virtual keys work."""
        return self.files[WATCH.path] is not None

    @property
    def trial(self) -> bool:
        """Whether a change is tried on a second gateway first."""
        return not (self.state and self.state.no_trial)

    @property
    def handover(self) -> bool:
        """Whether that may serve while the units restart."""
        return not (self.state and self.state.no_handover)

    @property
    def cache_ours(self) -> bool:
        """Whether the cache's keys are ours, although somebody may have removed 40-cache.conf."""
        return self.cache_on or (self.wired and self.left.has("CACHE", "true"))

    @property
    def buffer_ours(self) -> bool:
        """Whether the spend buffer's key is ours, although somebody may have edited it."""
        return self.state is not None and self.state.wired and self.state.transaction_buffer

    @property
    def redis_use(self) -> RedisUse:
        """What we have LiteLLM use Redis for, whatever somebody has edited since."""
        return RedisUse(Cache(_rate_limit(self)) if self.cache_ours else None, self.buffer_ours)

    @property
    def left(self) -> Left:
        return self.state.left if self.state else Left()

    @property
    def answers(self) -> dict[str, str]:
        """Today's values as answers, passwords among them."""
        local = self.state.local_database if self.state else ""
        return from_host(self.settings, local) if self.settings else dict(self.readable)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The passwords and the key that gateway.env has, for redaction."""
        passwords = self.settings.secrets if self.settings else ()
        text = ""
        with suppress(Refused):
            text = self.text(self.layout.gateway_env) or ""
        salt = environment_files.values(text).get(gateway_env.SALT, "")
        return (*passwords, salt) if salt else passwords

    @property
    def values(self) -> dict[str, str]:
        """Today's values of what we keep track of, for `left`."""
        if self.layout.gateway_env in self.distrusted:
            return {}
        text = self.text(self.layout.gateway_env) or ""
        return tracked(self.answers, environment_files.values(text))

    @property
    def config_present(self) -> "Present":
        """What is wired in config.yaml already."""
        from hx_gateway_db.host.config_yaml import Present

        in_force = self.settings is not None and self.settings.transaction_buffer
        return Present(self.origin, self.wired, self.redis_use, in_force and not self.buffer_ours)

    @property
    def lost(self) -> tuple["Lost", ...]:
        """The keys of ours that config.yaml has lost, as after it was rendered anew.

        None where it is not there, or can't be read.
        """
        from hx_gateway_db.host import config_yaml

        image = self.files[self.layout.config_yaml]
        if image is None:
            return ()
        try:
            return config_yaml.lost(image.content, self.config_present)
        except Refused:
            return ()

    @property
    def edited(self) -> tuple[str, ...]:
        """The answers whose values somebody has edited since we wrote them."""
        return tuple(key for key in self.left.edited(self.values) if key in KEYS)

    @property
    def origin(self) -> "Origin | None":
        """What is known of config.yaml before us, if it is the one that we edited."""
        from hx_gateway_db.host.config_yaml import Origin

        pristine = self.files[PRISTINE_CONFIG]
        if pristine is None or self.state is None or self.state.config != self.layout.config_yaml:
            return None
        return Origin(pristine.content, self.state.config_sha256)

    def text(self, path: PurePosixPath) -> str | None:
        """A file as UTF-8 text. Raises Refused when it is not."""
        image = self.files.get(path)
        try:
            return None if image is None else image.content.decode()
        except UnicodeDecodeError:
            raise Refused(f"{path} is not UTF-8 text", "mend it first") from None


def read_host(root: Path, base: PurePosixPath | None = None, *, lenient: bool = False) -> Host:
    """Read the host at `root`; without `base`, the one it was wired with, or the usual one.

    Raises Refused for files that can't be trusted or read; for a host that is looked at, or left
    without us (`lenient`), only where that is one of our own state.
    """
    state_image = take(root, STATE_FILE)
    state = load(state_image.content.decode(errors="replace")) if state_image else None
    unusable: dict[PurePosixPath, Refused] = {}

    def taken(path: PurePosixPath) -> FileImage | None:
        try:
            return take(root, path)
        except Refused as error:
            refusal = _masked(root, path) or error
            if not lenient:
                raise refusal from None
            unusable[path] = refusal
            return None

    drop_ins = {record.path: taken(record.path) for record in on_host(state)}
    layout = Layout(root, base or _present_base(state, drop_ins))
    files = {STATE_FILE: state_image, **drop_ins}
    files |= {path: taken(path) for path in (layout.gateway_env, layout.config_yaml)}
    files |= {path: take(root, path) for path in (PRISTINE_CONFIG, GROUPS)}
    host = Host(layout, files, state, None, "", _groups(files[GROUPS]), unusable)
    if found := host.distrusted:
        return replace(host, problem=next(iter(found.values())).sentence)
    try:
        if host.text(layout.gateway_env) is None:
            return host
    except Refused as refusal:
        if not lenient:
            raise
        unusable[layout.gateway_env] = refusal
        return replace(host, files={**files, layout.gateway_env: None})
    try:
        return replace(host, settings=_read_settings(host))
    except InvalidSettings as error:
        values = environment_files.values(host.text(layout.gateway_env) or "")
        answers = readable(values.get("DATABASE_URL", ""), values.get("REDIS_URL", ""))
        return replace(host, problem=f"{layout.gateway_env}: {error}", readable=answers)


_KEPT_IN_STATE = ("BASE", "TRIAL", "HANDOVER")


def tracked(answers: Mapping[str, str], lines: Mapping[str, str]) -> dict[str, str]:
    """The values of which we remember what we left.

    Of all `answers` but those that the state file keeps itself, and of the `lines` of gateway.env
    that follow from them. That nobody watches is left by those who know no WATCH as well: no
    version has ever left it otherwise.
    """
    unknown = (("WATCH", "false"),)
    values = {key: value for key, value in answers.items() if key not in _KEPT_IN_STATE}
    values = dict(item for item in values.items() if item not in unknown)
    derived = (line.key for line in gateway_env.DERIVED)
    return values | {key: lines[key] for key in derived if key in lines}


def free_system_group_id(host: Host) -> int:
    """An id for a new system group (Debian policy 9.2.2: 100 to 999)."""
    return next(gid for gid in range(999, 99, -1) if gid not in host.groups.values())


def _masked(root: Path, path: PurePosixPath) -> Refused | None:
    """What is to be said of a link in the place of a drop-in, as an administrator masks one."""
    if path.suffix != ".conf" or not os.path.islink(root / path.relative_to("/")):
        return None
    cure = f"{to_run('rm', str(path))}, then 'hx-gateway-db apply'"
    return Refused(f"{path} is a link, which masks our drop-in", cure)


def _present_base(
    state: State | None, drop_ins: Mapping[PurePosixPath, FileImage | None]
) -> PurePosixPath:
    if state:
        return state.gateway_env.parent.parent.parent
    for record in DATABASE.values():
        image = drop_ins[record.path]
        if image is None or distrust(record.path, image.metadata, "root", 0o644):
            continue
        text = image.content.decode(errors="replace")
        for line in drop_in.owned(text, DATABASE_LINES).values():
            file = PurePosixPath(drop_in.path(line) or "/")
            base = file.parent.parent.parent
            if file == Layout(Path("/"), base).gateway_env:
                return base
    return DEFAULT_BASE


def _read_settings(host: Host) -> Settings | None:
    values = environment_files.values(host.text(host.layout.gateway_env) or "")
    if "DATABASE_URL" not in values:
        return None
    answered = gateway_env.answered(values)
    redis = answered.get("redis") is not None
    return Settings(
        **answered,
        cache=Cache(_rate_limit(host)) if host.cache_on and redis else None,
        transaction_buffer=redis and _transaction_buffer(host),
        watch=host.watched,
        trial=host.trial,
        handover=host.handover,
        base=host.layout.base,
    )


def _rate_limit(host: Host) -> int:
    """What is in force: the number in config.yaml; 40-cache.conf's where that can't be read."""
    from hx_gateway_db.host import config_yaml

    image = host.files[host.layout.config_yaml]
    with suppress(Refused):
        if image and (limit := config_yaml.rate_limit(image.content)):
            return limit
    lines = drop_in.owned(host.text(CACHE.path) or "", CACHE_LINES)
    text = drop_in.value(lines.get(RATE_LIMIT, "")) or ""
    return int(text) if re.fullmatch(r"0*[1-9]\d{0,8}", text) else Cache().rate_limit


def _transaction_buffer(host: Host) -> bool:
    """What is in force, unless the administrator had it before us and we were never asked for it.

    What was asked for where config.yaml can't be read, or is another one than we edited.
    """
    image, origin = host.files[host.layout.config_yaml], host.origin
    if image is None or origin is None:
        return host.buffer_ours
    from hx_gateway_db.host import config_yaml

    try:
        if not config_yaml.transaction_buffer(image.content):
            return False
        return host.buffer_ours or not config_yaml.transaction_buffer(origin.pristine)
    except Refused:
        return host.buffer_ours


def _groups(image: FileImage | None) -> dict[str, int]:
    lines = image.content.decode(errors="replace").splitlines() if image else []
    fields = [line.split(":") for line in lines]
    return {entry[0]: int(entry[2]) for entry in fields if len(entry) > 2 and entry[2].isdigit()}
