"""`make bench`: run all parts, or those named on the command line, and print the table."""

import sys
from importlib import import_module
from pathlib import Path

from bench import table

PARTS = ("yaml", "command", "package", "service")


def main() -> int:
    """Print the table and write bench/results.json; returns the exit status."""
    rows = []
    for part in sys.argv[1:] or PARTS:
        rows += import_module(f"bench.{part}_part").rows()
    print(table.text(rows))
    table.write(rows, Path(__file__).with_name("results.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
