"""Which keys of LiteLLM's config.yaml are ours (specification, steps 3 and 4, and its rollback)."""

import hashlib
import re
from dataclasses import dataclass, field

from hx_gateway_db.settings import Cache
from hx_gateway_db.yaml_edit import SetKey, edit, lookup, restore

FLAGS = (
    ("general_settings", "disable_spend_logs"),
    ("general_settings", "disable_error_logs"),
)
# The environment variables of 40-cache.conf are read by no LiteLLM; these keys are.
CACHE_KEYS = (
    ("litellm_settings", "cache"),
    ("litellm_settings", "cache_params", "type"),
    ("litellm_settings", "cache_params", "namespace"),
    ("litellm_settings", "default_key_generate_params", "rpm_limit"),
)
MASTER_KEY = ("general_settings", "master_key")
DATABASE_URL = ("general_settings", "database_url")


@dataclass(frozen=True)
class Origin:
    """config.yaml as it was before us, and the SHA-256 of it as we left it last."""

    pristine: bytes = field(repr=False)
    left_sha256: str


def wired(text: bytes, cache: Cache | None, cache_was_on: bool, origin: Origin | None) -> bytes:
    """`text` with the database's logs on and, with `cache`, the keys that really enable it.

    Raises YamlRefusal, as every function here does.
    """
    if cache_was_on and cache is None and origin:
        text = restore(text, origin.pristine, CACHE_KEYS)
    operations = [SetKey(path, False) for path in FLAGS]
    if cache:
        values: tuple[bool | str | int, ...] = (True, "redis", "litellm", cache.rate_limit)
        operations += [SetKey(path, value) for path, value in zip(CACHE_KEYS, values, strict=True)]
    return edit(text, operations)


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


def overrides_database(text: bytes) -> bool:
    """Whether `general_settings.database_url` would defeat gateway.env's DATABASE_URL."""
    return lookup(text, DATABASE_URL) is not None
