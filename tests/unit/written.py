"""What a program of the project writes into files because of the code, and what stands in them."""

import difflib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def differences(program: str, files: Sequence[str], name: str, folder: Path) -> str:
    """How one of `files` differs from what `program` makes of it in `folder`; empty if it doesn't.

    All of `files` are what it reads and writes.
    """
    for other in files:
        (folder / other).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / other, folder / other)
    subprocess.run([sys.executable, PROJECT / program, folder], check=True)
    here, wanted = ((place / name).read_text().splitlines() for place in (PROJECT, folder))
    return "\n".join(difflib.unified_diff(here, wanted, name, "as it follows", "", "", 0))
