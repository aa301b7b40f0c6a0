"""Which LiteLLM a unit starts is read from what pip has recorded, whatever lies there."""

import os
from pathlib import Path

import pytest

from hx_gateway_db.host import litellm_version
from hx_gateway_db.host.litellm_version import started_by
from hx_gateway_db.settings.litellm import LiteLLM
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.started_program import StartedProgram

HEAD = "Metadata-Version: 2.4\nName: litellm\n"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment with the program `litellm`, and nothing installed."""
    packages = tmp_path / "lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    (packages / "litellm_proxy_extras-0.4.110.dist-info").mkdir()
    program = tmp_path / "bin/litellm"
    program.parent.mkdir()
    program.write_text(f"#!{tmp_path}/bin/python3.11\nimport litellm\n")
    return tmp_path


def install(venv: Path, version: str, text: str | None = None, python: str = "python3.11") -> Path:
    record = venv / f"lib/{python}/site-packages/litellm-{version}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"{HEAD}Version: {version}\n" if text is None else text)
    return record


def found(venv: Path) -> LiteLLM:
    return started_by(StartedProgram(f"{venv}/bin/litellm", ("--port", "4000")))


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        *(("1.74.15", (1, 74, 15)), ("1.108.7", (1, 108, 7)), ("1.74.15.post1", (1, 74, 15))),
        *(("1.75.0rc2", (1, 75, 0)), ("1.80.0.dev1", (1, 80, 0)), ("2.0", (2, 0))),
    ],
)
def test_the_version_is_the_recorded_one(
    venv: Path, version: str, numbers: tuple[int, ...]
) -> None:
    install(venv, version)
    assert found(venv) == LiteLLM(numbers)


def test_a_python_that_is_started_itself_has_its_own(venv: Path) -> None:
    install(venv, "1.74.15")
    program = StartedProgram(f"{venv}/bin/python", ("-m", "litellm"))
    (venv / "bin/python").symlink_to("/usr/bin/python3")
    (venv / "bin/python3.11").symlink_to("python")
    assert started_by(program) == LiteLLM((1, 74, 15))


@pytest.mark.parametrize("text", ["", "Version: \n", "Version: new\n", "x" * 9000, HEAD])
def test_a_record_that_says_no_version_says_nothing(venv: Path, text: str) -> None:
    install(venv, "1.74.15", text)
    assert found(venv) == LiteLLM()


def test_of_two_records_none_is_believed(venv: Path) -> None:
    install(venv, "1.74.15")
    install(venv, "1.108.7", python="python3.13")
    assert found(venv) == LiteLLM()


@pytest.mark.parametrize("shebang", ["#!/usr/bin/env python3\n", "#!/bin/sh\n", "\x7fELF", ""])
def test_a_program_of_no_environment_of_its_own_is_unknown(venv: Path, shebang: str) -> None:
    install(venv, "1.74.15")
    (venv / "bin/litellm").write_text(shebang)
    assert found(venv) == LiteLLM()


def test_what_is_no_regular_file_is_not_waited_for(venv: Path) -> None:
    record = install(venv, "1.74.15")
    (record / "METADATA").unlink()
    os.mkfifo(record / "METADATA")
    assert found(venv) == LiteLLM()
    (venv / "bin/litellm").unlink()
    assert found(venv) == LiteLLM()
    os.mkfifo(venv / "bin/litellm")
    assert found(venv) == LiteLLM()


def test_without_systemd_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "available", lambda: False)
    assert litellm_version.of_gateway() == LiteLLM()
