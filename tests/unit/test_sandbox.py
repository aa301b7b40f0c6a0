"""A unit's environment on its way from `systemctl show` into a file for EnvironmentFile=."""

import os
from contextlib import ExitStack
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hx_gateway_db import env_file
from hx_gateway_db.sandbox import _environment_file, environment, variables

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30)


def test_the_shown_environment_is_unquoted() -> None:
    shown = r'A=1 "B=x y" "C=\$x \"q\" \\" D= E=a\ b'
    assert environment(shown) == {"A": "1", "B": "x y", "C": '$x "q" \\', "D": "", "E": "a b"}


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_systemd_reads_from_the_file_what_was_put_into_it(values: dict[str, str]) -> None:
    with ExitStack() as stack:
        text = Path(_environment_file(values, stack)).read_text()
        assert env_file.values(text) == values


def test_the_file_is_gone_afterwards() -> None:
    with ExitStack() as stack:
        path = _environment_file({"A": "geheim"}, stack)
        assert os.stat(path).st_uid == os.getuid()
    assert not Path(path).exists()


def test_what_is_no_name_of_a_variable_is_left_out() -> None:
    with ExitStack() as stack:
        assert (
            Path(_environment_file({"A\nB": "1", "1A": "2", "A B": "3"}, stack)).read_text() == ""
        )


def test_a_pattern_of_files_is_read_in_order_and_a_missing_one_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "1.env").write_text("A=1\nB=1\n")
    (tmp_path / "2.env").write_text("B=2\n")
    assert variables(str(tmp_path / "*.env")) == {"A": "1", "B": "2"}
    assert variables(str(tmp_path / "no.env")) == {}


def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.env")
    assert variables(str(tmp_path / "pipe.env")) == {}
