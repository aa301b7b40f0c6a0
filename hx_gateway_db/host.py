"""What the host has now: the files that matter, and the settings that they hold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hx_gateway_db import env_file
from hx_gateway_db.config_yaml import Origin
from hx_gateway_db.errors import InvalidSettings, Refused
from hx_gateway_db.layout import (
    DEFAULT_BASE,
    GATEWAY_GROUP,
    PRISTINE_CONFIG,
    STATE_FILE,
    UNITS,
    Layout,
    cache_drop_in,
    database_drop_in,
)
from hx_gateway_db.settings import Cache, Settings
from hx_gateway_db.snapshot import FileImage, take
from hx_gateway_db.state import State, load
from hx_gateway_db.urls import parse_database_url, parse_redis_url

_GROUPS = PurePosixPath("/etc/group")
_RATE_LIMIT = re.compile(r"Environment=LITELLM_RATE_LIMIT_TOKENS_PER_MINUTE=(\d{1,9})\s*$", re.M)
_ENVIRONMENT_FILE = re.compile(
    r"EnvironmentFile=-?(/\S+)/config/api-gateway/gateway\.env\s*$", re.M
)


@dataclass(frozen=True)
class Host:
    """`settings` is None when the host has none that can be read; `problem` then says why.

    `groups` maps the names in the host's own /etc/group to their ids.
    """

    layout: Layout
    files: Mapping[PurePosixPath, FileImage | None] = field(repr=False)
    state: State | None
    settings: Settings | None
    problem: str
    groups: Mapping[str, int] = field(repr=False)

    @property
    def group(self) -> int | None:
        return self.groups.get(GATEWAY_GROUP)

    @property
    def wired(self) -> bool:
        return self.state is not None and self.state.wired

    @property
    def cache_on(self) -> bool:
        return self.files[cache_drop_in()] is not None

    @property
    def origin(self) -> Origin | None:
        """What is known of config.yaml before us, if it is the one that we edited."""
        pristine = self.files[PRISTINE_CONFIG]
        if pristine is None or self.state is None or self.state.config != self.layout.config_yaml:
            return None
        return Origin(pristine.content, self.state.config_sha256)

    def text(self, path: PurePosixPath) -> str | None:
        """A file as UTF-8 text. Raises Refused when it is not."""
        image = self.files[path]
        try:
            return None if image is None else image.content.decode()
        except UnicodeDecodeError:
            raise Refused(f"{path} is not UTF-8 text: mend it first.") from None


def read_host(root: Path, base: PurePosixPath | None = None) -> Host:
    """Read the host at `root`; without `base`, the one it was wired with, or the usual one.

    Raises Refused for files that can't be trusted or read.
    """
    state_image = take(root, STATE_FILE)
    state = load(state_image.content.decode(errors="replace")) if state_image else None
    drop_ins = {path: take(root, path) for path in map(database_drop_in, UNITS)}
    layout = Layout(root, base or _present_base(state, drop_ins))
    paths = (layout.gateway_env, layout.config_yaml, cache_drop_in(), PRISTINE_CONFIG)
    files = {STATE_FILE: state_image, **drop_ins, **{path: take(root, path) for path in paths}}
    host = Host(layout, files, state, None, "", _groups(root))
    if files[layout.gateway_env] is None:
        return host
    try:
        settings = _read_settings(host)
    except InvalidSettings as error:
        problem = f"{layout.gateway_env}: {error}"
        return Host(layout, files, state, None, problem, host.groups)
    return Host(layout, files, state, settings, "", host.groups)


def free_system_group_id(host: Host) -> int:
    """An id for a new system group (Debian policy 9.2.2: 100 to 999)."""
    return next(gid for gid in range(999, 99, -1) if gid not in host.groups.values())


def _present_base(
    state: State | None, drop_ins: Mapping[PurePosixPath, FileImage | None]
) -> PurePosixPath:
    if state:
        return state.gateway_env.parent.parent.parent
    for image in drop_ins.values():
        match = _ENVIRONMENT_FILE.search(image.content.decode(errors="replace")) if image else None
        if match:
            return PurePosixPath(match[1])
    return DEFAULT_BASE


def _read_settings(host: Host) -> Settings | None:
    values = env_file.values(host.text(host.layout.gateway_env) or "")
    if "DATABASE_URL" not in values:
        return None
    redis = values.get("REDIS_URL")
    cache = _RATE_LIMIT.search(host.text(cache_drop_in()) or "")
    return Settings(
        postgres=parse_database_url(values["DATABASE_URL"]),
        redis=parse_redis_url(redis) if redis else None,
        cache=Cache(int(cache[1])) if cache and redis else None,
        disable_admin_ui=values.get("DISABLE_ADMIN_UI", "true") == "true",
        base=host.layout.base,
    )


def _groups(root: Path) -> dict[str, int]:
    image = take(root, _GROUPS)
    lines = image.content.decode(errors="replace").splitlines() if image else []
    fields = [line.split(":") for line in lines]
    return {entry[0]: int(entry[2]) for entry in fields if len(entry) > 2 and entry[2].isdigit()}
