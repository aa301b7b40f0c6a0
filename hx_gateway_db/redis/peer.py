"""Who is at the other end of a connection to Redis, and which password may go there.

While a Redis of this machine is down, anybody here can listen on its port.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from redis import exceptions

from hx_gateway_db.findings import Finding
from hx_gateway_db.redis.conf import Secret
from hx_gateway_db.redis.line import ANSWER_SECONDS
from hx_gateway_db.redis.place import Withheld, about, place
from hx_gateway_db.settings.values import Redis
from hx_gateway_db.systemd import listeners
from hx_gateway_db.systemd.listeners import Listener
from hx_gateway_db.systemd.server_process import described, objection


@dataclass(frozen=True)
class Peer:
    """The other end of a connection.

    `here`: its address is one of this machine. `process` has accepted the connection; None where
    that is out of sight, as in a container: then `listening` are those who could have. `private`:
    nobody on the way can read along, by TLS with a certificate that is checked.
    """

    here: bool
    private: bool
    process: Listener | None = None
    listening: tuple[Listener, ...] = ()

    @property
    def processes(self) -> tuple[Listener, ...]:
        return (self.process,) if self.process else self.listening


# Raises Withheld when a peer must not be told what we are about to tell.
Rule = Callable[[Peer], None]


def address_of(line: socket.socket, private: bool) -> Peer:
    """The other end of a connection, as far as its address tells."""
    return Peer(_is_here(line), private)


def look(line: socket.socket, private: bool, deadline: float) -> Peer:
    """The other end of a connection that has said nothing yet.

    Raises redis-py's errors when nobody takes it by `deadline` (time.monotonic()).
    """
    here = _is_here(line)
    process = listeners.other_end(line, min(deadline, time.monotonic() + ANSWER_SECONDS))
    if process == Listener():
        # Who has spoken before us and is gone need not be told anything either.
        if _has_spoken(line):
            raise exceptions.ConnectionError("Connection closed by server.")
        raise exceptions.TimeoutError("Timeout connecting to server")
    listening: list[Listener] = []
    if process is None and here:
        # A connection is out of sight in a container, but for a moment also while its listener
        # is too busy to take it.
        listening = listeners.on_port(line.getpeername()[1])
    return Peer(here, private, process, tuple(listening))


def for_the_gateway(redis: Redis) -> Rule:
    """What a peer has to be to be told the gateway's login, or what root asks of a server here."""

    def rule(peer: Peer) -> None:
        for process in peer.processes:
            if why := objection(process):
                raise Withheld(_withheld(redis, process, why))

    return rule


def for_an_administrator(redis: Redis) -> Rule:
    """What a peer has to be to be told an administrator's password."""

    def rule(peer: Peer) -> None:
        for_the_gateway(redis)(peer)
        if not peer.here and not peer.private:
            raise Withheld(_in_the_open(redis))

    return rule


def for_readers(redis: Redis, secret: Secret) -> Rule:
    """What a peer has to be to be told a password out of a configuration file."""

    def rule(peer: Peer) -> None:
        for_the_gateway(redis)(peer)
        process = peer.process or Listener()
        if not secret.readable_by(process.user, process.groups):
            why = f"it may not read {secret.file}, which the password is in"
            raise Withheld(_withheld(redis, process, why))

    return rule


def _is_here(line: socket.socket) -> bool:
    if line.family == socket.AF_UNIX:
        return True
    ours, theirs = line.getsockname()[0], line.getpeername()[0]
    address = ip_address(theirs.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return bool(ours == theirs or address.is_loopback)


def _has_spoken(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        line.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _withheld(redis: Redis, process: Listener, why: str) -> Finding:
    kind = "the process " if process.name else ""
    return about(redis, "process").failed(
        f"who answers as {place(redis)} is {kind}{described(process)}",
        why,
        "stop it if it does not belong there, and start Redis as a service of this system; who"
        f" listens is shown by: ss -ltnp 'sport = :{redis.port}'",
    )


def _in_the_open(redis: Redis) -> Finding:
    where = place(redis)
    print_it = "let its administrator run what 'hx-gateway-db provision --print' shows"
    if redis.tls:
        what = f"{where} is on another machine, and REDIS_URL has its certificate not checked"
        cure = f"take ssl_cert_reqs out of REDIS_URL in gateway.env, or {print_it}"
    else:
        what = f"{where} is on another machine, and is reached without TLS"
        cure = f"answer REDIS_TLS=true, or {print_it}"
    why = "whoever is on the way could read an administrator's password"
    return about(redis, "tls").failed(what, why, cure)
