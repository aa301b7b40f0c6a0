"""Whose turn it is: the login that a rotation has opened, and the one that it is to close."""

from dataclasses import dataclass
from urllib.parse import quote, unquote


@dataclass(frozen=True)
class Turn:
    """A PostgreSQL role, or the SHA-256 of a Redis password, in turn for another.

    `old` is open beside `new`; empty, when it has been closed. `new` is in use `since` (seconds
    since the epoch) if gateway.env has it: until then the change to it is under way.
    """

    new: str = ""
    old: str = ""
    since: int = 0

    def lines(self, server: str) -> list[tuple[str, str]]:
        """Keywords and values for the state file."""
        values = (("new", quote(self.new, safe="#")), ("old", quote(self.old, safe="#")))
        since = str(self.since) if self.since else ""
        named = [(f"{server}-{name}", value) for name, value in (*values, ("since", since))]
        return [(keyword, value) for keyword, value in named if value]


def read(server: str, found: dict[str, str]) -> Turn:
    """The turn that such lines tell of."""
    since = found.get(f"{server}-since", "")
    return Turn(
        new=unquote(found.get(f"{server}-new", "")),
        old=unquote(found.get(f"{server}-old", "")),
        since=int(since) if since.isdecimal() and since.isascii() and len(since) < 16 else 0,
    )
