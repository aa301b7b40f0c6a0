"""Where news of a run goes while it is under way."""

from typing import Protocol


class Progress(Protocol):
    """What the command shows on the terminal, and a test keeps."""

    def say(self, line: str) -> None:
        """Something that was done, or that was not and why."""

    def waiting(self, what: str, seconds: float) -> None:
        """Called often while waiting for `what`, which has taken `seconds` so far."""
