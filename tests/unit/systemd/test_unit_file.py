"""A unit file's text."""

from pathlib import Path

import pytest

from hx_gateway_db.systemd.unit_file import assignments, drop_ins, section


@pytest.mark.parametrize(
    ("line", "name"),
    [("[Service]", "Service"), ("  [Unit]  ", "Unit"), ("Type=simple", None), ("# [Unit]", None)],
)
def test_a_section_begins_with_its_name_in_brackets(line: str, name: str | None) -> None:
    assert section(line) == name


def test_what_is_assigned_in_one_section_comes_in_order_without_comments() -> None:
    text = """[Unit]
Description=another section
[Service]
; a comment
Environment=A=1 \\
# a comment within a line that is continued
  B=2
UnsetEnvironment =
no assignment
"""
    assert list(assignments(text, "Service")) == [
        ("Environment", "A=1    B=2"),
        ("UnsetEnvironment", ""),
    ]


def test_of_drop_ins_with_one_name_the_first_folder_counts(tmp_path: Path) -> None:
    for name in (
        *("etc/systemd/system/u.service.d/b.conf", "run/systemd/system/u.service.d/b.conf"),
        *("run/systemd/transient/u.service.d/c.conf", "etc/systemd/system/u.service.d/c.conf"),
        *("usr/lib/systemd/system/u.service.d/a.conf", "etc/systemd/system/u.service.d/x.txt"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert drop_ins("u.service", tmp_path) == [
        "/usr/lib/systemd/system/u.service.d/a.conf",
        "/etc/systemd/system/u.service.d/b.conf",
        "/run/systemd/transient/u.service.d/c.conf",
    ]
    assert drop_ins("other.service", tmp_path) == []
