"""Whether LiteLLM will find Prisma's client, its query engine and its command line program."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from hx_gateway_db.findings import Cure, Finding, Subject, to_run
from hx_gateway_db.programs import Ended
from hx_gateway_db.redaction import said
from hx_gateway_db.systemd import sandbox as sandboxes
from hx_gateway_db.systemd.sandbox import Sandbox, Unavailable

_PROBE_SECONDS = 45.0
_PREPARE = "run 'hx-gateway-db apply --prepare-prisma'"
_NOT_STARTING = "LiteLLM does not start with a database then"
_NO_TABLES = "LiteLLM makes its tables with it when it starts"
_LONGEST = 4096
_REQUIREMENT = re.compile(r"prisma==[0-9][0-9.]{0,30}")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._+:@,=-]{1,300}")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True)
class Report:
    """What the probe found; an empty text says that there is nothing wrong.

    `python` is the gateway's, `requirement` what its LiteLLM asks pip for, `dead_variables` name
    an engine that can't be run, `engine_named` says whether one names a query engine that can,
    `cache` is where prisma-client-py keeps its command line program, `versions` of that and of the
    engines, `schema` the one that LiteLLM wants a client for. `client`, `engine` and `cli` are the
    probe's short texts. All of that is what the gateway's own Python says, which may be a
    stranger's: only `user`, as whom the unit runs, and `interpreter` are not from there.
    """

    python: str
    path: str
    pythonpath: str
    requirement: str
    dead_variables: tuple[str, ...]
    engine_named: bool
    installed: bool
    package: str
    cache: str
    versions: tuple[str, ...]
    schema: str
    client: str
    engine: str
    cli: str
    user: str = ""
    interpreter: str = ""

    @property
    def homeless(self) -> bool:
        """Whether Prisma's client can't tell where the user's home is."""
        return self.client == "no home"

    @property
    def healthy(self) -> bool:
        return self.installed and not (self.client or self.engine or self.cli)


def probe(sandbox: Sandbox, drop_in: Mapping[str, str] | None = None) -> Report:
    """Look as the service user, in the unit's sandbox, with further Environment= lines.

    Raises Unavailable when that can't be done, ServiceFailed when it takes too long.
    """
    source = resources.files("hx_gateway_db.prisma").joinpath("guest_probe.py").read_text()
    answer = run_python(sandbox, f"{source}\nmain()\n", _PROBE_SECONDS, drop_in)
    return Report(
        **{name: _text(answer, name) for name in _TEXTS},
        dead_variables=_texts(answer, "dead_variables"),
        versions=_texts(answer, "versions"),
        engine_named=answer.get("engine_named") is True,
        installed=answer.get("installed") is True,
        user=sandbox.user,
        interpreter=sandbox.python()[-1],
    )


def run_python(
    sandbox: Sandbox, program: str, seconds: float, drop_in: Mapping[str, str] | None
) -> Mapping[str, Any]:
    """The JSON object that a program prints as its last line, run by the gateway's Python."""
    ended = sandboxes.run(
        sandbox.without_passwords(),
        (*sandbox.python(), "-"),
        program,
        drop_in=drop_in,
        seconds=seconds,
    )
    return answer(sandbox, ended)


def answer(sandbox: Sandbox, ended: Ended) -> Mapping[str, Any]:
    """The JSON object in the last line that a program printed. Raises Unavailable."""
    try:
        decoded = json.loads(ended.output.rstrip().rpartition("\n")[2])
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        python = sandbox.python()[-1]
        raise Unavailable(f"{python} can't be run as {sandbox.user} (status {ended.status})")
    return decoded


def findings(report: Report, unit: str) -> tuple[Finding, ...]:
    """Three findings: the client, the query engine, the command line program."""
    texts: dict[str, Any] = {name: said(getattr(report, name)) for name in _TEXTS}
    report = replace(report, versions=tuple(map(said, report.versions)), **texts)
    if not report.installed:
        what = f"the package prisma is not installed for {report.python}, which {unit} runs"
        cure = _installation(report, unit)
        return (
            Subject("gateway.prisma-client", unit).failed(what, _NOT_STARTING, cure),
            *(
                _skipped(Subject(name, unit))
                for name in ("gateway.prisma-engine", "gateway.prisma-cli")
            ),
        )
    return (_client(report, unit), _engine(report, unit), _cli(report, unit))


def _installation(report: Report, unit: str) -> str:
    """The cure for a missing package: what runs there is the gateway's, and so is who runs it."""
    wanted = report.requirement if _REQUIREMENT.fullmatch(report.requirement) else "prisma"
    python, user = report.interpreter, report.user
    if not (_PLAIN_PATH.fullmatch(python) and _USER.fullmatch(user)):
        return f"install {wanted} for the Python of {unit}, as the user that it runs as"
    command = (python, "-m", "pip", "install", wanted)
    if user == "root" or _is_root_s(Path(python)):
        return to_run(*command)
    return to_run("runuser", "-u", user, "--pty", "--", *command)


def _is_root_s(python: Path) -> bool:
    """Whether nobody but root decides what this Python runs when it starts pip.

    Then nobody but root can install anything for it either.
    """
    program = (python, *python.parents, python.resolve(), *python.resolve().parents)
    library = "lib*/python3*"
    packages = f"{library}/*-packages"
    inside = ("lib*", library, packages, f"{packages}/*.pth", f"{packages}/pip*")
    try:
        # In this order: nobody but root has made what is in a folder that is root's.
        return all(map(_only_root_writes, program)) and all(
            _only_root_writes(place)
            for pattern in inside
            for place in python.parent.parent.glob(pattern)
        )
    except (OSError, RuntimeError):  # a loop of links
        return False


def _only_root_writes(place: Path) -> bool:
    status = place.lstat()
    # The mode of a link says nothing; who may replace it is who may write to its folder.
    return status.st_uid == 0 and (place.is_symlink() or not status.st_mode & 0o022)


def _client(report: Report, unit: str) -> Finding:
    about, reason = Subject("gateway.prisma-client", unit), report.client
    if not reason:
        what = f"Prisma's client loads from {report.package}"
        return about.ok(what)
    if reason == "of another schema":
        what = f"Prisma's client in {report.package} was generated for another version of LiteLLM"
        why = "queries for tables and columns that it does not know fail"
        return about.warning(what, why, _PREPARE, by=Cure.PRISMA_PREPARATION)
    if report.homeless:
        what = f"Prisma asks where the home is of the user that {unit} runs as, and nobody knows"
        why = f"with DynamicUser=yes, or a number as User=, the system has none; {_NOT_STARTING}"
        short = unit.removesuffix(".service")
        cure = f"run 'systemctl edit {short}', and write there [Service] and Environment=HOME=/"
        return about.failed(what, why, cure)
    if reason == "not generated":
        what = f"Prisma's client was never generated for {report.python}, which {unit} runs"
    else:
        what = f"Prisma's client in {report.package or report.python} can't be loaded ({reason})"
    return _unprepared(about, what, _NOT_STARTING)


def _engine(report: Report, unit: str) -> Finding:
    about = Subject("gateway.prisma-engine", unit)
    kind, _, where = report.engine.partition(" ")
    if report.client and report.client != "of another schema":
        return _skipped(about)
    if not report.engine:
        return about.ok("Prisma's query engine is there and runs")
    if report.engine == "no openssl":
        what = "the command 'openssl' is not installed, by which Prisma's client chooses its engine"
        cure = "run 'apt install openssl'"
        return about.failed(what, _NOT_STARTING, cure)
    if kind == "missing":
        what = f"Prisma's query engine is not at {where or report.cache}"
    elif report.engine.startswith("does not run "):
        place = report.engine.removeprefix("does not run ")
        what = f"Prisma's query engine {place} can't be run by the user of {unit}"
    elif kind == "MismatchedVersionsError":
        what = "Prisma's query engine is of another version than its client"
    else:
        what = f"Prisma's query engine can't be used ({report.engine})"
    return _unprepared(about, what, _NOT_STARTING)


def _cli(report: Report, unit: str) -> Finding:
    about = Subject("gateway.prisma-cli", unit)
    kind, _, rest = report.cli.partition(" ")
    if not report.cli and report.versions:
        what = f"Prisma's command line program {report.versions[0]} is there with its engines"
        return about.ok(what)
    if not report.cli:
        return _skipped(about)
    if report.cli == "not on PATH":
        what = f"the command 'prisma' is not on the PATH of {unit}"
    elif report.cli == "no node":
        what = f"Node.js, which Prisma's command line program needs, is not on the PATH of {unit}"
    elif report.cli.startswith("not installed "):
        place = report.cli.removeprefix("not installed ")
        what = f"Prisma's command line program is not in {place}"
    elif kind == "missing":
        place, _, variable = rest.rpartition(" ")
        what = f"{variable} names {place}, which is not there"
    elif report.cli.startswith("needs a download "):
        engine = report.cli.removeprefix("needs a download ")
        what = f"Prisma's command line program has no {engine} in {report.cache}"
    elif report.cli == "hangs":
        what = "Prisma's command line program does not end"
    else:
        what = f"Prisma's command line program ends with exit {report.cli}"
    return _unprepared(about, what, _NO_TABLES)


def _unprepared(about: Subject, what: str, why: str) -> Finding:
    return about.failed(what, why, _PREPARE, by=Cure.PRISMA_PREPARATION)


def _skipped(about: Subject) -> Finding:
    what = "not looked for, since Prisma's client can't be loaded"
    return about.skipped(what)


_TEXTS = (
    *("python", "path", "pythonpath", "requirement", "package", "cache", "schema"),
    *("client", "engine", "cli"),
)


def _text(answer: Mapping[str, Any], name: str) -> str:
    """A text of the probe's, which the gateway's user could have made anything of."""
    value = answer.get(name, "")
    text = value if isinstance(value, str) else ""
    return "".join(character for character in text if character.isprintable())[:_LONGEST]


def _texts(answer: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = answer.get(name, [])
    items = value if isinstance(value, list) else []
    return tuple(_text({name: item}, name) for item in items[:10])
