"""Applying, rolling back and recovering."""

import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hx_gateway_db.checks.preflight import inspect, require
from hx_gateway_db.errors import CheckFailed, InvalidSettings, NotRolledBack, Refused
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.gateway.readiness import answers
from hx_gateway_db.host.host import Host, read_host
from hx_gateway_db.layout import PRISMA_FOLDER, PRISMA_WORK
from hx_gateway_db.progress import Progress
from hx_gateway_db.settings.answers import administrators, database_choice, to_settings
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd import units as services
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.transaction.transaction import interrupted
from hx_gateway_db.wiring.carry_out import Run, live, new_run, on_edits, restart_as_before
from hx_gateway_db.wiring.interruption import held_back
from hx_gateway_db.wiring.plan import (
    affected_units,
    editable,
    plan_apply,
    plan_rollback,
    remembering,
)
from hx_gateway_db.wiring.provisioning import provision, server_here
from hx_gateway_db.wiring.settled import NOTHING_TO_CHANGE, remember
from hx_gateway_db.wiring.take_back import take_back

_HOW_TO_CONFIGURE = (
    "The gateway is left as it is; run 'dpkg-reconfigure hx-gateway-db' to give it a database."
)


# The last of them leaves config.yaml as it is.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Request:
    """What is asked of an apply: the answers, and what may be done besides.

    `anyway`: also when a check fails. `prepare_prisma`: generate the gateway's database client.
    """

    given: Mapping[str, str] = field(repr=False)
    anyway: bool = False
    prepare_prisma: bool = False


def apply(root: Path, request: Request, progress: Progress) -> str:
    """Wire the host at `root` as the answers say, and see that the gateway works with it.

    Returns how that ended, in one line. Raises InvalidSettings, Refused (nothing was changed;
    CheckFailed when that is because of what was found), RolledBack (everything was put back) or
    NotRolledBack.
    """
    given = request.given
    with lock(root, "apply"):
        _recover(root, progress)
        if database_choice(given) == "later":
            return _HOW_TO_CONFIGURE
        host, moved_from, settings = desired(root, given)
        plan = plan_apply(settings, host, moved_from)
        online = live(host)
        # Without systemd no unit can be restarted; that it has to be is remembered already.
        nothing = plan.empty or not (online or remembering(plan, host, plan.restart).changes.files)
        if nothing and not (online and request.prepare_prisma):
            for note in plan.notes:
                progress.say(note)
            # An administrator's login is kept nowhere, and so in no digest.
            if not plan.notes and not administrators(given):
                remember(root, given, host.files)
            return NOTHING_TO_CHANGE
        if database_choice(given) == "local" and not online and not server_here(settings):
            return f"No PostgreSQL server runs here. {_HOW_TO_CONFIGURE}"
        made = provision(settings, given, host, progress)
        prepared = _prepared(progress) if online and request.prepare_prisma else None
        try:
            if online:
                progress.say("Checking servers, files and the gateway's own host.")
                inspection = inspect(host, settings, editable(host), prepared)
                _weigh(inspection.findings, request, progress)
                settings = inspection.known(settings)
            plan = plan_apply(settings, host, moved_from, made, prepared)
            if plan.empty:
                return NOTHING_TO_CHANGE
            new_run(host, plan, settings, progress, request.anyway).carry_out()
        finally:
            _tidy(root, progress)
        for note in plan.notes:
            progress.say(note)
        if not online:
            return (
                "Files are written. Nothing was checked or restarted, since systemd does not run"
                " here: 'hx-gateway-db apply' on the live host finishes."
            )
        return "The gateway is wired to its database."


def check(root: Path, given: Mapping[str, str]) -> tuple[Finding, ...]:
    """What an apply with these answers would find at its start. Raises as `desired`."""
    host, moved_from, settings = desired(root, given)
    try:
        plan_apply(settings, host, moved_from)
        files = editable(host)
    except Refused as refusal:
        files = editable(host, refusal)
    return inspect(host, settings, files).findings


def _weigh(findings: tuple[Finding, ...], request: Request, progress: Progress) -> None:
    """Say the warnings. Raises CheckFailed for what stands in the way, unless that is asked for."""
    for finding in findings:
        if finding.level is Level.WARNING:
            progress.say(f"Warning: {finding.sentence}")
    try:
        require(findings)
    except CheckFailed as failure:
        if not request.anyway:
            raise
        progress.say(f"Going on although {failure}")


def _prepared(progress: Progress) -> Mapping[str, str]:
    """The environment that makes LiteLLM use a client that is prepared now. Raises Refused."""
    from hx_gateway_db.prisma.prepare import prepare

    prepared = prepare(progress)
    for sentence in prepared.done:
        progress.say(sentence)
    return prepared.environment


def _tidy(root: Path, progress: Progress) -> None:
    """Remove a prepared client that is not in use, as none is after an undo or a rollback."""
    if any(os.path.lexists(root / path.relative_to("/")) for path in (PRISMA_WORK, PRISMA_FOLDER)):
        from hx_gateway_db.prisma.prepare import tidy

        for sentence in tidy(root):
            progress.say(sentence)


def rollback(root: Path, progress: Progress) -> str:
    """Leave a gateway without a database, and see that it serves. As `apply` otherwise.

    Nobody who owns config.yaml or gateway.env can keep it from ending: what can't be edited, and
    what somebody changes whenever it is read, is left as it is.
    """
    with lock(root, "rollback"):
        _recover(root, progress)
        run = _rolled_back(root, progress)
        if run is None:
            return "Nothing is wired: nothing to roll back."
        for note in run.plan.notes:
            progress.say(note)
        _tidy(root, progress)
        if run.spared:
            return f"The wiring is gone; {' and '.join(run.spared)} waits for a restart."
        return "The gateway is without a database again."


def _rolled_back(root: Path, progress: Progress) -> Run | None:
    """The run that has rolled the host back; None when there was nothing to do."""
    for attempt in range(1, _ATTEMPTS + 1):
        host = read_host(root, to_leave=True)
        plan = plan_rollback(host, leave_config=attempt == _ATTEMPTS)
        if plan.empty:
            return None
        run = new_run(host, plan, None, progress)
        try:
            run.carry_out()
            return run
        except Refused:
            edits = any(change.path == host.layout.config_yaml for change in plan.changes.files)
            if run.written or not edits:
                raise
    return None


def desired(root: Path, given: Mapping[str, str]) -> tuple[Host, Host | None, Settings]:
    """The host as it is and the settings that the answers ask for.

    Between them, when the answers move BASE: the host as it is wired now. Raises InvalidSettings,
    Refused when what the answers leave out would have to be taken from a file that is not believed.
    """
    wired = read_host(root)
    try:
        settings = to_settings(given, wired.settings, _generate_password)
    except InvalidSettings as error:
        if wired.distrusted:
            raise Refused(wired.problem) from None
        raise InvalidSettings(f"{wired.problem} {error}".strip()) from None
    if settings.base == wired.layout.base:
        return wired, None, settings
    return read_host(root, settings.base), wired if wired.wired else None, settings


def recover(root: Path, progress: Progress) -> str:
    """Undo what an interrupted run left, and return how that ended, in one line.

    Raises NotRolledBack when a file can't be put back, or a unit that served does not answer.
    """
    with lock(root, "recover"):
        recovery = _recover(root, progress)
        if recovery is None:
            return "No run was interrupted: nothing to recover."
        if recovery.down:
            raise NotRolledBack(
                "The files are as they were before the interrupted run, but"
                f" {' and '.join(recovery.down)} does not answer. {recovery.trouble}".rstrip()
            )
        return "Everything is as it was before the interrupted run."


@dataclass(frozen=True)
class _Recovery:
    """How the undo of an interrupted run ended: the units that served and don't answer, and why."""

    down: tuple[str, ...] = ()
    trouble: str = ""


def _recover(root: Path, progress: Progress) -> _Recovery | None:
    with held_back():
        left = interrupted(root)
        if left is None:
            return None
        progress.say("An earlier run was interrupted: putting its files back.")
        undone = left.transaction.undo(take_back)
        for sentence in on_edits(undone):
            progress.say(sentence)
        recovery = _Recovery()
        if root == Path("/") and services.available():
            # Also a run that had not begun to restart units can have reached them: by a reboot.
            changes = undone.put_back if left.served is None else left.transaction.files
            recovery = _restart_recovered(affected_units(changes), left.served or (), progress)
        left.transaction.close()
        _tidy(root, progress)
        return recovery


def _restart_recovered(units: list[str], served: tuple[str, ...], progress: Progress) -> _Recovery:
    try:
        wanted = [name for name in units if services.unit(name).wanted]
        trouble = restart_as_before(wanted, served, progress)
    except ServiceFailed as error:
        wanted, trouble = units, str(error)
    # The files are back; what is asked for now must not wait for the unit's own trouble.
    if trouble:
        progress.say(trouble)
    return _Recovery(tuple(x for x in wanted if x in served and not answers(x)), trouble)


def _generate_password() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(32))
