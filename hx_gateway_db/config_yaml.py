"""Which keys of LiteLLM's config.yaml are ours (specification, steps 3 and 4, and its rollback)."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hx_gateway_db.settings import Cache
from hx_gateway_db.yaml_edit import Path, Scalar, SetKey, edit, lookup, lookup_each, restore

FLAGS = (
    ("general_settings", "disable_spend_logs"),
    ("general_settings", "disable_error_logs"),
)
RATE_LIMIT = ("litellm_settings", "default_key_generate_params", "rpm_limit")
# The environment variables of 40-cache.conf are read by no LiteLLM; these keys are.
CACHE_KEYS = (
    ("litellm_settings", "cache"),
    ("litellm_settings", "cache_params", "type"),
    ("litellm_settings", "cache_params", "namespace"),
    RATE_LIMIT,
)
MASTER_KEY = ("general_settings", "master_key")
DATABASE_URL = ("general_settings", "database_url")


@dataclass(frozen=True)
class Origin:
    """config.yaml as it was before us, and the SHA-256 of it as we left it last."""

    pristine: bytes = field(repr=False)
    left_sha256: str


@dataclass(frozen=True)
class Present:
    """What is wired already: `cache_ours` says whether the cache's keys are in the text for us."""

    origin: Origin | None = None
    wired: bool = False
    cache_ours: bool = False
    cache: Cache | None = None


@dataclass(frozen=True)
class Wired:
    """The text, and what there is to say about values that an administrator has edited."""

    text: bytes = field(repr=False)
    notes: tuple[str, ...] = ()


def wired(text: bytes, cache: Cache | None, present: Present) -> Wired:
    """`text` with the database's logs on and, with `cache`, the keys that really enable it.

    A value that has been edited since stays, unless `cache` is another one now.
    Raises YamlRefusal, as every function here does.
    """
    wanted: dict[Path, Scalar] = dict.fromkeys(FLAGS, False)
    if cache:
        wanted |= _cache_values(cache)
    found = lookup_each(text, [*FLAGS, *CACHE_KEYS])
    standing = _standing(cache, present)
    edited = {
        path for path in standing if found[path] is not None and not _same(found, path, wanted)
    }
    notes = [f"{_edited(path, found)}: left as it is." for path in wanted if path in edited]
    notes += _overruled(found, cache, present)
    if present.cache_ours and cache is None and present.origin:
        text = restore(text, present.origin.pristine, CACHE_KEYS)
    operations = [SetKey(path, value) for path, value in wanted.items() if path not in edited]
    return Wired(edit(text, operations), tuple(notes))


def unwired(text: bytes, cache_was_on: bool, origin: Origin | None) -> bytes:
    """`text` for a gateway without a database: the specification's rollback."""
    if cache_was_on and origin:
        text = restore(text, origin.pristine, CACHE_KEYS)
    return edit(text, [SetKey(path, True) for path in FLAGS])


def pristine(text: bytes, origin: Origin | None) -> bytes:
    """`text` as it would be without us; what others have edited since stays edited."""
    if origin is None:
        return text
    if hashlib.sha256(text).hexdigest() == origin.left_sha256:
        return origin.pristine
    return as_before(text, origin.pristine)


def as_before(text: bytes, before: bytes) -> bytes:
    """`text`, which somebody has edited since, with our keys as they stand in `before`."""
    return restore(text, before, (*FLAGS, *CACHE_KEYS))


def master_key(text: bytes, environment: dict[str, str]) -> str | None:
    """LiteLLM's master key, `os.environ/NAME` and `${NAME}` resolved from `environment`."""
    value = lookup(text, MASTER_KEY)
    if not isinstance(value, str) or not value:
        return environment.get("LITELLM_MASTER_KEY")
    reference = re.fullmatch(r"os\.environ/(\w+)|\$\{(\w+)\}", value)
    return environment.get(reference[1] or reference[2]) if reference else value


def rate_limit(text: bytes) -> int | None:
    """The requests per minute that a new key may make, if that can be an answer."""
    limit = lookup(text, RATE_LIMIT)
    return limit if type(limit) is int and 0 < limit < 10**9 else None


def overrides_database(text: bytes) -> bool:
    """Whether `general_settings.database_url` would defeat gateway.env's DATABASE_URL."""
    return lookup(text, DATABASE_URL) is not None


def _cache_values(cache: Cache) -> dict[Path, Scalar]:
    return dict(zip(CACHE_KEYS, (True, "redis", "litellm", cache.rate_limit), strict=True))


def _standing(cache: Cache | None, present: Present) -> set[Path]:
    """The keys of which we want today what we wanted when we wrote them."""
    if present.origin is None or not present.wired:
        return set()
    if cache is None or present.cache is None:
        return set(FLAGS)
    standing = {*FLAGS, *CACHE_KEYS}
    return standing if cache == present.cache else standing - {RATE_LIMIT}


def _overruled(
    found: Mapping[Path, object], cache: Cache | None, present: Present
) -> Iterator[str]:
    """What there is to say when the cache is switched on or off over somebody's own values."""
    if (cache and present.cache) or not (cache or present.cache_ours):
        return
    usual = _cache_values(cache or present.cache or Cache())
    for path in CACHE_KEYS:
        if found[path] is None or _same(found, path, usual):
            continue
        if cache:
            value = _shown(usual[path])
            yield f"{_name(path)} was {_shown(found[path])}: it is {value} while the cache is on."
        elif present.origin:
            yield f"{_edited(path, found)}: it goes with the cache."


def _same(found: Mapping[Path, object], path: Path, wanted: Mapping[Path, Scalar]) -> bool:
    # In Python, 0 equals False and 1 equals True.
    return type(found[path]) is type(wanted[path]) and found[path] == wanted[path]


def _edited(path: Path, found: Mapping[Path, object]) -> str:
    return f"{_name(path)} was edited since (it is {_shown(found[path])})"


def _name(path: Path) -> str:
    return ".".join(path)


def _shown(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | int | float | str) else "not a plain value"
