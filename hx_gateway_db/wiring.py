"""Applying and rolling back: plan, transaction, services and proof in their order."""

import secrets
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hx_gateway_db import cache, gateway, postgres, services
from hx_gateway_db.answers import database_choice, to_settings
from hx_gateway_db.errors import HxError, InvalidSettings, NotRolledBack, Refused, RolledBack
from hx_gateway_db.gateway import ProofFailed
from hx_gateway_db.host import Host, read_host
from hx_gateway_db.interruption import held_back
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_UNIT
from hx_gateway_db.plan import Plan, affected_units, plan_apply, plan_rollback, restart_pending
from hx_gateway_db.proof import prove
from hx_gateway_db.redaction import redact
from hx_gateway_db.services import ServiceFailed, Unit
from hx_gateway_db.settings import Settings
from hx_gateway_db.transaction import Transaction, interrupted, lock

# LiteLLM's migrations on an empty database take most of it; a crash is noticed at once.
_READY_SECONDS = 240.0
_POLL_SECONDS = 0.2
_HOW_TO_CONFIGURE = (
    "The gateway is left as it is; run 'dpkg-reconfigure hx-gateway-db' to give it a database."
)


class Progress(Protocol):
    """Where news of a run goes while it is under way."""

    def say(self, line: str) -> None:
        """Something that was done, or that was not and why."""

    def waiting(self, what: str, seconds: float) -> None:
        """Called often while waiting for `what`, which has taken `seconds` so far."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended, in one line for people, and whether anything was changed."""

    summary: str
    changed: bool


def apply(root: Path, given: Mapping[str, str], progress: Progress) -> Outcome:
    """Wire the host at `root` as the answers say, and see that the gateway works with it.

    Raises InvalidSettings, Refused (nothing was changed), RolledBack (everything was put back)
    or NotRolledBack.
    """
    with lock(root, "apply"):
        recover(root, progress)
        if database_choice(given) == "later":
            return Outcome(_HOW_TO_CONFIGURE, False)
        host, moved_from, settings = desired(root, given)
        plan = plan_apply(settings, host, moved_from)
        if plan.empty:
            return Outcome("Nothing to change: the gateway is wired as answered.", False)
        online = host.layout.live and services.available()
        if database_choice(given) == "local":
            if not postgres.server_here(settings.postgres.port) and not online:
                return Outcome(f"No PostgreSQL server runs here. {_HOW_TO_CONFIGURE}", False)
            progress.say(f"Making the role and database {settings.postgres.database}.")
            postgres.provision(settings.postgres)
            plan = plan_apply(settings, host, moved_from, settings.postgres.database)
        if online:
            progress.say("Checking the database and Redis.")
            check(settings)
        _carry_out(host, plan, settings, progress)
        for note in plan.notes:
            progress.say(note)
        if not online:
            return Outcome(
                "Files are written. Nothing was checked or restarted, since systemd does not run"
                " here: 'hx-gateway-db verify' on the live host does the checks.",
                True,
            )
        return Outcome("The gateway is wired to its database.", True)


def rollback(root: Path, progress: Progress) -> Outcome:
    """Leave a gateway without a database, and see that it serves. Raises as `apply` does."""
    with lock(root, "rollback"):
        recover(root, progress)
        host = read_host(root)
        plan = plan_rollback(host)
        if plan.empty:
            return Outcome("Nothing is wired: nothing to roll back.", False)
        _carry_out(host, plan, None, progress)
        return Outcome("The gateway is without a database again.", True)


def desired(root: Path, given: Mapping[str, str]) -> tuple[Host, Host | None, Settings]:
    """The host as it is and the settings that the answers ask for.

    Between them, when the answers move BASE: the host as it is wired now. Raises InvalidSettings.
    """
    wired = read_host(root)
    try:
        settings = to_settings(given, wired.settings, _generate_password)
    except InvalidSettings as error:
        raise InvalidSettings(f"{wired.problem} {error}".strip()) from None
    if settings.base == wired.layout.base:
        return wired, None, settings
    return read_host(root, settings.base), wired if wired.wired else None, settings


def check(settings: Settings) -> None:
    """What must hold before anything is changed. Raises Refused."""
    postgres.check(settings.postgres)
    if settings.redis:
        cache.check(settings.redis)


def recover(root: Path, progress: Progress) -> None:
    """Undo what an interrupted run left. Raises NotRolledBack."""
    left = interrupted(root)
    if left is None:
        return
    progress.say("An earlier run was interrupted: putting its files back.")
    foreign = left.transaction.undo()
    for path in foreign:
        progress.say(f"{path} was changed by somebody else since: left as it is now.")
    if left.restarted and root == Path("/") and services.available():
        services.daemon_reload()
        for name in affected_units(left.transaction.files):
            if services.unit(name).wanted:
                services.restart(name)
    left.transaction.close()


def _carry_out(host: Host, plan: Plan, settings: Settings | None, progress: Progress) -> None:
    root = host.layout.root
    transaction = Transaction.begin(root, plan.changes)
    online = host.layout.live and services.available() and bool(plan.restart)
    served = {
        LITELLM_UNIT: online and gateway.alive(),
        WRAPPER_UNIT: online and gateway.wrapper_alive(),
    }
    restarted: list[str] = []
    pending: tuple[str, ...] = ()
    try:
        transaction.write()
        if online:
            transaction.services_begin()
            pending = _restart(plan, settings, restarted, progress)
            if settings is not None and LITELLM_UNIT not in pending:
                _prove(settings, host, progress)
    except BaseException as error:
        with held_back():
            _put_back(transaction, restarted, served, error, _secrets(host, settings), progress)
        raise
    transaction.close()
    if pending and plan.state:
        _remember(root, plan, pending)


def _restart(
    plan: Plan, settings: Settings | None, restarted: list[str], progress: Progress
) -> tuple[str, ...]:
    """Restart the plan's units, noting each in `restarted`; returns those that policy forbids."""
    services.daemon_reload()
    pending = []
    for name in plan.restart:
        unit = services.unit(name)
        if not unit.wanted:
            progress.say(unit.why_left_alone())
        elif services.policy_forbids(name):
            progress.say(f"policy-rc.d forbids restarting {name}: it runs with the old files.")
            pending.append(name)
        else:
            restarted.append(name)
            started = time.monotonic()
            _wait_until_ready(services.restart(name), progress)
            progress.say(f"{name} is up again ({time.monotonic() - started:.1f} s).")
    return tuple(pending)


def _wait_until_ready(unit: Unit, progress: Progress) -> None:
    """Wait until a unit answers. Raises ServiceFailed as soon as it has crashed."""
    ready = gateway.alive if unit.name == LITELLM_UNIT else gateway.wrapper_alive
    started = time.monotonic()
    while not ready():
        seconds = time.monotonic() - started
        now = services.unit(unit.name)
        if now.invocation != unit.invocation or not now.running:
            raise ServiceFailed(f"{unit.name} ended while it was starting.")
        if seconds > _READY_SECONDS:
            raise ServiceFailed(f"{unit.name} was not ready after {seconds:.0f} s.")
        progress.waiting(unit.name, seconds)
        time.sleep(_POLL_SECONDS)


def _prove(settings: Settings, host: Host, progress: Progress) -> None:
    unit = services.unit(LITELLM_UNIT)
    if not unit.running:
        progress.say(f"{LITELLM_UNIT} does not run: the check with a virtual key was skipped.")
        return
    config = read_host(host.layout.root, host.layout.base).files[host.layout.config_yaml]
    for note in prove(settings.postgres, config.content if config else b""):
        progress.say(note)
    progress.say("A virtual key works: the gateway has its database.")


def _put_back(
    transaction: Transaction,
    restarted: list[str],
    served: Mapping[str, bool],
    error: BaseException,
    secret: tuple[str, ...],
    progress: Progress,
) -> None:
    """Undo, and raise what has happened; returns only for an error that is no fault of the run."""
    log = "".join(
        f"\n{name} said last:\n{_indented(services.journal(name, ''))}"
        for name in restarted
        if isinstance(error, ServiceFailed | ProofFailed) and name == restarted[-1]
    )
    reason = redact(f"{error}{log}", secret)
    progress.say("That did not work: putting everything back.")
    foreign = transaction.undo()
    try:
        if restarted:
            services.daemon_reload()
        for name in restarted:
            unit = services.restart(name)
            if served[name]:
                _wait_until_ready(unit, progress)
    except ServiceFailed as failure:
        raise NotRolledBack(
            f"{reason}\nThe files are as before, but the gateway does not serve: {failure}"
        ) from None
    transaction.close()
    changed = "".join(f"\n{path} was changed by somebody else and left alone." for path in foreign)
    if isinstance(error, ServiceFailed | ProofFailed):
        raise RolledBack(f"{reason}\nEverything was put back.{changed}") from None
    if isinstance(error, HxError):
        raise Refused(f"{reason} Everything is as it was.{changed}") from None


def _remember(root: Path, plan: Plan, pending: tuple[str, ...]) -> None:
    host = read_host(root, plan.layout.base)
    assert plan.state
    transaction = Transaction.begin(root, restart_pending(host, plan.state, pending))
    transaction.write()
    transaction.close()


def _secrets(host: Host, settings: Settings | None) -> tuple[str, ...]:
    old = host.settings.secrets if host.settings else ()
    return (*old, *(settings.secrets if settings else ()))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _generate_password() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(32))
