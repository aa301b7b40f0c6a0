"""From the characters that PyYAML counts to the bytes of the text."""

import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import islice

from hx_gateway_db.yaml_reading import BYTE_ORDER_MARK

_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_CHARACTER = re.compile(rb"[^\x80-\xbf]")
_OFFSET_BLOCK = 4096


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
