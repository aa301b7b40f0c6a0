"""A machine with an HAProxy in front of the gateways, whose health check reads readiness's body."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tests.machine import image
from tests.machine.machine import Machine

PACKAGES = ("systemd", "systemd-sysv", "dbus", "haproxy", "socat", "python3")
SOCKET, BACKEND = "/run/haproxy/admin.sock", "gateways"
# "Not connected" is 200 as well.
_CONFIGURATION = r"""
global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 180s
    timeout server 180s
    timeout check 20s
    option redispatch 1
    retries 3
frontend clients
    bind :4000
    default_backend {backend}
backend {backend}
    balance roundrobin
    option httpchk GET /health/readiness
    http-check expect rstring \"db\"\ *:\ *\"connected\"
    default-server check inter 3s fall 3 rise 1
{servers}
"""


def build_image(release: str) -> Path:
    """The root directory of its image, built first when it is not there yet. Raises ImageError."""
    recipe = " ".join(PACKAGES).encode() + Path(image.__file__).read_bytes()
    return image.cached(
        f"balancer-{release}",
        hashlib.sha256(recipe).hexdigest()[:12],
        lambda root: image.bootstrap(release, root, PACKAGES),
    )


def balance(machine: Machine, addresses: Mapping[str, str]) -> None:
    """Balance over the gateways, which are named as in the inventory."""
    servers = "\n".join(f"    server {name} {place}:4000" for name, place in addresses.items())
    text = _CONFIGURATION.format(socket=SOCKET, backend=BACKEND, servers=servers)
    machine.write("/etc/haproxy/haproxy.cfg", text)
    machine.run(["systemctl", "restart", "haproxy"])


def up(machine: Machine) -> list[str]:
    """The gateways that requests go to."""
    said = machine.run(["socat", "stdio", SOCKET], input="show stat\n").stdout
    rows = [line.split(",") for line in said.splitlines()]
    return [row[1] for row in rows if row[0] == BACKEND and row[1] != "BACKEND" and row[17] == "UP"]
