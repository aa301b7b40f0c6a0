"""What both of PyYAML's parsers make of a text: fingerprints, LiteLLM's own reading, doubts.

LiteLLM reads its configuration with PyYAML's pure-Python `safe_load`, so that reading is the
truth. libyaml is twenty times faster and reads nearly every text alike; here is what is known of
the rest, and the comparison that settles it.
"""

import re
from array import array
from collections.abc import Sequence
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.resolver import Resolver

from hx_gateway_db.errors import Refused

LARGEST_PURE_TEXT = 512 * 1024
"""Bytes; a larger text about which the parsers may disagree is refused: the check takes seconds."""
TOO_LARGE = f", and a file of more than {LARGEST_PURE_TEXT} bytes is too large to find out"
LONGEST_NUMBER = 4096
"""Characters; PyYAML takes hours for `1:1:1:...`, a number to the base of 60, that is longer."""
TOO_LONG = "a number or date of this length takes LiteLLM too long to read"
TEXT = "tag:yaml.org,2002:str"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAPPING_END = hash(MappingEndEvent)
SEQUENCE_END = hash(SequenceEndEvent)

# A loader is both of these and a scanner, which is most of what it costs to make one.
_RESOLVER: Any = Resolver()
_MEND = "mend that first"

# Two patterns, each with a literal start, are searched nine times faster than one.
_BLOCK_SCALAR_COMMENTS = (re.compile(rb"\|[-+0-9]{0,3}#"), re.compile(rb">[-+0-9]{0,3}#"))


class YamlRefusal(Refused):
    """The text can't be read or edited safely; nothing was changed.

    `reason` is a sentence without its end, `line` the 1-based line it is about, if there is one.
    Only where nothing could be done has it no `cure`.
    """

    def __init__(self, reason: str, cure: str, line: int | None = None) -> None:
        self.reason = reason
        self.line = line
        what = reason if line is None else f"line {line}: {reason}"
        super().__init__(what if cure else f"{what}.", cure)


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
    return SEQUENCE_END if isinstance(event, SequenceEndEvent) else None


def scalar_fingerprint(
    value: str, implicit: tuple[bool, bool], anchor: str | None = None, tag: str | None = None
) -> int:
    """The fingerprint of a scalar event; `implicit` is (True, False) for a plain one."""
    return hash((value, implicit, anchor, tag))


def scalar_tag(value: str, implicit: tuple[bool, bool]) -> str:
    """The tag, which says the type, that the pure `safe_load` gives a scalar without one."""
    return str(_RESOLVER.resolve(yaml.ScalarNode, value, implicit))


def construct(event: ScalarEvent) -> Any:
    """What the pure `safe_load` makes of a scalar. Raises YamlRefusal where it raises."""
    tag = event.tag
    if tag is None or tag == "!":
        tag = scalar_tag(event.value, event.implicit)
    if tag == TEXT:
        return event.value
    if len(event.value) > LONGEST_NUMBER:
        raise YamlRefusal(TOO_LONG, "put it in quotes if it is a text", line_of(event))
    constructor: Any = SafeConstructor()
    try:
        return constructor.construct_object(yaml.ScalarNode(tag, event.value))
    except Exception as error:  # ValueError, KeyError, ...: PyYAML raises more than YAMLError
        reason = f"LiteLLM can't read this value ({error})"
        raise YamlRefusal(reason, _MEND, line_of(event)) from None


def line_of(event: Event) -> int:
    """The 1-based line on which an event starts."""
    assert event.start_mark is not None
    return int(event.start_mark.line) + 1


def doubtful_text(text: bytes) -> YamlRefusal | None:
    """Where characters stand that libyaml and the pure parser are known to read differently.

    Found by comparing both on some 200,000 random texts: tabs outside quoted and block scalars, a
    U+FEFF inside the text, and a comment glued to a block scalar's header. (Tags and a `?` in a
    flow collection are the other two; the walk sees those.)
    """
    position = -1
    if b"\t" in text:
        reason, cure = "a tab that separates is an error to LiteLLM", "write blanks instead"
        position = _separating_tab(text)
    if position < 0:
        reason = "a byte order mark may stand only at the start of the file"
        cure = "remove it"
        position = text.find(BYTE_ORDER_MARK, 1)
    if position < 0:
        reason, cure = "a comment needs a space before its #", "put one there"
        matches = [match for each in _BLOCK_SCALAR_COMMENTS if (match := each.search(text))]
        position = matches[0].start() if matches else -1
    if position < 0:
        return None
    return YamlRefusal(reason + TOO_LARGE, cure, text.count(b"\n", 0, position) + 1)


def _separating_tab(text: bytes) -> int:
    """The offset of a tab that may separate tokens, or -1.

    A tab behind a `#` that starts a comment is harmless wherever that `#` really stands (comment,
    quoted or block scalar), as long as no quotation mark between them can end a quoted scalar.
    """
    position = text.find(b"\t")
    only_newlines = text.count(b"\r") == text.count(b"\r\n") and not any(
        line_break in text for line_break in (b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
    )
    while position >= 0 and only_newlines:
        start = text.rfind(b"\n", 0, position) + 1
        stop = text.find(b"\n", position)
        line = text[start : len(text) if stop < 0 else stop]
        comment = 0 if line.startswith(b"#") else line.find(b" #")
        behind = line[comment : line.rfind(b"\t")]
        if not 0 <= comment < position - start or b"'" in behind or b'"' in behind:
            break
        position = text.find(b"\t", start + len(line))
    return position


class _RecordingLoader(yaml.SafeLoader):
    """The loader that LiteLLM uses, keeping the fingerprints of the events it composes from."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.fingerprints = array("q")

    def get_event(self) -> Event:
        event: Event = super().get_event()  # type: ignore[no-untyped-call]
        if isinstance(event, ScalarEvent) and len(event.value) > LONGEST_NUMBER:
            construct(event)
        value = fingerprint(event)
        if value is not None:
            self.fingerprints.append(value)
        return event


def read_purely(text: bytes, expected: Sequence[int], doubtful_line: int | None) -> Any:
    """What LiteLLM reads. Raises YamlRefusal when it can't, or if the events are not `expected`."""
    # LiteLLM opens the file in text mode, which turns every line end into \n.
    stream = text.decode().replace("\r\n", "\n").replace("\r", "\n")
    try:
        loader = _RecordingLoader(stream)
        data = loader.get_single_data()
    except yaml.YAMLError as error:
        raise parser_refusal(error, text) from None
    except YamlRefusal:
        raise
    except Exception as error:  # ValueError, KeyError, RecursionError, ...
        raise YamlRefusal(f"LiteLLM can't read the file ({error})", _MEND) from None
    if loader.fingerprints != expected:
        reason = "libyaml and LiteLLM's parser read this differently"
        raise YamlRefusal(reason, "write it without tabs, tags and ?", doubtful_line)
    return data


def parser_refusal(error: yaml.YAMLError, text: bytes) -> YamlRefusal:
    """The refusal for what one of the parsers could not read."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        problem = getattr(error, "problem", None) or getattr(error, "context", None)
        return YamlRefusal(f"LiteLLM can't read the file ({problem})", _MEND, mark.line + 1)
    position = getattr(error, "position", None)
    reason = getattr(error, "reason", "it is not valid YAML")
    line = None if position is None else text.count(b"\n", 0, position) + 1
    return YamlRefusal(f"LiteLLM can't read the file ({reason})", _MEND, line)
