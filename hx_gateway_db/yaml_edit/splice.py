"""Where in YAML text a key is written, replaced or taken out, in the style of the place.

Every function returns alternatives, the most natural one first: YAML has too many corners for one
place to be always right, and the caller proves each before it accepts it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent

from hx_gateway_db.yaml_edit.lines import (
    LINE_BREAK,
    REST_OF_LINE,
    line_start,
    newline_at,
    without_blanks,
    without_comments,
)
from hx_gateway_db.yaml_edit.outline import Node, Outline, column_of
from hx_gateway_db.yaml_edit.reading import YamlRefusal
from hx_gateway_db.yaml_edit.wanted import Leaf, Tree, in_flow, leaf, pairs_in_flow

# Each of them can be read in one way only: of a text that could be told apart in two ways at each
# byte, it would take for ever to find out that it does not match.
_BREAK = rb"[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9]"
_COMMENT = rb"#(?:[^\r\n\xc2\xe2]|\xc2(?!\x85)|\xe2(?!\x80[\xa8\xa9]))*(?=" + _BREAK + rb"|\Z)"
_UP_TO_COLON = re.compile(rb"(?:[ \t]|" + _BREAK + rb"|" + _COMMENT + rb")*:")
_HEADER_REST = re.compile(rb"(?:[ ]+[&!][^\s#]*)*" + REST_OF_LINE.pattern)
_COMMENT_INDENTATION = re.compile(rb"(?:[ \t]*(?:\r\n|\n|\r(?!\n)))*( +)#")
_COMMA = re.compile(rb"[ \t\r\n]*, *")
_EXPLICIT_KEY = re.compile(rb"\? +\Z")
_DEFAULT_INDENTATION = 2


@dataclass(frozen=True)
class Splice:
    """Bytes `start` to `stop` of a text give way to `text`."""

    start: int
    stop: int
    text: bytes


Alternative = tuple[Splice, ...]
Change = tuple[Alternative, ...]


def in_order(splices: Sequence[Splice]) -> list[Splice]:
    """The splices as they follow each other in the text, an insertion before what it precedes."""
    return sorted(splices, key=lambda splice: (splice.start, splice.stop))


def apply_splices(text: bytes, splices: Sequence[Splice]) -> bytes:
    """Return `text` with all splices made. Raises YamlRefusal when two of them overlap."""
    parts: list[bytes] = []
    position = 0
    for splice in in_order(splices):
        if splice.start < position:
            reason = "the keys stand too close together to be changed one by one"
            raise YamlRefusal(reason, "write each on a line of its own")
        parts += (text[position : splice.start], splice.text)
        position = splice.stop
    return b"".join((*parts, text[position:]))


def is_quoted(node: Node) -> bool:
    """Whether keys in `node` are to be written as JSON writes them: flow style, double quotes."""
    sample = node.first_key or node.key
    in_flow = node.is_flow or (node.parent is not None and node.parent.is_flow)
    return in_flow and isinstance(sample, ScalarEvent) and sample.style == '"'


def insert_keys(outline: Outline, node: Node, tree: Tree) -> Change:
    """Write the keys of `tree` into a mapping that has none of them."""
    if node.is_flow:
        return _insert_in_flow(outline, node, tree)
    text = outline.text
    position, column = _block_entry(outline, node)
    start = line_start(text, position)
    lines = _block(tree, column, outline, newline_at(text, position))
    own_line = not text[start:position].strip(b" ")
    before_first = (
        (Splice(start, start, lines),)
        if own_line
        else (Splice(position, position, lines[column:] + b" " * column),)
    )
    if node.parent is None:
        return (*_at_end(outline, lines), before_first)
    if not own_line:
        return (before_first,)
    header = _after_header(outline, node)
    if header is None or header > start:
        return (before_first,)
    return ((Splice(header, header, lines),), before_first)


def fill_null(outline: Outline, node: Node | None, tree: Tree) -> Change:
    """Write a mapping with the keys of `tree` in place of a null (None: the empty document)."""
    text = outline.text
    if node is None or (node.parent is None and _is_empty(node)):
        return _at_end(outline, _block(tree, 0, outline, newline_at(text, len(text))))
    flow = in_flow(tree, quoted=is_quoted(node))
    if not _is_empty(node):
        return replace_value(outline, node, Leaf(flow, ()))
    assert node.parent is not None
    assert node.key is not None
    in_place = _write_after_colon(outline, node, flow)
    colon = _colon(outline, node)
    rest = REST_OF_LINE.match(text, colon) if colon else None
    if node.parent.is_flow or rest is None:
        return (in_place,)
    line_break = LINE_BREAK.match(text, rest.end())
    position = line_break.end() if line_break else len(text)
    column = column_of(node.key)
    indentation = column + (outline.indentation or _DEFAULT_INDENTATION)
    comment = _COMMENT_INDENTATION.match(text, position)
    if comment and len(comment[1]) > column:
        indentation = len(comment[1])
    newline = newline_at(text, position)
    lines = _block(tree, indentation, outline, newline)
    if not line_break:
        lines = newline + lines.removesuffix(newline)
    return ((Splice(position, position, lines),), in_place)


def replace_value(outline: Outline, node: Node, value: Leaf) -> Change:
    """Write `value` where the value of `node` stands now, which is no block collection."""
    if _is_empty(node):
        return (_write_after_colon(outline, node, value.text),)
    start = outline.begin(node.event)
    stop = value_ends(outline, node)[0]
    if not value.text:
        start = len(outline.text[:start].rstrip(b" "))
    return ((Splice(start, stop, value.text),),)


def remove_keys(outline: Outline, node: Node, names: Sequence[str]) -> Change:
    """Take keys and values out of a mapping that keeps others, or of a flow mapping."""
    runs = _runs([node.children[name] for name in names])
    if node.is_flow:
        return _all_of([_remove_from_flow(outline, run) for run in runs])
    return _all_of([_remove_from_block(outline, run) for run in runs])


def empty_block(outline: Outline, node: Node, value: Leaf) -> Change:
    """Take all keys out of a block mapping and write `value` (maybe nothing) in its place."""
    removal = _all_of(
        [_remove_from_block(outline, run) for run in _runs([*node.children.values()])]
    )
    if not value.text:
        return removal
    if node.parent is not None:
        written = _write_after_colon(outline, node, value.text)
    else:
        position, _ = _block_entry(outline, node)
        start = line_start(outline.text, position)
        newline = newline_at(outline.text, position)
        written = (Splice(start, start, value.text + newline),)
    return tuple((*written, *alternative) for alternative in removal)


def value_ends(outline: Outline, node: Node) -> tuple[int, ...]:
    """Where the value of `node` may end, leaving out blank lines and comments that follow it."""
    assert node.end_event is not None
    start = outline.begin(node.event)
    if _is_empty(node):
        return (start if node.key is None else _colon(outline, node) or _key_end(outline, node),)
    stop = outline.end(node.end_event)
    event = node.event
    if isinstance(event, ScalarEvent) and event.style in ("|", ">"):
        return (without_blanks(outline.text, start, stop),)
    if isinstance(event, MappingStartEvent | SequenceStartEvent) and not event.flow_style:
        content = without_blanks(outline.text, start, stop)
        return tuple(dict.fromkeys((without_comments(outline.text, start, stop), content)))
    return (stop,)


def _block(tree: Tree, column: int, outline: Outline, newline: bytes) -> bytes:
    lines = b""
    step = outline.indentation or _DEFAULT_INDENTATION
    for name, value in tree.items():
        lines += b" " * column + leaf(name).text + b":"
        if isinstance(value, dict):
            lines += newline + _block(value, column + step, outline, newline)
        else:
            lines += b" " * bool(leaf(value).text) + leaf(value).text + newline
    return lines


def _insert_in_flow(outline: Outline, node: Node, tree: Tree) -> Change:
    text = outline.text
    brace = outline.end(node.event)
    items = list(pairs_in_flow(tree, quoted=is_quoted(node)))
    if node.first_key is None:
        return ((Splice(brace, brace, b", ".join(items)),),)
    first = outline.begin(node.first_key)
    indentation = text[line_start(text, first) : first]
    separator = b", "
    if not indentation.strip(b" "):
        separator = b"," + newline_at(text, first) + indentation
    before_first = separator.join(items) + separator
    after_brace = b", ".join(items) + b", "
    return ((Splice(first, first, before_first),), (Splice(brace, brace, after_brace),))


def _at_end(outline: Outline, lines: bytes) -> Change:
    """At the end of the file, or before the `...` that ends the document."""
    text = outline.text
    newline = newline_at(text, len(text))
    end = len(text)
    starts_line = end == line_start(text, end)
    written = lines if starts_line else newline + lines.removesuffix(newline)
    change: Change = ((Splice(end, end, written),),)
    if outline.document_end is not None:
        position = outline.begin(outline.document_end)
        change += ((Splice(position, position, lines),),)
    return change


def _write_after_colon(outline: Outline, node: Node, written: bytes) -> Alternative:
    assert node.parent is not None
    colon = _colon(outline, node)
    if colon is not None:
        return (Splice(colon, colon, b" " + written),)
    position = _key_end(outline, node)
    prefix = b": "
    if not node.parent.is_flow:
        column = column_of(node.parent.event)
        prefix = newline_at(outline.text, position) + b" " * column + prefix
    return (Splice(position, position, prefix + written),)


def _remove_from_flow(outline: Outline, run: list[Node]) -> Change:
    first, last = run[0], run[-1]
    start = _key_start(outline, first)
    stop = value_ends(outline, last)[0]
    if last.next_key is not None:
        to_next = (Splice(start, outline.begin(last.next_key), b""),)
        comma = _COMMA.match(outline.text, stop)
        if comma is None:
            return (to_next,)
        line = line_start(outline.text, start)
        rest = REST_OF_LINE.match(outline.text, comma.end())
        line_break = LINE_BREAK.match(outline.text, rest.end()) if rest else None
        if line_break and not outline.text[line:start].strip(b" "):
            return ((Splice(line, line_break.end(), b""),), to_next)
        return ((Splice(start, comma.end(), b""),), to_next)
    alternatives: list[Alternative] = []
    if first.previous_end is not None:
        previous = outline.end(first.previous_end)
        alternatives.append((Splice(previous, stop, b""),))
    alternatives.append((Splice(start, stop, b""),))
    comma = _COMMA.match(outline.text, stop)
    if comma:
        alternatives.append((Splice(start, comma.end(), b""),))
    return tuple(alternatives)


def _remove_from_block(outline: Outline, run: list[Node]) -> Change:
    removal = _all_of([_remove_entry(outline, node) for node in run])
    if not removal:
        return ()
    # Where the last line of a file that ends without a line break goes, so does the one above it.
    text = outline.text
    start, stop = removal[0][0].start, removal[0][-1].stop
    contiguous = all(one.stop == other.start for one, other in pairwise(removal[0]))
    if contiguous and stop == len(text) != line_start(text, stop) and start:
        before = start - len(newline_at(text, start))
        return ((Splice(before, stop, b""),), *removal)
    return removal


def _remove_entry(outline: Outline, node: Node) -> Change:
    text = outline.text
    position = _entry_start(text, _key_start(outline, node))
    start = line_start(text, position)
    alternatives: list[Alternative] = []
    for end in value_ends(outline, node):
        rest = REST_OF_LINE.match(text, end)
        if rest and not text[start:position].strip(b" "):
            line_break = LINE_BREAK.match(text, rest.end())
            stop = line_break.end() if line_break else rest.end()
            alternatives.append((Splice(start, stop, b""),))
    if node.next_key is not None and text[start:position].strip(b" "):
        following = _entry_start(text, outline.begin(node.next_key))
        alternatives.append((Splice(position, following, b""),))
    return tuple(alternatives)


def _all_of(changes: Sequence[Change]) -> Change:
    """One change out of several that are made together, each with its first, second, ... choice."""
    most = max((len(change) for change in changes), default=0)
    if any(not change for change in changes):
        return ()
    return tuple(
        tuple(splice for change in changes for splice in change[min(number, len(change) - 1)])
        for number in range(most)
    )


def _runs(nodes: list[Node]) -> list[list[Node]]:
    """Group nodes that follow each other directly."""
    runs: list[list[Node]] = []
    for node in sorted(nodes, key=lambda node: node.start):
        if runs and runs[-1][-1].next_key is node.key:
            runs[-1].append(node)
        else:
            runs.append([node])
    return runs


def _is_empty(node: Node) -> bool:
    event = node.event
    if not isinstance(event, ScalarEvent) or event.start_mark is None or event.end_mark is None:
        return False
    return bool(event.start_mark.index == event.end_mark.index)


def _key_start(outline: Outline, node: Node) -> int:
    assert node.key is not None
    return outline.begin(node.key)


def _key_end(outline: Outline, node: Node) -> int:
    assert node.key is not None
    end = outline.end(node.key)
    return without_blanks(outline.text, _key_start(outline, node), end)


def _colon(outline: Outline, node: Node) -> int | None:
    """The offset after the colon of `node`; the parsers' marks of an empty value differ."""
    found = _UP_TO_COLON.match(outline.text, _key_end(outline, node))
    return found.end() if found else None


def _block_entry(outline: Outline, node: Node) -> tuple[int, int]:
    """The offset and column of the first entry of a block mapping, its `?` if it has one."""
    event = node.event
    assert isinstance(event, MappingStartEvent)
    if event.anchor is None and event.tag is None:
        return outline.begin(event), column_of(event)
    assert node.first_key is not None
    position = outline.begin(node.first_key)
    entry = _entry_start(outline.text, position)
    return entry, column_of(node.first_key) - (position - entry)


def _entry_start(text: bytes, key_start: int) -> int:
    found = _EXPLICIT_KEY.search(text, line_start(text, key_start), key_start)
    return found.start() if found else key_start


def _after_header(outline: Outline, node: Node) -> int | None:
    """The start of the line below the one that opens the section `node`, above its comments."""
    colon = _colon(outline, node)
    rest = _HEADER_REST.match(outline.text, colon) if colon is not None else None
    line_break = LINE_BREAK.match(outline.text, rest.end()) if rest else None
    return line_break.end() if line_break else None
