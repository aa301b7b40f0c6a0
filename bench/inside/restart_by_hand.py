"""Restart the gateway's units one after the other, each as soon as the one before it answers."""

import http.client
import subprocess
import time

_POLL_SECONDS = 0.01
_UNITS = (
    ("hx-litellm-gateway", 4000, "/health/liveliness"),
    ("hx-gateway-ml", 4010, "/healthz"),
)


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> None:
    for unit, port, path in _UNITS:
        subprocess.run(["systemctl", "restart", unit], check=True)
        while not answers(port, path):
            time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    main()
