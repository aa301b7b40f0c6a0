"""Stands where LiteLLM or the wrapper is started, and makes the new settings its undoing.

Runs inside the machine as the unit's main process: `failing_service.py PORT COMMAND...`. With the
settings from before (DISABLE_ADMIN_UI=true) it becomes COMMAND; with new ones it fails in the way
that /etc/fault names.
"""

import os
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Answering(BaseHTTPRequestHandler):
    """Says 500 to everything, or only that it is alive."""

    alive = False

    def do_GET(self) -> None:  # noqa: N802, the name that http.server wants
        self.send_response(200 if self.alive and "liveliness" in self.path else 500)
        self.end_headers()
        self.wfile.write(b'{"db": "Not connected"}')

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> int:
    port, command = int(sys.argv[1]), sys.argv[2:]
    if os.environ.get("DISABLE_ADMIN_UI") != "false":
        os.execv(command[0], command)
    fault = Path("/etc/fault").read_text().strip()
    print(f"failing on purpose: {fault}", flush=True)
    if fault == "exits":
        return 1
    if fault == "hangs":
        time.sleep(3600)
    if fault == "ends late":
        return end_late(port, command)
    Answering.alive = fault == "has no database"
    HTTPServer(("127.0.0.1", port), Answering).serve_forever()
    return 0


def end_late(port: int, command: list[str]) -> int:
    """Serve as usual, and end six seconds after the first answer."""
    service = subprocess.Popen(command)
    path = "/health/liveliness" if port == 4000 else "/healthz"
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
            break
        except OSError:
            time.sleep(0.2)
    time.sleep(6)
    service.kill()
    service.wait()
    print("failing on purpose: ends late", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
