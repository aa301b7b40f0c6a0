"""A disposable Debian machine: an overlay over a cached image, booted by systemd-nspawn.

The image is never written to. Everything a machine changes lies in an overlayfs whose upper
layer is a tmpfs, so that a fresh machine takes a second and leaves nothing behind. Each machine
has a network of its own with nothing but loopback: several can run side by side on the same
ports, and none reaches the outside.

A machine that is not booted can be used too: `run` then starts its command in a container
without systemd, where `/run/systemd/system` is absent, as in a chroot or an image build.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pexpect

from tests.machine import container

LITELLM_UNIT = "hx-litellm-gateway.service"
WRAPPER_UNIT = "hx-gateway-ml.service"
LITELLM_URL = "http://127.0.0.1:4000"
WRAPPER_URL = "http://127.0.0.1:4010"
MASTER_KEY = "sk-hx-dev-1234"
BASE = Path("/opt/HX-Infrastructure-/api-gateway")
CONFIG_YAML = BASE / "config/api-gateway/config.yaml"

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
_serial = itertools.count()
# Of everything that is waited for: how long it takes on a busy host is no matter of the tests.
_AT_LEAST_SECONDS = 120.0


class CommandFailed(AssertionError):
    """A command inside the machine failed or took too long; the message has its output."""


class Response(NamedTuple):
    """An HTTP answer: its status (0 when nobody answered) and its body, parsed if it is JSON."""

    status: int
    json: Any


class Machine:
    """One disposable machine. A context manager: entering mounts it, leaving destroys it.

    Entering does not boot: call `boot()`, or use it unbooted (see the module's text).
    The machine dies with the thread that called `boot()`: boot it in one that lasts.
    """

    def __init__(self, image: Path) -> None:
        """Prepare a machine on top of `image`, the root directory of a Debian."""
        self.name = f"hx{os.getpid()}n{next(_serial)}"
        self._image = image
        self._cleanup = ExitStack()
        self._root = Path()
        self._console = Path()
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        container.enter_private_mount_namespace()
        with ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
            stack.callback(shutil.rmtree, directory)
            container.mount("-t", "tmpfs", "-o", "mode=0755", self.name, str(directory))
            stack.callback(container.unmount, directory)
            for name in ("upper", "work", "root"):
                (directory / name).mkdir()
            self._root = directory / "root"
            self._console = directory / "console"
            layers = f"lowerdir={self._image},upperdir={directory}/upper,workdir={directory}/work"
            container.mount("-t", "overlay", "-o", layers, self.name, str(self._root))
            stack.callback(container.unmount, self._root)
            stack.callback(container.remove_cgroups, self.name)
            stack.callback(self._stop)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    # Power

    def boot(self, seconds: float = 240) -> None:
        """Boot, and return when systemd has reached its default target.

        Raises CommandFailed with the console's last lines when it does not in `seconds`.
        """
        assert self._nspawn is None, "the machine is running already"
        with self._console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                self._nspawn_command("--boot", "--console=pipe"),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        try:
            self._leader = self._await_leader(deadline)
            self._await_system(deadline)
        except BaseException:
            self._stop()
            raise

    def power_off(self, seconds: float = 60) -> None:
        """Shut down in order; the overlay stays, so `boot()` starts the same machine again."""
        assert self._nspawn is not None, "the machine is not running"
        self.run(["systemctl", "poweroff"], check=False)
        try:
            self._nspawn.wait(seconds)
        except subprocess.TimeoutExpired:
            tail = self._console_tail()
            raise CommandFailed(f"no power-off within {seconds} s\n{tail}") from None
        finally:
            self._stop()

    def kill(self) -> None:
        """Cut the power: SIGKILL for every process at once; the overlay stays.

        What a process wrote without fsync survives (the upper layer is the host's memory), so
        this proves what happens between two system calls, not what a disk loses.
        """
        assert self._nspawn is not None, "the machine is not running"
        self._stop()

    @property
    def booted(self) -> bool:
        """Whether the machine is running."""
        return self._nspawn is not None and self._nspawn.poll() is None

    @property
    def leader(self) -> int:
        """The first process of the running machine, as this machine numbers it."""
        assert self.booted, "the machine is not running"
        return self._leader

    # Commands

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside the machine and return it with its output.

        `env` is added to a minimal environment; nothing of the host's is passed on. Raises
        CommandFailed when it takes longer than `timeout` seconds or, with `check`, when it
        fails. Bytes that are not UTF-8 come back as surrogates.
        """
        done = self._run_bytes(argv, input.encode() if input is not None else None, env, timeout)
        result = subprocess.CompletedProcess(
            list(argv),
            done.returncode,
            done.stdout.decode(errors="surrogateescape"),
            done.stderr.decode(errors="surrogateescape"),
        )
        if check and result.returncode != 0:
            raise CommandFailed(
                f"{shlex.join(argv)} exited {result.returncode}\n{result.stdout}{result.stderr}"
            )
        return result

    def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> pexpect.spawn[str]:
        """Start a command inside the running machine on a terminal of 80 by 24 characters."""
        assert self.booted, "spawn needs a running machine"
        command = self._enter_command(argv)
        return pexpect.spawn(
            command[0],
            command[1:],
            env=_environment({"TERM": "xterm", **(env or {})}),
            dimensions=(24, 80),
            encoding="utf-8",
            timeout=timeout,
        )

    def install(
        self,
        deb: Path,
        *,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """`apt-get install` a package file of the host, noninteractively unless `env` differs."""
        target = f"/root/{deb.name}"
        self.put(deb, target)
        return self.run(
            ["apt-get", "install", "--yes", "--no-install-recommends", target],
            env={"DEBIAN_FRONTEND": "noninteractive", **(env or {})},
            check=check,
            timeout=timeout,
        )

    # Files

    def write(
        self, path: str | Path, text: str, *, mode: int = 0o644, owner: str = "root:root"
    ) -> None:
        """Write a file with exactly this text, mode and owner (`user:group`)."""
        self._write_bytes(path, text.encode(errors="surrogateescape"), mode, owner)

    def put(self, source: Path, target: str | Path, *, mode: int = 0o644) -> None:
        """Copy a file of the host into the machine."""
        self._write_bytes(target, source.read_bytes(), mode, "root:root")

    def read(self, path: str | Path) -> str:
        """The text of a file, line ends untouched."""
        return self.read_bytes(path).decode(errors="surrogateescape")

    def read_bytes(self, path: str | Path) -> bytes:
        """The bytes of a file."""
        done = self._run_bytes(["cat", "--", str(path)], None, None, 60)
        if done.returncode != 0:
            raise CommandFailed(done.stderr.decode())
        return done.stdout

    def exists(self, path: str | Path) -> bool:
        """Whether a path exists, be it a dangling symbolic link."""
        script = 'test -e "$1" || test -L "$1"'
        return self.run(["sh", "-c", script, "sh", str(path)], check=False).returncode == 0

    def stat(self, path: str | Path) -> str:
        """Owner, group and mode of a path, as in `root:hx-gateway 640`."""
        return self.run(["stat", "--format=%U:%G %a", "--", str(path)]).stdout.strip()

    # Services

    def main_pid(self, unit: str) -> int:
        """The unit's main process as numbered inside the machine, 0 when there is none."""
        shown = self.run(["systemctl", "show", "--property=MainPID", "--value", unit])
        return int(shown.stdout)

    def is_active(self, unit: str) -> bool:
        """What `systemctl is-active` says, which for LiteLLM is not that it serves."""
        asked = self.run(["systemctl", "is-active", "--quiet", unit], check=False)
        return asked.returncode == 0

    def journal(self, unit: str, lines: int = 100) -> str:
        """The unit's last journal lines."""
        argv = ["journalctl", f"--unit={unit}", f"--lines={lines}", "--no-pager", "--output=cat"]
        return self.run(argv).stdout

    def psql(self, sql: str, *, database: str = "postgres") -> str:
        """Run SQL as the superuser `postgres`; the rows come back unaligned, without headers."""
        argv = ["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
        return self.run([*argv, "-d", database, "-f", "-"], input=sql).stdout.strip()

    def http(
        self,
        method: str,
        url: str,
        *,
        key: str | None = None,
        body: object = None,
        timeout: float = 60,
    ) -> Response:
        """Send an HTTP request from inside the machine; `body` goes as JSON, `key` as Bearer.

        The key reaches curl on its standard input, never in its arguments.
        """
        lines = [f"request = {_quote(method)}", f"url = {_quote(url)}"]
        if key is not None:
            lines.append(f"header = {_quote(f'Authorization: Bearer {key}')}")
        if body is not None:
            lines.append('header = "Content-Type: application/json"')
            lines.append(f"data-raw = {_quote(json.dumps(body))}")
        argv = ["curl", "--silent", "--max-time", str(timeout), "--config", "-"]
        answer = self.run(
            [*argv, "--write-out", "\n%{http_code}"],
            input="\n".join(lines),
            check=False,
            timeout=timeout + 10,
        )
        text, _, status = answer.stdout.rpartition("\n")
        try:
            return Response(int(status), json.loads(text))
        except json.JSONDecodeError:
            return Response(int(status), text)

    def wait_until(
        self, predicate: Callable[[], object], seconds: float, *, what: str = "the condition"
    ) -> None:
        """Return as soon as `predicate` is true; raise CommandFailed after `seconds`, or 120."""
        seconds = max(seconds, _AT_LEAST_SECONDS)
        deadline = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > deadline:
                raise CommandFailed(f"{what} did not come true within {seconds} s")
            time.sleep(0.2)

    def wait_for_gateway(self, seconds: float = 240) -> None:
        """Return when LiteLLM and the wrapper both answer; raise CommandFailed otherwise."""

        def answering() -> bool:
            return (
                self.http("GET", f"{LITELLM_URL}/health/liveliness").status == 200
                and self.http("GET", f"{WRAPPER_URL}/healthz").status == 200
            )

        try:
            self.wait_until(answering, seconds, what="the gateway's answer")
        except CommandFailed as error:
            log = self.journal(LITELLM_UNIT, 40) + self.journal(WRAPPER_UNIT, 10)
            raise CommandFailed(f"{error}\n{log}") from None

    # Below: how it is done

    def _run_bytes(
        self,
        argv: Sequence[str],
        data: bytes | None,
        env: Mapping[str, str] | None,
        timeout: float,
    ) -> subprocess.CompletedProcess[bytes]:
        if self._nspawn is None:
            settings = [f"--setenv={name}" for name in (env or {})]
            command = self._nspawn_command("--as-pid2", "--pipe", *settings, "--", *argv)
        else:
            command = self._enter_command(argv)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(env),
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            output = (stdout + stderr).decode(errors="replace")
            raise CommandFailed(f"{shlex.join(argv)} took over {timeout} s\n{output}") from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)

    def _write_bytes(self, path: str | Path, data: bytes, mode: int, owner: str) -> None:
        script = 'umask 077 && cat >"$1" && chown "$2" "$1" && chmod "$3" "$1"'
        argv = ["sh", "-c", script, "sh", str(path), owner, f"{mode:o}"]
        done = self._run_bytes(argv, data, None, 60)
        if done.returncode != 0:
            raise CommandFailed(f"cannot write {path}: {done.stderr.decode()}")

    def _nspawn_command(self, *arguments: str) -> list[str]:
        network = ("--private-network", "--resolv-conf=off")
        return container.nspawn(self.name, self._root, *network, *arguments)

    def _enter_command(self, argv: Sequence[str]) -> list[str]:
        assert self.booted, f"the machine has stopped\n{self._console_tail()}"
        return ["nsenter", "-t", str(self._leader), "-a", "--", *argv]

    def _await_leader(self, deadline: float) -> int:
        assert self._nspawn is not None
        while self._nspawn.poll() is None and time.monotonic() < deadline:
            if leader := container.find_leader(self._nspawn.pid):
                return leader
            time.sleep(0.05)
        raise CommandFailed(f"the machine did not start\n{self._console_tail()}")

    def _await_system(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
            if state in ("running", "degraded"):
                return
            time.sleep(0.1)
        raise CommandFailed(f"the machine did not finish booting\n{self._console_tail()}")

    def _console_tail(self) -> str:
        return self._console.read_text(errors="replace")[-4000:] if self._console.exists() else ""

    def _stop(self) -> None:
        if self._nspawn is None:
            return
        if self._nspawn.poll() is None:
            os.kill(self._leader or self._nspawn.pid, signal.SIGKILL)
        self._nspawn.wait()
        self._nspawn = None
        self._leader = 0


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**_ENVIRONMENT, **(extra or {})}


def _quote(value: str) -> str:
    """`value` as a quoted argument in a curl config file (curl(1), --config)."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
