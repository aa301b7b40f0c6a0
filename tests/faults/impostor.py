"""Sits on ports that are others', says what those would, and keeps the keys that it is told.

Each server takes its port as soon as it is free. It answers so that whoever asks goes on asking.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from threading import Thread
from typing import Any

from tests.faults.loot import Loot

_PAUSE = 0.002
_Talk = Callable[[socket.socket], None]


def serve(loot: Loot, address: str, port: int, talk: _Talk) -> None:
    """Take the port, and never let go of it; each connection has a thread of its own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen(64)
            loot.keep("port", f"{address}:{port}")
            break
        except OSError:
            listener.close()
            time.sleep(_PAUSE)
    while True:
        connection, _ = listener.accept()
        Thread(target=_quietly, args=(talk, connection), daemon=True).start()


def _quietly(talk: _Talk, connection: socket.socket) -> None:
    with connection, suppress(OSError, ValueError, EOFError):
        talk(connection)


# LiteLLM and the wrapper

_KEY = "sk-of-an-impostor"
_MODELS = {"object": "list", "data": [{"id": name} for name in ("hx-chat", "emb-premium")]}
_REPLY: dict[str, Any] = {
    "id": "reply-1",
    "choices": [{"message": {"role": "assistant", "content": "HX-OK"}}],
    "data": [{"embedding": [0.1, 0.2]}],
    "usage": {"total_tokens": 2},
}
_ANSWERS: dict[str, object] = {
    "/health/liveliness": "I'm alive!",
    "/health/readiness": {"status": "healthy", "db": "connected", "cache": "redis"},
    "/healthz": {"status": "ok"},
    "/key/generate": {"key": _KEY, "rpm_limit": 60},
    "/v1/models": _MODELS,
}


def http(loot: Loot) -> _Talk:
    """What says that all is well."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802  http.server calls it so
            key = self.headers.get("Authorization", "")
            if key and _KEY not in key:
                loot.keep("key", f"{key} for {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.dumps(_ANSWERS.get(self.path.partition("?")[0], _REPLY)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            """Nobody reads it."""

    def talk(connection: socket.socket) -> None:
        Handler(connection, ("impostor", 0), None)  # type: ignore[arg-type]

    return talk


# Redis

_INFO = """redis_version:7.0.15
redis_mode:standalone
role:master
maxmemory:0
{more}
"""


def redis(loot: Loot, more: str = "") -> _Talk:
    """A Redis that lets everybody do everything; `more` is for its INFO."""
    info = _INFO.format(more=more).replace("\n", "\r\n")
    answers = {
        "PING": "+PONG\r\n",
        "INFO": f"${len(info)}\r\n{info}\r\n",
        "ACL GETUSER": "*-1\r\n",
        "CONFIG GET": "*2\r\n$7\r\naclfile\r\n$0\r\n\r\n",
        "HELLO": "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n",
    }

    def talk(connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            while words := _words(lines):
                if words[0].upper() == "AUTH" or "AUTH" in words:
                    loot.keep("password", f"Redis {' '.join(words)}")
                keys = (words[0].upper(), " ".join(words[:2]).upper())
                answer = next((answers[key] for key in keys if key in answers), "+OK\r\n")
                connection.sendall(answer.encode())

    return talk


def _words(lines: Any) -> list[str]:
    """One command of a client, as it was sent: an array or a line."""
    first = lines.readline()
    if not first.startswith(b"*"):
        return [word.decode() for word in first.split()]
    words = []
    for _ in range(int(first[1:])):
        length = int(lines.readline()[1:])
        words.append(lines.read(length + 2)[:-2].decode(errors="replace"))
    return words


# PostgreSQL (its manual, 55.7)

_TLS_REQUEST, _GSS_REQUEST = 80877103, 80877104
_CLEAR, _MD5, _SASL, _SASL_CONTINUE = 3, 5, 10, 11
_METHODS = b"SCRAM-SHA-256\0\0"


def postgres(loot: Loot, way: str) -> _Talk:
    """A server without TLS that asks for the password in this way.

    `clear`, `md5`, or `scram`: as it should, and then in clear text after all.
    """

    def talk(connection: socket.socket) -> None:
        user = _started(connection)
        if way == "scram":
            _ask(connection, _SASL, _METHODS)
            first = _message(connection)
            nonce = re.search(rb"r=([^,\0]+)", first)
            challenge = b"r=" + (nonce[1] if nonce else b"") + b"abc,s=c2FsdHNhbHQ=,i=4096"
            _ask(connection, _SASL_CONTINUE, challenge)
            _message(connection)
        _ask(connection, _MD5 if way == "md5" else _CLEAR, b"salt" if way == "md5" else b"")
        if word := _message(connection):
            loot.keep("password", f"PostgreSQL {user}: {word.decode(errors='replace')}")
        refusal = b"SFATAL\0VFATAL\0C28P01\0Mno\0\0"
        connection.sendall(b"E" + struct.pack("!I", len(refusal) + 4) + refusal)

    return talk


def _started(connection: socket.socket) -> str:
    """Say no to encryption until the client goes on without; returns the user's name."""
    while True:
        length, code = struct.unpack("!II", _exactly(connection, 8))
        rest = _exactly(connection, length - 8)
        if code not in (_TLS_REQUEST, _GSS_REQUEST):
            words = rest.split(b"\0")
            return words[words.index(b"user") + 1].decode(errors="replace")
        connection.sendall(b"N")


def _ask(connection: socket.socket, kind: int, data: bytes) -> None:
    connection.sendall(b"R" + struct.pack("!II", len(data) + 8, kind) + data)


def _message(connection: socket.socket) -> bytes:
    """What is in the client's next message; nothing if it is none about a password."""
    kind, length = struct.unpack("!cI", _exactly(connection, 5))
    data = _exactly(connection, length - 4)
    return data.rstrip(b"\0") if kind == b"p" else b""


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        chunk = connection.recv(length - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
