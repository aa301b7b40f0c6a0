"""Whether a unit has a variable from its own files, wherever those say so."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from hx_gateway_db.systemd.unit_variables import sets

UNIT = "hx-gateway-ml.service"
ETC = "etc/systemd/system"
OURS = PurePosixPath("/b/gateway.env")
Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> None:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write("etc/ml.env", "PG_URL=postgresql://mine\n")
    write("b/gateway.env", "PG_URL=postgresql://ours\n")
    return write


@pytest.mark.parametrize(
    ("name", "lines", "found"),
    [
        (f"{ETC}/{UNIT}", "EnvironmentFile=/etc/ml.env", True),
        (f"{ETC}/{UNIT}", "EnvironmentFile=-/etc/*.env", True),
        (f"{ETC}/{UNIT}", "EnvironmentFile=/b/gateway.env", False),
        (f"{ETC}/{UNIT}", "EnvironmentFile=/etc/none.env", False),
        (f"{ETC}/{UNIT}", "EnvironmentFile=/etc/ml.env\nEnvironmentFile=", False),
        (f"{ETC}/{UNIT}", 'Environment=A=1 "PG_URL=x y"', True),
        (f"{ETC}/{UNIT}", "Environment=MY_PG_URL=x", False),
        (f"{ETC}/{UNIT}", "Environment=PG_URL=x\nEnvironment=", False),
        (f"usr/lib/systemd/system/{UNIT}", "Environment=PG_URL=x", True),
        (f"{ETC}/{UNIT}.d/mine.conf", "Environment=PG_URL=x", True),
        (f"{ETC}/hx-gateway-.service.d/mine.conf", "Environment=PG_URL=x", True),
        (f"{ETC}/service.d/mine.conf", "Environment=PG_URL=x", True),
        (f"{ETC}/{UNIT}.d/mine.txt", "Environment=PG_URL=x", False),
        (f"{ETC}/hx-litellm-gateway.service", "Environment=PG_URL=x", False),
    ],
)
def test_a_variable_is_found_where_the_unit_has_it_from(
    tmp_path: Path, write: Write, name: str, lines: str, found: bool
) -> None:
    write(name, f"[Service]\n{lines}\n")
    assert sets(tmp_path, UNIT, "PG_URL", [OURS]) is found


def test_a_later_drop_in_can_take_it_back_and_one_in_etc_hides_its_namesake(
    tmp_path: Path, write: Write
) -> None:
    write(f"usr/lib/systemd/system/{UNIT}.d/10.conf", "[Service]\nEnvironment=PG_URL=x\n")
    assert sets(tmp_path, UNIT, "PG_URL")
    write(f"{ETC}/{UNIT}.d/20.conf", "[Service]\nEnvironment=\n")
    assert not sets(tmp_path, UNIT, "PG_URL")
    write(f"{ETC}/{UNIT}.d/30.conf", "[Service]\nEnvironment=PG_URL=y\n")
    assert sets(tmp_path, UNIT, "PG_URL")
    write(f"{ETC}/{UNIT}.d/30.conf", "")
    assert not sets(tmp_path, UNIT, "PG_URL")


def test_without_files_or_with_what_is_no_file_there_is_none(tmp_path: Path) -> None:
    assert not sets(tmp_path, UNIT, "PG_URL")
    (tmp_path / ETC / UNIT).mkdir(parents=True)
    assert not sets(tmp_path, UNIT, "PG_URL")
