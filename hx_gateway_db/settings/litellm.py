"""What differs between versions of LiteLLM, and from which release on it holds. Pure.

Each row was read in the releases on PyPI around it: the first that has it, and the last that does
not. docs/litellm.md shows the rows; a test compares.
"""

import re
from dataclasses import dataclass

Version = tuple[int, ...]

_LIBPQ_VERIFYING = ("verify-ca", "verify-full")
_RELEASE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){1,3}")


@dataclass(frozen=True)
class Change:
    """What LiteLLM does from the release `since` on, and the file of LiteLLM that says so."""

    since: Version
    what: str
    source: str


LIMITS_ALWAYS_SHARED = Change(
    (1, 77, 1),
    "counts a key's requests in Redis, for all gateways together, whenever it has one:"
    " `EXPERIMENTAL_MULTI_INSTANCE_RATE_LIMITING` is read by nobody",
    "proxy/hooks/__init__.py",
)
FRESH_READINESS = Change(
    (1, 82, 1),
    "says of its database what it saw at most 15 s ago, not up to two minutes ago",
    "proxy/health_endpoints/_health_endpoints.py",
)
# 1.82.0 does not, and from 1.90.0 on it makes that client.
BUFFERS_ALONE = Change(
    (1, 82, 6),
    "does not start with a spend buffer for which it has no client of Redis; before that it writes"
    " what it gathers nowhere",
    "proxy/proxy_server.py",
)
REDIS_TIMEOUTS = Change(
    (1, 96, 0),
    "hands its time limit on to a client of Redis that it makes from REDIS_URL; before that it"
    " waits without end for one that hangs, unless redis-py is 8 or newer",
    "_redis.py",
)
LIBPQ_TLS = Change(
    (1, 101, 0),
    "turns libpq's `sslmode=verify-ca`, `verify-full` and `sslrootcert` in DATABASE_URL into what"
    " Prisma knows; before that they check no certificate",
    "proxy/db/db_url_settings.py",
)
IDLE_CONNECTIONS_END = Change(
    (1, 101, 0),
    "gives up a connection to the database that was idle for 60 s, unless DATABASE_URL has a"
    " `max_idle_connection_lifetime`; before that after 300 s",
    "proxy/db/db_url_settings.py",
)
MASTER_KEY_NEEDED = Change(
    (1, 104, 0),
    "does not start without a master key, with an empty one, or with `sk-1234`",
    "proxy/auth/master_key_boot_check.py",
)
CHANGES = (
    *(LIMITS_ALWAYS_SHARED, FRESH_READINESS, BUFFERS_ALONE, REDIS_TIMEOUTS),
    *(LIBPQ_TLS, IDLE_CONNECTIONS_END),
    MASTER_KEY_NEEDED,
)


@dataclass(frozen=True)
class LiteLLM:
    """A LiteLLM of this version; empty where that is not known, which counts as older than all."""

    version: Version = ()

    def has(self, change: Change) -> bool:
        """Whether it is known to be one with this change."""
        return self.version >= change.since

    def lacks(self, change: Change) -> bool:
        """Whether it is known to be one without it."""
        return bool(self.version) and self.version < change.since

    def __str__(self) -> str:
        return f"LiteLLM {shown(self.version)}" if self.version else "LiteLLM"

    def before(self, change: Change) -> str:
        """A sentence's name for a LiteLLM without this change."""
        return str(self) if self.version else f"LiteLLM before {shown(change.since)}"


UNKNOWN = LiteLLM()


def checks_certificate(litellm: LiteLLM, sslmode: str) -> bool:
    """Whether this LiteLLM takes a sslmode that is libpq's for one with a certificate to check."""
    return sslmode in _LIBPQ_VERIFYING and litellm.has(LIBPQ_TLS)


def parse_version(text: str) -> Version:
    """The numbers of a release, as of `1.74.15.post1` or `1.75.0rc2`; empty when there are none."""
    release = _RELEASE.match(text)
    return tuple(map(int, release[0].split("."))) if release else ()


def shown(version: Version) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))
