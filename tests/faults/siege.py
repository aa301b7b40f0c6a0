"""A machine with attackers on it, root at a terminal, and what came of it.

What counts as entered is what the attackers got to have or to do that was root's, and what they
kept root from: a command that does not end, a package that dpkg can't remove.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pexpect

from tests.faults import attacker, gateways_python, hostile_service, impostor, intruder, loot
from tests.machine.machine import BASE, Machine

GATEWAY_USER, ORDINARY_USER = "hx-gateway", "mallory"
FOLDER = "/srv/attacker"
VENV = BASE / "gateway/venv"
COMMAND = "hx-gateway-db"
# What root has in its environment and nobody else may see.
ROOTS_SECRET = "token-of-roots-own-shell"
# Of what an attacker keeps, the rest counts where it holds something secret.
_ALWAYS = ("terminal", "typed", "descriptor", "file of root's", "key")
# Whoever makes us read without an end must not take the machine that runs the tests along.
_MEMORY_KIB = 3_000_000
_PROMPT = "root-waits> "
_STATUS = re.compile(r"ended with (\d+)\.")
_DOCUMENTED = (0, 2, 3, 4, 5, 6)


@dataclass
class Siege:
    """What has happened so far: `entries` says, in a clause each, how somebody got in.

    `secrets` are what no attacker may hold; `terminal` is root's, with all that it has shown.
    """

    machine: Machine
    secrets: set[str] = field(default_factory=lambda: {ROOTS_SECRET})
    entries: list[str] = field(default_factory=list)
    shown: str = ""
    _terminal: pexpect.spawn[str] | None = None
    _attacks: int = 0

    def __post_init__(self) -> None:
        machine = self.machine
        machine.run(["useradd", "--uid", "1001", "--create-home", ORDINARY_USER])
        machine.run(["mkdir", "--parents", f"{FOLDER}/tests/faults", f"{FOLDER}/loot"])
        machine.run(["chmod", "0777", f"{FOLDER}/loot"])
        for module in (attacker, impostor, intruder, loot):
            source = Path(str(module.__file__))
            machine.put(source, f"{FOLDER}/tests/faults/{source.name}")

    # The attackers

    def attack(self, user: str, *arguments: str, group: str = "") -> None:
        """Start the attacking program in the background, as `user`.

        With `group`, in a control group of that name below its own, as everybody can make them who
        has a systemd of the user's own.
        """
        self._attacks += 1
        unit = ["systemd-run", "--quiet", "--collect", f"--unit=attack-{self._attacks}"]
        unit += [f"--uid={user}", f"--gid={user}", f"--setenv=PYTHONPATH={FOLDER}"]
        if group:
            unit += ["--slice=user-1001.slice", "--property=Delegate=yes"]
            unit += [f"--setenv=CONTROL_GROUP={group}"]
        self.machine.run([*unit, *_program(user, *arguments)])

    def assert_attacked(self, *kinds: str) -> None:
        """An attack that has ended by itself proves nothing, nor one that has kept nothing at all.

        `kinds` are of what there has to be something, secret or not.
        """
        for number in range(1, self._attacks + 1):
            unit = f"attack-{number}.service"
            assert self.machine.is_active(unit), self.machine.journal(unit)
        assert set(kinds) <= {kind for _, kind, _ in self.kept()}, "the attack did not take place"

    def as_user(self, user: str, script: str, **environment: str) -> str:
        """Have a user run some lines of shell; returns what they say."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return self.machine.run([*become, "sh", "-ec", script], env=environment).stdout

    def take_the_gateway(self) -> None:
        """Give the gateway's user all of BASE, and have its programs do what it likes."""
        # What root has put there since, an attacker could not make its own.
        chown = ["-exec", "chown", "--no-dereference", f"{GATEWAY_USER}:{GATEWAY_USER}", "{}", "+"]
        self.machine.run(["find", str(BASE), "!", "-name", "gateway.env", *chown])
        text = Path(hostile_service.__file__).read_text()
        for name in ("litellm", "uvicorn"):
            program = VENV / "bin" / name
            self.machine.run(["mv", str(program), f"{program}.real"])
            owner = f"{GATEWAY_USER}:{GATEWAY_USER}"
            self.machine.write(program, f"#!{VENV}/bin/python3\n{text}", mode=0o755, owner=owner)
        self.gateway("")
        site = self.machine.run(["sh", "-c", f"echo {VENV}/lib/python3*/site-packages"])
        folder = site.stdout.strip()
        self.machine.put(Path(gateways_python.__file__), f"{folder}/gateways_python.py")
        self.machine.write(f"{folder}/gateways_python.pth", "import gateways_python\n")

    def gateway(self, how: str) -> None:
        """From its next start on, the gateway does this (hostile_service.py); empty: it serves."""
        self.machine.write(f"{FOLDER}/how", how)

    def gateways_python(self, how: str) -> None:
        """The same of what the gateway's Python does whenever it starts (gateways_python.py)."""
        self.machine.write(f"{FOLDER}/python", how)

    # Root

    def root(
        self,
        command: str,
        seconds: float,
        *,
        statuses: Collection[int] = _DOCUMENTED,
        answers: str = "",
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command in root's shell on a terminal; returns what has been shown there.

        It reads `answers`. One that has not ended after so many seconds counts as entered and
        ends the siege with an AssertionError; an exit status that is none of `statuses` counts.
        """
        settings = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in (env or {}).items())
        given = f"{command} <<'EOF'\n{answers}EOF" if answers else command
        script = f"{settings}{given}\necho ended with $?.\n"
        self.machine.write("/root/step", script, mode=0o600)
        terminal = self._terminal or self._open()
        terminal.sendline("bash /root/step")
        try:
            terminal.expect(_STATUS, timeout=seconds)
        except pexpect.TIMEOUT:
            self._keep(str(terminal.before))
            self.entries.append(f"'{command}' did not end within {seconds:.0f} s")
            raise AssertionError(f"{self.entries[-1]}\n{self.shown[-3000:]}") from None
        shown = str(terminal.before)
        self._keep(shown)
        assert isinstance(terminal.match, re.Match)
        status = int(terminal.match[1])
        if "Traceback" in shown or status not in statuses:
            self.entries.append(f"'{command}' ended with {status}: {shown[-600:]!r}")
        # What was typed meanwhile is read by the shell now.
        terminal.sendline("echo as $((40 + 2)) before")
        terminal.expect("as 42 before")
        self._keep(str(terminal.before))
        return shown

    def _open(self) -> pexpect.spawn[str]:
        env = {"PS1": _PROMPT, "ROOTS_TOKEN": ROOTS_SECRET, "DEBIAN_FRONTEND": "noninteractive"}
        terminal = self.machine.spawn(["bash", "--norc", "-i"], env=env)
        terminal.sendline(f"ulimit -v {_MEMORY_KIB}; PS1='{_PROMPT}'")
        self._terminal = terminal
        return terminal

    def _keep(self, shown: str) -> None:
        self.shown += shown

    def package(self) -> str:
        """The state of the package, as `installed` or `config-files`."""
        query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", COMMAND]
        return self.machine.run(query, check=False).stdout or "not-installed"

    def expect_package(self, state: str) -> None:
        if (found := self.package()) != state:
            self.entries.append(f"dpkg has the package as {found}, not {state}")

    def expect_harmless_cures(self, command: str) -> None:
        """Do what `command` tells root to do where the gateway's programs come into it."""
        said = self.machine.run([COMMAND, command, "--json"], check=False, timeout=120).stdout
        for cure in _cures(said):
            if "touch" in cure:
                self.entries.append(f"the attacker's words are in a cure: {cure}")
            if "touch" in cure or "python" in cure:
                self.machine.run(["timeout", "60", "sh", "-c", cure], check=False)

    # What came of it

    def kept(self) -> list[tuple[str, str, str]]:
        """All that the attackers have kept: who, the kind of thing, the thing."""
        lines = self.machine.run(["sh", "-c", f"cat {FOLDER}/loot/*"], check=False).stdout
        return [tuple(json.loads(line)) for line in lines.splitlines()]

    def judge(self) -> list[str]:
        """Add to `entries` what the attackers got, and what they did; returns all of them."""
        for user, kind, what in self.kept():
            if kind in _ALWAYS or any(secret in what for secret in self.secrets):
                self.entries.append(f"{user} has a {kind}: {what}")
        if self.machine.exists(loot.MARKER):
            self.entries.append("root ran a command of the attacker's")
        if loot.ESCAPE in self.shown:
            self.entries.append("an escape sequence of the attacker's was shown")
        if self._terminal:
            self._terminal.close(force=True)
        return self.entries


def _cures(report: str) -> list[str]:
    """The commands that the findings of `check --json` or `verify --json` tell root to run."""
    found = json.loads(report)
    texts = [
        str(one.get("cure", "")) for key in ("findings", "checks") for one in found.get(key, [])
    ]
    return [text.partition("run '")[2].rpartition("'")[0] for text in texts if "run '" in text]


def _program(user: str, *arguments: str) -> list[str]:
    target = f"{FOLDER}/loot/{user}-{'-'.join(arguments[:3]).replace('/', '_')}"
    return ["/usr/bin/python3", "-m", "tests.faults.attacker", target, *arguments]
