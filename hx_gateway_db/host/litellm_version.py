"""Which LiteLLM the gateway's unit runs, as pip has recorded it beside the code.

The venv belongs to the gateway's user: nothing of it is run for this, only names and the beginning
of two files are read (https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.settings.litellm import UNKNOWN, LiteLLM, parse_version
from hx_gateway_db.systemd import started_program, units
from hx_gateway_db.systemd.started_program import StartedProgram
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction import foreign_file
from hx_gateway_db.transaction.folders import exists, names
from hx_gateway_db.transaction.foreign_file import Unreadable

_BEGINNING = 1024
_MOST_NAMES = 10_000
_PYTHON = re.compile(r"python3(\.[0-9]{1,2})?t?")
_RECORD = re.compile(r"litellm-[^-/]{1,60}\.dist-info")
_VERSION = re.compile(r"^Version: (.{1,60})$", re.MULTILINE)


def of_gateway() -> LiteLLM:
    """The LiteLLM that its unit on this system starts; an unknown one where that can't be told."""
    if not units.available():
        return UNKNOWN
    with suppress(ServiceFailed):
        shown = dict(units.properties(LITELLM_UNIT, ("ExecStart",))).get("ExecStart", "")
        if program := started_program.shown(shown):
            return started_by(program)
    return UNKNOWN


def started_by(program: StartedProgram) -> LiteLLM:
    """The LiteLLM in the virtual environment of a program; unknown unless there is just one."""
    with suppress(Unreadable, Refused, OSError):
        found = [
            packages / name
            for packages in site_packages(program)
            for name in names(packages, _MOST_NAMES)
            if _RECORD.fullmatch(name)
        ]
        if len(found) == 1:
            record = foreign_file.beginning(found[0] / "METADATA", _BEGINNING)
            version = _VERSION.search(record.decode(errors="replace"))
            return LiteLLM(parse_version(version[1]) if version else ())
    return UNKNOWN


def site_packages(program: StartedProgram) -> Iterator[PurePosixPath]:
    """The folders from which the Python of a program imports what pip has installed for it.

    Of `PREFIX/bin/python`, those below PREFIX/lib. Raises Unreadable, Refused, OSError.
    """
    beginning = foreign_file.beginning(program.path, _BEGINNING).decode(errors="replace")
    python = PurePosixPath(started_program.python_of(program, beginning) or "")
    if not python.is_absolute():
        return
    library = python.parent.parent / "lib"
    for version in filter(_PYTHON.fullmatch, names(library, _MOST_NAMES)):
        packages = library / version / "site-packages"
        if exists(Path("/"), packages):
            yield packages
