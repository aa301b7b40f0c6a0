"""One pass over YAML text: where the wanted keys stand, and a fingerprint of every event."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from hx_gateway_db.yaml_edit.lines import byte_offsets
from hx_gateway_db.yaml_edit.plain import is_plain
from hx_gateway_db.yaml_edit.reading import (
    LARGEST_PURE_TEXT,
    MAPPING_END,
    SEQUENCE_END,
    TOO_LARGE,
    YamlRefusal,
    construct,
    doubtful_text,
    line_of,
    parser_refusal,
    read_purely,
)

Path = tuple[str, ...]
Wanted = Mapping[str, "Wanted"]

LARGEST_TEXT = 32 * 1024 * 1024
"""Bytes; some 250,000 models. More is refused unread."""
ALWAYS_READ_PURELY = 64 * 1024
"""Bytes; up to here the pure parser costs about a tenth of a second, and always checks libyaml."""
DEEPEST_NESTING = 100
"""Levels; the pure parser runs into Python's recursion limit from about 200 on."""
LARGEST_EXPANSION = 100_000
"""Events with all aliases expanded, or ten times the events written if that is more."""


@dataclass(slots=True, eq=False)
class Node:
    """The value at a wanted path (or the root), as events and places in the text.

    `start`, `stop` index the fingerprints of the value; its key, a scalar, is at `start - 1`.
    For a mapping on the way to a wanted key, `size` counts its pairs, `first_key` is its first
    key's event, `merge` the line of its `<<` key and `children` its wanted keys.
    """

    event: NodeEvent
    start: int
    parent: "Node | None" = None
    key: NodeEvent | None = None
    stop: int = 0
    end_event: Event | None = None
    previous_end: Event | None = None
    next_key: NodeEvent | None = None
    size: int = 0
    first_key: NodeEvent | None = None
    merge: int | None = None
    children: dict[str, "Node"] = field(default_factory=dict)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.event, MappingStartEvent)

    @property
    def is_flow(self) -> bool:
        return isinstance(self.event, MappingStartEvent) and bool(self.event.flow_style)

    @property
    def is_null(self) -> bool:
        """Whether this is a null without a tag or an anchor, written out or empty."""
        event = self.event
        return (
            isinstance(event, ScalarEvent)
            and event.tag is None
            and event.anchor is None
            and bool(event.implicit[0])
            and event.value in ("", "~", "null", "Null", "NULL")
        )

    @property
    def line(self) -> int:
        """The 1-based line of the key, or of the root's value."""
        return line_of(self.key or self.event)


class Outline:
    """What one pass over `text` found.

    Of a text with `plain_lines` (`yaml_plain`) the parsers are known to read the same. Raises
    YamlRefusal when LiteLLM could not read the text or the two parsers may disagree.
    """

    def __init__(self, text: bytes, paths: Sequence[Path], *, plain_lines: bool = False) -> None:
        self.text = text
        self.paths = paths
        self.plain_lines = plain_lines
        self.fingerprints = array("q")
        self.root: Node | None = None
        self.aliased: set[str] = set()
        self.document_end: Event | None = None
        self.indentation: int | None = None
        self._reading: list[Any] = []
        self._doubt: YamlRefusal | None = None
        self._offsets: Callable[[int], int] | None = None
        if len(text) > LARGEST_TEXT:
            raise YamlRefusal(
                f"the file has {len(text)} bytes, and more than {LARGEST_TEXT} are not edited",
                "move parts of it into files that it includes",
            )
        if text.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise YamlRefusal("the file is not UTF-8 text", "save it as UTF-8", 1)
        try:
            doubt = _Walk(self, _tree(paths), b"?" in text).run(text)
        except yaml.YAMLError as error:
            raise parser_refusal(error, text) from None
        if plain_lines:
            return
        self._doubt = doubt = doubt or doubtful_text(text)
        if doubt and len(text) > LARGEST_PURE_TEXT:
            raise doubt
        if doubt or len(text) <= ALWAYS_READ_PURELY:
            self.reading()

    def after(self, text: bytes) -> "Outline":
        """What this one's text has become, looked at for the same paths in the same way.

        Raises YamlRefusal as the first look does, and where the lines are plain no more.
        """
        if self.plain_lines and not is_plain(text):
            raise YamlRefusal("not every line stands for itself any more", "")
        return Outline(text, self.paths, plain_lines=self.plain_lines)

    def find(self, path: Path) -> Node | None:
        """The node at `path` where the text itself has one, not through an alias or merge key."""
        node = self.root
        for name in path:
            node = node.children.get(name) if node else None
        return node

    def slice(self, node: Node | None) -> tuple[int, ...] | None:
        """The fingerprints of a node's value."""
        return tuple(self.fingerprints[node.start : node.stop]) if node else None

    def reading(self) -> Any:
        """What LiteLLM reads: the pure parser's `safe_load`, checked against libyaml's events."""
        if not self._reading:
            if len(self.text) > LARGEST_PURE_TEXT:
                raise YamlRefusal(
                    "this needs the whole file to be read by the slow parser, and with more than"
                    f" {LARGEST_PURE_TEXT} bytes it is too large for that",
                    "move parts of it into files that it includes",
                )
            line = self._doubt.line if self._doubt else None
            self._reading.append(read_purely(self.text, self.fingerprints, line))
        return self._reading[0]

    def begin(self, event: Event) -> int:
        """The byte offset at which an event starts."""
        assert event.start_mark is not None
        return self._offset(event.start_mark.index)

    def end(self, event: Event) -> int:
        """The byte offset at which an event ends."""
        assert event.end_mark is not None
        return self._offset(event.end_mark.index)

    def _offset(self, index: int) -> int:
        if self._offsets is None:
            self._offsets = byte_offsets(self.text)
        return self._offsets(index)


def column_of(event: Event) -> int:
    """The column in characters, from 0, at which an event starts."""
    assert event.start_mark is not None
    return int(event.start_mark.column)


@dataclass(slots=True, eq=False)
class _Frame:
    """A mapping whose direct keys are looked at while its events pass."""

    node: Node
    wanted: Wanted
    key: NodeEvent | None = None
    name: str | None = None
    in_value: bool = False
    child: Node | None = None
    last_child: Node | None = None
    last_end: Event | None = None


class _Walk:
    """One pass over libyaml's events, filling an Outline."""

    def __init__(self, outline: Outline, wanted: Wanted, has_question_mark: bool) -> None:
        self.outline = outline
        self.wanted = wanted
        self.has_question_mark = has_question_mark
        self.doubt: YamlRefusal | None = None
        self.frames: list[_Frame] = []
        self.weights: dict[str, int] = {}
        self.scalars: dict[str, str] = {}
        self.open_anchors: list[tuple[int, str, int]] = []
        self.extra = 0
        self.documents = 0

    def run(self, text: bytes) -> YamlRefusal | None:
        """Walk through `text`; return why the two parsers may disagree about it, if they may."""
        fingerprints = self.outline.fingerprints
        note = fingerprints.append
        frames = self.frames
        watched = depth = flow_depth = 0
        events: Iterator[Any] = iter(yaml.CSafeLoader(text).get_event, None)
        # The common cases stand in line: one function call for each event costs half a parse.
        for event in events:
            kind = type(event)
            if kind is ScalarEvent:
                anchor, tag, value = event.anchor, event.tag, event.value
                note(hash((value, event.implicit, anchor, tag)))
                if anchor is not None or tag is not None:
                    self._properties(event)
                if flow_depth and self.has_question_mark and "?" in value and not event.style:
                    self._doubt(
                        "a '?' in a flow collection", "put quotation marks around it", event
                    )
                if depth == watched:
                    self._start(event)
                    self._end(event)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                anchor, tag = event.anchor, event.tag
                note(hash((kind, anchor, tag, event.implicit)))
                if anchor is not None or tag is not None:
                    self._properties(event)
                    if anchor is not None:
                        self.open_anchors.append((depth, anchor, len(fingerprints) + self.extra))
                if depth == watched:
                    self._start(event)
                    watched = len(frames)
                depth += 1
                if event.flow_style and not flow_depth:
                    flow_depth = depth
                if depth > DEEPEST_NESTING:
                    reason = f"this is nested more than {DEEPEST_NESTING} levels deep"
                    raise YamlRefusal(reason, "have fewer levels there", line_of(event))
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                note(MAPPING_END if kind is MappingEndEvent else SEQUENCE_END)
                if depth == flow_depth:
                    flow_depth = 0
                depth -= 1
                if self.open_anchors and self.open_anchors[-1][0] == depth:
                    _, name, before = self.open_anchors.pop()
                    self.weights[name] = len(fingerprints) + self.extra - before + 1
                if depth < watched:
                    frames.pop()
                    watched = depth
                if depth == watched:
                    self._end(event)
            elif kind is AliasEvent:
                note(hash((AliasEvent, event.anchor)))
                self._alias(event)
                if depth == watched:
                    self._start(event)
                    self._end(event)
            elif kind is DocumentStartEvent:
                self.documents += 1
                if self.documents > 1:
                    reason = "a second document starts here, and LiteLLM reads no file with two"
                    raise YamlRefusal(reason, "join the two, or remove one", line_of(event))
            elif kind is DocumentEndEvent and event.explicit:
                self.outline.document_end = event
        written = len(fingerprints)
        if written + self.extra > max(LARGEST_EXPANSION, 10 * written):
            reason = "the aliases in this file multiply its size beyond any use"
            raise YamlRefusal(reason, "remove those that stand for others")
        return self.doubt

    def _start(self, event: NodeEvent) -> None:
        """Take note of a node that stands directly in a watched mapping, or of the root."""
        outline = self.outline
        index = len(outline.fingerprints) - 1
        if not self.frames:
            outline.root = Node(event, index)
            if isinstance(event, MappingStartEvent):
                self.frames.append(_Frame(outline.root, self.wanted))
            return
        frame = self.frames[-1]
        if not frame.in_value:
            frame.name = self._name(frame, event)
            frame.key = event
            frame.node.size += 1
            frame.node.first_key = frame.node.first_key or event
            if frame.last_child:
                frame.last_child.next_key = event
                frame.last_child = None
            return
        if isinstance(event, MappingStartEvent) and outline.indentation is None:
            self._learn_indentation(frame, event)
        if frame.name is None:
            return
        other = frame.node.children.get(frame.name)
        assert frame.key is not None
        if other:
            reason = f"'{frame.name}' is set twice, first in line {other.line}"
            raise YamlRefusal(reason, "remove one of the two", line_of(frame.key))
        node = Node(event, index, frame.node, frame.key, previous_end=frame.last_end)
        frame.node.children[frame.name] = frame.child = node
        if isinstance(event, MappingStartEvent) and frame.wanted[frame.name]:
            self.frames.append(_Frame(node, frame.wanted[frame.name]))

    def _end(self, event: Event) -> None:
        """Take note that the node that `_start` was told of last has ended."""
        if not self.frames:
            root = self.outline.root
            assert root is not None
            root.stop, root.end_event = len(self.outline.fingerprints), event
            return
        frame = self.frames[-1]
        if not frame.in_value:
            if frame.key is not None:
                frame.in_value = True
            return
        if frame.child:
            frame.child.stop, frame.child.end_event = len(self.outline.fingerprints), event
            frame.last_child = frame.child
        frame.child = frame.name = frame.key = None
        frame.in_value = False
        frame.last_end = event

    def _name(self, frame: _Frame, key: NodeEvent) -> str | None:
        """The wanted name that a key reads as, if any."""
        if isinstance(key, AliasEvent):
            value = self.scalars.get(key.anchor or "")
            if value == "<<" or value in frame.wanted:
                reason = f"the alias *{key.anchor} stands for a key here"
                raise YamlRefusal(reason, "write the key itself", line_of(key))
            return None
        if not isinstance(key, ScalarEvent):
            return None
        if key.value == "<<" and key.implicit[0]:
            frame.node.merge = line_of(key)
        if key.value in frame.wanted and construct(key) == key.value:
            return str(key.value)
        return None

    def _learn_indentation(self, frame: _Frame, value: MappingStartEvent) -> None:
        assert frame.key is not None
        column = column_of(value) - column_of(frame.key)
        if not value.flow_style and line_of(value) > line_of(frame.key) and column > 0:
            self.outline.indentation = column

    def _properties(self, event: NodeEvent) -> None:
        """Take note of a node's anchor and tag; a collection's weight is known at its end."""
        name = event.anchor
        if name is not None:
            if name in self.weights:
                reason = f"the anchor &{name} is defined twice"
                raise YamlRefusal(reason, "give one of the two another name", line_of(event))
            self.weights[name] = 0
            if isinstance(event, ScalarEvent):
                self.weights[name] = 1
                self.scalars[name] = event.value
        if getattr(event, "tag", None) is not None:
            self._doubt("a tag may be unknown to LiteLLM", "leave it out", event)

    def _alias(self, event: AliasEvent) -> None:
        name = event.anchor or ""
        weight = self.weights.get(name)
        if weight is None:
            reason = f"the alias *{name} has no anchor before it"
            raise YamlRefusal(reason, "write there what it is to stand for", line_of(event))
        if not weight:
            reason = f"the alias *{name} stands within its own anchor"
            raise YamlRefusal(reason, "remove it there", line_of(event))
        self.extra += weight
        self.outline.aliased.add(name)

    def _doubt(self, reason: str, cure: str, event: Event) -> None:
        self.doubt = self.doubt or YamlRefusal(reason + TOO_LARGE, cure, line_of(event))


def _tree(paths: Iterable[Path]) -> Wanted:
    root: dict[str, Any] = {}
    for path in paths:
        node = root
        for name in path:
            node = node.setdefault(name, {})
    return root
