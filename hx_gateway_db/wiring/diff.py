"""A change as a diff to show, secrets redacted."""

import difflib

from hx_gateway_db.host.gateway_env import OWNED_KEYS
from hx_gateway_db.layout import GATEWAY_ENV, STATE_FOLDER
from hx_gateway_db.redaction import MASK, redact
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage


def unified(change: FileChange) -> str:
    """A unified diff without context; the package's own state is nothing to show."""
    if change.path.is_relative_to(STATE_FOLDER):
        return ""
    name = str(change.path)
    before = _lines(change.before)
    after = _lines(change.after)
    lines = list(
        difflib.unified_diff(
            before,
            after,
            name if change.before else "/dev/null",
            name if change.after else "/dev/null",
            n=0,
        )
    )
    if not lines and change.after and change.before:
        metadata = change.after.metadata
        lines = [f"{name}: owner {metadata.uid}:{metadata.gid}, mode {metadata.mode:04o}\n"]
    if change.path.name == GATEWAY_ENV:
        lines = [_without_value(line) for line in lines]
    return "".join(redact(line if line.endswith("\n") else line + "\n") for line in lines)


def _without_value(line: str) -> str:
    """A line of gateway.env that is not ours, or our key, without what it says: a secret, maybe."""
    sign, (key, _, value) = line[:1], line[1:].partition("=")
    if sign not in "+-" or line.startswith(("+++", "---")) or not key.strip() or key[:1] == "#":
        return line
    return line if key in OWNED_KEYS else f"{sign}{key}={MASK}" if value else f"{sign}{MASK}"


def _lines(image: FileImage | None) -> list[str]:
    return image.content.decode(errors="replace").split("\n") if image else []
