"""The help of the command in lines of the terminal's width."""

import argparse
import re
from collections.abc import Iterable, Iterator

from hx_gateway_db.cli.screen import wrapped

_ENTRY = re.compile(r"( +\S.*?  +)(\S.*)")
_COMMAND = "  $ "
# Never in our texts: a blank at which a line is not broken.
_NO_BREAK = "\0"


class HelpFormatter(argparse.HelpFormatter):
    """Descriptions keep their paragraphs and entries.

    Lines that are not indented are a paragraph. An indented line is an entry: two blanks part its
    text from what it names. One that begins with `$` is a command to be copied, and stays whole.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(_filled(text.splitlines(), width))

    def _format_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None,
    ) -> str:
        text = super()._format_usage(usage, actions, groups, prefix)
        if prefix is not None:  # what the usages of the single commands begin with
            return text
        text = " ".join(text.split())
        first = f"usage: {self._prog} "
        options = re.sub(
            r"\[[^]]* .*?\]+",
            lambda option: option[0].replace(" ", _NO_BREAK),
            text.removeprefix(first),
        )
        return wrapped(first, options, self._width).replace(_NO_BREAK, " ") + "\n\n"


def _filled(lines: Iterable[str], width: int) -> Iterator[str]:
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line and not line.startswith(" "):
            paragraph.append(line)
            continue
        if paragraph:
            yield wrapped("", " ".join(paragraph), width)
            paragraph = []
        entry = _ENTRY.fullmatch(line)
        if line.startswith(_COMMAND) or not line:
            yield line
        elif entry:
            yield wrapped(entry[1], entry[2], width)
        else:
            yield wrapped("  ", line.strip(), width)
