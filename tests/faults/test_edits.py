"""An editor that saves config.yaml and gateway.env all the time, while runs change them too."""

from __future__ import annotations

import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from tests.faults.tally import Tally, all_faults, seed
from tests.faults.test_system_calls import BASE, new_tree, run

CONFIG = f"{BASE}/config/api-gateway/config.yaml"
ENV = f"{BASE}/config/api-gateway/gateway.env"
RUNS = 300 if all_faults() else 12


class Editor(threading.Thread):
    """Adds a line to a file again and again, and looks whether the line before is still there."""

    def __init__(self, path: Path, in_place: bool) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._in_place = in_place
        self._random = random.Random(seed())
        self._ended = threading.Event()
        self.saved = 0
        self.lost = 0

    def run(self) -> None:
        while not self._ended.is_set():
            text = self._path.read_text()
            self.lost += bool(self.saved) and f"# edit {self.saved}\n" not in text
            self.saved += 1
            kept = [line for line in text.splitlines(keepends=True) if "# edit" not in line]
            self._save("".join([*kept, f"# edit {self.saved}\n"]))
            # Not faster: between two saves in one millisecond a run can't be told from an editor.
            time.sleep(self._random.uniform(0.02, 0.06))

    def _save(self, text: str) -> None:
        if self._in_place:
            self._path.write_text(text)
            return
        new = self._path.with_suffix(".swp")
        new.write_text(text)
        shutil.copystat(self._path, new)
        new.rename(self._path)

    def stop(self) -> None:
        self._ended.set()
        self.join()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    new_tree(tmp_path / "tree")
    (tmp_path / "tree" / ENV).write_text("LITELLM_SALT_KEY=s\n")
    return tmp_path / "tree"


@pytest.mark.parametrize("name", [CONFIG, ENV])
@pytest.mark.parametrize("in_place", [False, True])
def test_no_edit_is_lost_to_a_run(tree: Path, tally: Tally, name: str, in_place: bool) -> None:
    editor = Editor(tree / name, in_place)
    editor.start()
    done = 0
    for number in range(RUNS):
        arguments = ("rollback",) if number % 2 else ("apply", "--answers", f"{tree}/root/first")
        ended = run(tree, *arguments)
        assert ended.returncode in (0, 3), ended.stderr
        assert "Traceback" not in ended.stderr
        done += ended.returncode == 0
    editor.stop()
    tally.injected += editor.saved
    tally.files_torn += editor.lost
    text = (tree / name).read_text()
    assert f"# edit {editor.saved}\n" in text
    assert ("master_key: sk-test-key" if name == CONFIG else "LITELLM_SALT_KEY=s\n") in text
    assert done, "no run got through at all: this proves nothing"
