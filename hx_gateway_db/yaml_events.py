"""Reads YAML text as one stream of events: what each event says, and where the wanted keys stand.

LiteLLM reads its configuration with PyYAML's pure-Python `safe_load`; libyaml is twenty times
faster and reads nearly every text alike. Where it may not (see `_doubtful_text` and `doubt`), and
for every text of ordinary size, both readings are made and compared.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
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

from hx_gateway_db.errors import Refused

Path = tuple[str, ...]
Wanted = Mapping[str, "Wanted"]

LARGEST_TEXT = 32 * 1024 * 1024
"""Bytes; some 250,000 models. More is refused unread."""
ALWAYS_READ_PURELY = 64 * 1024
"""Bytes; up to here the pure parser costs about a tenth of a second, and always checks libyaml."""
LARGEST_PURE_TEXT = 512 * 1024
"""Bytes; a larger text about which the parsers may disagree is refused: the check takes seconds."""
DEEPEST_NESTING = 100
"""The pure parser runs into Python's recursion limit from about 200 levels on."""
LARGEST_EXPANSION = 100_000
"""Events after expanding the aliases, or ten times the events written if that is more."""

MAPPING_END = hash(MappingEndEvent)
_SEQUENCE_END = hash(SequenceEndEvent)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_CHARACTER = re.compile(rb"[^\x80-\xbf]")
_OFFSET_BLOCK = 4096
_UNICODE_LINE_BREAK = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
# A tab behind a `#` that starts a comment is harmless wherever that `#` really stands (comment,
# quoted or block scalar), as long as no quotation mark between them can end a quoted scalar.
_TAB_BEFORE_COMMENT = re.compile(rb"^(?:[^#\t\r\n]|(?<=[^ \r\n])#)*\t", re.MULTILINE)
_TAB_AFTER_QUOTE_IN_COMMENT = re.compile(rb"#[^\r\n'\"]*['\"][^\r\n]*\t")
_BLOCK_SCALAR_COMMENT = re.compile(rb"[|>][-+0-9]{0,3}#")


class YamlRefusal(Refused):
    """The text can't be read or edited safely; nothing was changed.

    `reason` is a sentence without its end, `line` the 1-based line it is about, if there is one.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        self.reason = reason
        self.line = line
        super().__init__(f"{reason}." if line is None else f"line {line}: {reason}.")


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

    Raises YamlRefusal when LiteLLM could not read the text or the two parsers may disagree.
    """

    def __init__(self, text: bytes, paths: Iterable[Path]) -> None:
        self.text = text
        self.fingerprints = array("q")
        self.root: Node | None = None
        self.aliased: set[str] = set()
        self.document_end: Event | None = None
        self.indentation: int | None = None
        self._reading: list[Any] = []
        self._offsets: Callable[[int], int] | None = None
        if len(text) > LARGEST_TEXT:
            raise YamlRefusal(
                f"the file has {len(text)} bytes; more than {LARGEST_TEXT} are not edited"
            )
        if text.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise YamlRefusal("the file is not UTF-8 text", 1)
        try:
            doubt = _Walk(self, _tree(paths), b"?" in text).run(text)
        except yaml.YAMLError as error:
            raise _refusal(error, text) from None
        doubt = doubt or _doubtful_text(text)
        if doubt and len(text) > LARGEST_PURE_TEXT:
            raise doubt
        if doubt or len(text) <= ALWAYS_READ_PURELY:
            self.reading()

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
                    f" {LARGEST_PURE_TEXT} bytes it is too large for that"
                )
            self._reading.append(_read_purely(self.text, self.fingerprints))
        return self._reading[0]

    def offset(self, index: int) -> int:
        """The byte offset of a mark's character index (libyaml does not count a leading BOM)."""
        if self._offsets is None:
            self._offsets = _byte_offsets(self.text)
        return self._offsets(index)


def line_of(event: Event) -> int:
    """The 1-based line on which an event starts."""
    return int(event.start_mark.line) + 1


def fingerprint(event: Event) -> int | None:
    """A hash of all that an event says (Python's keyed 64-bit hash), None for stream and document.

    Style is left out on purpose where it says nothing: flow or block, literal or folded.
    """
    if isinstance(event, ScalarEvent):
        return scalar_fingerprint(event.value, event.implicit, event.anchor, event.tag)
    if isinstance(event, MappingStartEvent | SequenceStartEvent):
        return hash((type(event), event.anchor, event.tag, event.implicit))
    if isinstance(event, AliasEvent):
        return hash((AliasEvent, event.anchor))
    if isinstance(event, MappingEndEvent):
        return MAPPING_END
    return _SEQUENCE_END if isinstance(event, SequenceEndEvent) else None


def scalar_fingerprint(
    value: str, implicit: tuple[bool, bool], anchor: str | None = None, tag: str | None = None
) -> int:
    """The fingerprint of a scalar event; `implicit` is (True, False) for a plain one."""
    return hash((value, implicit, anchor, tag))


def construct(event: ScalarEvent) -> Any:
    """What the pure `safe_load` makes of a scalar. Raises YamlRefusal where it raises."""
    loader = yaml.SafeLoader("")
    tag = event.tag
    if tag is None or tag == "!":
        tag = loader.resolve(yaml.ScalarNode, event.value, event.implicit)
    try:
        return loader.construct_object(yaml.ScalarNode(tag, event.value))
    except Exception as error:  # ValueError, KeyError, ...: PyYAML raises more than YAMLError
        raise YamlRefusal(f"LiteLLM can't read this value ({error})", line_of(event)) from None


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
        watch = self.has_question_mark
        depth = flow_depth = 0
        loader = yaml.CSafeLoader(text)
        # The common cases stand in line: a function call an event would cost half a parse.
        for event in iter(loader.get_event, None):
            kind = type(event)
            if kind is ScalarEvent:
                anchor, tag = event.anchor, event.tag
                note(hash((event.value, event.implicit, anchor, tag)))
                if anchor is not None:
                    self._anchor(event, 1)
                    self.scalars[anchor] = event.value
                if tag is not None:
                    self._doubt("a tag may be unknown to LiteLLM", event)
                if watch and flow_depth and "?" in event.value and not event.style:
                    self._doubt("a '?' in a flow collection needs quotation marks", event)
                if depth == len(self.frames):
                    self._start(event)
                    self._end(event)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                anchor, tag = event.anchor, event.tag
                note(hash((kind, anchor, tag, event.implicit)))
                if anchor is not None:
                    self._anchor(event, 0)
                    self.open_anchors.append((depth, anchor, len(fingerprints) + self.extra))
                if tag is not None:
                    self._doubt("a tag may be unknown to LiteLLM", event)
                depth += 1
                if event.flow_style and not flow_depth:
                    flow_depth = depth
                if depth > DEEPEST_NESTING:
                    raise YamlRefusal(
                        f"this is nested more than {DEEPEST_NESTING} levels deep", line_of(event)
                    )
                if depth - 1 == len(self.frames):
                    self._start(event)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                note(MAPPING_END if kind is MappingEndEvent else _SEQUENCE_END)
                if depth == flow_depth:
                    flow_depth = 0
                depth -= 1
                if self.open_anchors and self.open_anchors[-1][0] == depth:
                    _, name, before = self.open_anchors.pop()
                    self.weights[name] = len(fingerprints) + self.extra - before + 1
                if depth < len(self.frames):
                    self.frames.pop()
                if depth == len(self.frames):
                    self._end(event)
            elif kind is AliasEvent:
                note(hash((AliasEvent, event.anchor)))
                self._alias(event)
                if depth == len(self.frames):
                    self._start(event)
                    self._end(event)
            elif kind is DocumentStartEvent:
                self.documents += 1
                if self.documents > 1:
                    raise YamlRefusal(
                        "a second document starts here; LiteLLM reads only one", line_of(event)
                    )
            elif kind is DocumentEndEvent and event.explicit:
                self.outline.document_end = event
        written = len(fingerprints)
        if written + self.extra > max(LARGEST_EXPANSION, 10 * written):
            raise YamlRefusal("the aliases in this file multiply its size beyond any use")
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
            raise YamlRefusal(
                f"'{frame.name}' is set twice, first in line {other.line}; remove one of the two",
                line_of(frame.key),
            )
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
                raise YamlRefusal(f"the alias *{key.anchor} stands for a key here", line_of(key))
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
        column = value.start_mark.column - frame.key.start_mark.column
        if not value.flow_style and value.start_mark.line > frame.key.start_mark.line:
            self.outline.indentation = column if column > 0 else None

    def _anchor(self, event: NodeEvent, weight: int) -> None:
        name = event.anchor or ""
        if name in self.weights:
            raise YamlRefusal(f"the anchor &{name} is defined twice", line_of(event))
        self.weights[name] = weight

    def _alias(self, event: AliasEvent) -> None:
        name = event.anchor or ""
        weight = self.weights.get(name)
        if weight is None:
            raise YamlRefusal(f"the alias *{name} has no anchor before it", line_of(event))
        if not weight:
            raise YamlRefusal(f"the alias *{name} stands within its own anchor", line_of(event))
        self.extra += weight
        self.outline.aliased.add(name)

    def _doubt(self, reason: str, event: Event) -> None:
        self.doubt = self.doubt or YamlRefusal(reason + _TOO_LARGE, line_of(event))


_TOO_LARGE = f", and a file of more than {LARGEST_PURE_TEXT} bytes is too large to find out"


def _tree(paths: Iterable[Path]) -> Wanted:
    root: dict[str, Any] = {}
    for path in paths:
        node = root
        for name in path:
            node = node.setdefault(name, {})
    return root


def _doubtful_text(text: bytes) -> YamlRefusal | None:
    """Where characters stand that libyaml and the pure parser are known to read differently.

    Found by comparing both on some 200,000 random texts: tabs outside quoted and block scalars, a
    U+FEFF inside the text, and a comment glued to a block scalar's header. (Tags and a `?` in a
    flow collection are the other two; the walk sees those.)
    """
    found: re.Match[bytes] | None = None
    reason = "a tab that separates is an error to LiteLLM"
    if b"\t" in text:
        found = (
            _UNICODE_LINE_BREAK.search(text)
            or _TAB_BEFORE_COMMENT.search(text)
            or _TAB_AFTER_QUOTE_IN_COMMENT.search(text)
        )
    if found:
        position = text.find(b"\t", found.start())
    else:
        position = text.find(BYTE_ORDER_MARK, 1)
        reason = "a byte order mark may stand only at the start of the file"
        if position < 0 and (found := _BLOCK_SCALAR_COMMENT.search(text)):
            position = found.start()
            reason = "a comment needs a space before its #"
    if position < 0 and not found:
        return None
    return YamlRefusal(reason + _TOO_LARGE, text.count(b"\n", 0, max(position, 0)) + 1)


class _RecordingLoader(yaml.SafeLoader):
    """The loader that LiteLLM uses, keeping the fingerprints of the events it composes from."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.fingerprints = array("q")

    def get_event(self) -> Event:
        event: Event = super().get_event()  # type: ignore[no-untyped-call]
        value = fingerprint(event)
        if value is not None:
            self.fingerprints.append(value)
        return event


def _read_purely(text: bytes, expected: Sequence[int]) -> Any:
    # LiteLLM opens the file in text mode, which turns every line end into \n.
    stream = text.decode().replace("\r\n", "\n").replace("\r", "\n")
    try:
        loader = _RecordingLoader(stream)
        data = loader.get_single_data()
    except yaml.YAMLError as error:
        raise _refusal(error, text) from None
    except Exception as error:  # ValueError, KeyError, RecursionError, ...
        raise YamlRefusal(f"LiteLLM can't read the file ({error})") from None
    if loader.fingerprints != expected:
        raise YamlRefusal("libyaml and LiteLLM's parser read this file differently")
    return data


def _refusal(error: yaml.YAMLError, text: bytes) -> YamlRefusal:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        problem = getattr(error, "problem", None) or getattr(error, "context", None)
        return YamlRefusal(f"LiteLLM can't read the file: {problem}", mark.line + 1)
    position = getattr(error, "position", None)
    reason = getattr(error, "reason", "it is not valid YAML")
    line = None if position is None else text.count(b"\n", 0, position) + 1
    return YamlRefusal(f"LiteLLM can't read the file: {reason}", line)


def _byte_offsets(text: bytes) -> Callable[[int], int]:
    """A function from character index (not counting a leading BOM) to byte offset."""
    base = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    if text.isascii() or text[base:].isascii():
        return lambda index: base + index
    counts = [0]
    for start in range(base, len(text), _OFFSET_BLOCK):
        block = text[start : start + _OFFSET_BLOCK]
        counts.append(counts[-1] + len(block.translate(None, _CONTINUATION_BYTES)))

    def offset(index: int) -> int:
        number = bisect_right(counts, index) - 1
        start = base + number * _OFFSET_BLOCK
        block = text[start : start + _OFFSET_BLOCK]
        rest = index - counts[number]
        for match in islice(_CHARACTER.finditer(block), rest, None):
            return start + match.start()
        return len(text)

    return offset
