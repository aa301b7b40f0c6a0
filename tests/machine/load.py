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
key, rate = sys.argv[1], float(sys.argv[2])
stop = threading.Event()
results = []

def ask(connection):
    connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    response.read()
    return response.status

def client(port, kept):
    mine = {"port": port, "kept": kept, "asked": 0, "lost": [], "longest": 0.0}
    results.append(mine)
    connection = None
    following = time.monotonic()
    while not stop.is_set():
        following += 1 / rate
        began = time.monotonic()
        mine["asked"] += 1
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            status = ask(connection)
            what = "" if status == 200 else f"HTTP {status}"
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
        took = time.monotonic() - began
        mine["longest"] = max(mine["longest"], took)
        if what:
            mine["lost"].append([round(began, 2), what, round(took, 2)])
        if connection and (what or not kept):
            connection.close()
            connection = None
        time.sleep(max(0.0, following - time.monotonic()))

threads = [
    threading.Thread(target=client, args=(port, kept))
    for port in (4000, 4010) for kept in (False, True)
]
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


@dataclass(frozen=True)
class Tally:
    """What the clients of one way of asking have seen: `lost` are when, what and how long."""

    port: int
    kept: bool
    asked: int
    lost: list[Any]
    longest: float


class Load:
    """Clients that ask from now on, `rate` times a second in each way, until `end`."""

    def __init__(self, machine: Machine, rate: float = 20) -> None:
        self._machine = machine
        machine.write(_PROGRAM, _CLIENT)
        machine.run(["rm", "-f", _STOP, _RESULT])
        command = ["python3", _PROGRAM, MASTER_KEY, str(rate)]
        machine.run(["systemd-run", "--collect", "--unit=load", *command])

    def end(self) -> dict[tuple[int, bool], Tally]:
        """Stop them; what each has seen, by port and whether its connection was kept."""
        self._machine.write(_STOP, "")
        self._machine.wait_until(lambda: not self._machine.is_active("load.service"), 60)
        tallies = [Tally(**entry) for entry in json.loads(self._machine.read(_RESULT))]
        return {(tally.port, tally.kept): tally for tally in tallies}
