"""An npm registry and a mirror of Prisma's engines, for machines that have no other network.

Runs inside a machine, on loopback: `prisma_server.py PORT FOLDER`. FOLDER is a node_modules with
Prisma's own command line program, as npm has installed it in the image; `npm pack` makes the
packages of it again. The engines are programs that say they are of the version asked for, and are
the image's stand-ins otherwise.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

PACKAGES = ("prisma", "@prisma/engines")
ENGINE = """#!/bin/sh
if [ "$1" = --version ]; then echo "{name} {version}"; exit; fi
exec /opt/prisma-engines/{name} "$@"
"""


def packed(package: Path, url: str) -> tuple[str, dict[str, object], bytes]:
    """A package's name, what the registry says of it, and its tarball."""
    description = json.loads((package / "package.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--ignore-scripts", "--json", "--pack-destination", folder]
        done = subprocess.run([*command, str(package)], check=True, capture_output=True, text=True)
        integrity = json.loads(done.stdout)[0]["integrity"]
        tarball = next(Path(folder).iterdir()).read_bytes()
    name, version = description["name"], description["version"]
    description["dist"] = {"tarball": f"{url}/{name}/-/{version}.tgz", "integrity": integrity}
    about = {
        "name": name,
        "dist-tags": {"latest": version},
        "versions": {version: description},
    }
    return name, about, tarball


def engine(path: str) -> bytes | None:
    """What the mirror has at /all_commits/VERSION/PLATFORM/NAME[.gz][.sha256]."""
    _, version, _, file = path.strip("/").split("/")
    name = file.partition(".")[0]
    if name not in ("query-engine", "schema-engine"):
        return None
    content = ENGINE.format(name=name, version=version).encode()
    if ".gz" in file:
        content = gzip.compress(content, mtime=0)
    if file.endswith(".sha256"):
        return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()
    return content


def main(port: int, modules: Path) -> None:
    url = f"http://127.0.0.1:{port}"
    served: dict[str, bytes] = {}
    for package in PACKAGES:
        name, about, tarball = packed(modules / package, url)
        served[f"/{name}"] = json.dumps(about).encode()
        served[f"/{name}/-/{next(iter(about['versions']))}.tgz"] = tarball  # type: ignore[call-overload]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802  http.server calls it so
            path = unquote(self.path)
            body = engine(path) if path.startswith("/all_commits/") else served.get(path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *arguments: object) -> None:
            """A test has no use for it."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
