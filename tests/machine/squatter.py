"""Waits for a port of the gateway to be left, takes it, and answers like LiteLLM or the wrapper.

Runs inside a machine as an ordinary user: `squatter.py PORT FILE`. What it is sent goes to FILE;
FILE.from is there when it has the port.
"""

import json
import socket
import sys
import threading
import time
from contextlib import suppress

_ANSWERS = {
    "/health/liveliness": "I'm alive!",
    "/healthz": {"ok": True},
    "/health/readiness": {"status": "healthy", "db": "connected"},
    "/key/generate": {"key": "sk-made-up-by-a-stranger"},
    "/v1/models": {"data": [{"id": "hx-chat"}]},
}


def take(port: int) -> socket.socket:
    while True:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("0.0.0.0", port))
            listener.listen()
            return listener
        except OSError:
            listener.close()
            time.sleep(0.001)


def answer(client: socket.socket, file: str) -> None:
    with client, suppress(OSError, IndexError):
        request = client.recv(65536).decode(errors="replace")
        with open(file, "a") as heard:
            heard.write(request)
        path = request.split()[1]
        # As a wrapper does that has a key of its own, so that it is sent that one too.
        refused = path == "/v1/models" and "Bearer sk-made-up" in request
        status = "401 Unauthorized" if refused else "200 OK"
        body = json.dumps(_ANSWERS.get(path, {}))
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


def main() -> None:
    port, file = int(sys.argv[1]), sys.argv[2]
    open(file, "w").close()
    listener = take(port)
    with open(f"{file}.from", "w") as taken:
        taken.write(f"{port}")
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer, args=(client, file), daemon=True).start()


if __name__ == "__main__":
    main()
