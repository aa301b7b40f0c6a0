"""A client that asks an HTTP server again and again, and says in the end how many were in vain.

    python -m tests.machine.fleet.load ADDRESS PORT RATE <KEY

Half of the requests come on new connections, half on some that are kept, and beside them streams
are read. On SIGTERM it waits for what is under way, and prints one line of JSON.
"""

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass, field

_SECONDS = 120.0
_KEPT, _STREAMS = 8, 2


@dataclass
class Load:
    """What is asked of whom; `failures` has the kinds of those that were not answered with 200."""

    address: str
    port: int
    key: str
    rate: float
    requests: int = 0
    answered: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0

    async def run(self) -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        kept: asyncio.Queue[_Connection | None] = asyncio.Queue()
        for _ in range(_KEPT):
            kept.put_nowait(None)
        tasks = {asyncio.create_task(self._stream(ended)) for _ in range(_STREAMS)}
        began, number = time.monotonic(), 0
        while not ended.is_set():
            await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            number += 1
            task = asyncio.create_task(self._on_a_kept(kept) if number % 2 else self._anew())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _anew(self) -> None:
        await self._counted(None, last=True)

    async def _on_a_kept(self, kept: "asyncio.Queue[_Connection | None]") -> None:
        kept.put_nowait(await self._counted(await kept.get(), last=False))

    async def _stream(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            await self._counted(None, last=True, stream=True)
            await asyncio.sleep(0.5)

    async def _counted(
        self, connection: "_Connection | None", *, last: bool, stream: bool = False
    ) -> "_Connection | None":
        """Ask once; the connection that can be used again."""
        self.requests += 1
        began, failure = time.monotonic(), ""
        try:
            async with asyncio.timeout(_SECONDS):
                connection = connection or await _Connection.open(self.address, self.port)
                status = await connection.ask(self._request(last, stream))
                failure = "" if status == 200 else f"status {status}"
        except (OSError, EOFError, ValueError) as error:
            failure = type(error).__name__
        self.slowest = max(self.slowest, time.monotonic() - began)
        if failure:
            self.failures[failure] = self.failures.get(failure, 0) + 1
        else:
            self.answered += 1
        if connection and (last or failure):
            connection.close()
            return None
        return connection

    def _request(self, last: bool, stream: bool) -> bytes:
        message = {"role": "user", "content": f"Number {self.requests}"}
        order: dict[str, object] = {"model": "hx-chat", "messages": [message]}
        body = json.dumps(order | ({"stream": True} if stream else {})).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1",
            f"Host: {self.address}",
            f"Authorization: Bearer {self.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Connection: {'close' if last else 'keep-alive'}",
        )
        return "\r\n".join((*head, "", "")).encode() + body


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, address: str, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection(address, port))

    async def ask(self, request: bytes) -> int:
        """The status of the answer, which is read to its end."""
        self.writer.write(request)
        await self.writer.drain()
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if "transfer-encoding: chunked" in head:
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                await self.reader.readexactly(size + 2)
            await self.reader.readexactly(2)
        elif "content-length: " in head:
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await self.reader.readexactly(int(length))
        return status

    def close(self) -> None:
        self.writer.close()


def main() -> None:
    address, port, rate = sys.argv[1:]
    load = Load(address, int(port), sys.stdin.read().strip(), float(rate))
    asyncio.run(load.run())
    said = {"requests": load.requests, "answered": load.answered, "failures": load.failures}
    print(json.dumps(said | {"slowest": round(load.slowest, 1)}))


if __name__ == "__main__":
    main()
