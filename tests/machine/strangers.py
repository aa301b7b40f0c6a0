"""What sits on a port instead of a Redis, and clients that keep a Redis busy.

Runs inside a machine until it is killed.
"""

import fcntl
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

SILENT, TRICKLING, FULL, WEB, SSH = 7101, 7102, 7103, 7104, 7105
ELSEWHERE = "10.9.9.9"
LAST_CONNECTION, BUSY = 7013, 7015
_SIOCSIFADDR = 0x8916


def add_address(address: str) -> None:
    """Give the loopback device another address (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(control, _SIOCSIFADDR, name)


def listen(port: int, backlog: int = 16) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(backlog)
    return listener


def serve(port: int, talk: bytes, pause: float) -> None:
    """Accept everybody and say `talk`, at once or one byte in each `pause`."""

    def say(client: socket.socket) -> None:
        try:
            if not pause:
                client.sendall(talk)
            for letter in talk if pause else b"":
                client.sendall(bytes([letter]))
                time.sleep(pause)
            time.sleep(60)
        except OSError:
            pass

    listener = listen(port)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=say, args=(client,), daemon=True).start()


def main() -> None:
    add_address(ELSEWHERE)
    full = listen(FULL, 0)  # who comes after the first one waits for ever, as behind a firewall
    waiting = [socket.create_connection(("127.0.0.1", port)) for port in (FULL, LAST_CONNECTION)]
    waiting.append(socket.create_connection(("127.0.0.1", BUSY)))
    waiting[-1].sendall(b"EVAL 'while true do end' 0\r\n")
    for port, talk, pause in (
        (SILENT, b"", 0.0),
        (TRICKLING, b"+" + b"P" * 60, 1.0),
        (SSH, b"SSH-2.0-OpenSSH_9.2\r\n", 0.0),
    ):
        threading.Thread(target=serve, args=(port, talk, pause), daemon=True).start()
    HTTPServer(("127.0.0.1", WEB), BaseHTTPRequestHandler).serve_forever()
    del full, waiting


if __name__ == "__main__":
    main()
