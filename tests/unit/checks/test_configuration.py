"""LiteLLM's unit names the config.yaml that it reads; another one is not the one to edit."""

from pathlib import Path, PurePosixPath

import pytest

from hx_gateway_db.checks.configuration import another
from hx_gateway_db.findings import Finding, Level
from tests.unit.tree import CONFIG

EDITED = PurePosixPath(f"/{CONFIG}")


def looked(root: Path, arguments: str, folder: str = "", load: str = "loaded") -> Finding | None:
    command = f"{{ path=/v/litellm ; argv[]=/v/litellm {arguments} ; ignore_errors=no ; }}"
    shown = {"LoadState": load, "ExecStart": command, "WorkingDirectory": folder}
    return another(root, EDITED, shown)


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        (f"--config {EDITED}", ""),
        (f"--config={EDITED} --port 4000", ""),
        (f"-c {EDITED}", ""),
        (f"--config /etc/old.yaml --config {EDITED}", ""),
        (f"--config {EDITED.parent}/../{EDITED.parent.name}/{EDITED.name}", ""),
        (f"--config /srv/link/{EDITED.name}", ""),
        (f"--config {EDITED.name}", str(EDITED.parent)),
        (f"--config {EDITED.name}", f"-{EDITED.parent}"),
        # What can't be told.
        ("--config $CONFIG", ""),
        ("--config ${CONFIG}", ""),
        ("--port 4000", ""),
    ],
)
def test_the_same_file_is_right_whatever_its_name_there(
    root: Path, arguments: str, folder: str
) -> None:
    (root / "srv").mkdir()
    (root / "srv/link").symlink_to((root / CONFIG).parent)
    assert looked(root, arguments, folder) is None


@pytest.mark.parametrize(
    ("arguments", "folder", "read"),
    [
        ("--config /etc/litellm/config.yaml", "", "/etc/litellm/config.yaml"),
        ("--config=/etc/litellm/config.yaml", "", "/etc/litellm/config.yaml"),
        ("-c config.yaml", "/srv/llm", "/srv/llm/config.yaml"),
        (f"--config {EDITED} --config /etc/new.yaml", "", "/etc/new.yaml"),
    ],
)
def test_another_file_is_told_and_not_edited_in_silence(
    root: Path, arguments: str, folder: str, read: str
) -> None:
    found = looked(root, arguments, folder)
    assert found is not None and found.level is Level.FAILED
    assert found.what == f"hx-litellm-gateway.service reads {read}, not {EDITED}"
    assert str(EDITED) in found.cure and "BASE" in found.cure


def test_a_unit_that_is_not_there_reads_nothing(root: Path) -> None:
    assert looked(root, "--config /etc/litellm/config.yaml", load="not-found") is None
