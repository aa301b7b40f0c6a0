"""A tree is removed however it was made, and what can't be is said."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hx_gateway_db.transaction import removal
from hx_gateway_db.transaction.removal import remove_tree


def test_what_is_missing_is_removed_already(tmp_path: Path) -> None:
    assert remove_tree(tmp_path / "-missing") == ""


def test_a_link_is_removed_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "tree/pipe")
    assert remove_tree(tmp_path / "tree") == remove_tree(tmp_path / "link") == ""
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_what_can_not_be_removed_is_said_in_one_line() -> None:
    sentence = remove_tree(Path("/proc/self/status"))
    assert sentence.startswith("/proc/self/status could not be removed (")
    assert "\n" not in sentence


def test_who_makes_files_faster_than_they_go_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*arguments: Any) -> None:
        raise subprocess.TimeoutExpired("rm", 60)

    monkeypatch.setattr(removal, "captured", endless)
    assert "took more than 60 s" in remove_tree(tmp_path)
