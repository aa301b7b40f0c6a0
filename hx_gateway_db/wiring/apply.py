"""Leading a gateway to the database that was answered, and seeing that it works with it."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from hx_gateway_db.checks import stealing
from hx_gateway_db.checks.differences import NAME, compare
from hx_gateway_db.checks.files_left import edits
from hx_gateway_db.checks.preflight import require
from hx_gateway_db.checks.running import outdated
from hx_gateway_db.errors import CheckFailed, InvalidSettings, Refused
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.host import gateway_env
from hx_gateway_db.host.host import Host, read_host
from hx_gateway_db.layout import LITELLM_UNIT, Layout
from hx_gateway_db.progress import Progress
from hx_gateway_db.settings.answers import administrators, database_choice, to_settings
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.transaction.folders import same
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.wiring import salt
from hx_gateway_db.wiring.carry_out import new_run
from hx_gateway_db.wiring.made import Memory
from hx_gateway_db.wiring.outside import REAL, Outside
from hx_gateway_db.wiring.plan import (
    editable,
    plan_apply,
    remembering,
)
from hx_gateway_db.wiring.prepared_client import prepared_client, tidy
from hx_gateway_db.wiring.provisioning import (
    login_as_before,
    only_present_password,
    provision,
    server_here,
)
from hx_gateway_db.wiring.recover import undo_interrupted
from hx_gateway_db.wiring.settled import NOTHING_TO_CHANGE, remember

_HOW_TO_CONFIGURE = (
    "The gateway is left as it is; run 'dpkg-reconfigure hx-gateway-db' to give it a database."
)


@dataclass(frozen=True)
class Request:
    """What is asked of an apply: the answers, and what may be done besides.

    `anyway`: also when a check fails. `prepare_prisma`: generate the gateway's database client.
    """

    given: Mapping[str, str] = field(repr=False)
    anyway: bool = False
    prepare_prisma: bool = False


def apply(root: Path, request: Request, progress: Progress, outside: Outside = REAL) -> str:
    """Wire the host at `root` as the answers say, and see that the gateway works with it.

    Returns how that ended, in one line. Raises InvalidSettings, Refused (nothing was changed;
    CheckFailed when that is because of what was found), RolledBack (everything was put back) or
    NotRolledBack.
    """
    given = request.given
    with lock(root, "apply"):
        undo_interrupted(root, progress, outside)
        if database_choice(given) == "later":
            return _HOW_TO_CONFIGURE
        host, moved_from, settings = desired(root, given)
        stealing.refuse(host.layout)
        online = outside.live(root)
        if moved_from is None and online:
            host = salt.restored(host, progress)
        base = PurePosixPath(given.get("BASE") or settings.base)
        if base != settings.base:
            progress.say(f"{base} is {settings.base} by another name, and that name stays.")
        if host.problem and not host.distrusted:
            progress.say(f"{host.problem} What can be read of it is kept.")
        # Without answers it is asked for as an administrator does, who wants all that there is.
        litellm = outside.litellm(root)
        plan = plan_apply(settings, host, moved_from, litellm, whole=not given)
        # An upgrade of the package restarts nothing that is not its own business.
        compared = online and not outside.units.for_dpkg()
        if compared:
            plan = plan.with_outdated(outdated(host, outside.units))
        # Without systemd no unit can be restarted; that it has to be is remembered already.
        nothing = plan.empty or not (online or remembering(plan, host, plan.restart).changes.files)
        if nothing and not (online and request.prepare_prisma):
            notes = [*plan.notes, *(_what_remains(host, outside) if compared else ())]
            for note in notes:
                progress.say(note)
            # An administrator's login is kept nowhere, and so in no digest; nor is the venv.
            forgotten = administrators(given) or gateway_env.by_version(settings)
            if not notes and not forgotten:
                remember(root, given, host.files)
            return NOTHING_TO_CHANGE
        if database_choice(given) == "local" and not online and not server_here(settings):
            return f"No PostgreSQL server runs here. {_HOW_TO_CONFIGURE}"
        found, memory = host, Memory(host)
        made, refused = provision(settings, given, host, progress, memory.keep)
        host = memory.host
        if not online:
            require(refused)
        plan = plan.with_made(made, host)
        prepared = prepared_client(progress) if online and request.prepare_prisma else None
        if prepared is not None:
            plan = plan.with_prisma(prepared)
        try:
            if online:
                progress.say("Checking servers, files and the gateway's own host.")
                inspection = outside.inspect(host, settings, editable(host), prepared)
                told = salt.look(host, inspection.fresh, given, moved_from)
                _weigh((*_with(refused, inspection.findings), told), request, progress)
                settings = inspection.known(settings)
                plan = plan.with_settings(settings)
            if plan.empty:
                return NOTHING_TO_CHANGE
            before = host
            if online:
                host = salt.with_salt(host, bool(inspection.fresh), given, progress, moved_from)
                plan = plan.with_made(made, host)
            run = new_run(host, plan, settings, progress, outside, request.anyway)
            try:
                run.carry_out()
            except BaseException:
                if host is not before:
                    salt.after_undo(before, host, run.has_served(LITELLM_UNIT), progress)
                raise
        except BaseException:
            login_as_before(settings, given, found, progress)
            raise
        finally:
            tidy(root, progress)
            if online:
                only_present_password(made, settings, found)
        for note in plan.notes:
            progress.say(note)
        for note in _what_remains(read_host(root), outside) if compared else ():
            progress.say(note)
        if not online:
            return (
                "Files are written. Nothing was checked or restarted, since systemd does not run"
                " here: 'hx-gateway-db apply' on the live host finishes."
            )
        return "The gateway is wired to its database."


def make_on_servers(
    root: Path, given: Mapping[str, str], progress: Progress, outside: Outside = REAL
) -> None:
    """Make what the answers ask for on the servers, and nothing else. Raises as `apply` does."""
    with lock(root, "provision"):
        undo_interrupted(root, progress, outside)
        host, _, settings = desired(root, given)
        stealing.refuse(host.layout)
        require(provision(settings, given, host, progress, Memory(host).keep)[1])


def check(root: Path, given: Mapping[str, str]) -> tuple[Finding, ...]:
    """What an apply with these answers would find, and what has changed since the last one.

    Raises as `desired`, but for what of a wired host is in the way and has been found.
    """
    try:
        host, moved_from, settings = desired(root, given)
    except Refused:
        left = read_host(root, lenient=True)
        if not left.wired or not left.unusable:
            raise
        return tuple(compare(left, REAL.live(root)))
    try:
        plan_apply(settings, host, moved_from, REAL.litellm(root))
        files = editable(host)
    except Refused as refusal:
        files = editable(host, refusal)
    inspection = REAL.inspect(host, settings, files, None)
    found = (*inspection.findings, salt.look(host, inspection.fresh, given, moved_from))
    wired = moved_from or host
    # What overrides is among the former.
    known = {finding.name for finding in found} - {NAME}
    since = [x for x in compare(wired, REAL.live(root)) if x.name not in known]
    return (*found, *(since if wired.wired else ()), *edits(wired))


def _what_remains(host: Host, outside: Outside) -> list[str]:
    """What an apply does not put right, as it is somebody else's, in sentences."""
    # Of a unit that is not there it has been said that it was left alone.
    found = [x for x in compare(host, True, outside.units) if not x.name.endswith(".unit")]
    return [f"Warning: {x.sentence}" for x in found if x.level is Level.FAILED]


def _with(refused: tuple[Finding, ...], findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What administrators were refused, and what was found; nothing that both have met twice."""
    found = {finding.sentence for finding in findings}
    return (*(finding for finding in refused if finding.sentence not in found), *findings)


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


def desired(root: Path, given: Mapping[str, str]) -> tuple[Host, Host | None, Settings]:
    """The host as it is and the settings that the answers ask for.

    Between them, when the answers move BASE: the host as it is wired now. Raises InvalidSettings,
    Refused when what the answers leave out would have to be taken from a file that is not believed.
    """
    wired = read_host(root)
    try:
        settings = to_settings(given, wired.settings, generate_password, wired.readable)
    except InvalidSettings as error:
        if wired.distrusted:
            raise Refused(wired.problem) from None
        raise InvalidSettings(f"{wired.problem} {error}".strip()) from None
    if settings.base == wired.layout.base:
        return wired, None, settings
    answered = Layout(root, settings.base)
    if same(root, answered.config_folder, wired.layout.config_folder):
        # Another name of the same place: what leaves the one would leave the other.
        return wired, None, replace(settings, base=wired.layout.base)
    return read_host(root, settings.base), wired if wired.wired else None, settings


def generate_password() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(32))
