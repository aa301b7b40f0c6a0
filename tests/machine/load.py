"""Clients that ask both ports of the gateway all the time, and tell what was lost.

They run inside the machine, and are strangers to the package: every way of asking (a new connection
each time, or one that is kept) on each port, and streams that are read to their end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.machine.machine import MASTER_KEY, Machine

_PROGRAM, _STOP, _RESULT = "/root/load.py", "/root/load.stop", "/root/load.json"
_CLIENT = """
import http.client, json, os, sys, threading, time
key, rate, streams = sys.argv[1], float(sys.argv[2]), sys.argv[3:] == ["streams"]
stop = threading.Event()
results = []

def ask(connection):
    connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    response.read()
    return "" if response.status == 200 else f"HTTP {response.status}"

def tally(port, kept):
    results.append({"port": port, "kept": kept, "asked": 0, "lost": [], "longest": 0.0})
    return results[-1]

def counted(mine, question):
    # Whether it was in vain.
    began = time.monotonic()
    mine["asked"] += 1
    try:
        what = question()
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
    took = time.monotonic() - began
    mine["longest"] = max(mine["longest"], took)
    if what:
        mine["lost"].append([round(began, 2), what, round(took, 2)])
    return bool(what)

def client(port, kept):
    mine = tally(port, kept)
    connection = None
    following = time.monotonic()
    while not stop.is_set():
        following += 1 / rate
        connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        if counted(mine, lambda: ask(connection)) or not kept:
            connection.close()
            connection = None
        time.sleep(max(0.0, following - time.monotonic()))

def read_stream(connection):
    body = {"model": "hx-slow", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    whole = response.status == 200 and response.read().strip().endswith(b"data: [DONE]")
    return "" if whole else f"HTTP {response.status}, cut off"

def streaming(port):
    mine = tally(port, None)
    while not stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        if counted(mine, lambda: read_stream(connection)):
            time.sleep(1)
        connection.close()

threads = [
    threading.Thread(target=client, args=(port, kept))
    for port in (4000, 4010) for kept in (False, True)
]
if streams:
    threads.append(threading.Thread(target=streaming, args=(4000,)))
for thread in threads:
    thread.start()
while not os.path.exists("/root/load.stop"):
    time.sleep(0.1)
stop.set()
for thread in threads:
    thread.join()
with open("/root/load.json", "w") as file:
    json.dump(results, file)
"""


# A model that takes its time: a word a second.
SLOW_MODEL = """\
  - model_name: hx-slow
    litellm_params: {model: openai/hx-slow, api_key: none, api_base: "http://127.0.0.1:9000/v1"}
"""
_SLOW = """
import http.server, json, sys, time
seconds = int(sys.argv[1])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for second in range(seconds):
            delta = {"delta": {"content": f"{second} "}, "index": 0, "finish_reason": None}
            self.say({"id": "1", "object": "chat.completion.chunk", "created": 1,
                      "model": "hx-slow", "choices": [delta]})
            time.sleep(1)
        end = {"delta": {}, "index": 0, "finish_reason": "stop"}
        self.say({"id": "1", "object": "chat.completion.chunk", "created": 1,
                  "model": "hx-slow", "choices": [end]})
        self.wfile.write(b"data: [DONE]\\n\\n")

    def say(self, chunk):
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\\n\\n")
        self.wfile.flush()

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Handler).serve_forever()
"""


def serve_slow_model(machine: Machine, seconds: int) -> None:
    """Answer for SLOW_MODEL inside the machine, each time for so long."""
    machine.write("/root/slow.py", _SLOW)
    machine.run(["systemd-run", "--unit=slow", "python3", "/root/slow.py", str(seconds)])


# A port, and whether connections to it are kept; None for streams.
Way = tuple[int, bool | None]


@dataclass(frozen=True)
class Tally:
    """What the clients of one way of asking have seen: `lost` are when, what and how long.

    `kept` says whether their connections are; None for streams.
    """

    port: int
    kept: bool | None
    asked: int
    lost: list[Any]
    longest: float


class Load:
    """Clients that ask from now on, `rate` times a second in each way, until `end`.

    With `streams`, another one reads answers of SLOW_MODEL to their ends, one after the other.
    """

    def __init__(self, machine: Machine, rate: float = 20, *, streams: bool = False) -> None:
        self._machine = machine
        machine.write(_PROGRAM, _CLIENT)
        machine.run(["rm", "-f", _STOP, _RESULT])
        # One of a test that has failed.
        machine.run(["systemctl", "stop", "load"], check=False)
        command = ["python3", _PROGRAM, MASTER_KEY, str(rate), *(["streams"] if streams else [])]
        machine.run(["systemd-run", "--collect", "--unit=load", *command])

    def end(self) -> dict[Way, Tally]:
        """Stop them; what each has seen, by port and whether its connection was kept."""
        self._machine.write(_STOP, "")
        self._machine.wait_until(lambda: not self._machine.is_active("load.service"), 120)
        tallies = [Tally(**entry) for entry in json.loads(self._machine.read(_RESULT))]
        return {(tally.port, tally.kept): tally for tally in tallies}
