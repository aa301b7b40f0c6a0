"""A database client that is prepared for LiteLLM, on its way into use and out of it."""

import os
from collections.abc import Mapping
from pathlib import Path

from hx_gateway_db.layout import PRISMA_FOLDER, PRISMA_WORK
from hx_gateway_db.progress import Progress


def prepared_client(progress: Progress) -> Mapping[str, str]:
    """The environment that makes LiteLLM use a client that is prepared now. Raises Refused."""
    from hx_gateway_db.prisma.prepare import prepare

    prepared = prepare(progress)
    for sentence in prepared.done:
        progress.say(sentence)
    return prepared.environment


def tidy(root: Path, progress: Progress) -> None:
    """Remove a prepared client that is not in use, as none is after an undo or a rollback."""
    if any(os.path.lexists(root / path.relative_to("/")) for path in (PRISMA_WORK, PRISMA_FOLDER)):
        from hx_gateway_db.prisma.prepare import tidy

        for sentence in tidy(root):
            progress.say(sentence)
