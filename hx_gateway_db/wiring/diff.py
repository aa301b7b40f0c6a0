"""A change as a diff to show, secrets redacted."""

import difflib

from hx_gateway_db.layout import STATE_FOLDER
from hx_gateway_db.redaction import redact
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
    return "".join(redact(line if line.endswith("\n") else line + "\n") for line in lines)


def _lines(image: FileImage | None) -> list[str]:
    return image.content.decode(errors="replace").split("\n") if image else []
