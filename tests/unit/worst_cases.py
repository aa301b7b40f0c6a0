"""The regular expressions of the package, found by reading its code, and texts that hurt them."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import hx_gateway_db

PACKAGE = Path(hx_gateway_db.__file__).parent
_METHODS = ("match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer")
_COMMON = " x0A/\"'\\=:-.\n\t"
_MOST_PIECES = 14


@dataclass(frozen=True)
class Use:
    """A pattern, and the method by which it reads; `expression` is what the code says of it."""

    module: str
    name: str
    pattern: "re.Pattern[Any]"
    method: str

    def read(self, text: str) -> object:
        given = text.encode("latin-1", "replace") if self.is_bytes else text
        if self.method in ("sub", "subn"):
            return self.pattern.sub(b"" if self.is_bytes else "", given)
        found = getattr(self.pattern, self.method)(given)
        return list(found) if self.method == "finditer" else found

    @property
    def is_bytes(self) -> bool:
        return isinstance(self.pattern.pattern, bytes)


class Unknown(Exception):
    """A pattern that is made while the program runs: it needs a line in a table of the test's."""


def modules() -> Iterator[tuple[str, Path]]:
    """Each module of the package: its name below that, with a dot, and its file."""
    for file in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(file.relative_to(PACKAGE).with_suffix("").parts), file


def uses(local: dict[tuple[str, str], list[Any]], methods: dict[str, str]) -> list[Use]:
    """Every use of a pattern in the package.

    `local` has the patterns of the inline calls whose first argument is a local variable,
    `methods` how a pattern is used that is handed on. Raises Unknown.
    """
    trees = {name: ast.parse(file.read_text()) for name, file in modules()}
    called = {
        (module if node.value.id.startswith("_") else "", node.value.id, node.attr)
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    found: list[Use] = []
    for module, tree in trees.items():
        for name, call in _named_calls(tree):
            function = call.func.attr  # type: ignore[attr-defined]
            if function == "escape":
                continue
            for pattern in _patterns(module, call, local):
                if function != "compile":
                    found.append(Use(module, ast.unparse(call.args[0]), pattern, function))
                    continue
                home = module if name.startswith("_") else ""
                known = [method for method in _METHODS if (home, name, method) in called]
                if name in methods:
                    known = [methods[name]]
                found += [Use(module, name, pattern, method) for method in known or ["search"]]
    return found


def _named_calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Calls of `re`, each with the name that its value is given."""
    names: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            names |= dict.fromkeys(ast.walk(node.value), ast.unparse(target))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "re":
            raise Unknown("import re as a whole: then its calls can be found")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
        ):
            yield names.get(node, ""), node


def _patterns(
    module: str, call: ast.Call, local: dict[tuple[str, str], list[Any]]
) -> list["re.Pattern[Any]"]:
    said = ast.unparse(call.args[0])
    if (module, said) in local:
        return [re.compile(pattern) for pattern in local[module, said]]
    namespace = vars(importlib.import_module(f"hx_gateway_db.{module}"))
    flags = 0
    given = [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    if call.func.attr in ("compile", "match", "search", "fullmatch", "findall"):  # type: ignore[attr-defined]
        given += call.args[1 if call.func.attr == "compile" else 2 :]  # type: ignore[attr-defined]
    try:
        pattern = eval(said, namespace)
        for flag in given:
            flags |= eval(ast.unparse(flag), namespace)
    except NameError:
        raise Unknown(f"{module}: re.{call.func.attr}({said}): name its patterns") from None  # type: ignore[attr-defined]
    return [re.compile(pattern, flags)]


@dataclass(frozen=True)
class Attack:
    """A text of any size: a beginning, something again and again, an end that does not fit."""

    beginning: str
    again: str
    end: str

    def __call__(self, size: int) -> str:
        return self.beginning + self.again * (size // len(self.again)) + self.end


def attacks(pattern: "re.Pattern[Any]") -> Iterator[Attack]:
    """What a backtracking matcher could choke on, made from the pattern's own pieces."""
    text = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else None
    parsed = parser.parse(text or pattern.pattern, pattern.flags & ~re.UNICODE)
    alphabet = "".join(dict.fromkeys((*_COMMON, *_literals(parsed))))[:40]
    seen: set[Attack] = set()
    for variant in range(3):
        pieces = _joined(_pieces(parsed, alphabet, variant))[:_MOST_PIECES]
        beginnings = ["".join(pieces[:count]) for count in range(len(pieces) + 1)]
        slices = {
            "".join(pieces[start:stop])
            for start in range(len(pieces))
            for stop in range(start + 1, len(pieces) + 1)
            if stop - start <= 4 or start == 0
        }
        again = [*slices, *alphabet]
        again += [f"{piece}{blank}" for piece in slices for blank in " \n"]
        for attack in (
            Attack(beginning, repeated, end)
            for beginning in beginnings
            for repeated in again
            if repeated
            for end in ("", "\0")
        ):
            if attack not in seen:
                seen.add(attack)
                yield attack


def _literals(parsed: Any) -> Iterator[str]:
    for kind, value in parsed:
        if kind is kinds.LITERAL:
            yield chr(value)
        elif kind is kinds.IN:
            yield from (chr(item[1]) for item in value if item[0] is kinds.LITERAL)
        for inner in _inner(kind, value):
            yield from _literals(inner)


def _inner(kind: Any, value: Any) -> list[Any]:
    if kind is kinds.BRANCH:
        return list(value[1])
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
        return [value[2]]
    if kind is kinds.SUBPATTERN:
        return [value[3]]
    if kind is kinds.ATOMIC_GROUP:
        return [value]
    if kind in (kinds.ASSERT, kinds.ASSERT_NOT):
        return [value[1]]
    return []


def _pieces(parsed: Any, alphabet: str, variant: int) -> Iterator[tuple[str, bool]]:
    """Texts that the parts of a pattern match, and whether each is plain."""
    for kind, value in parsed:
        if kind is kinds.LITERAL:
            yield chr(value), True
        elif kind in (kinds.IN, kinds.ANY, kinds.NOT_LITERAL):
            fitting = [letter for letter in alphabet if _fits(kind, value, letter)] or ["x"]
            yield fitting[variant % len(fitting)], False
        elif kind is kinds.BRANCH:
            yield from _pieces(value[1][variant % len(value[1])], alphabet, variant)
        elif kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
            once = "".join(piece for piece, _ in _pieces(value[2], alphabet, variant))
            yield once * max(1, min(value[0], 100)), False
        elif kind in (kinds.SUBPATTERN, kinds.ATOMIC_GROUP):
            yield from _pieces(_inner(kind, value)[0], alphabet, variant)


def _fits(kind: Any, value: Any, letter: str) -> bool:
    if kind is kinds.ANY:
        return letter != "\n"
    if kind is kinds.NOT_LITERAL:
        return bool(ord(letter) != value)
    excluded = value[0][0] is kinds.NEGATE
    return bool(excluded != any(_is_in(item, letter) for item in value))


def _is_in(item: Any, letter: str) -> bool:
    kind, value = item
    if kind is kinds.LITERAL:
        return bool(ord(letter) == value)
    if kind is kinds.RANGE:
        return bool(value[0] <= ord(letter) <= value[1])
    if kind is kinds.CATEGORY:
        sign = {
            kinds.CATEGORY_DIGIT: r"\d",
            kinds.CATEGORY_NOT_DIGIT: r"\D",
            kinds.CATEGORY_SPACE: r"\s",
            kinds.CATEGORY_NOT_SPACE: r"\S",
            kinds.CATEGORY_WORD: r"\w",
            kinds.CATEGORY_NOT_WORD: r"\W",
        }[value]
        return re.match(sign, letter) is not None
    return False


def _joined(pieces: Iterator[tuple[str, bool]]) -> list[str]:
    """The pieces with the letters of each literal word together."""
    joined: list[str] = []
    was_plain = False
    for piece, plain in pieces:
        if plain and was_plain:
            joined[-1] += piece
        elif piece:
            joined.append(piece)
        was_plain = plain
    return joined
