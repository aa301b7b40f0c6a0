"""What an attacker got hold of, in a file that the test reads: a line of JSON for each thing."""

from __future__ import annotations

import json
import os
import pwd

# What attackers put wherever it could come to be run, and what they put wherever it could come
# onto a terminal: a new title for its window.
MARKER = "/root/entered"
COMMAND = f"touch {MARKER}"
ESCAPE = "\x1b]0;entered\x07"


class Loot:
    """The file at `path`; several processes may write to it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._user = pwd.getpwuid(os.getuid()).pw_name
        self._kept: set[tuple[str, str]] = set()

    def keep(self, kind: str, what: str) -> None:
        """Write down a thing of this kind, once."""
        if (kind, what) in self._kept:
            return
        self._kept.add((kind, what))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, json.dumps([self._user, kind, what]).encode() + b"\n")
        finally:
            os.close(descriptor)
