"""Packages made for a test, and dpkg with a record of the maintainer scripts that it calls."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.machine.machine import Machine

NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive"}
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
# What comes first in a script: it writes its call down, and fails once if the test asks for it.
_OBSERVER = """\
echo "{version} {script} $*" >>/root/calls
if [ -e "/root/fail/{version} {script} $1" ]; then
    rm "/root/fail/{version} {script} $1"
    exit 1
fi
"""


def observed(deb: Path, folder: Path, version: str) -> Path:
    """Our package as another version whose scripts can be observed and told to fail.

    It has a preinst too, which ours has not: of what dpkg does when one fails, our other scripts
    are a part.
    """
    tree = folder / f"ours-{version}"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text(
        "".join(f"Version: {version}\n" if x.startswith("Version:") else f"{x}\n" for x in lines)
    )
    for name in SCRIPTS:
        script = tree / "DEBIAN" / name
        head, _, rest = (script.read_text() if script.exists() else "#!/bin/sh\n").partition("\n")
        script.write_text(f"{head}\n{_OBSERVER.format(version=version, script=name)}{rest}")
        script.chmod(0o755)
    return _build(tree, folder / f"hx-gateway-db_{version}_all.deb")


def fake(
    folder: Path,
    name: str,
    fields: Mapping[str, str],
    files: Iterable[str] = (),
    scripts: Mapping[str, str] | None = None,
) -> Path:
    """A package of version 1 with these further fields, empty files and scripts."""
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    control = {
        "Package": name,
        "Version": "1",
        "Architecture": "all",
        "Maintainer": "nobody <nobody@example.invalid>",
        "Description": "made by a test",
        **fields,
    }
    text = "".join(f"{key}: {value}\n" for key, value in control.items())
    (tree / "DEBIAN/control").write_text(text)
    for file in files:
        path = tree / file.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for script, body in (scripts or {}).items():
        path = tree / "DEBIAN" / script
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    return _build(tree, folder / f"{name}_1_all.deb")


class Dpkg:
    """dpkg on a machine, with our package in two observed versions, "1" and "2"."""

    def __init__(self, machine: Machine, deb: Path, folder: Path) -> None:
        self.machine = machine
        self._folder = folder
        machine.run(["mkdir", "/root/fail"])
        for version in ("1", "2"):
            self.put(observed(deb, folder, version))

    def put(self, deb: Path) -> str:
        """Copy a package file into the machine; returns where it is there."""
        target = f"/root/{deb.name}"
        self.machine.put(deb, target)
        return target

    def make(self, name: str, fields: Mapping[str, str], **more: object) -> str:
        """As `fake`, put into the machine."""
        return self.put(fake(self._folder, name, fields, **more))  # type: ignore[arg-type]

    def fail(self, *calls: str) -> None:
        """Let these calls fail once: `VERSION SCRIPT FIRST-ARGUMENT`."""
        self.machine.run(["touch", *(f"/root/fail/{call}" for call in calls)])

    def run(self, *arguments: str, check: bool = True) -> str:
        """What dpkg says; with `check`, it has to succeed, without, to fail."""
        done = self.machine.run(["dpkg", *arguments], env=NONINTERACTIVE, check=check)
        assert check or done.returncode != 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, version: str, *, check: bool = True) -> str:
        return self.run("--install", f"/root/hx-gateway-db_{version}_all.deb", check=check)

    def calls(self) -> list[str]:
        """The calls since this was last asked.

        debconf starts a script anew, after config if that was not run yet: that counts once.
        """
        script = "touch /root/calls && cat /root/calls && rm /root/calls"
        calls: list[str] = []
        before = ""
        for line in self.machine.run(["sh", "-c", script]).stdout.splitlines():
            call = " ".join(line.split())
            if call != before:
                calls.append(call)
            if " config " not in call:
                before = call
        return calls

    def unused_failures(self) -> list[str]:
        """What was told to fail and was not called."""
        return self.machine.run(["ls", "/root/fail"]).stdout.splitlines()

    def state(self, package: str = "hx-gateway-db") -> str:
        """dpkg's status of a package and its version, such as `installed 1`."""
        shown = "--showformat=${db:Status-Status} ${Version}"
        asked = self.machine.run(["dpkg-query", "--show", shown, package], check=False)
        return asked.stdout.strip() or "not-installed"


def _build(tree: Path, target: Path) -> Path:
    command = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return target
