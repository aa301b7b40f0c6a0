"""Read by the gateway's own Python, as the gateway's user: generates Prisma's client elsewhere.

Never imported here. It is given to that Python on standard input and ends with one line of JSON.
prisma-client-py copies its whole package to the `output` that a schema names, so that nothing in
the gateway's own files has to change.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TAIL = 6000


def main(schema: str, output: str, scratch: str) -> None:
    """Generate the client for LiteLLM's `schema` into `output`, by way of `scratch`."""
    tools = os.path.dirname(sys.executable)
    Path(scratch, "home").mkdir(parents=True)
    copy = Path(scratch, "schema.prisma")
    text = Path(schema).read_text(encoding="utf-8")
    copy.write_text(with_output(text, output), encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ.get('PATH', '')}",
        "HOME": f"{scratch}/home",
        # It is not connected to, but the schema names it.
        "DATABASE_URL": "postgresql://unused",
    }
    commands = (
        [os.path.join(tools, "prisma"), "generate", "--schema", str(copy)],
        # The service can't write there: it would compile it anew at every start.
        [sys.executable, "-m", "compileall", "-q", output],
    )
    for command in commands:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
        if done.returncode != 0:
            break
    said = done.stdout.decode(errors="replace")[-TAIL:]
    print("\n" + json.dumps({"status": done.returncode, "said": said}))


def with_output(schema: str, output: str) -> str:
    """The schema with each generator writing to `output`."""
    schema = re.sub(r"^[ \t]*output[ \t]*=.*\n", "", schema, flags=re.MULTILINE)
    line = f"\n  output = {json.dumps(output)}"
    return re.sub(r"^(generator\s+\w+\s*\{)", lambda found: found[1] + line, schema, flags=re.M)
