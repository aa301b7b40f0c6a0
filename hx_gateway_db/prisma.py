"""Preparing Prisma's client for a gateway that lacks it, and taking it away again.

Everything goes into a folder of ours, below which the client lies as a package of its own: in the
gateway's venv not one byte changes. The unit's drop-in names the folder; one that no unit file
names any more is rubbish, so undoing the drop-in undoes the preparation, whoever did that.
"""

import os
import re
import secrets
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from hx_gateway_db import prisma_check, services
from hx_gateway_db import sandbox as sandboxes
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import failures
from hx_gateway_db.layout import (
    LITELLM_UNIT,
    PRISMA_FOLDER,
    PRISMA_WORK,
    STATE_FOLDER,
    database_drop_in,
)
from hx_gateway_db.prisma_check import Report, probe
from hx_gateway_db.progress import Progress
from hx_gateway_db.sandbox import Sandbox, Unavailable, sandbox_of
from hx_gateway_db.services import ServiceFailed

_SECONDS = 900.0
VARIABLES = (
    *("PATH", "PYTHONPATH", "PRISMA_HOME_DIR", "PRISMA_NODEENV_CACHE_DIR"),
    *("PRISMA_BINARY_CACHE_DIR", "PRISMA_QUERY_ENGINE_BINARY", "PRISMA_SCHEMA_ENGINE_BINARY"),
    *("PRISMA_HIDE_UPDATE_MESSAGE", "CHECKPOINT_DISABLE"),
)
# How npm, Prisma and nodeenv are told where to download from.
_PASSED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("npm_config_registry", "npm_config_cafile", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"),
    *("PRISMA_ENGINES_MIRROR", "PRISMA_ENGINES_CHECKSUM_IGNORE_MISSING", "NODEJS_MIRROR"),
)
# By itself, npm tries for more than a minute where there is no network.
_PATIENCE = {"npm_config_fetch_retries": "1", "npm_config_fetch_retry_mintimeout": "1000"}
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


def tidy(root: Path = Path("/")) -> None:
    """Remove what was prepared and is named neither by the unit's files nor by its process.

    Also what an interrupted preparation left. Called after a run, however that ended.
    """
    live = root == Path("/") and services.available()
    if live:
        with suppress(ServiceFailed):
            services.stop_left_behind()
    shutil.rmtree(_below(root, PRISMA_WORK), ignore_errors=True)
    folder = _below(root, PRISMA_FOLDER)
    if not folder.is_dir():
        return
    named = _named(root, live)
    for entry in folder.iterdir():
        if str(PRISMA_FOLDER / entry.name) not in named:
            shutil.rmtree(entry, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


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
    if not report.installed:
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
        _install(folder)
        after = probe(sandbox, environment)
        if not after.healthy:
            raise Refused(_sentence(after))
    except BaseException:
        tidy()
        raise
    return Prepared(environment, (f"Prisma's client is in {folder}.",))


def _present() -> dict[str, str]:
    """What an earlier preparation has put into the drop-in."""
    with suppress(OSError, UnicodeError):
        return recorded(Path(database_drop_in(LITELLM_UNIT)).read_text())
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
    shutil.rmtree(work, ignore_errors=True)
    work.parent.mkdir(mode=0o700, exist_ok=True)
    work.mkdir()
    # Only root can enter the folder that it is in: who generates there is the gateway's user.
    work.chmod(0o777)
    for seen in (Path(PRISMA_FOLDER), Path(folder)):
        seen.mkdir(exist_ok=True)
        seen.chmod(0o755)
    source = resources.files("hx_gateway_db").joinpath("prisma_generator.py").read_text()
    arguments = (report.schema, str(folder / "client/prisma"), str(folder / "scratch"))
    passed_on = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
    overrides = {**_PATIENCE, **passed_on, **environment, "PYTHONPATH": _without_ours(environment)}
    ended = sandboxes.run(
        sandbox.online().without_passwords(),
        (*sandbox.python(), "-"),
        f"{source}\nmain(*{arguments!r})\n",
        overrides=overrides,
        places={folder: work},
        seconds=_SECONDS,
        waiting=lambda seconds: progress.waiting("Prisma's client to be generated", seconds),
    )
    answer = prisma_check.answer(sandbox, ended)
    if answer.get("status") != 0:
        raise Refused(_explained(str(answer.get("said")), str(answer.get("status")), overrides))
    shutil.rmtree(work / "scratch", ignore_errors=True)


def _without_ours(environment: Mapping[str, str]) -> str:
    return environment["PYTHONPATH"].partition(":")[2]


def _install(folder: PurePosixPath) -> None:
    """Make the work folder root's, and put it where the unit will look for it."""
    work = Path(PRISMA_WORK)
    _adopt(work)
    # A drop-in that survives a power cut must not name files that did not.
    os.sync()
    work.rename(folder)


def _adopt(folder: Path) -> None:
    """Give all below `folder` to root, for everybody to read.

    The gateway's user made it. A service that was broken into must not be able to change the code
    that it will run next time, nor make us give it somebody else's file: no link is followed.
    """
    for _, folders, files, here in os.fwalk(folder, follow_symlinks=False):
        os.fchown(here, 0, 0)
        os.fchmod(here, 0o755)
        for name in (*folders, *files):
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                _adopt_file(name, here)
            elif stat.S_ISLNK(status.st_mode):
                os.chown(name, 0, 0, dir_fd=here, follow_symlinks=False)
            elif not stat.S_ISDIR(status.st_mode):
                raise Refused(f"Prisma's client came with {name}, which is no plain file.")


def _adopt_file(name: str, folder: int) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        os.fchown(descriptor, 0, 0)
        os.fchmod(descriptor, 0o755 if status.st_mode & 0o111 else 0o644)
    finally:
        os.close(descriptor)


def _explained(said: str, status: str, environment: Mapping[str, str]) -> str:
    """What was printed by tools of four kinds, as one sentence with its cure."""
    failed = "Prisma's client could not be generated"
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
    last = "\n".join(f"  {line}" for line in _printable(said).splitlines()[-6:])
    return f"{failed} (exit status {status}). It said last:\n{last}"


def _place(url: str) -> str:
    """The server in a URL, without a password that may be in it."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts.netloc.rpartition("@")[2] or url
    return "the server"


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable() or char == "\n")


def _sentence(report: Report) -> str:
    found = failures(prisma_check.findings(report, LITELLM_UNIT))
    return found[0].sentence if found else "Prisma's client is not that of this LiteLLM."


def _named(root: Path, live: bool) -> set[str]:
    """The preparations that a file of LiteLLM's unit names, or the environment of its process."""
    texts = [
        file.read_text(errors="replace")
        for folder in ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system")
        for file in (
            root / folder / LITELLM_UNIT,
            *sorted((root / folder / f"{LITELLM_UNIT}.d").glob("*.conf")),
        )
        if file.is_file()
    ]
    if live:
        with suppress(ServiceFailed):
            texts += services.environment(services.unit(LITELLM_UNIT)).values()
    return set(re.findall(rf"{re.escape(str(PRISMA_FOLDER))}/[0-9a-f]+", "\n".join(texts)))


def _below(root: Path, path: PurePosixPath) -> Path:
    return root / path.relative_to("/")
