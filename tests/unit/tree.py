"""A gateway as a tree of files, and the command run on it in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hx_gateway_db.cli.parser import main

BASE = "opt/HX-Infrastructure-/api-gateway"


CONFIG = f"{BASE}/config/api-gateway/config.yaml"


ENV = f"{BASE}/config/api-gateway/gateway.env"


UNIT_FOLDERS = tuple(
    f"etc/systemd/system/{unit}.service.d" for unit in ("hx-litellm-gateway", "hx-gateway-ml")
)


ORIGINAL = """\
# site configuration
general_settings:
  master_key: sk-test-key   # do not tell

model_list:
  # chat
  - model_name: hx-chat
    litellm_params: {model: ollama/x, api_base: "http://h:1"}
"""


ANSWERS = "PG_HOST=db1\nPG_PASS=geh@im %\nREDIS_HOST=r1\nREDIS_PASS=rot\n"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    config = tmp_path / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text(ORIGINAL)
    config.chmod(0o640)
    return tmp_path


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("PG_HOST", "PG_PASS", "BASE"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, answers: str = "") -> tuple[int, str, str]:
        (root / "answers").write_text(answers)
        source = ["--answers", str(root / "answers")] if answers else []
        status = main(["--root", str(root), *arguments, *source])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def snapshot(root: Path) -> dict[str, bytes]:
    folders = [root / "opt", root / "etc"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


CACHE_ON = ANSWERS + "CACHE=true\n"


CACHE_CONF = f"{UNIT_FOLDERS[0]}/40-cache.conf"


def edit(file: Path, *replacements: tuple[str, str]) -> None:
    """What an administrator does with an editor; each replacement has to be one."""
    text = file.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def what_the_host_has(run: Run) -> dict[str, str]:
    """What config reads back, and hands on to apply."""
    lines = run("answers")[1].splitlines()
    return dict(line.split("=", 1) for line in lines)
