"""YAML text of which every line can be understood by itself, as most of LiteLLM's is.

In such a text no line is inside of what another line has opened but by its indentation: there are
no scalars or flow collections over several lines, no block scalars, anchors, aliases, tags, merge
keys, directives or further documents. A line without indentation that has a key then starts a
section of the document, whatever stands above and below. Of what PyYAML's two parsers are known
to read differently (`yaml_reading.doubtful_text`), and of what its `safe_load` fails on though it
parses (an impossible date, a number without digits, a key that is a list), it has nothing.
"""

import re

import yaml

# Only classes are repeated possessively: before 3.11.5, Python gets a possessive group wrong.
_KEY = rb"[A-Za-z_][A-Za-z0-9_./-]{0,99}+"
_QUOTED = rb"""(?:"(?:[^"\\\n]++|\\[^\n])*"|'(?:[^'\n]++|'')*'(?!'))"""
# Four digits and a hyphen may be a date, 0x and 0b numbers without digits; 4,300 digits are the
# most that Python converts.
_START = rb"(?:[A-Za-z_/$(.~\x80-\xff]|-?(?![0-9]{4}-|[0-9_]{99})[1-9]|-[A-Za-z]|0(?![xb]))"
_PLAIN = _START + rb"(?:[^\n\t :#]++|:(?=[^\n\t ])|#|[ ]++(?![\n #]))*"
# No scalar next to another, so that there is only one way to tell them apart: what does not match
# then costs no more than what does.
_WORD = rb"(?:[^]\n\t :#,[{}\"'&*!|>%@`?]++|:(?=[A-Za-z0-9_/]))*(?=[]\n ,:}]|\Z)"
_IN_COLLECTION = rb"[ ,]++|:(?= )|" + _QUOTED + rb"|" + _START + _WORD
_LIST, _MAPPING = rb"\[(?:" + _IN_COLLECTION + rb")*\]", rb"\{(?:" + _IN_COLLECTION + rb")*\}"
for _ in range(2):  # a list of mappings to lists, as LiteLLM's fallbacks are
    # A collection as a key is what safe_load fails on: before a colon in a list, and anywhere but
    # behind one in a mapping, as in a template's {{ settings }}.
    _INNER = rb"(?:" + _LIST + rb"|" + _MAPPING + rb")(?! *:)"
    _LIST = rb"\[(?:" + _INNER + rb"|" + _IN_COLLECTION + rb")*\]"
    _MAPPING = rb"\{(?:: ++" + _INNER + rb"|" + _IN_COLLECTION + rb")*\}"
_COLLECTION = rb"(?:" + _LIST + rb"|" + _MAPPING + rb")"
_VALUE = rb"(?:" + _QUOTED + rb"|" + _COLLECTION + rb"|" + _PLAIN + rb")"
_COLON = rb":(?: ++|(?=\n|\Z))"
_START_OF_LINE = b"|".join(
    (
        rb" {0,40}+(?:- ++){1,3}(?:(?:" + _KEY + rb"|" + _QUOTED + rb")" + _COLON + rb")?",
        rb" {1,40}+" + _QUOTED + _COLON,
        rb" {0,40}+" + _KEY + _COLON,
    )
)
_COMMENT = rb" *+(?:(?<![^\n ])#[^\n]*+)?"
# The length bounds what a match can cost, the indentation how deeply the text is nested.
_CONTENT = rb"(?:(?:" + _START_OF_LINE + rb")" + _VALUE + rb"?)?"
_LINE = rb"(?![^\n]{4000})" + _CONTENT + _COMMENT + rb"(?:\n|\Z)"
_OTHER_LINE = re.compile(rb"\n(?!" + _LINE + rb")")
_STRAYS = (b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xef\xbb\xbf")
"""Line breaks other than \\n, and the byte order mark."""


def is_plain(text: bytes) -> bool:
    """Whether every line of `text` is one that stands for itself; its syntax may still be wrong."""
    return _OTHER_LINE.search(b"\n" + text) is None and not any(map(text.__contains__, _STRAYS))


def is_yaml(text: bytes) -> bool:
    """Whether libyaml can parse `text`, which takes it a third of a pass over the events."""
    try:
        yaml.CSafeLoader(text).raw_parse()
    except yaml.YAMLError:
        return False
    return True
