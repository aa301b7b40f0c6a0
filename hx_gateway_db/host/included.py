"""The files that config.yaml includes, as LiteLLM reads them (`_process_includes`).

A section of an included file takes the place of the whole section of that name; lists are joined.
"""

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
    """config.yaml and what it includes, in the order in which LiteLLM reads them."""
    path = host.layout.config_yaml
    image = host.files[path]
    text = image.content if image else b""
    found = [Part(path, text)]
    names: object = None
    with suppress(YamlRefusal):
        names = lookup(text, ("include",))
    listed = names[:_MOST] if isinstance(names, list) else []
    return [*found, *(_read(host, path.parent / name) for name in listed if isinstance(name, str))]


def _read(host: Host, path: PurePosixPath) -> Part:
    try:
        return Part(path, foreign_file.read(path, _LARGEST, host.layout.root))
    except Unreadable as error:
        return Part(path, b"", "it is not there" if error.missing else str(error))


def last_with(found: Sequence[Part], section: str) -> Part:
    """The one whose section counts; config.yaml itself if no other has it."""
    return next((part for part in reversed(found) if part.has(section)), found[0])
