"""Repositories as their publisher makes them, and a web server of them on a machine's loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.machine.machine import Machine

PROJECT = Path(__file__).resolve().parents[2]
HOST = "packages.example.org"
URL = f"https://{HOST}/hx-gateway-db"
FOLDER = "/srv/hx-gateway-db"
# A moment that is long over when a Release of it is looked at.
LONG_AGO = 1_700_000_000

_CERTIFICATE = f"""
set -e
cd /root
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN={HOST} -addext subjectAltName=DNS:{HOST} \\
    -keyout server.key -out server.pem -days 30 2>/dev/null
cp server.pem /usr/local/share/ca-certificates/server.crt
update-ca-certificates >/dev/null
echo '127.0.0.1 {HOST}' >>/etc/hosts
"""
_SERVER = """
import functools, http.server, os, ssl
# Connections stay open: http.server would end them without TLS's own end, an error for OpenSSL.
http.server.SimpleHTTPRequestHandler.protocol_version = "HTTP/1.1"
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/srv")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/server.pem", "/root/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


class Publisher:
    """Who has a GnuPG home with keys, and publishes from a folder."""

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        """Keep what is published below `folder`, with a GnuPG home of its own unless it has one."""
        folder.mkdir(exist_ok=True)
        # Not in the folder, whose path may be too long for the agent's socket (unix(7)).
        self._made = tempfile.TemporaryDirectory(prefix="publisher-")
        self.home = home or Path(self._made.name)
        self.repository = folder / "repository"
        self._environment = {**os.environ, "GNUPGHOME": str(self.home)}

    def gpg(self, *arguments: str) -> str:
        """What gpg says. Raises CalledProcessError."""
        command = ["gpg", "--batch", "--quiet", "--passphrase=", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, check=True)
        return done.stdout.decode()

    def make_key(self, name: str, algorithm: str = "ed25519", *options: str) -> str:
        """A key that was made long ago; returns its fingerprint."""
        then = f"--faked-system-time={LONG_AGO - 1000}"
        self.gpg(then, *options, "--quick-generate-key", name, algorithm, "sign", "never")
        listed = self.gpg("--with-colons", "--list-keys", name).splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))

    def publish(self, deb: Path, keys: str, *, epoch: int | None = None) -> None:
        """Publish at URL, which has to succeed."""
        done = self.try_to_publish(deb, f"--keys={keys}", f"--url={URL}", epoch=epoch)
        assert done.returncode == 0, done.stderr

    def try_to_publish(
        self, deb: Path, *options: str, epoch: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Publish as `make repository` does; whether it succeeds is the caller's business."""
        environment = dict(self._environment)
        if epoch is not None:
            environment["SOURCE_DATE_EPOCH"] = str(epoch)
        command = [sys.executable, "-m", "repository", "publish", str(self.repository), str(deb)]
        return subprocess.run(
            [*command, *options], cwd=PROJECT, env=environment, capture_output=True, text=True
        )

    def close(self) -> None:
        """End what gpg has started, and remove the home that was made for it."""
        command = ["gpgconf", f"--homedir={self.home}", "--kill", "all"]
        subprocess.run(command, check=True)
        self._made.cleanup()


def serve(machine: Machine) -> None:
    """Let a machine reach URL: what is in its FOLDER, on its loopback, with a valid certificate."""
    machine.run(["mkdir", FOLDER])
    machine.run(["sh", "-c", _CERTIFICATE])
    machine.write("/root/server.py", _SERVER)
    unit = "[Service]\nExecStart=/usr/bin/python3 /root/server.py\n"
    machine.write("/etc/systemd/system/server.service", unit)
    machine.run(["systemctl", "start", "server.service"])
    reached = ["wget", "--quiet", "--output-document=/dev/null", URL]
    machine.wait_until(lambda: machine.run(reached, check=False).returncode == 0, 20)


def upload(repository: Path, machine: Machine) -> None:
    """Put the whole folder where the machine's web server has it."""
    packed = ["tar", "--create", "--gzip", f"--directory={repository}", "."]
    archive = repository.with_name("archive.tar.gz")
    archive.write_bytes(subprocess.run(packed, check=True, capture_output=True).stdout)
    machine.put(archive, "/root/archive.tar.gz")
    script = f"rm -rf {FOLDER}/* && tar --extract --file=/root/archive.tar.gz -C {FOLDER}"
    machine.run(["sh", "-c", script])
