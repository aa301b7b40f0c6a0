"""A client that asks the wrapper for its models 50 times a second, until SIGTERM.

Run as `client.py FILE`, with a virtual key on standard input. FILE then holds one request a line:
when it was asked, when it was answered or had failed (time.time()), and its HTTP status (0: none).
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

_PORT = 4010
_INTERVAL = 0.02
_PATIENCE = 5.0


async def ask(request: bytes) -> int:
    """Send one request on a connection of its own; returns its status."""
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", _PORT)
            try:
                writer.write(request)
                answer = await reader.read()
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return 0
    words = answer.split(maxsplit=2)
    return int(words[1]) if len(words) > 1 else 0


async def main(key: str, file: Path) -> None:
    """Ask on schedule, whether the earlier requests have been answered or not."""
    request = (
        f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    lines = []

    async def one() -> None:
        asked = time.time()
        status = await ask(request)
        lines.append(f"{asked:.6f} {time.time():.6f} {status}\n")

    async with asyncio.TaskGroup() as tasks:
        due = time.monotonic()
        while not ended.is_set():
            tasks.create_task(one())
            due += _INTERVAL
            await asyncio.sleep(due - time.monotonic())
    file.write_text("".join(lines))


if __name__ == "__main__":
    asyncio.run(main(sys.stdin.readline().strip(), Path(sys.argv[1])))
