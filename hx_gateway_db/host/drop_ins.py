"""The drop-ins that we have in units, each as one record.

Adding one: its record here, among DROP_INS, and its template. What is in it is wanted, settled with
an administrator's edits, taken back and removed by whoever walks the records.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from hx_gateway_db.host import drop_in
from hx_gateway_db.host.drop_in import Ownership
from hx_gateway_db.host.state import State
from hx_gateway_db.layout import (
    DATABASE_DROP_IN,
    LITELLM_UNIT,
    UNITS,
    WATCH_TIMER,
    Layout,
    drop_in_folder,
)
from hx_gateway_db.settings.values import Cache, Settings

RATE_LIMIT = "LITELLM_RATE_LIMIT_TOKENS_PER_MINUTE"
_CACHE_VARIABLES = ("LITELLM_CACHE", "LITELLM_RATE_LIMIT_ENABLED", RATE_LIMIT)


def _edited_since(line: str, state: State | None) -> bool:
    """Whether a line of ours that is not as we want it is an edit of what we wrote."""
    return state is not None and state.wired and not line.startswith("#")


@dataclass(frozen=True)
class DropIn:
    """One drop-in: the unit it is for, its file name, its template and what that is given.

    `ours` says which of its lines are ours, `sets` what they set (a variable, or a file to read),
    `prepared` which belong to a preparation of Prisma's client; with none, the whole file is ours.
    There is one where it is `wanted` for what the host is wired to, None if that is not known. A
    sentence on it names what it goes with (`purpose`), and only speaks of lines that are `edited`.

    A remove takes what is ours out, and the file with it where only our comments remain, so that a
    purge finds nothing.
    """

    unit: str
    file: str
    template: str
    ours: Ownership | None = None
    sets: Callable[[Layout], tuple[str, ...]] = lambda layout: ()
    prepared: Ownership | None = None
    values: Callable[[Settings | None, Layout], Mapping[str, object]] = lambda settings, layout: {}
    wanted: Callable[[Settings | None], bool] = lambda settings: True
    purpose: str = "the database"
    edited: Callable[[str, State | None], bool] = _edited_since

    @property
    def path(self) -> PurePosixPath:
        return drop_in_folder(self.unit) / self.file


# systemd ignores a line with quotes, or with a blank after the "-": it is still ours, to mend.
DATABASE_LINES = Ownership(
    re.compile(r"EnvironmentFile\s*=\s*(?:[-\"']+\s*)?(/\S*/gateway\.env)[\"']?"), drop_in.path
)
# What a preparation of Prisma's client needs (see `prisma`); quoted, as only we write it.
PRISMA_LINES = Ownership(
    re.compile(r"Environment=\"(PATH|PYTHONPATH|PRISMA_[A-Z_]+|CHECKPOINT_DISABLE)=.*\"")
)
CACHE_LINES = Ownership(
    re.compile(
        rf"Environment\s*=\s*\"?({'|'.join(_CACHE_VARIABLES)})=.*"
        r"|# (Example simple rate limit): \d+ req/min per key \(in force through config\.yaml\)"
    )
)


def _cache_line_edited(line: str, state: State | None) -> bool:
    # The limit can be as we left it and yet outdated: config.yaml's is the one in force.
    if CACHE_LINES.name(line) == RATE_LIMIT:
        limit = {"RATE_LIMIT": drop_in.value(line) or ""}
        return state is not None and bool(state.left.edited(limit))
    return _edited_since(line, state)


def _rate_limit(settings: Settings | None) -> int:
    cache = settings.cache if settings else None
    return (cache or Cache()).rate_limit


# By unit (specification, step 2).
DATABASE = {
    unit: DropIn(
        unit,
        DATABASE_DROP_IN,
        "30-db.conf.j2",
        ours=DATABASE_LINES,
        sets=lambda layout: (str(layout.gateway_env),),
        prepared=PRISMA_LINES if unit == LITELLM_UNIT else None,
        values=lambda settings, layout: {"gateway_env": str(layout.gateway_env)},
        edited=lambda line, state: True,
    )
    for unit in UNITS
}
# Only LiteLLM's unit has it (specification, step 4).
CACHE = DropIn(
    LITELLM_UNIT,
    "40-cache.conf",
    "40-cache.conf.j2",
    ours=CACHE_LINES,
    sets=lambda layout: _CACHE_VARIABLES,
    values=lambda settings, layout: {"rate_limit": _rate_limit(settings)},
    wanted=lambda settings: settings is not None and settings.cache is not None,
    purpose="the cache",
    edited=_cache_line_edited,
)
# Nothing is enabled: that the file is there is the one place where it stands that we watch.
WATCH = DropIn(
    "timers.target",
    "hx-gateway-db.conf",
    "watch.conf.j2",
    values=lambda settings, layout: {"timer": WATCH_TIMER},
    wanted=lambda settings: settings is not None and settings.watch,
    purpose="the watch",
)
DROP_INS = (*DATABASE.values(), CACHE, WATCH)


def redis_user(unit: str) -> DropIn:
    """That of a Redis on this machine that would forget the gateway's user when it ends."""
    command = "/usr/sbin/hx-gateway-db provision --local-redis"
    return DropIn(
        unit,
        "hx-gateway-db.conf",
        "redis-user.conf.j2",
        values=lambda settings, layout: {"command": command},
    )


def on_host(state: State | None) -> tuple[DropIn, ...]:
    """All that may be there, as far as `state` tells."""
    redis = (redis_user(state.redis_unit),) if state and state.redis_unit else ()
    return (*DROP_INS, *redis)
