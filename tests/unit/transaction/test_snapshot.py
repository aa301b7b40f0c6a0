"""A file is read with everything that belongs to it, and nothing but a plain file is read."""

import os
from pathlib import Path, PurePosixPath

import pytest

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction.snapshot import take, untouched

FILE = PurePosixPath("/folder/file")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder/file"


def test_content_owner_mode_and_attributes_are_read(tmp_path: Path, place: Path) -> None:
    place.write_bytes(b"x\r\n")
    place.chmod(0o640)
    os.setxattr(place, "user.note", b"mine")
    image = take(tmp_path, FILE)
    assert image is not None
    assert (image.content, image.metadata.mode, image.metadata.uid) == (
        b"x\r\n",
        0o640,
        os.geteuid(),
    )
    assert dict(image.metadata.attributes)["user.note"] == b"mine"


def test_a_missing_file_and_a_missing_folder_are_none(tmp_path: Path, place: Path) -> None:
    assert take(tmp_path, FILE) is None
    assert take(tmp_path, PurePosixPath("/elsewhere/file")) is None


def test_a_link_is_refused(tmp_path: Path, place: Path) -> None:
    place.symlink_to("/etc/hostname")
    with pytest.raises(Refused, match="not a regular file"):
        take(tmp_path, FILE)


def test_a_file_with_a_second_name_is_refused(tmp_path: Path, place: Path) -> None:
    place.write_text("")
    os.link(place, tmp_path / "other")
    with pytest.raises(Refused, match="2 hard links"):
        take(tmp_path, FILE)


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path, place: Path) -> None:
    os.mkfifo(place)
    with pytest.raises(Refused, match="not a regular file"):
        take(tmp_path, FILE)


def test_a_socket_or_folder_is_refused(tmp_path: Path, place: Path) -> None:
    place.mkdir()
    with pytest.raises(Refused):
        take(tmp_path, FILE)


def test_a_file_that_was_written_with_the_same_content_is_not_untouched(
    tmp_path: Path, place: Path
) -> None:
    place.write_text("x")
    first = take(tmp_path, FILE)
    assert untouched(take(tmp_path, FILE), first)
    os.utime(place, ns=(0, 1))
    assert take(tmp_path, FILE) == first
    assert not untouched(take(tmp_path, FILE), first)
