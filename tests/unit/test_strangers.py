"""A process of another user is a stranger: there is one way to start one, and no other place.

These tests read the code, of the package and of the scripts that root runs.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "hx_gateway_db"
THE_PLACE = PACKAGE / "programs.py"
# Read by the gateway's own Python, which runs as the gateway's user already.
RUN_BY_THE_GATEWAY = tuple((PACKAGE / "prisma").glob("guest_*.py"))
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path not in RUN_BY_THE_GATEWAY]
SCRIPTS = [
    *sorted(
        path
        for kind in ("config", "postinst", "preinst", "prerm", "postrm")
        for path in (ROOT / "debian").glob(f"*.{kind}")
    ),
    ROOT / "debian/make-install",
    ROOT / "debian/rules",
    ROOT / "Makefile",
]

_STARTERS = re.compile(r"(fork|forkpty|system|popen|exec[lv]\w*|spawn[lv]\w*|posix_spawnp?)")
_CHANGES = re.compile(r"(set(e|re|res)?[ug]id|setgroups|initgroups|setfsuid)")
# What may be taken from there: the name of an error.
_OF_SUBPROCESS = ("TimeoutExpired",)
_STARTING_MODULES = ("pty", "multiprocessing", "concurrent.futures.process", "_posixsubprocess")

_BECOMES = re.compile(
    r"(?<![\w./-])(runuser|su|setpriv|sudo|doas|gosu|chpst|machinectl)\s(?!--version)"
    r"|--chuid\b|--userspec\b|--uid="
)
_FIRST = {
    "setsid": re.compile(r"(?<!\w)setsid(?!\w)"),
    "env -i": re.compile(r"(?<!\w)env (-i|--ignore-environment)(?!\w)"),
    "timeout": re.compile(r"(?<!\w)timeout(?!\w)"),
}
# debconf's is 3 in a maintainer script.
_CLOSED = re.compile(r"3>&-")


def offences(source: str) -> Iterator[str]:
    """What in a module starts a process, or changes the user of this one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imported(node)
        elif isinstance(node, ast.Attribute):
            base = node.value.id if isinstance(node.value, ast.Name) else ""
            if base == "os" and _STARTERS.fullmatch(node.attr):
                yield f"line {node.lineno}: os.{node.attr}"
            elif base == "subprocess" and node.attr not in _OF_SUBPROCESS:
                yield f"line {node.lineno}: subprocess.{node.attr}"
            elif _CHANGES.fullmatch(node.attr) or node.attr.startswith("create_subprocess"):
                yield f"line {node.lineno}: {node.attr}"


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            # By another name, an attribute of it would not be seen.
            hidden = alias.name in ("os", "subprocess") and alias.asname is not None
            if alias.name in _STARTING_MODULES or hidden:
                yield f"line {node.lineno}: import {alias.name}"
        return
    for alias in node.names:
        if (
            node.module in _STARTING_MODULES
            or (node.module == "subprocess" and alias.name not in _OF_SUBPROCESS)
            or (node.module == "os" and _STARTERS.fullmatch(alias.name))
            or (node.module == "os" and _CHANGES.fullmatch(alias.name))
        ):
            yield f"line {node.lineno}: from {node.module} import {alias.name}"


def as_other_user(source: str) -> list[ast.Call]:
    """The calls that start a process as another user."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {"user", "group", "extra_groups"}
    return [call for call in calls if names & {keyword.arg for keyword in call.keywords}]


def commands(text: str) -> Iterator[str]:
    """The command lines of a script, each as one line, without comments and what is told people."""
    joined = re.sub(r"\\\n\s*", " ", text)
    told = re.compile(r"""\becho\s+("[^"]*"|'[^']*')|\s#\s.*""")
    for line in joined.splitlines():
        if not line.lstrip().startswith("#"):
            yield told.sub("", line)


def lacking(command: str) -> list[str]:
    """What a command line lacks before it becomes another user; nothing if it does not."""
    becomes = _BECOMES.search(command)
    if becomes is None:
        return []
    before = command[: becomes.start()]
    lacks = [name for name, pattern in _FIRST.items() if not pattern.search(before)]
    return lacks if _CLOSED.search(command) else [*lacks, "3>&-"]


@pytest.mark.parametrize("path", [x for x in MODULES if x != THE_PLACE], ids=lambda path: path.name)
def test_no_module_but_one_starts_a_process_or_changes_a_user(path: Path) -> None:
    assert list(offences(path.read_text())) == []


def test_there_is_one_way_to_start_one_as_another_user_and_it_gives_nothing_away() -> None:
    (call,) = as_other_user(THE_PLACE.read_text())
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    assert given["start_new_session"] == "True"
    assert given["extra_groups"] == "[]"
    assert given["cwd"] == "'/'"
    assert {given[name] for name in ("stdin", "stdout", "stderr")} == {"subprocess.PIPE"}
    # None would be ours; and a function of ours would run as the other user.
    assert given["env"] not in ("None", "os.environ")
    assert not {"pass_fds", "close_fds", "preexec_fn"} & set(given)


@pytest.mark.parametrize("path", RUN_BY_THE_GATEWAY, ids=lambda path: path.name)
def test_what_the_gateway_runs_is_imported_by_no_module_of_ours(path: Path) -> None:
    for module in MODULES:
        names = {
            alias.name
            for node in ast.walk(ast.parse(module.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not {name for name in names if name.rpartition(".")[2] == path.stem}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_becomes_another_user_only_with_a_session_and_nothing_of_root_s(
    path: Path,
) -> None:
    found = {
        command: lacks for command in commands(path.read_text()) if (lacks := lacking(command))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.run(['true'])",
        "import subprocess as s",
        "from subprocess import Popen",
        "import os\nos.fork()",
        "import os\nos.execvp('x', [])",
        "import os\nos.posix_spawn('x', [], {})",
        "import os\nos.setuid(5)",
        "from os import setresuid",
        "import ctypes\nctypes.CDLL(None).setuid(5)",
        "import pty",
        "import multiprocessing",
        "import asyncio\nasyncio.create_subprocess_exec('x')",
    ],
)
def test_each_way_to_start_a_process_is_seen(source: str) -> None:
    assert list(offences(source)) != []


@pytest.mark.parametrize(
    ("command", "lacks"),
    [
        ("runuser -u postgres -- psql", ["setsid", "env -i", "timeout", "3>&-"]),
        ("env -i timeout 60 setsid --wait \\\n  runuser -u postgres -- psql 3>&-", []),
        ("env -i timeout 60 setpriv --reuid=x true 3>&-", ["setsid"]),
        ("setpriv --reuid=x setsid env -i timeout 5 true 3>&-", ["setsid", "env -i", "timeout"]),
        ("su postgres -c psql 3>&- # setsid env -i timeout", ["setsid", "env -i", "timeout"]),
        ("echo 'use sudo make' && true", []),
        ("echo ok; sudo true 3>&-", ["setsid", "env -i", "timeout"]),
    ],
)
def test_what_a_change_of_user_lacks_in_a_script_is_seen(command: str, lacks: list[str]) -> None:
    assert [found for line in commands(command) for found in lacking(line)] == lacks
