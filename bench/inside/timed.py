"""Run a command and print, as JSON, what it took.

`seconds` elapsed, from `started` to `ended` (time.time()); `cpu_seconds` of it and its children;
`peak_mib` of the largest of them; `read_bytes` that they read from files and pipes; its `status`;
and `said`, the lines that it printed, each with the time when it did.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def read_so_far() -> int:
    """The bytes read by this process and by the children that have ended (proc(5))."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))


def main() -> None:
    read = read_so_far()
    started, at = time.time(), time.monotonic()
    command = sys.argv[1:]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        said = [(time.time(), line) for line in process.stdout]
    seconds, ended = time.monotonic() - at, time.time()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = {
        "seconds": seconds,
        "started": started,
        "ended": ended,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
        "read_bytes": read_so_far() - read,
        "status": process.returncode,
        "said": said,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
