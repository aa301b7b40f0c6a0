"""Looks for secrets in a machine's files and processes; a program of its own, run inside it.

    secret_search.py files SINCE     every file changed since then, on every file system
    secret_search.py processes DIR   argv and environment of all processes, until DIR/stop exists

The secrets come in on standard input and what is found goes out on standard output, both as JSON.
A find names the secret and never quotes it. Nothing but Python's library is used.
"""

from __future__ import annotations

import grp
import gzip
import json
import lzma
import os
import pwd
import stat
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote as shell_quoted
from urllib.parse import quote, quote_plus

_NOT_STORAGE = {
    *("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "bpf", "tracefs"),
    *("debugfs", "configfs", "fusectl", "pstore", "efivarfs", "binfmt_misc", "autofs"),
}
_UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".lzma": lzma.decompress,
}
# Half a core's worth of looking: some 700 looks a second at each process.
_PAUSE = 0.001


@dataclass(frozen=True)
class Secret:
    """A password; `core` is a part of it that is unique and that no escaping changes."""

    name: str
    raw: str = field(repr=False)
    core: str = field(repr=False)

    def forms(self) -> dict[str, str]:
        """The password as it could be written somewhere, most exact first."""
        raw, encoded = self.raw, quote(self.raw, safe="")
        written = {
            "raw": raw,
            "percent-encoded": encoded,
            "percent-encoded as a path": quote(raw),
            "percent-encoded as a form": quote_plus(raw),
            "escaped for debconf": "".join(f"\\{c}" if c in "\\ \t" else c for c in raw),
            "quoted for sh": shell_quoted(raw),
            "quoted for JSON": json.dumps(raw)[1:-1],
            "quoted for Python": repr(raw)[1:-1],
            "quoted for SQL": raw.replace("'", "''"),
            "in part or escaped otherwise": self.core,
        }
        for shift in range(3):
            written[f"in Base64 at {shift}"] = _inside_base64(raw, shift)
            written[f"percent-encoded in Base64 at {shift}"] = _inside_base64(encoded, shift)
        return written


@dataclass(frozen=True)
class Find:
    """A secret where it was found: `kind` of place, its name, and what tells more of it."""

    secret: str
    form: str
    kind: str
    place: str
    more: str = ""


class Search:
    """Finds secrets in bytes."""

    def __init__(self, secrets: list[Secret]) -> None:
        self._forms = {
            secret.name: {name: text.encode() for name, text in secret.forms().items()}
            for secret in secrets
        }
        # What no form lacks: a look for these is enough to see that there is nothing.
        self._telltales = {
            secret.name: [
                secret.core.encode(),
                *(text for name, text in self._forms[secret.name].items() if "Base64" in name),
            ]
            for secret in secrets
        }

    def __call__(self, data: bytes) -> Iterator[tuple[str, str]]:
        """The names of each secret in `data` and of the form it has there."""
        for name, telltales in self._telltales.items():
            if any(telltale in data for telltale in telltales):
                forms = self._forms[name].items()
                yield name, next(form for form, text in forms if text in data)


def search_files(search: Search, since: float) -> Iterator[Find]:
    """Finds in all files that were changed since then, in their names and in links."""
    for root in _mounts():
        for path, status in _walk(root):
            if status.st_ctime < since:
                continue
            data = os.fsencode(path) + b"\n" + _content(path, status)
            for secret, form in search(data):
                yield Find(secret, form, "file", str(path), _access(status))


def watch_processes(search: Search, folder: Path) -> tuple[set[Find], Counter[str]]:
    """Finds in the processes until `folder`/stop exists, and how often each command was seen."""
    finds: set[Find] = set()
    samples: Counter[str] = Counter()
    known: dict[str, tuple[bytes, bytes, str]] = {}
    stop = folder / "stop"
    (folder / "started").touch()
    while not stop.exists():
        pids = [name for name in os.listdir("/proc") if name.isdecimal()]
        known = {pid: known[pid] for pid in pids if pid in known}
        for pid in pids:
            arguments, environment = _read(pid, "cmdline"), _read(pid, "environ")
            last = known.get(pid)
            if last and last[:2] == (arguments, environment):
                samples[last[2]] += 1
                continue
            # Read anew: since the last look it has become another program, or is another process.
            unit, command = _unit(pid), _read(pid, "comm").decode(errors="replace").strip()
            known[pid] = (arguments, environment, command)
            samples[command] += 1
            for kind, data in (("argv", arguments), ("environment", environment)):
                finds.update(Find(*found, kind, command, unit) for found in search(data))
        time.sleep(_PAUSE)
    return finds, samples


def _inside_base64(text: str, shift: int) -> str:
    """What is the same in any Base64 text that has `text` at an offset of 3n + `shift` bytes."""
    data = b"\0" * shift + text.encode()
    whole = b64encode(data).decode()
    return whole[-(-shift * 8 // 6) : len(data) * 8 // 6]


def _mounts() -> Iterator[Path]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] not in _NOT_STORAGE:
            yield Path(left.split()[4].encode().decode("unicode_escape"))


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below `root` on its file system."""
    status = os.lstat(root)
    yield root, status
    folders = [root] if stat.S_ISDIR(status.st_mode) else []
    while folders:
        for entry in _entries(folders.pop()):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield Path(entry.path), found
            # An overlay gives its files other device numbers, but not its folders.
            if stat.S_ISDIR(found.st_mode) and found.st_dev == status.st_dev:
                folders.append(Path(entry.path))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _content(path: Path, status: os.stat_result) -> bytes:
    try:
        if stat.S_ISLNK(status.st_mode):
            return os.fsencode(os.readlink(path))
        if not stat.S_ISREG(status.st_mode):
            return b""
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    unpack = _UNPACKERS.get(path.suffix)
    return data + unpack(data) if unpack else data


def _access(status: os.stat_result) -> str:
    owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    return f"{owner}:{group} {stat.S_IMODE(status.st_mode):o}"


def _read(pid: str, name: str) -> bytes:
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    except OSError:
        return b""
    try:
        return b"".join(iter(lambda: os.read(descriptor, 1 << 16), b""))
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _unit(pid: str) -> str:
    """The systemd unit whose control group the process is in."""
    for line in _read(pid, "cgroup").decode().splitlines():
        for name in reversed(line.split("/")):
            if name.endswith((".service", ".scope")):
                return name
    return ""


def _main(mode: str, argument: str) -> None:
    search = Search([Secret(**secret) for secret in json.load(sys.stdin)])
    samples: Counter[str] = Counter()
    if mode == "files":
        finds = set(search_files(search, float(argument)))
    else:
        finds, samples = watch_processes(search, Path(argument))
    json.dump({"finds": [asdict(find) for find in finds], "samples": samples}, sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
