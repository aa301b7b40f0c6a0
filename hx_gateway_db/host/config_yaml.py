"""Which keys of LiteLLM's config.yaml are ours (specification, steps 3 and 4, and its rollback)."""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from hx_gateway_db.host.generated import says_generated
from hx_gateway_db.settings.values import RedisUse
from hx_gateway_db.yaml_edit.edit import Path, ReadText, Scalar, SetKey, restore

FLAGS = (
    ("general_settings", "disable_spend_logs"),
    ("general_settings", "disable_error_logs"),
)
BUFFER = ("general_settings", "use_redis_transaction_buffer")
# The environment variables of 40-cache.conf are read by no LiteLLM; these keys are. LiteLLM 1.74
# makes its only Redis client from the first three, so that the buffer needs them as well: without
# them it gathers the spend of keys, users and teams, writes it nowhere and says nothing.
CACHE = ("litellm_settings", "cache")
TYPE = ("litellm_settings", "cache_params", "type")
NAMESPACE = ("litellm_settings", "cache_params", "namespace")
# Answers come from the cache only for a request that asks for it.
MODE = ("litellm_settings", "cache_params", "mode")
RATE_LIMIT = ("litellm_settings", "default_key_generate_params", "rpm_limit")
MASTER_KEY = ("general_settings", "master_key")
PERMIT_WEAK_KEY = ("general_settings", "dangerously_permit_weak_or_unset_master_key")
DATABASE_URL = ("general_settings", "database_url")
CACHE_URL = ("litellm_settings", "cache_params", "url")
# What names a Redis there besides (litellm/_redis.py, litellm/caching/caching.py).
_CACHE_PLACES = tuple(
    ("litellm_settings", "cache_params", name)
    for name in ("host", "redis_startup_nodes", "startup_nodes", "sentinel_nodes")
)
POOL = ("general_settings", "database_connection_pool_limit")
ENVIRONMENT = ("environment_variables",)
IN_DATABASE = ("general_settings", "store_model_in_db")
# LiteLLM reads a value that begins so from its environment.
REFERENCE = "os.environ/"
_OURS = (*FLAGS, BUFFER, CACHE, TYPE, NAMESPACE, MODE, RATE_LIMIT)
_READ = (
    *(MASTER_KEY, PERMIT_WEAK_KEY, DATABASE_URL, CACHE_URL, *_CACHE_PLACES),
    *(POOL, ENVIRONMENT, IN_DATABASE),
)


@dataclass(frozen=True)
class Origin:
    """config.yaml as it was before us, and the SHA-256 of it as we left it last."""

    pristine: bytes = field(repr=False)
    left_sha256: str


@dataclass(frozen=True)
class Present:
    """What is wired already: `use` is what the keys that we left are there for.

    `buffer_added`: an administrator has switched the buffer on since, and that counts as answered.
    """

    origin: Origin | None = None
    wired: bool = False
    use: RedisUse = field(default_factory=RedisUse)
    buffer_added: bool = False


@dataclass(frozen=True)
class Wired:
    """The text, and what there is to say about values that an administrator has edited."""

    text: bytes = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lost:
    """A key that does not read as we left it, and which an apply writes again.

    `now` is how it reads; empty for one that is not there. `matters`: LiteLLM does something else
    without it.
    """

    key: str
    now: str
    matters: bool


def wired(text: bytes, use: RedisUse, present: Present) -> Wired:
    """`text` with the database's logs on, and the keys that make LiteLLM use Redis like that.

    A value that has been edited since stays, unless another one is wanted there now.
    Raises YamlRefusal, as every function here does.
    """
    found = _found(text)
    wanted = _values(use, _own_cache(found, present))
    left = _left(found, present)
    edited = {
        path
        for path, value in wanted.items()
        if left.get(path) == value and path in _edited_paths(text, present)
    }
    notes = [f"{_edited(path, found)}: left as it is." for path in wanted if path in edited]
    again = [key for key in lost(text, present) if key.now]
    notes += [f"{key.key} is {key.now} as it was before us: written again." for key in again]
    notes += _overruled(found, wanted, left, use)
    gone = [path for path in _taken_back(left, present) if path not in wanted]
    notes += _gone(found, left, gone, present.use)
    if present.origin and gone:
        text = restore(text, present.origin.pristine, gone)
    operations = [SetKey(path, value) for path, value in wanted.items() if path not in edited]
    return Wired(_read(text).edit(operations), tuple(notes))


def unwired(text: bytes, present: Present) -> bytes:
    """`text` for a gateway without a database: the specification's rollback."""
    if present.origin:
        left = _left(_found(text), present)
        text = restore(text, present.origin.pristine, _taken_back(left, present))
    return _read(text).edit([SetKey(path, True) for path in FLAGS])


def pristine(text: bytes, present: Present) -> bytes:
    """`text` as it would be without us; what others have edited since stays edited."""
    origin = present.origin
    if origin is None:
        return text
    if hashlib.sha256(text).hexdigest() == origin.left_sha256:
        return origin.pristine
    ours = _taken_back(_left(_found(text), present), present)
    return restore(text, origin.pristine, (*FLAGS, *ours))


def as_before(text: bytes, before: bytes) -> bytes:
    """`text`, which somebody has edited since, with our keys as they stand in `before`."""
    return restore(text, before, _OURS)


def master_key(text: bytes, environment: Mapping[str, str]) -> str | None:
    """LiteLLM's master key, `os.environ/NAME` and `${NAME}` resolved from `environment`."""
    value = _found(text)[MASTER_KEY]
    if not isinstance(value, str) or not value:
        return environment.get("LITELLM_MASTER_KEY")
    reference = re.fullmatch(r"os\.environ/(\w+)|\$\{(\w+)\}", value)
    return environment.get(reference[1] or reference[2]) if reference else value


def weak_key_permitted(text: bytes, environment: Mapping[str, str]) -> bool:
    """Whether a newer LiteLLM is told to start without a master key, or with a published one."""
    by_environment = environment.get("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "")
    return _found(text)[PERMIT_WEAK_KEY] is True or by_environment.strip().lower() == "true"


def rate_limit(text: bytes) -> int | None:
    """The requests per minute that a new key may make, if that can be an answer."""
    limit = _found(text)[RATE_LIMIT]
    return limit if type(limit) is int and 0 < limit < 10**9 else None


def transaction_buffer(text: bytes) -> bool:
    """Whether LiteLLM gathers spend in Redis; it takes a quoted `true` as well."""
    value = _found(text)[BUFFER]
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def overrides_database(text: bytes) -> bool:
    """Whether `general_settings.database_url` would defeat gateway.env's DATABASE_URL."""
    return _found(text)[DATABASE_URL] not in (None, f"{REFERENCE}DATABASE_URL")


def overriding_variables(text: bytes, names: Collection[str]) -> list[str]:
    """Those of the environment variables `names` that `environment_variables` sets otherwise.

    LiteLLM puts that section into its environment after its migrations have run
    (`_load_environment_variables` in its proxy_server.py).
    """
    section = _found(text)[ENVIRONMENT]
    values = section if isinstance(section, dict) else {}
    return [name for name in names if name in values and values[name] != f"{REFERENCE}{name}"]


def lost(text: bytes, present: Present) -> tuple[Lost, ...]:
    """The keys that we left in the text and that are gone, or as they were before us again."""
    found = _found(text)
    left = _left(found, present)
    gone = [path for path in left if not _same(found, path, left)]
    edited = _edited_paths(text, present)
    return tuple(
        Lost(
            _name(path),
            "" if found[path] is None else _shown(found[path]),
            path not in FLAGS or found[path] is True,
        )
        for path in gone
        if path not in edited
    )


def edited(text: bytes, present: Present) -> dict[str, str]:
    """The keys that somebody has set to something else than we left there, and to what."""
    found = _found(text)
    return {_name(path): _shown(found[path]) for path in _edited_paths(text, present)}


def off(text: bytes) -> tuple[str, ...]:
    """The names of our flags that switch off what the database is there for."""
    found = _found(text)
    return tuple(_name(path) for path in FLAGS if found[path] is True)


def without(text: bytes, use: RedisUse) -> tuple[str, ...]:
    """The names of the keys for such a use of Redis that are missing or something else there."""
    found, wanted = _found(text), _values(use, own_cache=False)
    ours = [path for path in wanted if path[0] == CACHE[0]]
    return tuple(_name(path) for path in ours if not _same(found, path, wanted))


def pool_limit(text: bytes) -> int | None:
    """How many connections a worker of LiteLLM may open; None: as many as it does by itself."""
    value = _found(text)[POOL]
    return value if type(value) is int and value > 0 else None


def settings_in_database(text: bytes) -> bool:
    """Whether LiteLLM reads its table LiteLLM_Config as well."""
    return _found(text)[IN_DATABASE] is True


def top_keys() -> dict[str, list[str]]:
    """The keys that are ours or would defeat them, by section, without what is below them."""
    paths = (*_OURS, DATABASE_URL, POOL)
    sections = dict.fromkeys(path[0] for path in paths)
    return {
        section: [*dict.fromkeys(path[1] for path in paths if path[0] == section)]
        for section in sections
    }


def overrides_cache(text: bytes) -> bool:
    """Whether `cache_params.url` would defeat gateway.env's REDIS_URL."""
    return _found(text)[CACHE_URL] not in (None, f"{REFERENCE}REDIS_URL")


def cache_places(text: bytes) -> tuple[str, ...]:
    """The names of the other keys that name a Redis for the cache."""
    found = _found(text)
    return tuple(_name(path) for path in _CACHE_PLACES if found[path])


def caches(text: bytes) -> bool:
    """Whether LiteLLM's response cache is on."""
    return _found(text)[CACHE] is True


# One pass over a text serves its edit and all questions about it: a long one takes seconds.
@lru_cache(maxsize=2)
def _read(text: bytes) -> ReadText:
    return ReadText(text, (*_OURS, *_READ))


@lru_cache(maxsize=2)
def _found(text: bytes) -> Mapping[Path, object]:
    read = _read(text)
    return MappingProxyType({path: read.lookup(path) for path in (*_OURS, *_READ)})


def _values(use: RedisUse, own_cache: bool) -> dict[Path, Scalar]:
    """The keys with their values; `own_cache`: an administrator has a response cache already."""
    values: dict[Path, Scalar] = dict.fromkeys(FLAGS, False)
    if use.transaction_buffer:
        values[BUFFER] = True
    if use.any:
        values |= {CACHE: True, TYPE: "redis", NAMESPACE: "litellm"}
    if use.cache:
        values[RATE_LIMIT] = use.cache.rate_limit
    elif use.transaction_buffer and not own_cache:
        values[MODE] = "default_off"
    return values


def _own_cache(found: Mapping[Path, object], present: Present) -> bool:
    if present.origin and present.wired and present.use.cache:
        found = _found(present.origin.pristine)
    return found[CACHE] is True and found[MODE] is None


def _left(found: Mapping[Path, object], present: Present) -> dict[Path, Scalar]:
    """The keys that we left in the text, with the values that they had."""
    if present.origin is None or not present.wired:
        return {}
    return _values(present.use, _own_cache(found, present))


def _edited_paths(text: bytes, present: Present) -> list[Path]:
    """The keys that somebody has set to something else than we left there.

    Where all that we have changed reads as it did before us, nobody has: the file was written
    anew, from a template or a backup. Of one key alone that is believed of a file that says so.
    """
    found = _found(text)
    left = _left(found, present)
    other = [path for path in left if not _same(found, path, left)]
    if other and present.origin and (len(other) > 1 or says_generated(text)):
        before = _found(present.origin.pristine)
        if all(_same(found, path, before) for path in left):
            return []
    return [path for path in other if found[path] is not None]


def _taken_back(left: Mapping[Path, Scalar], present: Present) -> list[Path]:
    """The keys that are as they were before us as soon as they are not wanted any more."""
    paths = [path for path in left if path not in FLAGS]
    return [*paths, BUFFER] if present.buffer_added and BUFFER not in paths else paths


def _overruled(
    found: Mapping[Path, object],
    wanted: Mapping[Path, Scalar],
    left: Mapping[Path, Scalar],
    use: RedisUse,
) -> Iterator[str]:
    """What there is to say when our keys come to stand over somebody's own values."""
    for path in wanted:
        if path in left or path in FLAGS or found[path] is None or _same(found, path, wanted):
            continue
        value, purpose = _shown(wanted[path]), _purpose(path, use)
        yield f"{_name(path)} was {_shown(found[path])}: it is {value} while {purpose} is on."


def _gone(
    found: Mapping[Path, object], left: Mapping[Path, Scalar], gone: list[Path], use: RedisUse
) -> Iterator[str]:
    """What there is to say when edited values of ours go."""
    for path in gone:
        if path in left and found[path] is not None and not _same(found, path, left):
            yield f"{_edited(path, found)}: it goes with {_purpose(path, use)}."


def _purpose(path: Path, use: RedisUse) -> str:
    return "the cache" if use.cache and path != BUFFER else "the spend buffer"


def _same(found: Mapping[Path, object], path: Path, wanted: Mapping[Path, object]) -> bool:
    # In Python, 0 equals False and 1 equals True.
    return type(found[path]) is type(wanted[path]) and found[path] == wanted[path]


def _edited(path: Path, found: Mapping[Path, object]) -> str:
    return f"{_name(path)} was edited since (it is {_shown(found[path])})"


def _name(path: Path) -> str:
    return ".".join(path)


def _shown(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | int | float | str) else "not a plain value"
