"""Which process of this machine can be a server that is told a password.

While a server is down, anybody here can listen on its port.
"""

import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import suppress

from hx_gateway_db.layout import GATEWAY_GROUP, UNITS
from hx_gateway_db.redaction import said
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.listeners import Listener
from hx_gateway_db.systemd.units import ServiceFailed

_FIRST_ORDINARY_USER = 1000
# systemd's, for services (DynamicUser= in systemd.exec(5)).
DYNAMIC_USERS = range(61184, 65520)
_NAME_CHARACTERS = 40


def objection(process: Listener) -> str:
    """Why this process can't be a server that is told a password; empty when it can."""
    ordinary = process.user >= _FIRST_ORDINARY_USER and process.user not in DYNAMIC_USERS
    if ordinary and process.user != os.geteuid():
        return "a process of an ordinary user would get to know the password"
    if _is_the_gateway(process):
        return "a process of the gateway's own is no server"
    return ""


def _is_the_gateway(process: Listener) -> bool:
    """Whether it is in one of the gateway's units, or of a user whom one of those runs as."""
    users = {GATEWAY_GROUP}
    for unit in UNITS if units.available() else ():
        with suppress(ServiceFailed):
            known = dict(units.properties(unit, ("ControlGroup", "User")))
            if process.within(known.get("ControlGroup", "")):
                return True
            users.add(known.get("User", ""))
    return process.user in _numbers(users)


def _numbers(users: Iterable[str]) -> Iterator[int]:
    """The ids of those who are there; root is not the gateway's alone."""
    for name in users:
        with suppress(KeyError, ValueError):
            number = int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
            if number:
                yield number


def described(process: Listener) -> str:
    """Which process it is and whose, for a sentence."""
    number = f" ({process.pid})" if process.pid else ""
    name = said(process.name, most=_NAME_CHARACTERS)
    which = f"{name}{number}" if name else "a process"
    owner = f"of the user {_user_name(process.user)}" if process.user >= 0 else "out of sight"
    return f"{which} {owner}"


def _user_name(user: int) -> str:
    """The user's name, fit to be shown; the number of one that is not known."""
    try:
        return said(pwd.getpwuid(user).pw_name, most=_NAME_CHARACTERS)
    except KeyError:
        return str(user)
