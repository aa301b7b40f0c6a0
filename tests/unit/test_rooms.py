"""The rooms of the library: imports run down the list, and each effect has one room.

Read from the code's own imports and calls; a finding names the file and the line.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "hx_gateway_db"
# From the top of the table down: a room may import those after it.
ROOMS = (
    *("cli", "wiring", "checks", "gateway", "handover", "host"),
    *("postgres", "redis", "prisma"),
    *("systemd", "transaction", "settings", "yaml_edit"),
)
STRANGERS = ("postgres", "redis", "prisma")
SHARED = ("errors", "findings", "in_thread", "layout", "programs", "progress", "redaction")
# Programs that another process runs; nothing imports them.
GUESTS = {"prisma/guest_probe.py", "prisma/guest_generator.py", "postgres/guest_superuser.py"}
LONGEST = 400
# Their own folders and records: `prepare` has what it made there adopted by the transaction.
NOBODY_ELSE_READS = ("prisma/prepare.py", "wiring/settled.py")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room_of(name: str) -> str:
    """The room of a dotted module name or of a path inside the package; empty for the shared."""
    first = name.removeprefix("hx_gateway_db").strip("./").replace("/", ".").partition(".")[0]
    return first if first in ROOMS else ""


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and the dotted name of everything imported, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_the_package_shows_its_rooms_and_what_all_of_them_share() -> None:
    shown = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    files = {f"{name}.py" for name in (*SHARED, "__init__", "__main__")}
    assert shown == {*ROOMS, *files}


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_sign_is_a_docstring_and_nothing_else(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_imports_run_down_the_table_only() -> None:
    wrong = []
    for path in modules():
        here = room_of(place(path))
        for line, name in imports(ast.parse(path.read_text())):
            there = room_of(name) if name.startswith("hx_gateway_db.") else ""
            if not there or here == there or place(path) == "__main__.py":
                continue
            up = not here or ROOMS.index(there) < ROOMS.index(here)
            if up or (here in STRANGERS and there in STRANGERS):
                wrong.append(f"{place(path)}:{line}: {here or 'shared'} imports {name}")
    assert "\n".join(wrong) == ""


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {place(path): len(path.read_text().splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def only(
    rooms: tuple[str, ...],
    is_such: Callable[[ast.AST], bool],
    others: Collection[str] = (),
) -> str:
    """Where outside of `rooms` and the modules `others` there is such a node: file and line."""
    return "\n".join(
        f"{place(path)}:{getattr(node, 'lineno', 0)}"
        for path in modules()
        if room_of(place(path)) not in rooms and place(path) not in (*GUESTS, *others)
        for node in ast.walk(ast.parse(path.read_text()))
        if is_such(node)
    )


def test_only_the_command_line_prints() -> None:
    def prints(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ) or (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "sys"
            and node.attr in ("stdout", "stderr")
        )

    assert only(("cli",), prints) == ""


def test_only_systemds_room_starts_its_programs() -> None:
    def starts(node: ast.AST) -> bool:
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            return False
        first = node.elts[0]
        return isinstance(first, ast.Constant) and first.value in (
            *("systemctl", "systemd-run", "journalctl"),
        )

    assert only(("systemd",), starts) == ""


_WRITERS = {
    *("write_text", "write_bytes", "mkdir", "rename", "replace", "unlink", "rmdir", "symlink_to"),
    *("touch", "chmod", "fchmod", "fchown", "chown", "link", "symlink", "rmtree", "makedirs"),
}


def test_only_the_transaction_writes_files() -> None:
    def writes(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return False
        owner = node.func.value
        module = isinstance(owner, ast.Name) and owner.id in ("os", "shutil")
        path = node.func.attr in ("write_text", "write_bytes", "mkdir", "unlink", "rmdir", "touch")
        return (module and node.func.attr in _WRITERS) or (not module and path)

    assert only(("transaction",), writes, NOBODY_ELSE_READS) == ""


@pytest.mark.parametrize(
    ("library", "room"),
    [
        *(("http", "gateway"), ("urllib.request", "gateway"), ("psycopg", "postgres")),
        *(("redis", "redis"), ("jinja2", "settings"), ("yaml", "yaml_edit"), ("dotenv", "host")),
    ],
)
def test_each_library_with_an_effect_has_one_room(library: str, room: str) -> None:
    found = "\n".join(
        f"{place(path)}:{line}"
        for path in modules()
        if room_of(place(path)) != room and place(path) not in GUESTS
        for line, name in imports(ast.parse(path.read_text()))
        if name == library or name.startswith(f"{library}.")
    )
    assert found == ""


def test_a_finding_is_made_by_its_subject_or_its_sentence_alone() -> None:
    def makes(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "Finding"
        )

    assert only((), makes, ("findings.py",)) == ""
