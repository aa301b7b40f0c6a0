"""Whether a unit that serves now would come up again, as far as that can be told without trying."""

import grp
import os
import pwd
from collections.abc import Callable

from hx_gateway_db.systemd import started_program, units

_READ = ("ExecStart", "User", "Group", "DynamicUser")


def obstacle(name: str) -> str:
    """What is missing that the unit starts with, as a clause; empty when nothing is.

    Raises ServiceFailed.
    """
    shown = dict(units.properties(name, _READ))
    program = started_program.shown(shown.get("ExecStart", ""))
    if program and not os.path.lexists(program.path):
        return f"{program.path}, which it starts, is gone"
    if shown.get("DynamicUser") == "yes":
        return ""
    user, group = shown.get("User", ""), shown.get("Group", "")
    if _missing(pwd.getpwnam, user):
        return f"its user {user} does not exist"
    if _missing(grp.getgrnam, group):
        return f"its group {group} does not exist"
    return ""


def _missing(look_up: Callable[[str], object], name: str) -> bool:
    if not name or name.isdigit():
        return False
    try:
        look_up(name)
    except KeyError:
        return True
    return False
