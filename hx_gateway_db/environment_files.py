"""The files that a pattern of EnvironmentFile= stands for (systemd.exec(5), glob(7)).

The folder may be the gateway user's own, and have a million names in it.
"""

import glob
import os
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.folders import open_folder

_MOST_NAMES = 10_000
_MOST_FILES = 100


def matching(pattern: str) -> list[str]:
    """The paths in order: that of a pattern without wildcards also when nothing is there."""
    if not glob.has_magic(pattern):
        return [pattern]
    found = [PurePosixPath("/")]
    for part in PurePosixPath(pattern).parts[1:]:
        if glob.has_magic(part):
            paths = (folder / name for folder in found for name in _names(folder, part))
            found = list(islice(paths, _MOST_FILES))
        else:
            found = [folder / part for folder in found]
    return sorted(map(str, found))


def _names(folder: PurePosixPath, pattern: str) -> list[str]:
    with (
        suppress(OSError, Refused),
        open_folder(Path("/"), folder) as descriptor,
        os.scandir(descriptor) as entries,
    ):
        names = (entry.name for entry in islice(entries, _MOST_NAMES))
        hidden = pattern.startswith(".")
        return sorted(
            name
            for name in names
            if fnmatchcase(name, pattern) and (hidden or not name.startswith("."))
        )
    return []
