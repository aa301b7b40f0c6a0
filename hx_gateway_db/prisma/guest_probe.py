"""Read by the gateway's own Python, as the gateway's user: what there is of Prisma's client.

Never imported here. It is given to that Python on standard input, needs nothing but what LiteLLM
has installed there (prisma-client-py 0.11 to 0.15), changes nothing, downloads nothing, and ends
with one line of JSON. Texts in it are for machines: prisma_check makes sentences of them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# The discard port of this machine: what would be downloaded fails at once instead.
NOWHERE = "http://127.0.0.1:9"
CLI_SECONDS = 25
OUTDATED = "of another schema"
CLIENT_LOADS = ("", OUTDATED)
GENERATOR = re.compile(r"generator\s+\w+\s*\{")


def main() -> None:
    """Look, and print what was found as the last line."""
    # A program that is read from standard input finds the working directory's modules first.
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    found: dict[str, object] = {
        "python": sys.executable,
        "path": os.environ.get("PATH", ""),
        "pythonpath": os.environ.get("PYTHONPATH", ""),
        "requirement": requirement(),
        "dead_variables": dead_variables(),
        "engine_named": runs(os.environ.get("PRISMA_QUERY_ENGINE_BINARY", "")),
    }
    # Whatever the gateway's libraries print, it is not the answer.
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        found.update(look())
    print("\n" + json.dumps(found))


def look() -> dict[str, object]:
    """The client, its engine and its command line program: empty texts where all is well."""
    try:
        package = importlib.util.find_spec("prisma")
    except (ImportError, ValueError):
        package = None
    # A folder of that name without an __init__.py is no package.
    if package is None or package.origin is None:
        return {"installed": False}
    place = str(Path(package.origin).parent)
    try:
        from prisma import config

        cache = Path(config.binary_cache_dir)
        versions = [config.prisma_version, config.expected_engine_version]
    except Exception as error:
        return {"installed": True, "package": place, "client": broken(error)}
    started = CommandLineProgram(cache)
    client, paths = look_at_client(Path(place))
    return {
        "installed": True,
        "package": place,
        "cache": str(cache),
        "versions": versions,
        "schema": str(litellm_schema() or ""),
        "client": client,
        "engine": look_at_engine(paths) if client in CLIENT_LOADS else "",
        "cli": started.outcome(),
    }


def requirement() -> str:
    """What LiteLLM asks for in its extra, such as `prisma==0.11.0`."""
    try:
        wanted = importlib.metadata.requires("litellm") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    names = (re.match(r"prisma\s*[\[(=<>!~0-9.*,)\]]*", text) for text in wanted)
    return next((re.sub(r"[\s()]", "", name[0]) for name in names if name), "")


def dead_variables() -> list[str]:
    """The variables that name an engine which can't be run."""
    names = ("PRISMA_QUERY_ENGINE_BINARY", "PRISMA_SCHEMA_ENGINE_BINARY")
    return [name for name in names if os.environ.get(name) and not runs(os.environ[name])]


def runs(path: str) -> bool:
    """Whether the file is there and may be executed."""
    return os.path.isfile(path) and os.access(path, os.X_OK)


def broken(error: BaseException) -> str:
    """An error as a short text: its kind, and the module or file that it is about."""
    if isinstance(error, RuntimeError) and homeless():
        return "no home"
    about = getattr(error, "name", None) or getattr(error, "filename", None) or ""
    return f"{type(error).__name__} {about}".strip()


def homeless() -> bool:
    """Whether neither HOME nor the system knows where this user's home is."""
    try:
        Path.home()
    except RuntimeError:
        return True
    return False


def litellm_schema() -> Path | None:
    """The schema that this LiteLLM wants a client for."""
    package = importlib.util.find_spec("litellm")
    if package is None or package.origin is None:
        return None
    schema = Path(package.origin).parent / "proxy" / "schema.prisma"
    return schema if schema.is_file() else None


def look_at_client(package: Path) -> tuple[str, dict[str, str]]:
    """What is wrong with the client, and where it says that its query engine is."""
    if not (package / "client.py").is_file():
        return "not generated", {}
    try:
        # Not "from prisma import Prisma", which hides what is really missing.
        from prisma.client import BINARY_PATHS, Prisma  # noqa: F401
    except BaseException as error:
        return broken(error), {}
    wanted = litellm_schema()
    with contextlib.suppress(OSError, UnicodeError):
        if wanted and models(wanted) != models(package / "schema.prisma"):
            return OUTDATED, dict(BINARY_PATHS.query_engine)
    return "", dict(BINARY_PATHS.query_engine)


def models(schema: Path) -> str:
    """A schema without what differs between two clients for the same tables."""
    kept = []
    generator = False
    for line in schema.read_text(encoding="utf-8").split("\n"):
        generator = generator or GENERATOR.match(line) is not None
        if not generator:
            kept += line.split()
        generator = generator and not line.startswith("}")
    return "".join(kept)


def look_at_engine(paths: dict[str, str]) -> str:
    """What prisma-client-py's own search says of the query engine."""
    from prisma.engine.utils import ensure

    place = os.environ.get("PRISMA_QUERY_ENGINE_BINARY") or next(iter(paths.values()), "")
    try:
        ensure(paths)
    except FileNotFoundError as error:
        return "no openssl" if error.filename == "openssl" else f"does not run {place}"
    except (OSError, subprocess.CalledProcessError):
        return f"does not run {place}"
    except Exception as error:
        missing = type(error).__name__ == "BinaryNotFoundError"
        return f"missing {place}" if missing else broken(error)
    return ""


class CommandLineProgram:
    """Prisma's command line program, which LiteLLM calls to migrate its tables.

    It is started at once, since the client takes a while to load as well.
    """

    def __init__(self, cache: Path) -> None:
        self.reason = ""
        self.process: subprocess.Popen[str] | None = None
        program = shutil.which("prisma")
        entry = cache / "node_modules" / "prisma" / "build" / "index.js"
        if program is None:
            self.reason = "not on PATH"
        elif not entry.is_file():
            self.reason = f"not installed {cache}"
        elif not has_node():
            self.reason = "no node"
        else:
            settings = dict.fromkeys(("PRISMA_ENGINES_MIRROR", "PRISMA_BINARIES_MIRROR"), NOWHERE)
            self.process = subprocess.Popen(
                [program, "version", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **settings, "CHECKPOINT_DISABLE": "1"},
            )

    def outcome(self) -> str:
        """What is wrong with it; empty when it has all that a migration needs."""
        if self.process is None:
            return self.reason
        try:
            said, _ = self.process.communicate(timeout=CLI_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "hangs"
        if self.process.returncode == 0:
            return ""
        variable = re.search(r"Env var (\w+) is provided but provided path (\S+)", said)
        if variable:
            return f"missing {variable[2]} {variable[1]}"
        engine = re.search(r"/(schema-engine|migration-engine|query-engine)\b|Can't write to", said)
        if engine:
            return f"needs a download {engine[1] or 'engine'}"
        return f"status {self.process.returncode}"


def has_node() -> bool:
    """Whether prisma-client-py would find Node.js without downloading it."""
    from prisma import config

    try:
        from prisma.cli import _node
    except ImportError:
        return shutil.which("node") is not None
    if config.use_nodejs_bin and _node.nodejs is not None:
        return True
    if config.use_global_node and _node._get_global_binary("node") is not None:
        return True
    return (Path(config.nodeenv_cache_dir) / "bin" / "node").is_file()
