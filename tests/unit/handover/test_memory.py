"""What a second one of a unit takes, as /proc tells."""

from pathlib import Path

import pytest

from hx_gateway_db.handover import memory
from hx_gateway_db.systemd import units

GROUP = "/system.slice/hx-litellm-gateway.service"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(units, "properties", lambda *_: [("ControlGroup", GROUP)])
    for pid, group, anonymous in (("7", GROUP, 400), ("8", GROUP, 40), ("9", "/other", 9999)):
        folder = tmp_path / pid
        folder.mkdir()
        (folder / "cgroup").write_text(f"0::{group}\n")
        (folder / "status").write_text(f"Name:\tx\nRssAnon:\t   {anonymous} kB\nRssFile:\t 5 kB\n")
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    4096 kB\n")
    return tmp_path


def test_what_the_processes_of_the_unit_have_for_themselves_counts_and_some_more(
    proc: Path,
) -> None:
    assert memory.needed("x.service", proc) == 440 * 1024 * 5 // 4


def test_what_can_be_taken_is_what_the_kernel_says(proc: Path) -> None:
    assert memory.available(proc) == 4096 * 1024


def test_where_nothing_can_be_read_nothing_is_there(tmp_path: Path) -> None:
    assert memory.available(tmp_path) == 0
