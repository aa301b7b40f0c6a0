"""A Redis that answers what it is told to, in a thread: whole servers' worth of odd answers."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"+OK\r\n"
PASS = "geheim-4711"

# Five bytes a second, answers and letters for ever, nothing at all.
DRIP, FLOOD, LETTERS, SILENCE = object(), object(), object(), object()

INFORMATION = {
    "redis_version": "7.0.15",
    "redis_mode": "standalone",
    "process_id": "1",
    "role": "master",
    "maxmemory": "0",
}


def bulk(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return b"$%d\r\n%b\r\n" % (len(data), data)


def information(**changes: str | None) -> bytes:
    """What INFO is answered with; None leaves a field out."""
    fields = {**INFORMATION, **changes}
    return bulk("".join(f"{key}:{value}\r\n" for key, value in fields.items() if value is not None))


@dataclass
class FakeRedis:
    """`heard` are all bytes of all connections. `answers` are by a command's first words."""

    port: int
    answers: Mapping[str, object]
    heard: bytearray = field(default_factory=bytearray)

    def answer(self, words: list[str]) -> object:
        for name in (" ".join(words[:2]).upper(), words[0].upper()):
            if name in self.answers:
                return self.answers[name]
        return {
            "PING": b"+PONG\r\n",
            "INLINE": b"-ERR wrong number of arguments for 'ping' command\r\n",
            "INFO": information(),
            "ACL GETUSER": b"*-1\r\n",
            "CONFIG GET": b"*2\r\n$7\r\naclfile\r\n$0\r\n\r\n",
        }.get(" ".join(words[:2]).upper() if len(words) > 1 else words[0].upper(), OK)


@contextmanager
def fake_redis(
    answers: Mapping[str, object] | None = None,
    context: ssl.SSLContext | None = None,
    handshake: object = None,
) -> Iterator[FakeRedis]:
    """One that listens on 127.0.0.1. `handshake`: what is said instead of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        fake = FakeRedis(server.getsockname()[1], answers or {})

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=talk, args=(client,), daemon=True).start()

        def talk(client: socket.socket) -> None:
            with suppress(OSError, ValueError), client:
                if handshake is not None:
                    _say(client, handshake)
                line = context.wrap_socket(client, server_side=True) if context else client
                with line, line.makefile("rb") as incoming:
                    while words := _command(incoming, fake.heard):
                        _say(line, fake.answer(words))

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield fake
        finally:
            server.shutdown(socket.SHUT_RDWR)


def _command(incoming: object, heard: bytearray) -> list[str]:
    words = []
    first = incoming.readline()  # type: ignore[attr-defined]
    heard += first
    if first.startswith(b"PING"):
        return ["inline"]
    for _ in range(int(first[1:] or 0) if first.startswith(b"*") else 0):
        length = incoming.readline()  # type: ignore[attr-defined]
        word = incoming.read(int(length[1:]) + 2)  # type: ignore[attr-defined]
        heard += length + word
        words.append(word[:-2].decode(errors="replace"))
    return words


def _say(line: socket.socket, what: object) -> None:
    if what is SILENCE:
        time.sleep(60)
    while what is DRIP:
        line.sendall(b"+")
        time.sleep(0.2)
    while what is FLOOD:
        line.sendall(b"*1\r\n+x\r\n" * 10000)
    while what is LETTERS:
        line.sendall(b"x" * 100_000)
    if isinstance(what, tuple):  # to be said, and then
        line.sendall(what[0])
        _say(line, what[1])
    if isinstance(what, bytes):
        line.sendall(what)
