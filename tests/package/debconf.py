"""debconf with a database of its own, for the package's config and postinst as they are."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pexpect

from hx_gateway_db.findings import Cure, Subject
from hx_gateway_db.settings.catalogue import ANSWERS, Answer, Kind
from hx_gateway_db.settings.debconf import finding_lines

PROJECT = Path(__file__).resolve().parents[2]
STATE = "/var/lib/hx-gateway-db/state"
SYSTEM_CONFIGURATION = Path("/usr/share/debconf/debconf.conf")
_ROWS = {answer.key: answer for answer in ANSWERS}
_OTHERS = {
    Kind.PASSWORD: "a secret",
    Kind.TEXT: "some text",
    Kind.HOST: "other.example.org",
    Kind.PORT: "6543",
    Kind.NAME: "other",
    Kind.NUMBER: "7",
    Kind.FILE: "/etc/other",
    Kind.FOLDER: "/srv/other",
}
_READER = """
import sys
from pathlib import Path
from hx_gateway_db.settings.debconf import answers_to_apply, debconf_lines, given_answers
if len(sys.argv) == 1:
    for key, value in answers_to_apply(sys.stdin.buffer.read().decode()).items():
        print(f"{key}={value}")
    sys.exit()
lines = Path(sys.argv[1]).read_bytes().decode().removesuffix("\\n").split("\\n")
host = dict(line.split("=", 1) for line in lines if line)
edited = host.pop("EDITED", "").split()
for line in debconf_lines(host, edited, given_answers(sys.stdin.read())):
    print(line)
"""
_RECORDER = """\
#!/bin/sh
# Stands in for the command: keeps what it is given, and says what the test wants it to.
case $1 in
answers)
    echo asked >>"{folder}/asked"
    PYTHONPATH="{project}" exec "{python}" -c '{reader}' "{folder}/host"
    ;;
apply)
    shift
    echo "$@" >"{folder}/arguments"
    PYTHONPATH="{project}" "{python}" -c '{reader}' >"{folder}/given"
    echo "$@" >>"{folder}/history"
    status=$(sed -n 1p "{folder}/status")
    [ "$(wc -l <"{folder}/status")" -eq 1 ] || sed -i 1d "{folder}/status"
    [ "$status" -eq 0 ] || cat "{folder}/found"
    exit "$status"
    ;;
esac
"""


class Debconf:
    """The maintainer scripts under Debian's real debconf, in `folder`.

    `hx-gateway-db` is replaced by a recorder: what debconf does with an answer is the subject. What
    it says of the host is said of values that the test has made up.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cache = folder / "cache"
        self.cache.mkdir()
        configuration = SYSTEM_CONFIGURATION.read_text()
        self._configuration = folder / "debconf.conf"
        self._configuration.write_text(configuration.replace("/var/cache/debconf", str(self.cache)))
        self._state = folder / "state"
        for script in ("config", "postinst", "postrm"):
            text = (PROJECT / f"debian/hx-gateway-db.{script}").read_text()
            copy = folder / f"hx-gateway-db.{script}"
            copy.write_text(text.replace(f" {STATE} ", f" {self._state} "))
            copy.chmod(0o755)
        templates = subprocess.run(
            ["po2debconf", PROJECT / "debian/hx-gateway-db.templates"],
            check=True,
            capture_output=True,
        )
        (folder / "hx-gateway-db.templates").write_bytes(templates.stdout)
        (folder / "bin").mkdir()
        self._write_script("dpkg-trigger", f'#!/bin/sh\necho "$@" >"{folder}/triggered"\n')
        self.host_has()
        self.command_ends_with(0)

    def install_command(self) -> None:
        """From now on `hx-gateway-db` is there, as it is when postinst runs."""
        self._write_script(
            "hx-gateway-db",
            _RECORDER.format(
                folder=self._folder, project=PROJECT, python=sys.executable, reader=_READER
            ),
        )

    def install_earlier_command(self) -> None:
        """The same with one that can't tell debconf what is on the host, as 0.1.0 can't."""
        self._write_script("hx-gateway-db", '#!/bin/sh\n[ "$*" = answers ] || exit 2\n')

    def install_real_command(self, root: Path) -> None:
        """The same with the command itself, on a tree of files that has been wired."""
        self._state.touch()
        python = f'PYTHONPATH="{PROJECT}" exec "{sys.executable}" -m hx_gateway_db'
        self._write_script("hx-gateway-db", f'#!/bin/sh\n{python} --root "{root}" "$@"\n')

    def host_has(self, **answers: str) -> None:
        """What `hx-gateway-db answers` reads back from the host."""
        lines = (f"{key}={value}\n" for key, value in answers.items())
        (self._folder / "host").write_text("".join(lines))
        if answers:
            self._state.touch()

    def command_ends_with(self, *statuses: int, found: str = "") -> None:
        """The exit statuses of the next `hx-gateway-db apply`, the last for all that follow.

        `found` is what one that fails says of its findings, for postinst.
        """
        (self._folder / "status").write_text("".join(f"{status}\n" for status in statuses))
        (self._folder / "found").write_text(f"{found}\n")

    def select(self, **answers: str) -> None:
        """Preseed, as debconf-set-selections does."""
        for key, value in answers.items():
            row = _ROWS[key]
            self.select_line(f"hx-gateway-db/{row.question} {row.debconf_type} {value}")

    def select_line(self, line: str) -> None:
        """Preseed one question with a line `QUESTION TYPE VALUE`."""
        subprocess.run(
            ["debconf-set-selections"],
            input=f"hx-gateway-db {line}\n".encode(),
            env=self._environment({}),
            check=True,
        )

    def configure(
        self, old_version: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """What dpkg runs to configure the package: config, then postinst."""
        return subprocess.run(
            self._postinst(old_version),
            env=self._environment({"DEBIAN_FRONTEND": "noninteractive", **environment}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def run_trigger(self) -> None:
        """What dpkg runs when our trigger was activated; an AssertionError if it was not."""
        name = (self._folder / "triggered").read_text().split()[-1]
        interest = (PROJECT / "debian/hx-gateway-db.triggers").read_text().split()[-1]
        assert name == interest
        subprocess.run(
            self._frontend("triggered", name),
            env=self._environment({"DEBIAN_FRONTEND": "noninteractive"}),
            check=True,
        )

    def remove(self) -> None:
        """What dpkg runs when the package has been removed."""
        subprocess.run(
            [self._folder / "hx-gateway-db.postrm", "remove"],
            env=self._environment({"DEBIAN_FRONTEND": "noninteractive"}),
            check=True,
        )

    def purge(self, state: str) -> list[str]:
        """What dpkg runs to purge the package, whose state file holds `state`, as root.

        Returns the commands that were run on the servers.
        """
        folder = self._folder / "var-lib/hx-gateway-db"
        folder.mkdir(parents=True)
        (folder / "state").write_text(state)
        commands = self._folder / "commands"
        commands.write_text("")
        for name in ("setpriv", "redis-cli"):
            self._write_script(name, f'#!/bin/sh\necho {name} "$@" >>"{commands}"\n')
        mount = 'mount --bind "$1" /var/lib && shift && exec "$@"'
        frontend = ["/usr/share/debconf/frontend", str(self._folder / "hx-gateway-db.postrm")]
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, "sh", folder.parent, *frontend, "purge"],
            env=self._environment({"DEBIAN_FRONTEND": "noninteractive"}),
            check=True,
        )
        return commands.read_text().splitlines()

    def keep_password_backups(self) -> None:
        """Configure debconf as an administrator may: a backup of passwords.dat too."""
        text = self._configuration.read_text()
        assert "Backup: false" in text
        self._configuration.write_text(text.replace("Backup: false", "Backup: true"))

    def dialog(
        self,
        old_version: str = "",
        priority: str = "high",
        frontend: str = "teletype",
        **environment: str,
    ) -> "pexpect.spawn[str]":
        """The same on a terminal."""
        return self._spawn(self._postinst(old_version), frontend, priority, environment)

    def edit(
        self, *conversation: tuple[str, str], old_version: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """The same at low priority with an editor, for which see editor.py."""
        (self._folder / "conversation").write_text(json.dumps(conversation))
        editor = f"{sys.executable} {PROJECT / 'tests/package/editor.py'} {self._folder}"
        return self.configure(
            old_version, DEBIAN_FRONTEND="editor", DEBIAN_PRIORITY="low", EDITOR=editor
        )

    @property
    def pages(self) -> list[str]:
        """What the editor has been shown, without the answers."""
        return list(json.loads((self._folder / "pages").read_text()))

    @property
    def unasked(self) -> list[list[str]]:
        """What is left of the conversation with the editor."""
        return list(json.loads((self._folder / "conversation").read_text()))

    def questions(self, *arguments: str) -> "pexpect.spawn[str]":
        """Only the questions, on a terminal with dialogs."""
        script = str(self._folder / "hx-gateway-db.config")
        return self._spawn(
            ["/usr/share/debconf/frontend", script, *arguments], "dialog", "high", {}
        )

    @property
    def given(self) -> dict[str, str]:
        """The answers that the command was given, without reading anything into them."""
        lines = (self._folder / "given").read_bytes().decode().removesuffix("\n").split("\n")
        return dict(line.split("=", 1) for line in lines)

    @property
    def arguments(self) -> str:
        """The command line of the last `hx-gateway-db apply`."""
        return (self._folder / "arguments").read_text().strip()

    @property
    def attempts(self) -> list[str]:
        """The command lines of every `hx-gateway-db apply`."""
        return (self._folder / "history").read_text().splitlines()

    @property
    def asked(self) -> int:
        """How often the command was asked what is on the host."""
        asked = self._folder / "asked"
        return len(asked.read_text().splitlines()) if asked.exists() else 0

    def occurrences(self, text: str) -> list[str]:
        """The names of debconf's files that hold `text`."""
        return [path.name for path in self.cache.iterdir() if text in path.read_text()]

    def seen(self) -> set[str]:
        """The questions that debconf holds an answer for this run to."""
        entries = (self.cache / "config.dat").read_text().split("\n\n")
        entries += (self.cache / "passwords.dat").read_text().split("\n\n")
        names = (re.search(r"^Name: hx-gateway-db/(.*)", entry, re.M) for entry in entries)
        return {
            name[1]
            for name, entry in zip(names, entries, strict=True)
            if name and re.search(r"^Flags:.*\bseen\b", entry, re.M)
        }

    def _postinst(self, old_version: str) -> list[str]:
        return self._frontend("configure", old_version)

    def _frontend(self, *arguments: str) -> list[str]:
        script = self._folder / "hx-gateway-db.postinst"
        return ["/usr/share/debconf/frontend", str(script), *arguments]

    def _spawn(
        self, command: list[str], frontend: str, priority: str, more: Mapping[str, str]
    ) -> "pexpect.spawn[str]":
        ours = {"DEBIAN_FRONTEND": frontend, "DEBIAN_PRIORITY": priority, "TERM": "xterm"}
        environment: Any = self._environment({**ours, **more})  # the stub wants os.environ's class
        return pexpect.spawn(
            command[0],
            command[1:],
            env=environment,
            encoding="utf-8",
            timeout=20,
            dimensions=(50, 120),
            echo=False,
        )

    def _write_script(self, name: str, text: str) -> None:
        path = self._folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            "PATH": f"{self._folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBCONF_SYSTEMRC": str(self._configuration),
            "DEBCONF_NOWARNINGS": "yes",
            "LC_ALL": "C.UTF-8",
            "HOME": os.environ.get("HOME", "/"),
            **more,
        }


def failed(sentence: str, by: Cure = Cure.BY_HAND, *answers: str) -> str:
    """What the command says of one check that failed, for `command_ends_with`."""
    finding = Subject("name", "where", answers).failed(sentence.removesuffix("."), by=by)
    return "\n".join(finding_lines([finding]))


def another(answer: Answer) -> str:
    """A value that is not the default, of the answer's kind."""
    if answer.kind is Kind.BOOLEAN:
        return "false" if answer.default == "true" else "true"
    return next((c for c in answer.choices if c != answer.default), _OTHERS.get(answer.kind, ""))


def prompt(answer: Answer) -> str:
    """What the answer's question says, as a regular expression."""
    text = (PROJECT / "debian/hx-gateway-db.templates").read_text()
    stanza = text.partition(f"Template: hx-gateway-db/{answer.question}\n")[2]
    description = re.search(r"^_Description: (.*)$", stanza, re.M)
    assert description
    return description[1].replace("?", r"\?")
