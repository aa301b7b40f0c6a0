"""Preparing Prisma's client for a gateway that lacks it, and taking it away again.

Everything goes into a folder of ours, below which the client lies as a package of its own: in the
gateway's venv not one byte changes. The unit's drop-in names the folder; one that no unit file
names any more is rubbish, so undoing the drop-in undoes the preparation, whoever did that.
"""

import os
import pwd
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import failures
from hx_gateway_db.layout import (
    DATABASE_DROP_IN,
    LITELLM_UNIT,
    PRISMA_FOLDER,
    PRISMA_WORK,
    STATE_FOLDER,
    drop_in_folder,
)
from hx_gateway_db.prisma import check
from hx_gateway_db.prisma.check import Report, probe
from hx_gateway_db.progress import Progress
from hx_gateway_db.redaction import said as one_line
from hx_gateway_db.systemd import sandbox as sandboxes
from hx_gateway_db.systemd import unit_file, units
from hx_gateway_db.systemd.passed_on import passed_on
from hx_gateway_db.systemd.sandbox import Sandbox, Unavailable, sandbox_of
from hx_gateway_db.systemd.server_process import DYNAMIC_USERS
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction.adoption import Limits, adopt
from hx_gateway_db.transaction.folders import sync
from hx_gateway_db.transaction.foreign_file import Unreadable
from hx_gateway_db.transaction.removal import remove_tree

_SECONDS = 900.0
VARIABLES = (
    *("PATH", "PYTHONPATH", "PRISMA_HOME_DIR", "PRISMA_NODEENV_CACHE_DIR"),
    *("PRISMA_BINARY_CACHE_DIR", "PRISMA_QUERY_ENGINE_BINARY", "PRISMA_SCHEMA_ENGINE_BINARY"),
    *("PRISMA_HIDE_UPDATE_MESSAGE", "CHECKPOINT_DISABLE"),
)
# By itself, npm tries for more than a minute where there is no network.
_PATIENCE = {"npm_config_fetch_retries": "1", "npm_config_fetch_retry_mintimeout": "1000"}
# What of the work folder is taken over: a client for the newest LiteLLM has some 6,000 files with
# 250 MiB when Node.js is among them.
_ADOPTED = ("client", "home")
_LIMITS = Limits(depth=64, names=100_000, bytes=1024**3)
_UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
_LONGEST = 6000
_LINE = re.compile(r'Environment="(?P<name>\w+)=(?P<value>(?:[^"\\]|\\.)*)"')
_REACHING = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH)\b"
)
_CERTIFICATE = re.compile(
    r"\b(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_\w*CERT\w*"
    r"|CERT_HAS_EXPIRED|ERR_TLS_CERT_ALTNAME_INVALID)\b|self.signed certificate"
)


@dataclass(frozen=True)
class Prepared:
    """The environment that LiteLLM's unit needs, for its drop-in, and what was done for it."""

    environment: Mapping[str, str]
    done: tuple[str, ...] = ()


def prepare(progress: Progress) -> Prepared:
    """Give LiteLLM's unit the client, the engines and the command line program that it lacks.

    Nothing that the gateway uses now changes: only the drop-in, which the caller writes, will.
    Raises Refused with what stands in the way.
    """
    try:
        return _prepare(sandbox_of(LITELLM_UNIT), progress)
    except Unavailable as reason:
        raise Refused(f"Prisma's client can't be prepared: {reason}.") from None
    except ServiceFailed as error:
        raise Refused(f"Prisma's client can't be prepared: {error}") from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise Refused(f"Prisma's client can't be prepared: {error.strerror}{where}.") from None


def tidy(root: Path = Path("/")) -> list[str]:
    """Remove what was prepared and is named neither by the unit's files nor by its process.

    Also what an interrupted preparation left. Called after a run, however that ended; returns a
    sentence on each thing that could not be removed.
    """
    live = root == Path("/") and units.available()
    if live:
        with suppress(ServiceFailed):
            units.stop_left_behind()
    left = remove_tree(_below(root, PRISMA_WORK))
    sentences = [left] if left else []
    folder = _below(root, PRISMA_FOLDER)
    if not folder.is_dir():
        return sentences
    named = _named(root, live)
    if named is None:
        return [*sentences, f"{folder} stays, since not all files of {LITELLM_UNIT} can be read."]
    rubbish = [x for x in folder.iterdir() if str(PRISMA_FOLDER / x.name) not in named]
    sentences += filter(None, map(remove_tree, rubbish))
    with suppress(OSError):
        folder.rmdir()
    return sentences


def drop_in_lines(environment: Mapping[str, str]) -> list[str]:
    """The Environment= lines of a drop-in for what `prepare` asks for."""
    lines = []
    for name, value in environment.items():
        escaped = re.sub(r'(["\\])', r"\\\1", value).replace("%", "%%")
        lines.append(f'Environment="{name}={escaped}"')
    return lines


def recorded(drop_in: str) -> dict[str, str]:
    """What such lines in a drop-in's text say."""
    matches = (_LINE.fullmatch(line.strip()) for line in drop_in.splitlines())
    return {
        match["name"]: re.sub(r"\\(.)", r"\1", match["value"]).replace("%%", "%")
        for match in matches
        if match and match["name"] in VARIABLES
    }


def _prepare(sandbox: Sandbox, progress: Progress) -> Prepared:
    environment = _present()
    report = probe(sandbox, environment)
    if report.homeless or not report.installed:
        raise Refused(_sentence(report))
    if report.cli == "not on PATH":
        environment["PATH"] = f"{PurePosixPath(report.python).parent}:{report.path}"
        report = probe(sandbox, environment)
    if report.healthy:
        done = ("The command 'prisma' is on the PATH now.",) if environment != _present() else ()
        return Prepared(environment, done)
    progress.say("Generating Prisma's client, as the gateway's user.")
    folder = PRISMA_FOLDER / secrets.token_hex(4)
    environment |= _environment(report, folder)
    try:
        _generate(sandbox, report, folder, environment, progress)
        _install(folder, _owner(sandbox))
        after = probe(sandbox, environment)
        if not after.healthy:
            raise Refused(_sentence(after))
    except BaseException:
        for sentence in tidy():
            progress.say(sentence)
        raise
    return Prepared(environment, (f"Prisma's client is in {folder}.",))


def _present() -> dict[str, str]:
    """What an earlier preparation has put into the drop-in."""
    with suppress(Unreadable):
        return recorded(unit_file.read(drop_in_folder(LITELLM_UNIT) / DATABASE_DROP_IN))
    return {}


def _environment(report: Report, folder: PurePosixPath) -> dict[str, str]:
    """The variables that make LiteLLM use what is prepared in `folder`."""
    others = [
        entry
        for entry in report.pythonpath.split(":")
        if entry and not entry.startswith(f"{PRISMA_FOLDER}/")
    ]
    wanted = {
        "PYTHONPATH": ":".join([str(folder / "client"), *others]),
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        "CHECKPOINT_DISABLE": "1",
    }
    # Without its own engine the site's command line program would put one beside itself.
    if report.engine_named and not (report.engine or report.cli):
        return wanted
    home = folder / "home"
    cache = home / ".cache/prisma-python"
    wanted |= {"PRISMA_HOME_DIR": str(home), "PRISMA_NODEENV_CACHE_DIR": str(cache / "nodeenv")}
    # Both programs take an empty one as none at all.
    wanted |= {name: "" for name in VARIABLES if name in report.dead_variables}
    if not report.cache.endswith("/".join((".cache/prisma-python/binaries", *report.versions))):
        # The unit's own PRISMA_BINARY_CACHE_DIR would win over PRISMA_HOME_DIR.
        wanted["PRISMA_BINARY_CACHE_DIR"] = str(cache.joinpath("binaries", *report.versions))
    return wanted


def _generate(
    sandbox: Sandbox,
    report: Report,
    folder: PurePosixPath,
    environment: Mapping[str, str],
    progress: Progress,
) -> None:
    """Have the gateway's Python fill the work folder, which it sees as `folder`."""
    if not report.schema:
        raise Refused(f"LiteLLM is not installed for {report.python}: it has no schema.prisma.")
    work = Path(PRISMA_WORK)
    if left := remove_tree(work):
        raise Refused(left)
    work.parent.mkdir(mode=0o700, exist_ok=True)
    work.mkdir(mode=0o700)
    for seen in (Path(PRISMA_FOLDER), Path(folder)):
        seen.mkdir(exist_ok=True)
        seen.chmod(0o755)
    source = resources.files("hx_gateway_db.prisma").joinpath("guest_generator.py").read_text()
    arguments = (report.schema, str(folder / "client/prisma"), str(folder / "scratch"))
    ours = passed_on(os.environ)
    for sentence in ours.said:
        progress.say(sentence)
    overrides = {
        **_PATIENCE,
        **ours.variables,
        **environment,
        "PYTHONPATH": _without_ours(environment),
    }
    command = (*sandbox.python(), "-")
    # Only root can enter the folder that it is in: who generates there is the gateway's user.
    work.chmod(0o777)
    try:
        ended = sandboxes.run(
            sandbox.online().without_passwords(),
            command,
            f"{source}\nmain(*{arguments!r})\n",
            overrides=overrides,
            places={folder: work},
            seconds=_SECONDS,
            waiting=lambda seconds: progress.waiting("Prisma's client to be generated", seconds),
        )
    finally:
        work.chmod(0o700)
    answer = check.answer(sandbox, ended)
    if answer.get("status") != 0:
        raise Refused(_explained(str(answer.get("said")), str(answer.get("status")), overrides))


def _without_ours(environment: Mapping[str, str]) -> str:
    return environment["PYTHONPATH"].partition(":")[2]


def _install(folder: PurePosixPath, owner: int) -> None:
    """Put a copy of the work folder that is root's alone where the unit will look for it."""
    work, new = Path(PRISMA_WORK), Path(f"{folder}.new")
    try:
        adopt(work, new, _ADOPTED, owner, folder, _LIMITS)
    except Refused as refusal:
        raise Refused(f"Prisma's client as it was generated is not taken over: {refusal}") from None
    # A drop-in that survives a power cut must not name files that did not.
    os.sync()
    new.rename(folder)
    sync(new.parent)
    remove_tree(work)


def _owner(sandbox: Sandbox) -> int:
    """The user id as which things were made in the sandbox. Raises Refused, OSError."""
    if sandbox.user.isdigit():
        return int(sandbox.user)
    with suppress(KeyError):
        return pwd.getpwnam(sandbox.user).pw_uid
    # With DynamicUser= the user is gone with its process; no other has such an id.
    uid = (Path(PRISMA_WORK) / _ADOPTED[0]).lstat().st_uid
    if uid not in DYNAMIC_USERS:
        raise Refused(f"Prisma's client was generated by the user id {uid}, whom nobody knows.")
    return uid


def _explained(said: str, status: str, environment: Mapping[str, str]) -> str:
    """What was printed by tools of four kinds, as one sentence with its cure."""
    failed = "Prisma's client could not be generated"
    said = said[-_LONGEST:]
    if "nodeenv" in said:
        return (
            f"{failed}: Node.js is not installed and could not be downloaded: run"
            " 'apt install nodejs npm'."
        )
    engines = re.search(r"(https?://\S{1,300}?)/all_commits/", said)
    asked = engines or re.search(r"request to (https?://\S+)", said)
    registry = environment.get("npm_config_registry") or "https://registry.npmjs.org"
    source = _place(asked[1] if asked else registry)
    variable = "PRISMA_ENGINES_MIRROR" if engines else "npm_config_registry"
    if _CERTIFICATE.search(said):
        return (
            f"{failed}: the certificate of {source} is not trusted: name the file with its"
            " authority in NODE_EXTRA_CA_CERTS."
        )
    if reason := _REACHING.search(said):
        return (
            f"{failed}: {source} can't be reached ({reason[1]}): set https_proxy, or name a"
            f" mirror in {variable}."
        )
    if re.search(r"\bENOSPC\b|No space left", said):
        return f"{failed}: {STATE_FOLDER} is full: make room for 300 MB there."
    if engines or "E404" in said:
        return f"{failed}: {source} does not have it: name another in {variable}."
    last = "\n".join(f"  {one_line(_printable(line))}" for line in said.splitlines()[-6:])
    return f"{failed} (exit status {one_line(status)}). It said last:\n{last}"


def _place(url: str) -> str:
    """The server in a URL, without a password that may be in it."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return one_line(parts.netloc.rpartition("@")[2] or url)
    return "the server"


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _sentence(report: Report) -> str:
    found = failures(check.findings(report, LITELLM_UNIT))
    return found[0].sentence if found else "Prisma's client is not that of this LiteLLM."


def _named(root: Path, live: bool) -> set[str] | None:
    """The preparations that a file of LiteLLM's unit names, or the environment of its process.

    None when one of the files can't be read.
    """
    texts: list[str] = []
    for folder in map(PurePosixPath, _UNIT_FOLDERS):
        drop_ins = folder / f"{LITELLM_UNIT}.d"
        names = sorted(_below(root, drop_ins).glob("*.conf"))
        for path in (folder / LITELLM_UNIT, *(drop_ins / file.name for file in names)):
            if _is_masked(_below(root, path)):
                continue
            try:
                texts.append(unit_file.read(path, root))
            except Unreadable as error:
                if error.missing:
                    continue
                return None
    if live:
        with suppress(ServiceFailed):
            texts += units.environment(units.unit(LITELLM_UNIT)).values()
    return set(re.findall(rf"{re.escape(str(PRISMA_FOLDER))}/[0-9a-f]+", "\n".join(texts)))


def _is_masked(path: Path) -> bool:
    with suppress(OSError):
        return os.readlink(path) == os.devnull
    return False


def _below(root: Path, path: PurePosixPath) -> Path:
    return root / path.relative_to("/")
