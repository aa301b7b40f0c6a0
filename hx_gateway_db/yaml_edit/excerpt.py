"""The sections of YAML text that a change is about, without the long lists beside them.

Ten thousand models have no say in what `general_settings` reads as. Where every line of a text
stands for itself (`yaml_plain`), its sections can be read, changed and proven on their own: what
both of PyYAML's parsers make of the text is what they make of its sections, one after the other.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from hx_gateway_db.yaml_edit.outline import LARGEST_TEXT
from hx_gateway_db.yaml_edit.plain import is_plain, is_yaml
from hx_gateway_db.yaml_edit.reading import YamlRefusal
from hx_gateway_db.yaml_edit.splice import Splice, apply_splices

_SECTION = re.compile(rb"\n([A-Za-z_][^\n:]*+):")
_CONTENT = re.compile(rb"\n *+(?=[^\n #])")


@dataclass(frozen=True)
class Excerpt:
    """What of `whole` stands in `pieces`: their starts and stops, in order, a gap between each."""

    whole: bytes = field(repr=False)
    pieces: tuple[tuple[int, int], ...]

    @property
    def text(self) -> bytes:
        """The pieces, one after the other."""
        return b"".join(self.whole[start:stop] for start, stop in self.pieces)

    def apply(self, splices: Sequence[Splice]) -> bytes:
        """`whole` with splices of `text` made. Raises YamlRefusal when one touches a gap.

        What is inserted there could belong to what stands before the gap, or behind it.
        """
        return apply_splices(self.whole, [self._in_whole(splice) for splice in splices])

    def _in_whole(self, splice: Splice) -> Splice:
        passed = 0
        for start, stop in self.pieces:
            shift = start - passed
            first, last = splice.start + shift, splice.stop + shift
            if (start < first or start == 0) and (last < stop or stop == len(self.whole)):
                return replace(splice, start=first, stop=last)
            passed += stop - start
        raise YamlRefusal("this stands at the edge of what is looked at", "")


def excerpt(text: bytes, names: Collection[str]) -> Excerpt | None:
    """`text` without those of its sections that are lists, but with all that have these names.

    None when its lines don't stand for themselves, when one of the names is there twice, or when
    what is left out is not even YAML: then the whole text has to be looked at.
    """
    if len(text) > LARGEST_TEXT or not is_plain(text):
        return None
    lines = b"\n" + text  # where a line break stands in it, a line of `text` starts
    sections = [*_SECTION.finditer(lines)]
    found = [name for section in sections if (name := section[1].decode()) in names]
    if not sections or len(found) > len({*found}):
        return None
    stops = [*(section.start() for section in sections[1:]), len(text)]
    pieces: list[tuple[int, int]] = []
    for section, start, stop in zip(sections, [0, *stops], stops, strict=False):
        if section[1].decode() not in names and _is_list(lines, section.end()):
            continue
        if pieces and pieces[-1][1] == start:
            start, _ = pieces.pop()
        pieces.append((start, stop))
    is_all = pieces == [(0, len(text))]
    return Excerpt(text, tuple(pieces)) if is_all or is_yaml(text) else None


def _is_list(lines: bytes, key_end: int) -> bool:
    content = _CONTENT.search(lines, key_end)
    return content is not None and lines.startswith(b"- ", content.end())
