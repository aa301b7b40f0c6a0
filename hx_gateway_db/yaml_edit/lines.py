"""Lines of YAML text: where they start and break, what of them is blank or comment.

And how the characters that PyYAML counts become bytes of the text.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import islice

from hx_gateway_db.yaml_edit.reading import BYTE_ORDER_MARK

_UNICODE_LINE_BREAKS = (b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
_LINE_BREAKS = (b"\r\n", b"\n", b"\r", *_UNICODE_LINE_BREAKS)
LINE_BREAK = re.compile(rb"\r\n|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9]")
_ASCII_LINE_BREAK = re.compile(rb"\r\n|[\r\n]")
REST_OF_LINE = re.compile(rb"[ \t]*(?:[ \t]#[^\r\n]*)?(?=\r|\n|\xc2\x85|\xe2\x80[\xa8\xa9]|\Z)")
_BLANK_OR_COMMENT = re.compile(rb"[ \t]*(?:#.*)?", re.DOTALL)
_WINDOW = 256
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_CHARACTER = re.compile(rb"[^\x80-\xbf]")
_OFFSET_BLOCK = 4096


def without_blanks(text: bytes, start: int, stop: int) -> int:
    """`stop` moved back over white space and line breaks, at most to `start`."""
    size = _WINDOW
    while stop > start:
        window = text[max(start, stop - size) : stop]
        kept = window.rstrip(b" \t\r\n")
        for line_break in _UNICODE_LINE_BREAKS:
            kept = kept.removesuffix(line_break)
        if kept == window:
            break
        stop -= len(window) - len(kept)
        size *= 2
    return stop


def without_comments(text: bytes, start: int, stop: int) -> int:
    """`stop` moved back over white space and whole-line comments, at most to `start`."""
    while True:
        stop = without_blanks(text, start, stop)
        line = line_start(text, stop)
        if not start < line < stop or not _BLANK_OR_COMMENT.fullmatch(text, line, stop):
            return stop
        stop = line


def line_start(text: bytes, position: int) -> int:
    """Where the line at `position` starts, behind a byte order mark if it is the first."""
    base = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    size = _WINDOW
    while True:
        low = max(base, position - size)
        found = [
            low_break + len(line_break)
            for line_break in _LINE_BREAKS
            if (low_break := text.rfind(line_break, low, position)) >= 0
        ]
        if found:
            return max(found)
        if low <= base:
            return min(base, position)
        size *= 8


def newline_at(text: bytes, position: int) -> bytes:
    """The line break that the lines above `position` end in, or else the first one below."""
    start = line_start(text, position)
    for line_break in (b"\r\n", b"\n", b"\r"):
        if text.endswith(line_break, 0, start):
            return line_break
    found = _ASCII_LINE_BREAK.search(text, position)
    return found[0] if found else b"\n"


def byte_offsets(text: bytes) -> Callable[[int], int]:
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
