"""Who could have written a file that is believed.

Whoever owns the folder of a file can put another in its place, but none that root owns: the
kernel lets nobody give a file away, and a file with a second name is never read (`snapshot`).
What remains to such a one is a file that root has left in that folder before.
"""

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import PurePosixPath

from hx_gateway_db.transaction.snapshot import Metadata


@dataclass(frozen=True)
class Distrust:
    """Why a file is not believed, as a clause, and what to do about it."""

    what: str
    cure: str

    @property
    def sentence(self) -> str:
        return f"{self.what}: {self.cure}."


def distrust(path: PurePosixPath, metadata: Metadata, group: str, mode: int) -> Distrust | None:
    """Why somebody other than root, or us, could have written the file; None if nobody could.

    `group` and `mode` are what it should have.
    """
    why = _others(metadata)
    if not why:
        return None
    file = shlex.quote(str(path))
    owner = f"root:{group}" if group else "root"
    return Distrust(
        f"{path} {why}, so nothing in it is believed",
        f"look at its lines, then run 'chown {owner} {file}' and 'chmod {mode:o} {file}'",
    )


def _others(metadata: Metadata) -> str:
    if metadata.uid not in (0, os.geteuid()):
        return f"belongs to the user id {metadata.uid}, who could have written what is in it"
    if metadata.mode & stat.S_IWOTH:
        return f"can be written by everybody (its mode is {metadata.mode:o})"
    # An ACL that lets others write has its mask in the group's bits (acl(5)).
    if metadata.mode & stat.S_IWGRP:
        return f"can be written by its group or whom its ACL names (its mode is {metadata.mode:o})"
    return ""
