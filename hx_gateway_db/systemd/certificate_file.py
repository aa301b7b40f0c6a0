"""A file of trusted certificates: read by us, and whether the gateway's services can read it."""

import grp
import os
import pwd
from pathlib import Path, PurePosixPath

from hx_gateway_db.layout import GATEWAY_GROUP
from hx_gateway_db.systemd import sandbox as sandboxes
from hx_gateway_db.systemd.sandbox import Sandbox
from hx_gateway_db.transaction import foreign_file

# Of all the authorities that there are, Debian's list has a quarter of it.
LARGEST = 1024 * 1024
_SANDBOX_SECONDS = 20.0
# What settings of the gateway's units hide (systemd.exec(5)).
_HIDING = {
    "ProtectHome": ("/home", "/root", "/run/user"),
    "PrivateTmp": ("/tmp", "/var/tmp"),
}


def read(path: str | PurePosixPath) -> bytes:
    """Its content, for a connection of our own. Raises foreign_file.Unreadable."""
    return foreign_file.read(path, LARGEST)


def hiding(path: str) -> str:
    """The setting of a unit that would hide such a path from it; empty when none would."""
    settings = (
        setting
        for setting, folders in _HIDING.items()
        if any(PurePosixPath(path).is_relative_to(folder) for folder in folders)
    )
    return next(settings, "")


def readable_in(sandbox: Sandbox, path: str) -> bool:
    """Whether a unit's service can read it. Raises what running something there raises."""
    command = ("/usr/bin/test", "-f", path, "-a", "-r", path)
    ended = sandboxes.run(sandbox.without_passwords(), command, seconds=_SANDBOX_SECONDS)
    return ended.status == 0


def readable_by_the_gateway(path: Path) -> bool:
    """Whether user or group of the gateway's units may read it; True where there is no such user.

    By the modes alone, as without systemd: an ACL that says more is overlooked.
    """
    try:
        user, group = pwd.getpwnam(GATEWAY_GROUP).pw_uid, grp.getgrnam(GATEWAY_GROUP).gr_gid
    except KeyError:
        return True

    def may(one: Path, owner_bit: int) -> bool:
        status = os.stat(one)
        if status.st_uid == user:
            return bool(status.st_mode & owner_bit)
        if status.st_gid == group:
            return bool(status.st_mode & owner_bit >> 3)
        return bool(status.st_mode & owner_bit >> 6)

    try:
        resolved = path.resolve()
        return may(resolved, 0o400) and all(may(folder, 0o100) for folder in resolved.parents)
    except (OSError, RuntimeError):  # it has gone, or leads in a circle, since it was read
        return False
