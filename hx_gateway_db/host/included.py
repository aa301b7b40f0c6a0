"""The files that config.yaml includes, as LiteLLM reads them (`_process_includes`).

A section of an included file takes the place of the whole section of that name; lists are joined.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hx_gateway_db.host.host import Host
from hx_gateway_db.transaction import foreign_file
from hx_gateway_db.transaction.foreign_file import Unreadable
from hx_gateway_db.yaml_edit.edit import YamlRefusal, lookup

_LARGEST = 1024 * 1024
_MOST = 100


@dataclass(frozen=True)
class Part:
    """One file of LiteLLM's configuration; `problem` says why an included one can't be read."""

    path: PurePosixPath
    text: bytes = field(repr=False)
    problem: str = ""

    def has(self, section: str) -> bool:
        """Whether it has such a section, at its top."""
        with suppress(YamlRefusal):
            return lookup(self.text, (section,)) is not None
        return False


def parts(host: Host) -> list[Part]:
    """config.yaml and what it includes, in the order in which LiteLLM reads them.

    What an included file includes comes after all that was named before it. It is looked for beside
    the file that names it, as LiteLLM 1.106 does, then beside config.yaml, as 1.74 does.
    """
    path = host.layout.config_yaml
    image = host.files[path]
    found = [Part(path, image.content if image else b"")]
    known = {path}
    for part in found:
        for name in _included(part):
            beside = [folder / name for folder in (part.path.parent, path.parent)]
            there = next((place for place in beside if _is_there(host, place)), beside[0])
            if there not in known and len(found) < _MOST:
                known.add(there)
                found.append(_read(host, there))
    return found


def _included(part: Part) -> list[str]:
    with suppress(YamlRefusal):
        names = lookup(part.text, ("include",))
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return []


def _is_there(host: Host, path: PurePosixPath) -> bool:
    return os.path.lexists(host.layout.root / path.relative_to("/"))


def _read(host: Host, path: PurePosixPath) -> Part:
    try:
        text = foreign_file.read(path, _LARGEST, host.layout.root)
        lookup(text, ("include",))
    except Unreadable as error:
        return Part(path, b"", "it is not there" if error.missing else str(error))
    except YamlRefusal as refusal:
        return Part(path, b"", refusal.what)
    return Part(path, text)


def last_with(found: Sequence[Part], section: str) -> Part:
    """The one whose section counts; config.yaml itself if no other has it."""
    return next((part for part in reversed(found) if part.has(section)), found[0])
