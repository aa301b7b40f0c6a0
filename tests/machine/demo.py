"""`make demo`: the whole story on a throwaway gateway, with what a person would see.

Run as root with HX_DEB naming the package, which is built here; HX_RELEASES may name another
Debian release. It needs Debian packages only (packages.txt), and leaves the image behind for the
next time.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from hx_gateway_db.cli.screen import write_wrapped
from tests.machine import container, step
from tests.machine.image import ImageError, build_image
from tests.machine.installation import preseed
from tests.machine.machine import LITELLM_URL, MASTER_KEY, WRAPPER_URL, CommandFailed, Machine

_TABLES = """
SELECT "startTime"::timestamp(0), model_group, total_tokens, status
FROM "LiteLLM_SpendLogs" WHERE model_group = 'hx-chat'
"""
_BEGINNING = """\
This boots a Debian with a LiteLLM gateway in a container without a network,
installs the package in it, and takes both away again. The first time it makes
the container's image, which takes two minutes or more and is kept.
"""
_END = """
# The container is gone. What stays is its image, in {cache}
On a gateway's own host, in this clone:
  sudo make install                builds, installs, asks, checks, wires, proves
  sudo hx-gateway-db verify        looks at every link again, at any time
  sudo apt remove hx-gateway-db    back to a gateway without a database
"""


def main() -> int:
    """Tell the story; returns the exit status."""
    deb = Path(os.environ.get("HX_DEB", ""))
    if os.geteuid() != 0 or not deb.name:
        print("The demo boots a container: run 'sudo make demo'.")
        return 2
    print(_BEGINNING, flush=True)
    try:
        container.enter_private_mount_namespace()
        step.run("build of the package", ["make", "deb"])
        image = build_image((os.environ.get("HX_RELEASES") or "bookworm").split()[0])
        with Machine(image) as machine:
            with step.shown("start of the container and its gateway"):
                machine.boot()
                machine.wait_for_gateway()
            _tell(machine, deb)
    except (step.StepFailed, ImageError, CommandFailed) as error:
        print(error)
        return 1
    except (OSError, subprocess.CalledProcessError) as error:
        print(
            f"No container can be made here ({error}): run the demo as root of a whole machine,"
            " real or virtual, or of a privileged container."
        )
        return 1
    print(_END.format(cache=image.parent), flush=True)
    return 0


def _tell(machine: Machine, deb: Path) -> None:
    _title("A gateway without a database: only the master key gets in")
    _ask(machine, "GET", "/v1/models", "sk-of-a-colleague")

    _title("Install, with a database of its own on this machine's PostgreSQL")
    preseed(machine, {"database": "local"})
    _show(f"apt install ./{deb.name}")
    with step.shown("installation"):
        said = machine.install(deb)
    lines = (said.stdout + said.stderr).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("Setting up hx-gateway-db"))
    _print(line for line in lines[start:] if not line.startswith(("Processing", "debconf:")))

    _title("The proof")
    _run(machine, "hx-gateway-db", "status")
    _run(machine, "hx-gateway-db", "verify")

    _title("A virtual key, in use through the wrapper")
    made = machine.http("POST", f"{LITELLM_URL}/key/generate", key=MASTER_KEY, body={})
    key = str(made.json["key"])
    _ask(machine, "POST", "/v1/chat/completions", key)

    _title("Its row in PostgreSQL")
    machine.wait_until(lambda: machine.psql(_TABLES, database="hx_gateway"), 90)
    _show("psql hx_gateway")
    _print(machine.psql(_TABLES, database="hx_gateway").splitlines())

    _title("Nothing to change means no restart")
    _run(machine, "dpkg-reconfigure", "--frontend=noninteractive", "hx-gateway-db")

    _title("Removed: the gateway serves on, without a database")
    _show("apt remove hx-gateway-db")
    command = ["apt-get", "remove", "--yes", "hx-gateway-db"]
    with step.shown("removal"):
        said = machine.run(command, env={"DEBIAN_FRONTEND": "noninteractive"})
    lines = (said.stdout + said.stderr).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("Removing hx-gateway-db"))
    _print(lines[start:])
    _ask(machine, "GET", "/v1/models", key)


def _title(text: str) -> None:
    print(f"\n# {text}", flush=True)


def _show(command: str) -> None:
    _print([f"$ {command}"])


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        write_wrapped(sys.stdout, line, flush=True)


def _run(machine: Machine, *command: str) -> None:
    _show(" ".join(command))
    done = machine.run(list(command), check=False)
    _print((done.stdout + done.stderr).splitlines())


def _ask(machine: Machine, method: str, path: str, key: str) -> None:
    _show(f"curl {WRAPPER_URL}{path} -H 'Authorization: Bearer $KEY'")
    question = {"role": "user", "content": "Return exactly the text: HX-OK"}
    body = {"model": "hx-chat", "messages": [question]} if method == "POST" else None
    answer = machine.http(method, f"{WRAPPER_URL}{path}", key=key, body=body)
    shown = answer.json
    if answer.status == 200:
        shown = shown["choices"][0]["message"]
    _print([f"HTTP {answer.status} {json.dumps(shown)}"])


if __name__ == "__main__":
    sys.exit(main())
