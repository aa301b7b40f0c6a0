"""What a unit's ExecStart= runs: the program, the Python behind it, the port it is given."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_PYTHON = re.compile(r"python[\d.]*")
_NUMBER = re.compile(r"[0-9]{1,5}")
# The second form is what pip writes where the path is too long, or has a blank in it.
_SHEBANGS = (
    re.compile(r"#! *(?P<path>/\S+)(?: +(?P<rest>\S+))?"),
    re.compile(r"#!/bin/sh\n'''exec' \"?(?P<path>/[^\"\n]+?)\"? \"\$0\" \"\$@\""),
)


@dataclass(frozen=True)
class StartedProgram:
    """A command line: the program's path, and its arguments without it."""

    path: str
    arguments: tuple[str, ...]

    @property
    def port(self) -> int | None:
        """The number behind `--port`, which both LiteLLM and uvicorn know."""
        return self.number("--port")

    def number(self, option: str) -> int | None:
        """The number behind `option`, as one word with it or as the next; the last one counts."""
        numbers = [int(text) for text in self._values(option) if _NUMBER.fullmatch(text)]
        return numbers[-1] if numbers else None

    def value(self, *options: str) -> str | None:
        """What stands behind one of `options` (names of the same), the last of them."""
        found = [text for option in options for text in self._values(option)]
        return found[-1] if found else None

    def _values(self, option: str) -> list[str]:
        """In their order, however each is written."""
        found = []
        for before, word in pairwise(("", *self.arguments)):
            if before == option:
                found.append(word)
            elif word.startswith(f"{option}="):
                found.append(word.partition("=")[2])
        return found


def shown(exec_start: str) -> StartedProgram | None:
    """The program in the property ExecStart as `systemctl show` prints it."""
    path, is_shown, rest = exec_start.partition(" ; argv[]=")
    argv, is_whole, _ = rest.partition(" ; ignore_errors=")
    if not path.startswith("{ path=") or not (is_shown and is_whole):
        return None
    return StartedProgram(path.removeprefix("{ path="), tuple(argv.split(" ")[1:]))


def python_of(program: StartedProgram, beginning: str) -> str | None:
    """The Python that runs a program whose file begins so; None when it is no Python script.

    One that is found by name (`/usr/bin/env python3`) comes back as that name.
    """
    if _PYTHON.fullmatch(_name(program.path)):
        return program.path
    # The second first: to the first it is a script of sh.
    for shebang in reversed(_SHEBANGS):
        match = shebang.match(beginning)
        if match is None:
            continue
        found = [match["path"], *_rest(match)]
        path = found[1] if _name(found[0]) == "env" and len(found) > 1 else found[0]
        return path if _PYTHON.fullmatch(_name(path)) else None
    return None


def _rest(match: re.Match[str]) -> Sequence[str]:
    rest = match.groupdict().get("rest")
    return [rest] if rest else []


def _name(path: str) -> str:
    return path.rpartition("/")[2]
