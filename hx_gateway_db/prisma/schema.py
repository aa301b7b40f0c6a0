"""schema.prisma as text: the tables that LiteLLM expects, their columns and indexes.

Read line by line, each once (Prisma's reference, "Prisma schema"); whoever wrote the text decides
no more than what is said of tables. Pure.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(r"(model|enum|type|view)\s{1,20}([A-Za-z][A-Za-z0-9_]{0,127})\s{0,20}\{")
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,127})\s{1,200}([A-Za-z][A-Za-z0-9_]{0,127})")
_MAPPED = re.compile(r"@map\(\s{0,20}(?:name:\s{0,20})?\"([^\"]{1,63})\"")
_LISTED = re.compile(r"@@(index|unique|id)\(\s{0,20}(?:fields:\s{0,20})?\[([^\]]{1,1000})\]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_MOST_JOINED = 50


@dataclass(frozen=True)
class Table:
    """A table as PostgreSQL names it; an index is the columns that it is on, in their order."""

    name: str
    columns: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()


def tables(text: str) -> list[Table]:
    """The tables of a schema, in its order."""
    blocks = list(_blocks(text))
    models = {name for kind, name, _ in blocks if kind == "model"}
    return [_table(name, lines, models) for kind, name, lines in blocks if kind == "model"]


def _blocks(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Each block's kind, name and lines."""
    kind, name, lines = "", "", list[str]()
    for line in text.splitlines():
        code = _code(line).strip()
        if begun := _BLOCK.match(code):
            kind, name, lines = begun[1], begun[2], []
        elif code == "}":
            if kind:
                yield kind, name, lines
            kind = ""
        elif kind and code:
            lines.append(code)


def _code(line: str) -> str:
    """A line without its comment, which begins at `//` outside of a text in quotes."""
    parts = line.split('"')
    for number, part in enumerate(parts[::2]):
        if "//" in part:
            kept = [*parts[: 2 * number], part.partition("//")[0]]
            return '"'.join(kept)
    return line


def _table(model: str, lines: list[str], models: set[str]) -> Table:
    columns: dict[str, str] = {}
    listed: list[list[str]] = []
    name = model
    for line in _joined(lines):
        mapped = _MAPPED.search(line)
        if line.startswith("@@"):
            if line.startswith("@@map") and mapped:
                name = mapped[1]
            elif found := _LISTED.match(line):
                words = (_NAME.match(part.strip()) for part in found[2].split(","))
                listed += [[word[0] for word in words if word]] if found[1] != "id" else []
            continue
        field = _FIELD.match(line)
        # What is of another model's type is a relation, and no column.
        if field and field[2] not in models:
            columns[field[1]] = mapped[1] if mapped else field[1]
            if "@unique" in line:
                listed.append([field[1]])
    indexes = (tuple(columns.get(word, word) for word in words) for words in listed)
    return Table(name, tuple(columns.values()), tuple(dict.fromkeys(indexes)))


def _joined(lines: list[str]) -> Iterator[str]:
    """The lines, those of one attribute as one."""
    held: list[str] = []
    depth = 0
    for line in lines:
        held.append(line)
        depth += line.count("(") - line.count(")")
        if depth <= 0 or len(held) > _MOST_JOINED:
            yield " ".join(held)
            held, depth = [], 0
