"""What each command does: calls, their results to text or JSON, errors to exit codes."""

import json
import math
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from hx_gateway_db.cli import screen
from hx_gateway_db.cli.terminal import Terminal, abandon
from hx_gateway_db.errors import CheckFailed, HxError, Refused, UsageError
from hx_gateway_db.findings import Finding, Level, failures, outcome
from hx_gateway_db.redaction import said_lines
from hx_gateway_db.wiring.interruption import raise_on_signals

_OUR_BUG = 70  # EX_SOFTWARE (sysexits.h(3head))
_INTERRUPTED = 130
_CHECK_FAILED = 6
_GOES_ON = 7
# For all of verify: it is to take less than five seconds when all is well.
_VERIFY_SECONDS = 4.0
# What --json prints is told by docs/schema/; a change that a script would notice raises this.
SCHEMA = 1
_ATTENTION = (Level.OK, Level.SKIPPED, Level.WARNING, Level.FAILED)


def run(options: Namespace) -> int:
    """Run the command that the command line names, and return its exit status."""
    raise_on_signals()
    screen.prepare(sys.stdout)
    terminal = Terminal(sys.stderr)
    try:
        status = _COMMANDS[options.command](options, terminal)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        abandon(sys.stdout)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if options.debug:
            terminal.show(_traceback(error, options))
        status, message = _verdict(error)
        terminal.say(f"hx-gateway-db: {message}")
        return status


def _report(line: str, terminal: Terminal) -> None:
    """Say how a change ended. It has ended like that also where nobody can be told."""
    terminal.clear()
    try:
        _print(line, flush=True)
    except OSError:
        abandon(sys.stdout)


def _print(text: str, *, first: str = "", flush: bool = False) -> None:
    screen.write_wrapped(sys.stdout, text, first=first, flush=flush)


def _print_json(report: object) -> None:
    # Escaped to ASCII, and read by programs: nothing is to be cut.
    screen.write(sys.stdout, f"{json.dumps(report, indent=2)}\n", exact=True)


def _verdict(error: BaseException) -> tuple[int, str]:
    """The exit status and the sentence for what ended a command."""
    if isinstance(error, HxError):
        return error.exit_status, str(error)
    if isinstance(error, PermissionError):
        return UsageError.exit_status, f"{error.filename} can't be used: run it as root."
    if isinstance(error, OSError):
        return Refused.exit_status, f"{error.filename or 'the system'}: {error.strerror}."
    if isinstance(error, ImportError):
        cure = "run 'apt --fix-broken install'"
        return Refused.exit_status, f"the Python library {error.name} can't be loaded: {cure}."
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED, "interrupted; everything is as it was."
    return _OUR_BUG, (
        f"a mistake in hx-gateway-db itself ({type(error).__name__}): run it again with --debug and"
        " report what it says. What it had begun, if anything, 'hx-gateway-db recover' puts back."
    )


def _traceback(error: BaseException, options: Namespace) -> str:
    import traceback

    text = "".join(traceback.format_exception(error)).rstrip()
    return "\n".join(said_lines(text, _secrets(options)))


def _secrets(options: Namespace) -> Iterable[str]:
    """The passwords that this run can have come across."""
    from hx_gateway_db.host.host import read_host
    from hx_gateway_db.settings.answers import PASSWORD_KEYS

    given: dict[str, str] = getattr(options, "given", {})
    yield from (given[key] for key in PASSWORD_KEYS if key in given)
    with suppress(Exception):
        yield from read_host(options.root).secrets


def _apply(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.wiring.settled import NOTHING_TO_CHANGE, changed_behind_us, is_settled

    given = _given_by_debconf(options) if options.debconf else _given(options)
    try:
        settled = not options.prepare_prisma and is_settled(options.root, given)
        if settled and not changed_behind_us(options.root):
            _report(NOTHING_TO_CHANGE, terminal)
            return 0
        from hx_gateway_db.wiring.apply import Request, apply

        request = Request(given, options.anyway, options.prepare_prisma)
        _report(apply(options.root, request, terminal), terminal)
    except CheckFailed as failure:
        if options.debconf:
            from hx_gateway_db.settings.debconf import finding_lines

            _report("\n".join(finding_lines(failure.findings)), terminal)
        raise
    return 0


def _check(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.wiring.apply import check

    if options.root != Path("/"):
        raise UsageError("check asks servers and units: it can't be used with --root.")
    given = _given(options)
    terminal.waiting("the checks", 0.0)
    findings = check(options.root, given)
    terminal.clear()
    failed = bool(failures(findings))
    if options.json:
        report = [finding.as_json() for finding in findings]
        _print_json({"schema": SCHEMA, "ok": not failed, "findings": report})
    else:
        # More than a screen holds: what needs attention is where the reader ends.
        for finding in sorted(findings, key=lambda finding: _ATTENTION.index(finding.level)):
            _print(finding.sentence, first=f"{finding.level.value:<8} ")
        _print(f"{outcome(findings)}.")
    return _CHECK_FAILED if failed else 0


def _provision(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.host.host import read_host
    from hx_gateway_db.wiring.apply import desired, make_on_servers
    from hx_gateway_db.wiring.provisioning import commands, restore_local_redis

    if options.root != Path("/"):
        raise UsageError("provision asks servers: it can't be used with --root.")
    if options.local_redis:
        restore_local_redis(read_host(options.root))
        return 0
    given = _given(options)
    if options.print:
        screen.write(sys.stdout, commands(desired(options.root, given)[2]), exact=True)
        return 0
    make_on_servers(options.root, given, terminal)
    return 0


def _rotate(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.wiring.rotate import SERVERS, rotate

    if options.root != Path("/"):
        raise UsageError("rotate asks servers and units: it can't be used with --root.")
    # Of the environment's, PG_PASS is the password of today.
    options.given = _read_answers(options.answers) if options.answers else {}
    asked = SERVERS if options.what == "all" else (options.what,)
    rotated = rotate(options.root, asked, options.given, terminal, leave_open=options.leave_open)
    screen.write(sys.stdout, rotated.script, exact=True)
    if rotated.done:
        _report(rotated.sentence, terminal)
        return 0
    terminal.say(rotated.sentence)
    return _GOES_ON


def _rollback(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.wiring.rollback import rollback

    _report(rollback(options.root, terminal), terminal)
    return 0


def _recover(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.wiring.recover import recover

    _report(recover(options.root, terminal), terminal)
    return 0


def _plan(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.wiring import salt
    from hx_gateway_db.wiring.apply import desired
    from hx_gateway_db.wiring.outside import REAL
    from hx_gateway_db.wiring.plan import plan_apply
    from hx_gateway_db.wiring.second_pair import foreseen
    from hx_gateway_db.wiring.settled import NOTHING_TO_CHANGE

    if options.lines and options.json:
        raise UsageError("--lines prints lines to paste: use it without --json.")
    given = _given(options)
    host, moved_from, settings = desired(options.root, given)
    litellm = REAL.litellm(options.root)
    if options.lines:
        from hx_gateway_db.wiring.template_lines import template_lines

        screen.write(sys.stdout, template_lines(settings, host.layout, litellm), exact=True)
        return 0
    plan = plan_apply(settings, host, moved_from, litellm, whole=not given)
    second = foreseen(host, plan, settings, REAL)
    notes = [*plan.notes, *filter(None, (salt.note(host, given), second))]
    if options.json:
        files = [str(change.path) for change in plan.changes.files]
        report = {"files": files, "restart": plan.restart, "notes": notes, "diff": plan.diff()}
        _print_json({"schema": SCHEMA, **report})
        return 0
    screen.write(sys.stdout, plan.diff())
    for unit in plan.restart:
        _print(f"restart {unit}")
    for note in notes:
        _print(note)
    if plan.empty:
        _print(NOTHING_TO_CHANGE)
    return 0


def _status(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.checks.status import Fact, different, status
    from hx_gateway_db.host.host import read_host
    from hx_gateway_db.systemd.units import SystemdSilent

    facts: list[Fact] = []
    found: list[Finding] = []
    silent = None
    host = read_host(options.root, lenient=True)
    try:
        # One by one: what was found out before systemd fell silent is shown.
        facts.extend(status(host))
        found = different(host)
    except SystemdSilent as error:
        silent = error
    if options.json:
        report = {fact.name: fact.value for fact in facts}
        _print_json(
            {"schema": SCHEMA, **report, "findings": [finding.as_json() for finding in found]}
        )
    else:
        name_width = max(len(fact.name) for fact in facts)
        lines = [(fact.name, fact.value) for fact in facts]
        lines += [("different", finding.sentence) for finding in found]
        for name, text in lines:
            _print(text, first=f"{name:<{name_width}}  ")
    if silent:
        raise silent
    return 0


def _verify(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.checks.chain import read_chain
    from hx_gateway_db.checks.spend import SpendRows
    from hx_gateway_db.checks.verify import last_words, verify
    from hx_gateway_db.cli.table import ending, row_lines, word_lines
    from hx_gateway_db.host.host import read_host

    if options.root != Path("/"):
        raise UsageError("verify asks a running gateway: it can't be used with --root.")
    if options.watch is not None and (options.wait or options.json):
        raise UsageError("--watch draws table after table: use it without --wait and --json.")
    colour = screen.coloured(sys.stdout)
    if options.watch is not None:
        return _watch(options.root, options.watch, colour)
    started = time.monotonic()
    chain, spend = read_chain(read_host(options.root, lenient=True)), SpendRows()
    width = screen.width(sys.stdout)
    rows = []
    for row in verify(chain, spend, math.inf if options.wait else started + _VERIFY_SECONDS):
        rows.append(row)
        if not options.json:
            screen.write(sys.stdout, screen.joined(row_lines(row, width, colour)), flush=True)
    failed = any(row.finding.level is Level.FAILED for row in rows)
    if options.json:
        report = [row.as_json() for row in rows]
        _print_json({"schema": SCHEMA, "ok": not failed, "checks": report})
    else:
        seconds = time.monotonic() - started
        for line in word_lines(last_words(chain, rows), width):
            _print(line)
        # Last, where it is in sight.
        _print(ending(rows, seconds))
    return _CHECK_FAILED if failed else 0


def _look(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.checks import last_look
    from hx_gateway_db.wiring.watching import Watch

    if options.root != Path("/"):
        raise UsageError("look asks a running gateway: it can't be used with --root.")
    looked = Watch().once(keep=options.record)
    for trouble in looked.trouble:
        terminal.say(trouble)
    if options.json:
        _print_json(looked.now.to_json())
    else:
        for check in looked.now.checks:
            _print(last_look.sentence(check), first=f"{check['result']:<8} ")
        _print(f"The gateway is {looked.now.state.value}.")
    return _CHECK_FAILED if looked.failing else 0


def _watch(root: Path, seconds: float, colour: bool) -> int:
    from hx_gateway_db.cli.watch import watch
    from hx_gateway_db.host.host import read_host

    with suppress(KeyboardInterrupt):
        watch(lambda: read_host(root, lenient=True), seconds, sys.stdout, colour)
    return 0


def _answers(options: Namespace, terminal: Terminal) -> int:
    from hx_gateway_db.host.host import read_host
    from hx_gateway_db.settings.answers import PASSWORD_KEYS, to_answer, written

    host = read_host(options.root)
    if host.distrusted:
        terminal.say(host.problem)
    hidden = PASSWORD_KEYS if host.state else (*PASSWORD_KEYS, "DATABASE")
    answers = {key: value for key, value in host.answers.items() if key not in hidden}
    if options.debconf:
        from hx_gateway_db.settings.debconf import debconf_lines, given_answers

        # What is not all UTF-8 text is for apply to refuse.
        given = given_answers(sys.stdin.buffer.read().decode(errors="replace"))
        lines = [f"{line}\n" for line in debconf_lines(answers, host.edited, given)]
        screen.write(sys.stdout, "".join(lines), exact=True)
        return 0
    answers = to_answer(answers)
    if options.json:
        _print_json(answers | ({"EDITED": host.edited} if host.edited else {}))
        return 0
    lines = [f"{key}={written(value)}\n" for key, value in answers.items()]
    if host.edited:
        lines.append(f"EDITED={' '.join(host.edited)}\n")
    screen.write(sys.stdout, "".join(lines), exact=True)
    return 0


def _given_by_debconf(options: Namespace) -> dict[str, str]:
    from hx_gateway_db.settings.debconf import answers_to_apply

    try:
        options.given = answers_to_apply(sys.stdin.buffer.read().decode())
    except UnicodeDecodeError:
        raise UsageError("what debconf has is not UTF-8 text: answer that anew.") from None
    return dict(options.given)


def _given(options: Namespace) -> dict[str, str]:
    options.given = _read_answers(options.answers)
    return options.given


def _read_answers(file: str | None) -> dict[str, str]:
    from hx_gateway_db.settings.answers import parse_answers
    from hx_gateway_db.settings.catalogue import STEP_0

    if not file:
        return {key: os.environ[key] for key in STEP_0 if key in os.environ}
    name = "standard input" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(name).read_bytes()
        return parse_answers(data.decode(), name)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{name} can't be read: {reason}.") from None


_COMMANDS: dict[str, Callable[[Namespace, Terminal], int]] = {
    "plan": _plan,
    "apply": _apply,
    "check": _check,
    "provision": _provision,
    "rotate": _rotate,
    "rollback": _rollback,
    "recover": _recover,
    "status": _status,
    "verify": _verify,
    "look": _look,
    "answers": _answers,
}
