"""The command hx-gateway-db: its command line, and the help for it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hx_gateway_db import __doc__ as summary
from hx_gateway_db.cli.help_text import HelpFormatter
from hx_gateway_db.cli.screen import width, write, write_wrapped

_WATCH_SECONDS = 5.0
# The manual page and docs/command.md say it in the same words: docs/write-tables.
EXIT_STATUSES = {
    0: "done, or nothing to do",
    2: "wrong usage, or an answer that can't be right",
    3: "refused: the gateway was not touched",
    4: "changed, did not work, and rolled back",
    5: "could not roll back: the message says what is left to do",
    6: "check, verify or look: something failed",
    7: "rotate: it goes on when what the message names is done",
    70: "a mistake in hx-gateway-db itself: please report it",
    130: "interrupted, and everything put back",
}
_EPILOG = """\
exit status:
{statuses}

files (BASE is /opt/HX-Infrastructure-/api-gateway unless answered otherwise):
  BASE/config/api-gateway/gateway.env    the credentials, root:hx-gateway 0640
  BASE/config/api-gateway/config.yaml    LiteLLM's configuration
  /etc/systemd/system/UNIT.service.d/    30-db.conf and 40-cache.conf
  /var/lib/hx-gateway-db/                what is needed to undo it all
"""
_ANSWERS = """\
answers are lines KEY=VALUE with raw values (no encoding or quoting by hand):
{answers}
An answer that is missing or empty keeps the present value; none takes a file, the user or the
password for Redis away.
Without --answers, the specification's variables are read from the environment:
{step_0}.

examples:
  $ hx-gateway-db plan --answers /root/answers
  $ printf 'PG_PASS=%s\\n' "$new" | hx-gateway-db apply --answers -
"""


_VERIFY = """\
Each row is one link of the chain: the units, the ports, LiteLLM's database, a virtual key that
lives for the length of the check, the wrapper, a chat with hx-chat and an embedding with
emb-premium, and what depends on them. LiteLLM writes the row of a request in LiteLLM_SpendLogs
some seconds later: without --wait it is looked for until 4 seconds have passed, and told as
skipped when it has not been written by then.

--watch looks again and again, and finds the rows of earlier rounds without waiting. Each round
sends one chat and one embedding, which cost what they cost with your models. Ctrl-C ends it,
with exit status 0.
"""

_ROTATE = """\
A second login is opened beside the one in use, the gateway is led to it and proven, and the old
login is closed when no session of it is left on the server: a minute is waited for that, and the
next run goes on. Whatever ends a run, the next one goes on or goes back.

This machine's own servers are changed as root can. For others, answer an administrator's login
(PG_ADMIN_USER and PG_ADMIN_PASS, REDIS_ADMIN_USER and REDIS_ADMIN_PASS); without one, the commands
for an administrator are printed, and PG_PASS and REDIS_PASS are the passwords that were given then.
Answered beside an administrator's login, they are the new passwords; otherwise these are made.

examples:
  $ hx-gateway-db rotate
  $ printf 'PG_ADMIN_USER=dba\\nPG_ADMIN_PASS=%s\\n' "$dba" | hx-gateway-db rotate --answers -
"""
_EPILOGS = {"verify": _VERIFY, "rotate": _ROTATE}

# Flags of single commands; one without an explanation is for the package's own scripts.
_FLAGS = {
    "plan": (("--lines", "print the lines for a template that your files are made of, instead"),),
    "apply": (
        ("--prepare-prisma", "generate LiteLLM's database client if it is missing"),
        ("--anyway", "go on although a check fails; what then does not work is put back"),
        ("--debconf", argparse.SUPPRESS),
    ),
    "answers": (("--debconf", argparse.SUPPRESS),),
    "look": (("--record", argparse.SUPPRESS),),
    "provision": (
        ("--print", "print the commands for the servers' administrator instead"),
        ("--local-redis", argparse.SUPPRESS),
    ),
    "rotate": (("--leave-open", "let the old credentials in until the next run without this"),),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    # What both places may set has its default here: a command's own would hide what came before it.
    options = new_parser().parse_args(arguments, argparse.Namespace(root=Path("/"), debug=False))
    # Not before: --help and a wrong usage have ended there, and need nothing of it.
    from hx_gateway_db.cli.commands import run

    return run(options)


def _root(text: str) -> Path:
    path = Path(text).resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return path


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints, which repeat what was typed, are but text to a terminal.

    `takes_answers`: its help ends with all of them.
    """

    takes_answers = False

    def format_help(self) -> str:
        if self.takes_answers:
            self.epilog = _help_on_answers()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        formatter = HelpFormatter(self.prog, width=width(sys.stderr))
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        write(sys.stderr, formatter.format_help())
        write_wrapped(sys.stderr, f"{self.prog}: error: {message}")
        self.exit(2)


def new_parser() -> argparse.ArgumentParser:
    everywhere = _options_everywhere()
    parser = _Parser(
        prog="hx-gateway-db",
        description=summary,
        epilog=_EPILOG.format(statuses="\n".join(f"  {n}  {s}" for n, s in EXIT_STATUSES.items())),
        formatter_class=HelpFormatter,
        parents=[everywhere],
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text, takes_answers, reads in (
        ("plan", "show what apply would change, secrets redacted", True, True),
        (
            "apply",
            "wire the gateway to its database, prove it, or put it all back",
            True,
            False,
        ),
        (
            "check",
            "look at servers, files and the gateway's host; change nothing",
            True,
            True,
        ),
        (
            "provision",
            "make the role, the database and the Redis user, as the servers' administrator",
            True,
            False,
        ),
        (
            "rotate",
            "give the gateway new credentials, and close the old when nobody uses them",
            False,
            False,
        ),
        (
            "rollback",
            "leave a gateway without a database; gateway.env stays",
            False,
            False,
        ),
        (
            "recover",
            "undo what an interrupted run left; at boot this happens by itself",
            False,
            False,
        ),
        ("status", "what the gateway is wired to and what its units do", False, True),
        (
            "verify",
            "look at each link of the running gateway's chain, with the cure of what fails",
            False,
            True,
        ),
        (
            "look",
            "whether virtual keys work, seen without making one or leaving a row",
            False,
            True,
        ),
        ("answers", "today's values as answers, without the passwords", False, True),
    ):
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_EPILOGS.get(name),
            formatter_class=HelpFormatter,
            parents=[everywhere],
        )
        command.set_defaults(command=name)
        command.takes_answers = takes_answers
        if takes_answers:
            _add_answers(command)
        if reads:
            command.add_argument("--json", action="store_true", help="print JSON")
        if name == "verify":
            _add_verify_options(command)
        if name == "rotate":
            _add_rotate_options(command)
        for flag, explanation in _FLAGS.get(name, ()):
            command.add_argument(flag, action="store_true", help=explanation)
    return parser


def _options_everywhere() -> _Parser:
    """What may stand before the command's name and after it: the same option in both places."""
    options = _Parser(add_help=False)
    options.add_argument(
        "--root",
        type=_root,
        default=argparse.SUPPRESS,
        metavar="DIR",
        action=_Once,
        cure="name one folder",
        help="work on the files of a mounted image or a test tree: no services, no network",
    )
    options.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show where an error comes from, secrets redacted",
    )
    return options


class _Once(argparse.Action):
    """An option that can't be given twice: the first would be lost without a word.

    `cure` says what to do instead.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, cure: str, **more: Any) -> None:
        super().__init__(option_strings, dest, **more)
        self._cure = cure
        self._given = False

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        # Not by the namespace: a command has one of its own, without what came before it.
        if self._given:
            parser.error(f"{option_string} is given twice: {self._cure}.")
        self._given = True
        setattr(namespace, self.dest, values)


def _add_answers(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--answers",
        metavar="FILE",
        action=_Once,
        cure="put all answers into one file",
        help="read answers from FILE, or - for standard input",
    )


def _add_rotate_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        choices=("postgres", "redis", "all"),
        default="all",
        help="postgres, redis or all (default: all)",
    )
    _add_answers(command)


def _add_verify_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wait",
        action="store_true",
        help="wait for the chat's row in LiteLLM_SpendLogs, 35 seconds at most",
    )
    command.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=_WATCH_SECONDS,
        metavar="SECONDS",
        action=_Once,
        cure="name one number of seconds",
        help=f"refresh the table every SECONDS (default: {_WATCH_SECONDS:g}) until Ctrl-C",
    )


def _help_on_answers() -> str:
    # Not before: only this help shows them.
    from hx_gateway_db.settings.catalogue import ANSWERS, STEP_0

    lines = (f"  {answer.key:<16}  {answer.help}" for answer in ANSWERS)
    return _ANSWERS.format(answers="\n".join(lines), step_0=" ".join(STEP_0))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 1 to 86400")
    return seconds
