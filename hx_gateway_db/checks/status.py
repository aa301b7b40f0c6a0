"""What the host is wired to and what its units do now, without changing or proving anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from hx_gateway_db.checks.differences import compare
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host import litellm_version
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.pending import pending
from hx_gateway_db.host.turn import Turn
from hx_gateway_db.layout import LITELLM_UNIT, SECOND_UNITS, UNITS, WATCH_TIMER
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.litellm import (
    FRESH_READINESS,
    LIBPQ_TLS,
    UNKNOWN,
    LiteLLM,
    checks_certificate,
)
from hx_gateway_db.settings.values import Postgres, Redis, address
from hx_gateway_db.systemd import units


@dataclass(frozen=True)
class Fact:
    """One line of the status."""

    name: str
    value: str


def status(host: Host) -> Iterator[Fact]:
    """The facts about a host, in the order a person would ask for them. Raises SystemdSilent."""
    settings, lost = host.settings, any(key.matters for key in host.lost)
    yield Fact("wired", "yes" if host.wired else "no")
    yield Fact("gateway.env", _gateway_env(host))
    if host.problem:
        yield Fact("problem", host.problem)
    if settings:
        postgres = settings.postgres
        yield Fact(
            "database",
            f"{postgres.database} on {address(postgres.host, postgres.port)} as {postgres.user},"
            f" sslmode {_sslmode(postgres, host)}",
        )
        yield Fact("database login", _in_turn(postgres.user, host, "postgres"))
        yield Fact("redis", _redis(settings.redis))
        if settings.redis and settings.redis.user:
            yield Fact("redis password", _password(settings.redis, host))
        limit = f"on, {settings.cache.rate_limit} requests/min" if settings.cache else "off"
        but = ", but config.yaml has lost what was set there" if lost and settings.cache else ""
        yield Fact("cache and rate limit", f"{limit}{but}")
        switched_off = dict(settings.variables).get("DISABLE_ADMIN_UI") == "true"
        yield Fact("admin UI", "switched off" if switched_off else "left on")
        yield Fact("watched", _watched(host))
    if not host.layout.live or not units.available():
        finish = "; 'hx-gateway-db apply' on the live host finishes"
        left = finish if host.wired and host.state and host.state.restart else ""
        yield Fact("units", f"not looked at: systemd does not run here{left}")
        return
    for name in UNITS:
        yield Fact(name, _unit(name, host))
    second = [name for name in SECOND_UNITS.values() if units.unit(name).running]
    if second:
        names = " and ".join(second)
        yield Fact("second gateway", f"{names}: a change is under way, or was interrupted")
    if units.unit(LITELLM_UNIT).running:
        from hx_gateway_db.gateway import http

        state = http.database_state()
        seen = f", as it saw at most {_age(host)} ago" if state == http.CONNECTED else ""
        yield Fact("LiteLLM says of its database", f"{state}{seen}")


def different(host: Host) -> list[Finding]:
    """What is otherwise than it was wired, each with who wins now and its cure."""
    live = host.layout.live and units.available()
    told = (Level.FAILED, Level.WARNING)
    return [finding for finding in compare(host, live) if finding.level in told]


def _watched(host: Host) -> str:
    if not host.watched:
        return "no"
    if not host.layout.live or not units.available() or units.unit(WATCH_TIMER).running:
        return "yes"
    return f"yes, but {WATCH_TIMER} does not run: 'systemctl start {WATCH_TIMER}' starts it"


def _gateway_env(host: Host) -> str:
    path = host.layout.gateway_env
    return "not there" if host.files[path] is None else str(path)


def _sslmode(postgres: Postgres, host: Host) -> str:
    """What LiteLLM makes of the one in DATABASE_URL."""
    mode = dict(postgres.parameters).get("sslmode")
    if mode is None:
        return postgres.sslmode
    litellm = _litellm(host)
    if checks_certificate(litellm, mode):
        return f"verify-full (DATABASE_URL says {said(mode)}, which {litellm} takes for that)"
    unknown_to = litellm.before(LIBPQ_TLS)
    return f"prefer (DATABASE_URL says {said(mode)}, which {unknown_to} does not know)"


def _litellm(host: Host) -> LiteLLM:
    return litellm_version.of_gateway() if host.layout.live else UNKNOWN


def _age(host: Host) -> str:
    """How old what LiteLLM says of its database can be: it does not look each time it is asked."""
    return "15 s" if _litellm(host).has(FRESH_READINESS) else "two minutes"


def _redis(redis: Redis | None) -> str:
    if redis is None:
        return "none"
    return f"{address(redis.host, redis.port)}/{redis.database} as {redis.user or 'default'}"


def _password(redis: Redis, host: Host) -> str:
    from hx_gateway_db.redis.rule import password_hash  # hashlib, which nothing else needs here

    return _in_turn(password_hash(redis.password), host, "redis")


def _in_turn(login: str, host: Host, server: str) -> str:
    """Since when a login is in use, and whether another is open beside it."""
    turn = getattr(host.state, server) if host.state else Turn()
    named = server == "postgres"
    goes_on = f"'hx-gateway-db rotate {server}'"
    if turn.old == login and turn.new:
        other = turn.new if named else "another"
        return f"{f'{login}, ' if named else ''}a change to {other} has begun: {goes_on} goes on"
    if turn.new != login or not turn.since:
        return f"{login}, not rotated yet" if named else "not rotated yet"
    since = f"in use since {datetime.fromtimestamp(turn.since, UTC):%Y-%m-%d %H:%M} UTC"
    other = turn.old if named else "the one before"
    still = f"; {other} is still open: {goes_on} closes it" if turn.old else ""
    return f"{f'{login}, ' if named else ''}{since}{still}"


def _unit(name: str, host: Host) -> str:
    unit = units.unit(name)
    if not unit.present:
        return unit.load_state
    note = ", restart pending" if pending(host, name) else ""
    return f"{unit.active_state} ({unit.sub_state}){note}"
