"""What is to stand in YAML text: names and values, how they are written and how they read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import MappingStartEvent

from hx_gateway_db.yaml_edit.reading import MAPPING_END, TEXT, scalar_fingerprint, scalar_tag

Scalar = bool | int | str

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


@dataclass(frozen=True)
class Leaf:
    """A value as it is written, and its events' fingerprints.

    One that is not `movable` makes sense only in its old place (a block collection does).
    """

    text: bytes
    events: tuple[int, ...]
    movable: bool = True


Tree = dict[str, Any]
"""Names to what is to stand there: a Scalar, a Leaf, another Tree, or None for nothing."""

EMPTY_MAPPING = Leaf(b"{}", (hash((MappingStartEvent, None, None, True)), MAPPING_END))


def leaf(value: Scalar | Leaf, *, quoted: bool = False) -> Leaf:
    """How a value is written; `quoted` puts a string in double quotes even where plain would do."""
    if isinstance(value, Leaf):
        return value
    if isinstance(value, bool):
        return Leaf(b"true" if value else b"false", _plain_event("true" if value else "false"))
    if isinstance(value, int):
        return Leaf(b"%d" % value, _plain_event(str(value)))
    if not quoted and _PLAIN.fullmatch(value) and scalar_tag(value, (True, False)) == TEXT:
        return Leaf(value.encode(), _plain_event(value))
    written = yaml.safe_dump(value, default_style='"', width=float("inf")).rstrip("\n")
    return Leaf(written.encode(), (scalar_fingerprint(value, (False, True)),))


def is_movable(want: Any) -> bool:
    """Whether a tree or value has only values that can be written anywhere."""
    if isinstance(want, dict):
        return all(map(is_movable, want.values()))
    return not isinstance(want, Leaf) or want.movable


def tree_events(tree: Tree, *, quoted: bool) -> tuple[int, ...]:
    """The fingerprints of the mapping that `tree` describes."""
    events = [hash((MappingStartEvent, None, None, True))]
    for name, value in tree.items():
        events += leaf(name, quoted=quoted).events
        events += (
            tree_events(value, quoted=quoted)
            if isinstance(value, dict)
            else leaf(value, quoted=quoted).events
        )
    return (*events, MAPPING_END)


def in_flow(tree: Tree, *, quoted: bool) -> bytes:
    """How a tree is written in flow style."""
    return b"{" + b", ".join(pairs_in_flow(tree, quoted=quoted)) + b"}"


def pairs_in_flow(tree: Tree, *, quoted: bool) -> Iterator[bytes]:
    """The pairs of a tree as they are written in flow style."""
    for name, value in tree.items():
        written = (
            in_flow(value, quoted=quoted)
            if isinstance(value, dict)
            else leaf(value, quoted=quoted).text
        )
        yield leaf(name, quoted=quoted).text + b": " + written


def _plain_event(value: str) -> tuple[int, ...]:
    return (scalar_fingerprint(value, (True, False)),)
