"""`make bench`: run all parts, or those named on the command line, and print the table.

A row is printed as soon as it is known, and what is being measured meanwhile is told on stderr.
"""

import sys
from importlib import import_module
from pathlib import Path

from bench import table
from tests.progress import Progress

PARTS = ("yaml", "command", "package", "service")


def main() -> int:
    """Print the table and write bench/results.json; returns the exit status."""
    rows: list[table.Row | table.Count] = []
    parts = sys.argv[1:] or PARTS
    for number, part in enumerate(parts, 1):
        progress = Progress(f"{part}, part {number} of {len(parts)}")
        for row in import_module(f"bench.{part}_part").rows(progress):
            progress.clear()
            print(table.line(row, rows[-1] if rows else None), flush=True)
            rows.append(row)
        progress.end()
    table.write(rows, Path(__file__).with_name("results.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
