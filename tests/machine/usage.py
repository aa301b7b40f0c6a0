"""What clients do with LiteLLM, and what is seen of it in Redis and the database."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.machine.installation import GATEWAY_ENV, new_key
from tests.machine.machine import BASE, CONFIG_YAML, LITELLM_URL, MASTER_KEY, Machine, Response

_SITE_DROP_IN = "/etc/systemd/system/hx-litellm-gateway.service.d/10-prisma.conf"
_SECOND = "second-gateway.service"
SECOND_URL = "http://127.0.0.1:4001"
# With pauses, since a gateway that counts alone can miss one of the requests that come at once.
_MANY_CHATS = """
import json, sys, time, urllib.error, urllib.request
order = json.load(sys.stdin)
headers = {"Authorization": f"Bearer {order['key']}", "Content-Type": "application/json"}
for number in range(order["count"]):
    time.sleep(0.04)
    message = {"role": "user", "content": f"Number {number}"}
    body = json.dumps({"model": "hx-chat", "messages": [message]}).encode()
    url = order["urls"][number % len(order["urls"])] + "/v1/chat/completions"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            print(answer.status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


def make_key(machine: Machine) -> str:
    made = new_key(machine)
    assert made.status == 200, made
    return str(made.json["key"])


def limit_of(machine: Machine, key: str) -> object:
    answer = machine.http("GET", f"{LITELLM_URL}/key/info?key={key}", key=MASTER_KEY)
    assert answer.status == 200, answer
    return answer.json["info"]["rpm_limit"]


def chat(machine: Machine, key: str, content: str) -> Response:
    body = {"model": "hx-chat", "messages": [{"role": "user", "content": content}]}
    return machine.http("POST", f"{LITELLM_URL}/v1/chat/completions", key=key, body=body)


def statuses(machine: Machine, key: str, count: int, *more_gateways: str) -> list[int]:
    """The HTTP statuses of `count` different chats, sent to the gateways in turn."""
    order = {"key": key, "count": count, "urls": [LITELLM_URL, *more_gateways]}
    run = machine.run(["/usr/bin/python3", "-c", _MANY_CHATS], input=json.dumps(order))
    return [int(line) for line in run.stdout.split()]


def assert_hit(machine: Machine, key: str) -> None:
    """The second of two identical requests is answered from Redis.

    The sign is the answer's id: in 1.74.15 no header tells.
    """
    machine.run(["redis-cli", "FLUSHALL"])
    first = chat(machine, key, "Is this cached?")
    assert first.status == 200, first
    machine.wait_until(lambda: cached_answers(machine), 10, what="the answer in Redis")
    second = chat(machine, key, "Is this cached?")
    assert (second.status, second.json["id"]) == (200, first.json["id"])


def cached_answers(machine: Machine) -> list[str]:
    names = machine.run(["redis-cli", "--scan"]).stdout.split()
    return [name for name in names if re.fullmatch("litellm:[0-9a-f]{64}", name)]


def spend_of(machine: Machine, key: str, table: str, key_column: str) -> float:
    token = hashlib.sha256(key.encode()).hexdigest()
    sql = f"SELECT coalesce(sum(spend), 0) FROM \"{table}\" WHERE {key_column} = '{token}'"
    return float(machine.psql(sql, database="hx_gateway"))


@contextmanager
def second_gateway(machine: Machine) -> Iterator[None]:
    """Another LiteLLM with the same gateway.env and config.yaml."""
    site = machine.read(_SITE_DROP_IN).splitlines()
    properties = [line for line in site if line.startswith("Environment=")]
    properties += [f"EnvironmentFile={GATEWAY_ENV}", f"WorkingDirectory={BASE}/gateway"]
    command = [f"{BASE}/gateway/venv/bin/litellm", "--host", "127.0.0.1", "--port", "4001"]
    machine.run(
        [
            *("systemd-run", "--quiet", f"--unit={_SECOND}", "--property=User=hx-gateway"),
            *(f"--property={each}" for each in properties),
            *(*command, "--config", str(CONFIG_YAML)),
        ]
    )
    try:
        machine.wait_until(
            lambda: machine.http("GET", f"{SECOND_URL}/health/liveliness").status == 200,
            240,
            what="the second gateway's answer",
        )
        yield
    finally:
        machine.run(["systemctl", "stop", _SECOND])
