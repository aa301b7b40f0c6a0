"""The documents on which the editor is tested, and what counts as right on them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from hx_gateway_db.yaml_edit.edit import SetKey
from tests.yaml_corpus import ERRORS, EXAMPLES, REFUSALS, SPEND_ON, expected, reads, same

_BOTH_FLAGS = (SPEND_ON, SetKey(ERRORS, False))
_LINE_BREAK = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True)
class Case:
    """A text in which both flags are to be set to false, or that is to be refused.

    `kept` are the lines that the change needn't touch; of a text to be refused, all.
    """

    text: bytes
    kept: tuple[bytes, ...]
    refused: bool

    def is_right(self, edited: bytes | None) -> bool:
        """Whether `edited` (None: refused) reads as asked, every other line byte for byte there.

        LiteLLM's own reading counts. To leave a text that is to be refused as it is, or to edit it
        right after all, is right too.
        """
        if self.refused and edited in (None, self.text):
            return True
        if edited is None:
            return False
        try:
            reading = same(reads(edited), expected(reads(self.text), _BOTH_FLAGS))
        except Exception:  # whatever keeps LiteLLM from reading it
            return False
        lines = iter(_LINE_BREAK.split(edited))
        return (
            reading
            and all(line in lines for line in self.kept)
            and {*_LINE_BREAK.findall(edited)} <= {*_LINE_BREAK.findall(self.text)} | {b"\n"}
        )


def cases() -> Iterator[Case]:
    """Every document of the tests' corpus that has an expected text or a refusal."""
    for before, after in EXAMPLES.values():
        lines = _LINE_BREAK.split(before.encode())
        matcher = SequenceMatcher(None, lines, _LINE_BREAK.split(after.encode()), autojunk=False)
        kept = [
            line
            for block in matcher.get_matching_blocks()
            for line in lines[block.a : block.a + block.size]
        ]
        yield Case(before.encode(), tuple(kept), refused=False)
    for text in REFUSALS:
        yield Case(text.encode(), tuple(_LINE_BREAK.split(text.encode())), refused=True)
