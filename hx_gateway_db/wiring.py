"""Applying and rolling back: plan, transaction, services and proof in their order."""

import secrets
import string
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from hx_gateway_db import cache, gateway, postgres, services
from hx_gateway_db.answers import database_choice, to_settings
from hx_gateway_db.errors import HxError, InvalidSettings, NotRolledBack, Refused, RolledBack
from hx_gateway_db.gateway import ProofFailed
from hx_gateway_db.host import Host, read_host
from hx_gateway_db.interruption import held_back
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.lock import lock
from hx_gateway_db.plan import Plan, affected_units, plan_apply, plan_rollback, remembering
from hx_gateway_db.proof import prove
from hx_gateway_db.redaction import redact
from hx_gateway_db.services import ServiceFailed, Unit
from hx_gateway_db.settings import Settings
from hx_gateway_db.take_back import take_back
from hx_gateway_db.transaction import Transaction, Undone, interrupted

# LiteLLM's migrations on an empty database take most of it; a crash is noticed at once.
_READY_SECONDS = 240.0
_POLL_SECONDS = 0.2
# Some failures end a service only after it has answered; it has to stay up for this long.
_STEADY_SECONDS = 12.0
_HOW_TO_CONFIGURE = (
    "The gateway is left as it is; run 'dpkg-reconfigure hx-gateway-db' to give it a database."
)


class Progress(Protocol):
    """Where news of a run goes while it is under way."""

    def say(self, line: str) -> None:
        """Something that was done, or that was not and why."""

    def waiting(self, what: str, seconds: float) -> None:
        """Called often while waiting for `what`, which has taken `seconds` so far."""


def apply(root: Path, given: Mapping[str, str], progress: Progress) -> str:
    """Wire the host at `root` as the answers say, and see that the gateway works with it.

    Returns how that ended, in one line. Raises InvalidSettings, Refused (nothing was changed),
    RolledBack (everything was put back) or NotRolledBack.
    """
    with lock(root, "apply"):
        _recover(root, progress)
        if database_choice(given) == "later":
            return _HOW_TO_CONFIGURE
        host, moved_from, settings = desired(root, given)
        plan = plan_apply(settings, host, moved_from)
        if plan.empty:
            return "Nothing to change: the gateway is wired as answered."
        online = _online(host)
        if database_choice(given) == "local":
            if not online and not postgres.server_here(settings.postgres.port):
                return f"No PostgreSQL server runs here. {_HOW_TO_CONFIGURE}"
            progress.say(f"Making the role and database {settings.postgres.database}.")
            postgres.provision(settings.postgres)
            plan = plan_apply(settings, host, moved_from, settings.postgres.database)
        if online:
            progress.say(f"Checking the database{' and Redis' if settings.redis else ''}.")
            check(settings)
        _begin(host, plan, settings, progress).carry_out()
        for note in plan.notes:
            progress.say(note)
        if not online:
            return (
                "Files are written. Nothing was checked or restarted, since systemd does not run"
                " here: 'hx-gateway-db verify' on the live host does the checks."
            )
        return "The gateway is wired to its database."


def rollback(root: Path, progress: Progress) -> str:
    """Leave a gateway without a database, and see that it serves. As `apply` otherwise."""
    with lock(root, "rollback"):
        _recover(root, progress)
        host = read_host(root)
        plan = plan_rollback(host)
        if plan.empty:
            return "Nothing is wired: nothing to roll back."
        _begin(host, plan, None, progress).carry_out()
        return "The gateway is without a database again."


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


def recover(root: Path, progress: Progress) -> str:
    """Undo what an interrupted run left, and return how that ended, in one line.

    Raises NotRolledBack when a file can't be put back.
    """
    with lock(root, "recover"):
        if _recover(root, progress):
            return "Everything is as it was before the interrupted run."
        return "No run was interrupted: nothing to recover."


def _recover(root: Path, progress: Progress) -> bool:
    left = interrupted(root)
    if left is None:
        return False
    progress.say("An earlier run was interrupted: putting its files back.")
    undone = left.transaction.undo(take_back)
    for sentence in _on_edits(undone):
        progress.say(sentence)
    if root == Path("/") and services.available():
        # Also a run that had not begun to restart units can have reached them: through a reboot.
        changes = undone.put_back if left.served is None else left.transaction.files
        _restart_recovered(affected_units(changes), left.served or (), progress)
    left.transaction.close()
    return True


def _restart_recovered(units: list[str], served: tuple[str, ...], progress: Progress) -> None:
    try:
        services.daemon_reload()
        for name in units:
            if services.unit(name).wanted:
                unit = services.restart(name)
                if name in served:
                    _wait_until_ready(unit, progress)
    except ServiceFailed as error:
        # The files are back; what is asked for now must not wait for the unit's own trouble.
        progress.say(str(error))


def _on_edits(undone: Undone) -> Iterator[str]:
    for path in undone.edited:
        yield f"{path} was edited by somebody else since: only our part of it was taken back."
    for path in undone.foreign:
        yield f"{path} was changed by somebody else since: left as it is now."


@dataclass
class _Run:
    """A plan being carried out; `settings` is None for a rollback.

    `served` says which units answered before, `pending` which policy-rc.d forbids to restart.
    `restarted` are those restarted so far, `up` those of them that answered again, the first of
    them at `up_since`.
    """

    host: Host
    plan: Plan
    settings: Settings | None
    progress: Progress
    online: bool
    served: Mapping[str, bool]
    pending: tuple[str, ...]
    restarted: list[str] = field(default_factory=list)
    up: list[Unit] = field(default_factory=list)
    up_since: float = 0.0

    def carry_out(self) -> None:
        """Change the files, restart, prove; or put everything back and raise why."""
        transaction = Transaction.begin(self.host.layout.root, self.plan.changes)
        try:
            transaction.write()
            if self.online:
                transaction.services_begin([name for name in self.served if self.served[name]])
                self._restart()
                self._prove()
                self._watch()
            transaction.close()
        except BaseException as error:
            with held_back():
                self._put_back(transaction, error)
            raise

    def _restart(self) -> None:
        services.daemon_reload()
        if self.settings:
            # A running LiteLLM survives a database that has gone by now, a restarted one doesn't.
            check(self.settings)
        for name in self.plan.restart:
            unit = services.unit(name)
            if not unit.wanted:
                self.progress.say(unit.why_left_alone())
            elif name in self.pending:
                self.progress.say(
                    f"policy-rc.d forbids restarting {name}: it runs with the old files."
                )
            else:
                self.restarted.append(name)
                self._restart_unit(name)

    def _restart_unit(self, name: str) -> None:
        started = time.monotonic()
        if self.settings is None and not self.served[name]:
            # A gateway that is broken already must not keep the package from being removed.
            self._restart_broken(name)
            return
        unit = services.restart(name)
        _wait_until_ready(unit, self.progress)
        self.up_since = self.up_since or time.monotonic()
        self.up.append(unit)
        self.progress.say(f"{name} is up again ({time.monotonic() - started:.1f} s).")

    def _restart_broken(self, name: str) -> None:
        try:
            services.restart(name)
            self.progress.say(f"{name} is restarted; it did not answer before.")
        except ServiceFailed as error:
            self.progress.say(f"{error} It did not answer before either.")

    def _prove(self) -> None:
        if self.settings is None or LITELLM_UNIT in self.pending:
            return
        if not services.unit(LITELLM_UNIT).running:
            self.progress.say(f"{LITELLM_UNIT} does not run: the proof was skipped.")
            return
        layout = self.host.layout
        config = read_host(layout.root, layout.base).files[layout.config_yaml]
        for line in prove(self.settings, config.content if config else b""):
            self.progress.say(line)

    def _watch(self) -> None:
        """See that what has come up stays up. Raises ServiceFailed when it does not."""
        while self.up and (seconds := time.monotonic() - self.up_since) < _STEADY_SECONDS:
            for unit in self.up:
                if not _still_runs(unit):
                    raise ServiceFailed(f"{unit.name} came up and ended again.", unit.name)
            self.progress.waiting(f"{self.up[0].name} to stay up", seconds)
            time.sleep(_POLL_SECONDS)

    def _put_back(self, transaction: Transaction, error: BaseException) -> None:
        """Undo, and raise what has happened; returns only for an error that is no HxError."""
        self.progress.say("That did not work: putting everything back.")
        undone = transaction.undo(take_back)
        reason = str(error)
        culprit = _culprit(error)
        if culprit in self.restarted:
            reason += _last_words(culprit)
        reason = redact(reason, self._secrets())
        trouble = self._restart_as_before() if self.online else ""
        down = [name for name in self.served if self.served[name] and not _READY[name]()]
        if down:
            raise NotRolledBack(
                f"{reason}\nThe files are as before, but {' and '.join(down)} does not answer."
                f" {trouble}".rstrip()
            ) from None
        transaction.close()
        others = "".join(f"\n{sentence}" for sentence in _on_edits(undone))
        if not isinstance(error, HxError | ProofFailed):
            return
        if self.restarted:
            raise RolledBack(f"{reason}\nEverything was put back.{others}") from None
        raise Refused(f"{reason} Everything is as it was.{others}") from None

    def _restart_as_before(self) -> str:
        """Restart what was restarted, now with its old files; returns what went wrong."""
        trouble: list[str] = []
        steps: list[Callable[[], None]] = [services.daemon_reload]
        steps += [partial(self._revive, name) for name in self.restarted]
        for step in steps:
            try:
                step()
            except ServiceFailed as failure:
                trouble.append(str(failure))
        return " ".join(trouble)

    def _revive(self, name: str) -> None:
        if self.served[name]:
            _wait_until_ready(services.restart(name), self.progress)
        else:
            self._restart_broken(name)

    def _secrets(self) -> tuple[str, ...]:
        before = self.host.settings.secrets if self.host.settings else ()
        return (*before, *(self.settings.secrets if self.settings else ()))


def _begin(host: Host, plan: Plan, settings: Settings | None, progress: Progress) -> _Run:
    online = _online(host) and bool(plan.restart)
    served = {name: online and ready() for name, ready in _READY.items()}
    forbidden = [
        name
        for name in plan.restart
        if online and services.unit(name).wanted and services.policy_forbids(name)
    ]
    pending = tuple(forbidden)
    return _Run(host, remembering(plan, host, pending), settings, progress, online, served, pending)


def _online(host: Host) -> bool:
    return host.layout.live and services.available()


def _wait_until_ready(unit: Unit, progress: Progress) -> None:
    """Wait until a unit answers. Raises ServiceFailed as soon as it has crashed."""
    started = time.monotonic()
    while not _READY[unit.name]():
        seconds = time.monotonic() - started
        if not _still_runs(unit):
            raise ServiceFailed(f"{unit.name} ended while it was starting.", unit.name)
        if seconds > _READY_SECONDS:
            raise ServiceFailed(f"{unit.name} was not ready after {seconds:.0f} s.", unit.name)
        progress.waiting(unit.name, seconds)
        time.sleep(_POLL_SECONDS)


def _still_runs(unit: Unit) -> bool:
    now = services.unit(unit.name)
    return now.invocation == unit.invocation and now.running


_READY = {LITELLM_UNIT: gateway.alive, WRAPPER_UNIT: gateway.wrapper_alive}


def _culprit(error: BaseException) -> str:
    """The unit whose log tells more of an error; empty when none does."""
    if isinstance(error, ProofFailed):
        return WRAPPER_UNIT if error.port == WRAPPER_PORT else LITELLM_UNIT
    return error.unit if isinstance(error, ServiceFailed) else ""


def _last_words(name: str) -> str:
    try:
        return f"\n{name} said last:\n{_indented(services.journal(name))}"
    except ServiceFailed:
        return ""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _generate_password() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(32))
