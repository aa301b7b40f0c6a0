"""The control machine: an Ansible of one version, the collection as published, an inventory."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.machine.machine import Machine

PROJECT = Path(__file__).resolve().parents[3]
_HERE = Path(__file__).parent
# The newest that Debian 12's Python takes, with ansible-lint; and Debian 12's own.
ANSIBLES = {"newest": "requirements.txt", "bookworm": "requirements-bookworm.txt"}
_RECAP = re.compile(r"(?m)^(\S+) +: +ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+) ")


@dataclass(frozen=True)
class Played:
    """How a playbook ended, and for each host that it came to: changed, unreachable, failed."""

    status: int
    said: str
    hosts: Mapping[str, tuple[int, int, int]]

    def changed(self, host: str) -> int:
        return self.hosts[host][0]


class Control:
    """A home that a playbook could leave something in, and what it needs there.

    `cache` holds the virtual environments, which stay.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self._cache = cache
        self._collections = folder / "collections"
        self._inventory = folder / "inventory.json"
        archive = folder / "archive"
        self._call("newest", "ansible-galaxy", "collection", "build", "--output-path", str(archive))
        built = str(next(archive.iterdir()))
        install = ("collection", "install", "--offline", "-p", str(self._collections))
        self._call("newest", "ansible-galaxy", *install, built)

    def inventory(
        self,
        gateways: Mapping[str, Machine],
        variables: Mapping[str, object],
        balancers: Mapping[str, Machine] | None = None,
    ) -> None:
        """Name the hosts of the group `gateways`, in this order, its variables, and balancers."""
        groups = {
            "gateways": {"hosts": _hosts(gateways), "vars": dict(variables)},
            "balancers": {"hosts": _hosts(balancers or {})},
        }
        self._inventory.write_text(json.dumps(groups))

    def play(
        self, playbook: str, *arguments: str, ansible: str = "newest", secrets: Mapping[str, str]
    ) -> Played:
        """Run a playbook of the collection; `secrets` are its environment, for a lookup."""
        command = ["-i", str(self._inventory), f"hx.gateway_db.{playbook}", *arguments]
        done = self._run(ansible, "ansible-playbook", *command, environment=secrets)
        recap = done.stdout.rpartition("PLAY RECAP")[2]
        hosts = {host: (int(a), int(b), int(c)) for host, a, b, c in _RECAP.findall(recap)}
        return Played(done.returncode, done.stdout + done.stderr, hosts)

    def lint(self) -> subprocess.CompletedProcess[str]:
        """What ansible-lint says of the collection, by its strictest profile."""
        return self._run("newest", "ansible-lint", "--offline", "--nocolor", "--strict")

    def _call(self, ansible: str, *command: str) -> None:
        done = self._run(ansible, *command)
        assert done.returncode == 0, done.stdout + done.stderr

    def _run(
        self, ansible: str, *command: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        programs = environment_of(ANSIBLES[ansible], self._cache) / "bin"
        settings = {
            "HOME": str(self.home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(self._collections),
            "ANSIBLE_CONNECTION_PLUGINS": str(_HERE / "connection"),
            "ANSIBLE_DEVEL_WARNING": "false",
        }
        return subprocess.run(
            command,
            cwd=PROJECT / "ansible",
            env={**settings, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )


def _hosts(machines: Mapping[str, Machine]) -> dict[str, object]:
    return {
        name: {
            "ansible_connection": "machine",
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "machine_leader": machine.leader,
        }
        for name, machine in machines.items()
    }


def environment_of(requirements: str, cache: Path) -> Path:
    """A virtual environment with what the file names, made when it is not there yet."""
    file = _HERE / requirements
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    folder = cache / f"ansible-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".ansible.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _make_environment(folder, file)
    return folder


def _make_environment(folder: Path, requirements: Path) -> None:
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    install += ["--no-deps", "--only-binary=:all:", "--requirement", str(requirements)]
    subprocess.run(install, check=True)
    (folder / "ready").touch()
