"""Which files a pattern of EnvironmentFile= stands for, whoever fills the folder."""

import os
from pathlib import Path

import pytest

from hx_gateway_db.systemd import environment_files
from hx_gateway_db.systemd.environment_files import matching


def test_wildcards_stand_for_names_in_order_and_a_plain_path_for_itself(tmp_path: Path) -> None:
    for name in ("a/2.env", "a/1.env", "b/3.env", "b/.env", "b/4.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [f"{tmp_path}/{name}" for name in ("a/1.env", "a/2.env", "b/3.env")]
    assert matching(f"{tmp_path}/[ab]/*.env") == found
    assert matching(f"{tmp_path}/b/.e*") == [f"{tmp_path}/b/.env"]
    assert matching(f"{tmp_path}/none.env") == [f"{tmp_path}/none.env"]
    assert matching(f"{tmp_path}/none/*.env") == []


def test_a_folder_with_a_million_names_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (tmp_path / f"{number}.env").touch()
    monkeypatch.setattr(environment_files, "_MOST_FILES", 3)
    assert len(matching(f"{tmp_path}/*")) == 3
    monkeypatch.setattr(environment_files, "_MOST_NAMES", 2)
    assert len(matching(f"{tmp_path}/*")) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give things away")
def test_a_link_of_somebody_else_s_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/1.env").touch()
    (tmp_path / "link").symlink_to("secret")
    os.chown(tmp_path / "link", 12345, 12345, follow_symlinks=False)
    assert matching(f"{tmp_path}/link/*") == []
