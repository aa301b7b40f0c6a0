"""Sets and removes keys in YAML text so that not one other byte changes.

The places to change are found by the marks of one event pass; the text is spliced there, and the
result is accepted only when a second pass proves it: outside the wanted keys the two streams of
events are equal, and at the wanted keys stands exactly what was asked for. Where several places
could take a new key they are tried in turn, each proven the same way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Any

from yaml.events import AliasEvent, ScalarEvent, SequenceStartEvent

from hx_gateway_db.yaml_events import Node, Outline, Path, YamlRefusal, construct, line_of
from hx_gateway_db.yaml_splice import (
    EMPTY_MAPPING,
    Alternative,
    Change,
    Leaf,
    Scalar,
    Splice,
    Tree,
    apply_splices,
    empty_block,
    fill_null,
    insert_keys,
    is_quoted,
    leaf,
    remove_keys,
    replace_value,
    tree_events,
    value_ends,
)

__all__ = ["Path", "RemoveKey", "Scalar", "SetKey", "YamlRefusal", "edit", "lookup", "restore"]

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


def edit(text: bytes, operations: Sequence[Operation]) -> bytes:
    """Given YAML text, return it with the operations carried out and all else unchanged.

    A key that already reads as wanted (same value, same type) is left as it is written. Raise
    YamlRefusal when LiteLLM can't read the text or the change can't be made and proven, ValueError
    when the operations contradict each other.
    """
    return apply_splices(text, _edit_splices(text, operations))


def restore(text: bytes, original: bytes, paths: Sequence[Path]) -> bytes:
    """Given edited text, return it with each path as it stands in `original`.

    Keys that are absent there are removed, with the mappings that become empty and are absent
    there too; values that are present there get their original wording. What else has been edited
    since stays. Raise YamlRefusal when that can't be done and proven.
    """
    if text == original:
        return text
    now, old = Outline(text, paths), Outline(original, paths)
    goal = _restoring_plan(now, old, paths)
    if not goal.changes:
        return text
    reverted = _reverted(text, original, _operations_between(now, old, paths))
    if reverted != text:
        try:
            base = Outline(reverted, paths)
            changes = _restoring_plan(base, old, paths).changes
            return apply_splices(reverted, _proven(now, goal.units, base, changes, paths))
        except YamlRefusal:
            pass  # somebody has edited our own lines: take the keys out one by one
    return apply_splices(text, _proven(now, goal.units, now, goal.changes, paths))


def lookup(text: bytes, path: Path) -> object:
    """What LiteLLM's `safe_load` reads at `path`: a scalar, list or dict; None for null or absent.

    Raise YamlRefusal when the text can't be read safely.
    """
    return _value_at(Outline(text, [path]), path)


@dataclass(frozen=True)
class _Unit:
    """A value, or with `pair` a key and its value, that is to have exactly these events."""

    path: Path
    pair: bool
    events: tuple[int, ...] | None


@dataclass
class _Plan:
    """Changes to a text, and the units outside which they must leave every event alone."""

    outline: Outline
    restoring: bool = False
    changes: list[Change] = field(default_factory=list)
    units: list[_Unit] = field(default_factory=list)

    def value(self, node: Node | None, want: Any, path: Path) -> None:
        """Plan to make the value at `path`, which is `node` now, what `want` says."""
        if isinstance(want, dict):
            if node is not None and node.is_mapping:
                self._mapping(node, want, path)
            elif wanted := _without_removals(want):
                self._fill(node, wanted, path)
            elif node is not None and isinstance(node.event, AliasEvent):
                self._refuse(node, path, "is an alias")
        elif node is not None and not self._reads_as(node, want, path):
            self._replace(node, want, path)

    def _mapping(self, node: Node, tree: Tree, path: Path) -> None:
        removed: list[str] = []
        missing: Tree = {}
        for name, want in tree.items():
            child = node.children.get(name)
            if child is None:
                if not (node.merge and self._merged(node, want, (*path, name))):
                    missing |= _without_removals({name: want})
            elif want is None:
                self._check_unshared(child)
                if node.merge and not self.restoring:
                    reason = f"'{name}' might read differently once it is removed, not be gone"
                    raise YamlRefusal(f"with the merge key here {reason}", node.merge)
                removed.append(name)
            else:
                self.value(child, want, (*path, name))
        if removed and len(removed) == node.size and not missing and not node.is_flow:
            self._replace(node, EMPTY_MAPPING, path)
        elif removed:
            self.changes.append(remove_keys(self.outline, node, removed))
            self.units += [_Unit((*path, name), True, None) for name in removed]
        if missing:
            self._check_unshared(node)
            self.changes.append(insert_keys(self.outline, node, missing))
            for name, want in missing.items():
                self.units.append(_Unit((*path, name), True, _events(want, is_quoted(node))))

    def _fill(self, node: Node | None, wanted: Tree, path: Path) -> None:
        if node is not None and not node.is_null:
            is_alias = isinstance(node.event, AliasEvent)
            self._refuse(node, path, "is an alias" if is_alias else "holds no mapping")
        if node is not None:
            self._check_unshared(node)
        quoted = node is not None and is_quoted(node)
        self.changes.append(fill_null(self.outline, node, wanted))
        self.units.append(_Unit(path, False, tree_events(wanted, quoted=quoted)))

    def _replace(self, node: Node, want: Scalar | Leaf | None, path: Path) -> None:
        self._check_unshared(node)
        event = node.event
        if want is None:
            self.changes.append(empty_block(self.outline, node, Leaf(b"", ())))
            self.units.append(_Unit(path, False, None))
            return
        quoted = isinstance(event, ScalarEvent) and event.style == '"'
        value = leaf(want, quoted=quoted)
        if node.is_mapping and not node.is_flow and node.size == len(node.children) > 0:
            self.changes.append(empty_block(self.outline, node, value))
        elif isinstance(event, ScalarEvent | AliasEvent) or (self.restoring and node.is_flow):
            self.changes.append(replace_value(self.outline, node, value))
        else:
            self._refuse(node, path, "holds a collection, not a single value")
        self.units.append(_Unit(path, False, value.events))

    def _reads_as(self, node: Node, want: Scalar | Leaf | None, path: Path) -> bool:
        if isinstance(want, Leaf):
            return self.outline.slice(node) == want.events
        if isinstance(node.event, ScalarEvent | AliasEvent):
            value = _value_at(self.outline, path)
            return type(value) is type(want) and value == want
        return False

    def _merged(self, node: Node, want: Any, path: Path) -> bool:
        """Whether a merge key already gives what is wanted at `path`; refuse to reach through."""
        if self.restoring:
            return False
        value = self.outline.reading()
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None or (type(value) is type(want) and value == want):
            return value is not None
        if want is None or isinstance(want, dict):
            reason = f"'{'.'.join(path)}' comes from a merge key; change it where it is defined"
            raise YamlRefusal(reason, node.merge)
        return False

    def _check_unshared(self, node: Node) -> None:
        current: Node | None = node
        while current is not None:
            anchor = current.event.anchor
            if anchor in self.outline.aliased and not isinstance(current.event, AliasEvent):
                reason = f"a change here would also be seen where *{anchor} is used"
                raise YamlRefusal(reason, line_of(current.event))
            current = current.parent

    def _refuse(self, node: Node, path: Path, reason: str) -> None:
        name = f"'{'.'.join(path)}'" if path else "the document"
        raise YamlRefusal(f"{name} {reason}", node.line)


def _events(want: Any, quoted: bool) -> tuple[int, ...]:
    if isinstance(want, dict):
        return tree_events(want, quoted=quoted)
    return leaf(want, quoted=quoted).events


def _without_removals(tree: Tree) -> Tree:
    """What of `tree` has to be written where nothing stands yet."""
    wanted: Tree = {}
    for name, want in tree.items():
        if isinstance(want, dict):
            want = _without_removals(want) or None
        if want is not None:
            wanted[name] = want
    return wanted


def _value_at(outline: Outline, path: Path) -> Any:
    node = outline.root
    for name in path:
        if node is None or isinstance(node.event, ScalarEvent | SequenceStartEvent):
            return None
        if node.is_mapping and node.merge is None and name not in node.children:
            return None
        node = node.children.get(name)
        if node is None:
            break
    if node is not None and isinstance(node.event, ScalarEvent):
        return construct(node.event)
    value = outline.reading()
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _edit_splices(text: bytes, operations: Sequence[Operation]) -> Alternative:
    paths = [operation.path for operation in operations]
    tree = _operation_tree(operations)
    outline = Outline(text, paths)
    plan = _Plan(outline)
    plan.value(outline.root, tree, ())
    return _proven(outline, plan.units, outline, plan.changes, paths)


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


def _proven(
    before: Outline, units: Sequence[_Unit], base: Outline, changes: Sequence[Change],
    paths: Sequence[Path],
) -> Alternative:
    """The splices of `base` that lead from `before` to the units, and change nothing else.

    Raise YamlRefusal when none of the alternatives can be proven to.
    """
    if not changes and base is before:
        return ()
    rest = _rest(before, units)
    for splices in _attempts(changes):
        try:
            after = Outline(apply_splices(base.text, splices), paths)
        except YamlRefusal:
            continue
        if _rest(after, units) == rest and all(
            after.slice(after.find(unit.path)) == unit.events for unit in units
        ):
            return splices
    nodes = [before.find(unit.path[:-1]) for unit in units]
    line = next((node.line for node in nodes if node is not None), None)
    names = ", ".join(sorted({f"'{'.'.join(unit.path)}'" for unit in units}))
    reason = f"{names} can't be changed here without changing something else; edit it by hand"
    raise YamlRefusal(reason, line)


def _attempts(changes: Sequence[Change]) -> Iterator[Alternative]:
    """Every change's first choice; then one or all changes with a later choice."""
    if not all(changes):
        return
    most = max((len(change) for change in changes), default=1)
    choices = [(0,) * len(changes)]
    for number in range(1, most):
        choices += [
            tuple(number if index == varied else 0 for index in range(len(changes)))
            for varied in range(len(changes))
        ]
        choices.append((number,) * len(changes))
    seen = set()
    for choice in choices:
        bounded = tuple(
            min(number, len(change) - 1) for number, change in zip(choice, changes, strict=True)
        )
        if bounded not in seen:
            seen.add(bounded)
            picked = (change[number] for change, number in zip(changes, bounded, strict=True))
            yield tuple(splice for alternative in picked for splice in alternative)


def _rest(outline: Outline, units: Sequence[_Unit]) -> Sequence[int]:
    """The fingerprints of everything outside the units."""
    rest = outline.fingerprints[:]
    found = [(node, unit) for unit in units if (node := outline.find(unit.path)) is not None]
    for node, unit in sorted(found, key=lambda each: each[0].start, reverse=True):
        del rest[node.start - unit.pair : node.stop]
    return rest


def _restoring_plan(now: Outline, old: Outline, paths: Sequence[Path]) -> _Plan:
    tree: Tree = {}
    for path in paths:
        there = old.find(path)
        if now.slice(now.find(path)) == old.slice(there):
            continue
        branch = tree
        for name in path[:-1]:
            branch = branch.setdefault(name, {})
        branch[path[-1]] = None if there is None else _original_wording(old, there)
    plan = _Plan(now, restoring=True)
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
    if node is None or node.size != len(pruned) or any(want is not None for want in pruned.values()):
        return pruned
    if there is None:
        return None
    return _original_wording(old, there) if there.is_null else pruned


def _original_wording(old: Outline, node: Node) -> Leaf:
    if isinstance(node.event, SequenceStartEvent) or (node.is_mapping and not node.is_flow):
        raise YamlRefusal("the original value is a collection; put it back by hand", node.line)
    stop = value_ends(old, node)[0]
    start = min(old.offset(node.event.start_mark.index), stop)
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


def _reverted(text: bytes, original: bytes, operations: Sequence[Operation]) -> bytes:
    """`text` with the splices undone that these operations make in `original`, where still whole."""
    try:
        splices = sorted(_edit_splices(original, operations), key=lambda each: each.start)
    except YamlRefusal:
        return text
    edited = apply_splices(original, splices)
    if edited == text:
        return original
    blocks = _matching_blocks(edited, text)
    undone = []
    shift = 0
    for splice in splices:
        start = splice.start + shift
        stop = start + len(splice.text)
        shift += len(splice.text) - (splice.stop - splice.start)
        for here, there, size in blocks:
            if here <= start and stop <= here + size:
                moved = there - here
                undone.append(
                    Splice(start + moved, stop + moved, original[splice.start : splice.stop])
                )
                break
    return apply_splices(text, undone)


def _matching_blocks(first: bytes, second: bytes) -> list[tuple[int, int, int]]:
    """(offset in first, offset in second, length) of what both have in common."""
    prefix = first.rfind(b"\n", 0, _common(first, second, from_end=False)) + 1
    suffix = min(_common(first, second, from_end=True), min(len(first), len(second)) - prefix)
    if suffix < len(first) - prefix:
        suffix -= first.find(b"\n", len(first) - suffix) + 1 - (len(first) - suffix)
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
