"""Say which LiteLLM newer than the one of the second gateway image can be installed today.

    pip install uv && .venv/bin/python tests/machine/newest/newer.py

A version that PyPI lists need not be installable: its `proxy` extra names releases of other
packages that a registry may not have. So each is resolved as requirements.txt is, for every Python
that the images have, newest first, until one can be.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PIN = Path(__file__).with_name("requirements.in")
LOCK = Path(__file__).with_name("requirements.txt")
NAME = re.compile(r"^litellm\[proxy\]==([\d.]+)$", re.MULTILINE)


def main() -> int:
    """Print a line a version; the exit status is 0 if there is one to change to."""
    text = PIN.read_text()
    pinned = NAME.findall(text)[0]
    for version in newer_than(pinned):
        reason = why_not(NAME.sub(f"litellm[proxy]=={version}", text))
        print(f"{version}  {reason or 'installs'}", flush=True)
        if not reason:
            print(f"Write it into {PIN}, and run the command at the head of {LOCK}.")
            return 0
    print(f"{pinned}  is the newest that installs, and is pinned")
    return 1


def newer_than(pinned: str) -> Iterator[str]:
    """The releases above this one that the index lists, without pre-releases, newest first."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", "litellm"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    found = re.search(r"^Available versions: (.*)$", listed, re.MULTILINE)
    versions = found[1].split(", ") if found else []
    return (each for each in versions if _numbers(each) > _numbers(pinned))


def why_not(requirements: str) -> str:
    """What the resolver misses, in its own words; nothing if all can be installed."""
    command = next(line for line in LOCK.read_text().splitlines() if "uv pip compile" in line)
    options = command.lstrip("# ").split(" --generate-hashes")[0].split()
    try:
        done = subprocess.run(
            [*options, "--quiet", "-"], input=requirements, capture_output=True, text=True
        )
    except FileNotFoundError:
        sys.exit("uv is not there, which resolves: install it with 'pip install uv'.")
    if done.returncode == 0:
        return ""
    missing = re.search(r"there is no version of (\S+)", done.stderr)
    return f"needs {missing[1]}, which is not there" if missing else done.stderr.strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


if __name__ == "__main__":
    sys.exit(main())
