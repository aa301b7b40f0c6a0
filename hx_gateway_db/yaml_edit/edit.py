"""Sets and removes keys in YAML text so that not one other byte changes.

The places to change are found by the marks of one event pass; the text is spliced there, and the
result is accepted only when a second pass proves it: outside the wanted keys the two streams of
events are equal, and at the wanted keys stands exactly what was asked for. Where several places
could take a new key they are tried in turn, each proven the same way. Of a text in which every
line stands for itself only the sections that matter are looked at (`yaml_excerpt`).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import accumulate
from typing import Any

from yaml.events import ScalarEvent, SequenceStartEvent

from hx_gateway_db.yaml_edit.excerpt import Excerpt, excerpt
from hx_gateway_db.yaml_edit.outline import Node, Outline, Path
from hx_gateway_db.yaml_edit.proof import EditPlan, proven, value_at
from hx_gateway_db.yaml_edit.reading import YamlRefusal, construct
from hx_gateway_db.yaml_edit.splice import Alternative, Splice, apply_splices, in_order, value_ends
from hx_gateway_db.yaml_edit.wanted import Leaf, Scalar, Tree

__all__ = [
    "Path",
    "ReadText",
    "RemoveKey",
    "Scalar",
    "SetKey",
    "YamlRefusal",
    "edit",
    "lookup",
    "restore",
]

_LONGEST_DIFF = 2000


@dataclass(frozen=True)
class SetKey:
    """Make the key at `path` read as `value`; mappings on the way are created."""

    path: Path
    value: Scalar


@dataclass(frozen=True)
class RemoveKey:
    """Take the key at `path` away, with its value; the mapping it stands in stays."""

    path: Path


Operation = SetKey | RemoveKey


class ReadText:
    """YAML text that has been read once: looking up and editing `paths` share that one pass.

    No path may lead on from another. Raises YamlRefusal when the text can't be read safely.
    """

    def __init__(self, text: bytes, paths: Sequence[Path]) -> None:
        self._text = text
        self._paths = paths
        if self._part is None:
            _ = self._whole

    @cached_property
    def _part(self) -> tuple[Excerpt, Outline] | None:
        """What of the text is enough to look at, if it can be told from the rest."""
        part = excerpt(self._text, {path[0] for path in self._paths})
        if part:
            with suppress(YamlRefusal):
                return part, Outline(part.text, self._paths, plain_lines=True)
        return None

    @cached_property
    def _whole(self) -> Outline:
        return Outline(self._text, self._paths)

    def lookup(self, path: Path) -> object:
        """What LiteLLM's `safe_load` reads at `path`: see `lookup`."""
        # What is wrong in the part is said of the whole, with the right line.
        with suppress(YamlRefusal):
            if self._part:
                return value_at(self._part[1], path)
        return value_at(self._whole, path)

    def edit(self, operations: Sequence[Operation]) -> bytes:
        """The text with the operations, on keys that were read, carried out: see `edit`."""
        with suppress(YamlRefusal):
            if self._part:
                part, outline = self._part
                return part.apply(_edit_splices(outline, operations))
        return apply_splices(self._text, _edit_splices(self._whole, operations))


def edit(text: bytes, operations: Sequence[Operation]) -> bytes:
    """Given YAML text, return it with the operations carried out and all else unchanged.

    A key that already reads as wanted (same value, same type) is left as it is written. Raise
    YamlRefusal when LiteLLM can't read the text or the change can't be made and proven, ValueError
    when the operations contradict each other.
    """
    return ReadText(text, [operation.path for operation in operations]).edit(operations)


def restore(text: bytes, original: bytes, paths: Sequence[Path]) -> bytes:
    """Given edited text, return it with each path as it stands in `original`.

    Keys that are absent there are removed, with the mappings that become empty and are absent
    there too; values that are present there get their original wording. What else has been edited
    since stays. Raise YamlRefusal when that can't be done and proven.
    """
    if text == original:
        return text
    now, old = Outline(text, paths), Outline(original, paths)
    reverted = _reverted(text, old, _operations_between(now, old, paths))
    if reverted == original:
        return original
    goal = _restoring_plan(now, old, paths)
    if not goal.changes:
        return text
    if reverted != text:
        try:
            base = Outline(reverted, paths)
            changes = _restoring_plan(base, old, paths).changes
            return apply_splices(reverted, proven(now, goal.units, base, changes))
        except YamlRefusal:
            pass  # somebody has edited our own lines: take the keys out one by one
    return apply_splices(text, proven(now, goal.units, now, goal.changes))


def lookup(text: bytes, path: Path) -> object:
    """What LiteLLM's `safe_load` reads at `path`: a scalar, list or dict; None for null or absent.

    Raise YamlRefusal when the text can't be read safely.
    """
    return ReadText(text, [path]).lookup(path)


def _edit_splices(outline: Outline, operations: Sequence[Operation]) -> Alternative:
    plan = EditPlan(outline)
    plan.value(outline.root, _operation_tree(operations), ())
    return proven(outline, plan.units, outline, plan.changes)


def _operation_tree(operations: Sequence[Operation]) -> Tree:
    root: Tree = {}
    for operation in operations:
        tree = root
        *branches, name = operation.path
        for branch in branches:
            tree = tree.setdefault(branch, {})
            if not isinstance(tree, dict):
                raise ValueError(f"two operations contradict each other at {operation.path}")
        if isinstance(tree.get(name), dict):
            raise ValueError(f"two operations contradict each other at {operation.path}")
        tree[name] = operation.value if isinstance(operation, SetKey) else None
    return root


def _restoring_plan(now: Outline, old: Outline, paths: Sequence[Path]) -> EditPlan:
    tree: Tree = {}
    for path in paths:
        there = old.find(path)
        if now.slice(now.find(path)) == old.slice(there):
            continue
        branch = tree
        for name in path[:-1]:
            branch = branch.setdefault(name, {})
        branch[path[-1]] = None if there is None else _original_wording(old, there)
    plan = EditPlan(now, restoring=True)
    if tree:
        plan.value(now.root, _pruned(now, old, tree, ()), ())
    return plan


def _pruned(now: Outline, old: Outline, tree: Tree, path: Path) -> Any:
    """`tree` with None (or the original null) for a mapping that was not there and is emptied."""
    pruned = {
        name: _pruned(now, old, want, (*path, name)) if isinstance(want, dict) else want
        for name, want in tree.items()
    }
    node, there = now.find(path), old.find(path)
    if (
        node is None
        or node.size != len(pruned)
        or any(want is not None for want in pruned.values())
    ):
        return pruned
    if there is None:
        return None
    return _original_wording(old, there) if there.is_null else pruned


def _original_wording(old: Outline, node: Node) -> Leaf:
    if isinstance(node.event, SequenceStartEvent) or (node.is_mapping and not node.is_flow):
        return Leaf(b"", old.slice(node) or (), movable=False)
    stop = value_ends(old, node)[0]
    start = min(old.begin(node.event), stop)
    return Leaf(old.text[start:stop], old.slice(node) or ())


def _operations_between(now: Outline, old: Outline, paths: Sequence[Path]) -> list[Operation]:
    """The operations that would turn `old` into what `now` has at `paths`, in order of place."""
    found: list[tuple[int, Operation]] = []
    for path in paths:
        node = now.find(path)
        if now.slice(node) == old.slice(old.find(path)):
            continue
        if node is None:
            found.append((0, RemoveKey(path)))
        elif isinstance(node.event, ScalarEvent):
            value = construct(node.event)
            if isinstance(value, bool | int | str):
                found.append((node.start, SetKey(path, value)))
    return [operation for _, operation in sorted(found, key=lambda each: each[0])]


def _reverted(text: bytes, old: Outline, operations: Sequence[Operation]) -> bytes:
    """`text` without the splices that these operations make in `old`, where they are whole."""
    try:
        splices = in_order(_edit_splices(old, operations))
        edited = apply_splices(old.text, splices)
        if edited == text:
            return old.text
        blocks = _matching_blocks(edited, text)
        undone = []
        shift = 0
        for splice in splices:
            start = splice.start + shift
            stop = start + len(splice.text)
            shift += len(splice.text) - (splice.stop - splice.start)
            removed = old.text[splice.start : splice.stop]
            for here, there, size in blocks:
                if here <= start and stop <= here + size:
                    undone.append(Splice(start + there - here, stop + there - here, removed))
                    break
        return apply_splices(text, undone)
    except YamlRefusal:
        return text


def _matching_blocks(first: bytes, second: bytes) -> list[tuple[int, int, int]]:
    """(offset in first, offset in second, length) of what both have in common."""
    prefix = first.rfind(b"\n", 0, _common(first, second, from_end=False)) + 1
    suffix = min(_common(first, second, from_end=True), min(len(first), len(second)) - prefix)
    if suffix < len(first) - prefix:
        line = first.find(b"\n", len(first) - suffix - 1) + 1
        suffix = len(first) - line if line else 0
    end, other_end = len(first) - suffix, len(second) - suffix
    blocks = [(0, 0, prefix), (end, other_end, suffix)]
    lines = first[prefix:end].splitlines(keepends=True)
    others = second[prefix:other_end].splitlines(keepends=True)
    if max(len(lines), len(others)) > _LONGEST_DIFF:
        return blocks
    offsets = [*accumulate(map(len, lines), initial=prefix)]
    other_offsets = [*accumulate(map(len, others), initial=prefix)]
    matcher = SequenceMatcher(None, lines, others, autojunk=False)
    for here, there, size in matcher.get_matching_blocks():
        start, stop = offsets[here], offsets[here + size]
        blocks.append((start, other_offsets[there], stop - start))
    return blocks


def _common(first: bytes, second: bytes, *, from_end: bool) -> int:
    """The length of the common prefix, or of the common suffix."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if from_end:
            here = slice(len(first) - middle, len(first) - low)
            there = slice(len(second) - middle, len(second) - low)
        else:
            here = there = slice(low, middle)
        low, high = (middle, high) if first[here] == second[there] else (low, middle - 1)
    return low
