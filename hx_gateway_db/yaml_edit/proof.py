"""Which changes lead to the wanted keys, what they must leave alone, and the proof that they do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from yaml.events import AliasEvent, ScalarEvent, SequenceStartEvent

from hx_gateway_db.yaml_edit.outline import Node, Outline, Path
from hx_gateway_db.yaml_edit.reading import YamlRefusal, construct, line_of
from hx_gateway_db.yaml_edit.splice import (
    Alternative,
    Change,
    apply_splices,
    empty_block,
    fill_null,
    insert_keys,
    is_quoted,
    remove_keys,
    replace_value,
)
from hx_gateway_db.yaml_edit.wanted import (
    EMPTY_MAPPING,
    Leaf,
    Scalar,
    Tree,
    is_movable,
    leaf,
    tree_events,
)

_WRITE_OUT = "write out there what it stands for"
_ALIAS = ("is an alias", _WRITE_OUT)
_NO_MAPPING = ("holds no mapping", "have keys with their values there, or remove it")


@dataclass(frozen=True)
class Unit:
    """A value, or with `pair` a key and its value, that is to have exactly these events."""

    path: Path
    pair: bool
    events: tuple[int, ...] | None


@dataclass
class EditPlan:
    """Changes to a text, and the units outside which they must leave every event alone."""

    outline: Outline
    restoring: bool = False
    changes: list[Change] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)

    def value(self, node: Node | None, want: Any, path: Path) -> None:
        """Plan to make the value at `path`, which is `node` now, what `want` says."""
        if isinstance(want, dict):
            if node is not None and node.is_mapping:
                self._mapping(node, want, path)
            elif wanted := _without_removals(want):
                self._fill(node, wanted, path)
            elif node is not None and isinstance(node.event, AliasEvent):
                self._refuse(node, path, *_ALIAS)
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
                    where = "with the merge key here"
                    raise YamlRefusal(f"{where} {reason}", _WRITE_OUT, node.merge)
                removed.append(name)
            else:
                self.value(child, want, (*path, name))
        if removed and len(removed) == node.size and not missing and not node.is_flow:
            self._replace(node, EMPTY_MAPPING, path)
        elif removed:
            self.changes.append(remove_keys(self.outline, node, removed))
            self.units += [Unit((*path, name), True, None) for name in removed]
        if missing:
            self._check_unshared(node)
            self._change(missing, lambda: insert_keys(self.outline, node, missing))
            for name, want in missing.items():
                self.units.append(Unit((*path, name), True, _events(want, is_quoted(node))))

    def _fill(self, node: Node | None, wanted: Tree, path: Path) -> None:
        if node is not None and not node.is_null:
            is_alias = isinstance(node.event, AliasEvent)
            self._refuse(node, path, *(_ALIAS if is_alias else _NO_MAPPING))
        if node is not None:
            self._check_unshared(node)
        quoted = node is not None and is_quoted(node)
        self._change(wanted, lambda: fill_null(self.outline, node, wanted))
        self.units.append(Unit(path, False, tree_events(wanted, quoted=quoted)))

    def _replace(self, node: Node, want: Scalar | Leaf | None, path: Path) -> None:
        self._check_unshared(node)
        event = node.event
        if want is None:
            self.changes.append(empty_block(self.outline, node, Leaf(b"", ())))
            self.units.append(Unit(path, False, None))
            return
        quoted = isinstance(event, ScalarEvent) and event.style == '"'
        value = leaf(want, quoted=quoted)
        if node.is_mapping and not node.is_flow and node.size == len(node.children) > 0:
            self._change(value, lambda: empty_block(self.outline, node, value))
        elif isinstance(event, ScalarEvent | AliasEvent) or (self.restoring and node.is_flow):
            self._change(value, lambda: replace_value(self.outline, node, value))
        else:
            self._refuse(node, path, "holds a collection, not a single value", "remove it there")
        self.units.append(Unit(path, False, value.events))

    def _change(self, want: Tree | Leaf, change: Callable[[], Change]) -> None:
        self.changes.append(change() if is_movable(want) else ())

    def _reads_as(self, node: Node, want: Scalar | Leaf | None, path: Path) -> bool:
        if isinstance(want, Leaf):
            return self.outline.slice(node) == want.events
        if isinstance(node.event, ScalarEvent | AliasEvent):
            value = value_at(self.outline, path)
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
            reason = f"'{'.'.join(path)}' comes from a merge key"
            raise YamlRefusal(reason, _WRITE_OUT, node.merge)
        return False

    def _check_unshared(self, node: Node) -> None:
        current: Node | None = node
        while current is not None:
            anchor = current.event.anchor
            if anchor in self.outline.aliased and not isinstance(current.event, AliasEvent):
                reason = f"a change here would also be seen where *{anchor} is used"
                cure = "write out there what it stands for"
                raise YamlRefusal(reason, cure, line_of(current.event))
            current = current.parent

    def _refuse(self, node: Node, path: Path, reason: str, cure: str) -> None:
        name = f"'{'.'.join(path)}'" if path else "the document"
        raise YamlRefusal(f"{name} {reason}", cure, node.line)


def proven(
    before: Outline,
    units: Sequence[Unit],
    base: Outline,
    changes: Sequence[Change],
) -> Alternative:
    """The splices of `base` that lead from `before` to the units, and change nothing else.

    Raise YamlRefusal when none of the alternatives can be proven to.
    """
    if not changes and base is before:
        return ()  # nothing to do, nothing to prove
    rest = _rest(before, units)
    for splices in _attempts(changes):
        try:
            after = base.after(apply_splices(base.text, splices)) if splices else base
        except YamlRefusal:
            continue
        if _rest(after, units) == rest and all(
            after.slice(after.find(unit.path)) == unit.events for unit in units
        ):
            return splices
    nodes = [before.find(unit.path[:-1]) for unit in units]
    line = next((node.line for node in nodes if node is not None), None)
    names = ", ".join(sorted({f"'{'.'.join(unit.path)}'" for unit in units}))
    reason = f"{names} can't be changed here without changing something else"
    raise YamlRefusal(reason, "write each key there on a line of its own", line)


def value_at(outline: Outline, path: Path) -> Any:
    """What LiteLLM reads at `path`, None for null or absent."""
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


def _rest(outline: Outline, units: Sequence[Unit]) -> Sequence[int]:
    """The fingerprints of everything outside the units."""
    rest = outline.fingerprints[:]
    found = [(node, unit) for unit in units if (node := outline.find(unit.path)) is not None]
    for node, unit in sorted(found, key=lambda each: each[0].start, reverse=True):
        del rest[node.start - unit.pair : node.stop]
    return rest
