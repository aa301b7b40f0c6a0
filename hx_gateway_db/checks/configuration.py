"""Whether LiteLLM reads the config.yaml that is edited: its unit says which one it reads."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.redaction import said
from hx_gateway_db.systemd import started_program

NAME = "gateway.config"
READ = ("LoadState", "ExecStart", "WorkingDirectory")
_OPTIONS = ("--config", "-c")


def another(root: Path, edited: PurePosixPath, shown: Mapping[str, str]) -> Finding | None:
    """A failure where the unit reads another file than `edited`; None where it doesn't, or can.

    `shown` are the properties READ of LiteLLM's unit. What a script between it and LiteLLM does,
    and a variable in its command line, can't be told.
    """
    program = started_program.shown(shown.get("ExecStart", ""))
    named = program.value(*_OPTIONS) if program else None
    if named is None or "$" in named or shown.get("LoadState") != "loaded":
        return None
    folder = shown.get("WorkingDirectory", "").lstrip("-!") or "/"
    read = PurePosixPath(folder) / named
    if _same(root / read.relative_to("/"), root / edited.relative_to("/")):
        return None
    return Subject(NAME, LITELLM_UNIT).failed(
        f"{LITELLM_UNIT} reads {said(str(read))}, not {edited}",
        "what is set there would have no effect",
        f"have its ExecStart= name {edited}, or answer the BASE below which its file is",
    )


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # not there, or not to be reached
        return os.path.normpath(one) == os.path.normpath(other)
