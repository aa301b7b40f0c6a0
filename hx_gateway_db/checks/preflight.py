"""What must hold before anything is changed, and once more before anything is restarted."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, replace

from hx_gateway_db import in_thread
from hx_gateway_db.errors import CheckFailed
from hx_gateway_db.findings import Finding, Subject, failures
from hx_gateway_db.host import litellm_version
from hx_gateway_db.host.host import Host
from hx_gateway_db.settings.litellm import UNKNOWN
from hx_gateway_db.settings.values import Settings, redis_use

# More than each of the checks takes with its own limits, of which Prisma's 45 s is the longest.
_SECONDS = 60.0


@dataclass(frozen=True)
class Inspection:
    """What was found; `pooled`: a connection pooler answers for the PostgreSQL server.

    `fresh`: the database has none of LiteLLM's tables; None if it could not be asked.
    """

    findings: tuple[Finding, ...]
    pooled: bool = False
    fresh: bool | None = None

    def known(self, settings: Settings) -> Settings:
        """`settings` with what was left to be found out."""
        if settings.postgres.pgbouncer is None and self.pooled:
            return replace(settings, postgres=replace(settings.postgres, pgbouncer=True))
        return settings


def inspect(
    host: Host,
    settings: Settings,
    files: Finding,
    prisma: Mapping[str, str] | None = None,
) -> Inspection:
    """Look at servers and the gateway's own host, all at once and within a minute.

    `files` is what the planning has found out about the files, `prisma` the environment that
    LiteLLM's unit is about to get for a prepared client.
    """
    looks: dict[str, Callable[[], Inspection]] = {
        "postgres": lambda: _postgres(settings, host),
        "redis": lambda: _redis(settings),
        "files": lambda: Inspection((files,)),
        "gateway": lambda: _gateway(host, settings, prisma),
    }
    found = list(_together(looks, time.monotonic() + _SECONDS))
    return Inspection(
        tuple(finding for inspection in found for finding in inspection.findings),
        any(inspection.pooled for inspection in found),
        next((inspection.fresh for inspection in found if inspection.fresh is not None), None),
    )


def check_servers(settings: Settings) -> None:
    """Log in to the servers as LiteLLM will. Raises CheckFailed with what is wrong and its cure."""
    looks = {"postgres": lambda: _postgres(settings), "redis": lambda: _redis(settings)}
    found = _together(looks, time.monotonic() + _SECONDS)
    require(tuple(finding for inspection in found for finding in inspection.findings))


def require(findings: tuple[Finding, ...]) -> None:
    """Raise CheckFailed if one of `findings` stands in the way."""
    if failed := failures(findings):
        raise CheckFailed(" ".join(finding.sentence for finding in failed), tuple(failed))


def _together(
    looks: Mapping[str, Callable[[], Inspection]], deadline: float
) -> Iterator[Inspection]:
    """Each look in a thread of its own, that one which hangs is left behind."""
    started = {name: in_thread.start(look) for name, look in looks.items()}
    for name, future in started.items():
        ended, _ = futures.wait((future,), max(0.0, deadline - time.monotonic()))
        yield future.result() if ended else Inspection((_unanswered(name),))


def _unanswered(name: str) -> Finding:
    what = f"the check of {name} did not end within {_SECONDS:.0f} s"
    return Subject(name, name).failed(what, cure="see what hangs there, then try again")


def _postgres(settings: Settings, host: Host | None = None) -> Inspection:
    from hx_gateway_db.checks.pool import pool_of
    from hx_gateway_db.postgres.check import inspect_postgres

    litellm = litellm_version.of_gateway() if host and host.layout.live else UNKNOWN
    found = inspect_postgres(settings.postgres, pool_of(host), litellm)
    # After it, since a role may have no more than one connection left.
    if host is None or failures(found.findings):
        return Inspection(found.findings, found.pooled, found.fresh)
    from hx_gateway_db.checks import config_table, stored
    from hx_gateway_db.checks.host_checks import unit_variables

    more = [*config_table.findings(host, settings, unit_variables(host))]
    if found.fresh is False:
        more += stored.findings(host, settings)
    return Inspection((*found.findings, *more), found.pooled, found.fresh)


def _redis(settings: Settings) -> Inspection:
    if settings.redis is None:
        return Inspection(())
    from hx_gateway_db.redis.check import inspect_redis
    from hx_gateway_db.redis.denials import denials

    found = inspect_redis(settings.redis, redis_use(settings))
    # What is refused to our own trials is told by them.
    denied = () if failures(found) else denials(settings.redis)
    return Inspection((*found, *denied))


def _gateway(host: Host, settings: Settings, prisma: Mapping[str, str] | None) -> Inspection:
    if not host.layout.live:
        return Inspection(())
    from hx_gateway_db.checks.host_checks import inspect_host

    return Inspection(inspect_host(host, settings, prisma))
