"""Let one peer edit every *.yaml in a folder: `python -m bench.peers.edit PEER FOLDER`.

NAME.yaml becomes NAME.out, or NAME.refused (with the reason) where the peer gives up. NAME.json
has the edit's `seconds` and `cpu_seconds` (programs that it starts
included; not the import, the reading and the writing), and the process's `peak_mib`: the resident
memory at its highest, interpreter and libraries included, or that of a program it started. An
edit of a tiny text comes first, unmeasured, as interpreters and libraries set things up then.
"""

import json
import re
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

from bench.peers import python_libraries


def main() -> int:
    """Returns the exit status."""
    edit: python_libraries.Edit = getattr(python_libraries, sys.argv[1])()
    with suppress(Exception):
        edit(b"general_settings:\n  a: 1\n")
    for path in sorted(Path(sys.argv[2]).glob("*.yaml")):
        text = path.read_bytes()
        cpu, start = _cpu_seconds(), time.perf_counter()
        try:
            edited = edit(text)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            path.with_suffix(".refused").write_text(f"{type(error).__name__}: {error}")
            continue
        seconds = time.perf_counter() - start
        sample = {"seconds": seconds, "cpu_seconds": _cpu_seconds() - cpu, "peak_mib": _peak_mib()}
        path.with_suffix(".json").write_text(json.dumps(sample))
        path.with_suffix(".out").write_bytes(edited)
    return 0


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_mib() -> float:
    started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Not our own ru_maxrss: that starts with what the process that started this one had.
    own = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert own is not None
    return (started or int(own[1])) / 1024


if __name__ == "__main__":
    sys.exit(main())
