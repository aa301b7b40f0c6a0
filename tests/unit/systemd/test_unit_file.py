"""A unit file's text."""

import pytest

from hx_gateway_db.systemd.unit_file import assignments, section


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
