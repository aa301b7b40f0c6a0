"""Removing a tree that somebody else may have filled, and may be filling still.

It can be deeper than Python's own way goes, and have more open folders than a process may hold.
"""

import subprocess
from pathlib import Path

from hx_gateway_db.programs import captured
from hx_gateway_db.redaction import said

# A million files take some twenty seconds.
_SECONDS = 60.0


def remove_tree(path: Path) -> str:
    """Remove what is at `path`, whatever it is; returns a sentence on what could not be removed.

    The folder that it is in is root's alone. No link is followed, no other file system entered.
    """
    command = ["rm", "-rf", "--one-file-system", "--", str(path)]
    try:
        ended = captured(command, _SECONDS)
    except subprocess.TimeoutExpired:
        why = f"it took more than {_SECONDS:.0f} s"
    except OSError as error:
        why = f"'rm' can't be run, {error.strerror}"
    else:
        if ended.status == 0:
            return ""
        why = said(ended.errors.partition("\n")[0]) or f"'rm' ended with status {ended.status}"
    return f"{path} could not be removed ({why}): the next run tries again."
