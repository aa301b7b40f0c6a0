"""Stands where the unit starts LiteLLM or the wrapper, in a gateway that has been broken into.

A script of the gateway's venv, run as hx-gateway by the unit itself. /srv/attacker/how says what it
does; in the beginning it becomes the program that was there, under its name with `.real`.
"""

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

HOW = "/srv/attacker/how"
JOURNAL = "/run/systemd/journal/socket"
ESCAPE = "\x1b]0;entered\x07"
TEXT = f"{ESCAPE}$(touch /root/entered)`touch /root/entered`'; touch /root/entered; '"
# What a pattern for passwords in URLs looks at anew from each of its own beginnings.
FLOOD = "://:"


def main() -> None:
    with suppress(OSError), open(HOW) as file:
        how = file.read().strip()
        if how in WAYS:
            WAYS[how](int(sys.argv[sys.argv.index("--port") + 1]))
    real = f"{sys.argv[0]}.real"
    os.execv(real, [real, *sys.argv[1:]])


def drip(port: int) -> None:
    """Answer everybody without an end, one byte a second."""

    def talk(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n")
            while True:
                connection.sendall(b" ")
                time.sleep(1)

    serve(port, talk)


def drip_headers(port: int) -> None:
    """The same before the answer's own beginning."""

    def talk(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(b"a: b\r\n")
                time.sleep(1)

    serve(port, talk)


def pour(port: int) -> None:
    """Answer everybody without an end, as fast as it is read."""

    def talk(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.sendall(b"100000\r\n" + b"[" * 0x100000 + b"\r\n")

    serve(port, talk)


def flood(port: int) -> None:
    """Log what takes long to read, and answer as one that has lost its database."""
    for _ in range(20):
        print(FLOOD * 10_000, flush=True)
    log(FLOOD * 1_000_000)
    answer(port, "Not connected")


def speak(port: int) -> None:
    """Log and answer with what a terminal and a shell would take for commands."""
    for _ in range(5):
        print(f"ERROR: {TEXT}", flush=True)
    log(f"ERROR: {TEXT}")
    answer(port, TEXT)


def log(message: str) -> None:
    """A message as journald's own clients send it, of any size (sd_journal_sendv(3))."""
    data = message.encode()
    record = b"PRIORITY=3\nMESSAGE\n" + len(data).to_bytes(8, "little") + data + b"\n"
    descriptor = os.memfd_create("message", os.MFD_ALLOW_SEALING)
    os.write(descriptor, record)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0xF)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.connect(JOURNAL)
        socket.send_fds(journal, [b""], [descriptor])


def answer(port: int, text: str) -> None:
    """Be alive, and say `text` wherever a text is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802  http.server calls it so
            lives = self.path in ("/health/liveliness", "/health/readiness", "/healthz")
            self.send_response(200 if lives else 500)
            self.end_headers()
            said = {"db": text, "error": {"message": text}, "detail": text}
            self.wfile.write(json.dumps(said).encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def serve(port: int, talk: Callable[[socket.socket], None]) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        Thread(target=talk, args=(connection,), daemon=True).start()


WAYS = {
    "drip": drip,
    "drip headers": drip_headers,
    "pour": pour,
    "flood": flood,
    "speak": speak,
}

if __name__ == "__main__":
    main()
