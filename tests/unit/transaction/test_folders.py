"""Folders are opened without falling for links that others control."""

import os
from pathlib import Path, PurePosixPath

import pytest

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction.folders import exists, open_folder


def inode(root: Path, path: str) -> int:
    with open_folder(root, PurePosixPath(path)) as folder:
        return os.fstat(folder).st_ino


def test_a_folder_is_opened_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    assert inode(tmp_path, "/a/b") == (tmp_path / "a/b").stat().st_ino


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    assert not exists(tmp_path, PurePosixPath("/a/b"))
    with pytest.raises(FileNotFoundError):
        inode(tmp_path, "/a")


@pytest.mark.parametrize("target", ["/real", "real", "../real", "/../real"])
def test_a_link_in_a_folder_that_only_its_owner_can_change_leads_inside_the_root(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(target)
    assert inode(tmp_path, "/link/sub") == (tmp_path / "real/sub").stat().st_ino


def test_a_link_in_a_folder_that_others_can_change_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "shared/link").symlink_to("/real")
    with pytest.raises(Refused, match="/shared/link is a symbolic link"):
        inode(tmp_path, "/shared/link")


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(Refused):
        inode(tmp_path, "/one")


def test_a_file_on_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="/file is not a folder"):
        inode(tmp_path, "/file/sub")
