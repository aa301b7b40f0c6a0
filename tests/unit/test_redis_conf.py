"""redis.conf, read as Redis reads it."""

import os
from pathlib import Path

import pytest

from hx_gateway_db.redis_conf import configurations, directives, split


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("port 6379", ("port", "6379")),
        ("  requirepass   a#b  ", ("requirepass", "a#b")),
        ('requirepass "a \\"b\\" \\x41\\n"', ("requirepass", 'a "b" A\n')),
        ("requirepass 'it\\'s \\n'", ("requirepass", "it's \\n")),
        ('requirepass ""', ("requirepass", "")),
        ("requirepass a\"b'c", ("requirepass", "a\"b'c")),
        ('requirepass "a', ()),
        ('requirepass "a"b', ()),
        ("", ()),
    ],
)
def test_a_line_is_split_as_redis_splits_it(line: str, words: tuple[str, ...]) -> None:
    assert split(line) == words


def test_bytes_above_127_come_out_as_the_text_that_they_are() -> None:
    assert split('requirepass "\\xc3\\xa4 ä"') == ("requirepass", "ä ä")


def test_included_files_count_where_they_stand_and_comments_do_not(tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_text("port 7000\nRequirePass one\n")
    (tmp_path / "b.inc").write_text("# requirepass no\nmasterauth two\n")
    (tmp_path / "redis.conf").write_text(f"port 1\ninclude {tmp_path}/*.inc\nrequirepass three\n")
    assert directives(tmp_path / "redis.conf") == [
        ("port", "1"),
        ("port", "7000"),
        ("requirepass", "one"),
        ("masterauth", "two"),
        ("requirepass", "three"),
    ]
    (found,) = configurations((tmp_path,))
    assert found.ports == (7000,)
    assert found.passwords == ("three", "two")


def test_without_a_port_it_is_6379_and_port_0_is_none(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("unixsocket /run/x.sock\n")
    (found,) = configurations((tmp_path,))
    assert (found.ports, found.unix_socket) == ((6379,), "/run/x.sock")
    path.write_text("port 0\ntls-port 6380\n")
    (found,) = configurations((tmp_path,))
    assert found.ports == (6380,)


def test_files_that_include_one_another_come_to_an_end(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text(f"include {path}\nport 1\n")
    assert ("port", "1") in directives(path)


def test_a_pipe_or_a_missing_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "redis.conf").write_text(f"include {tmp_path}/pipe\ninclude /no/such\nport 1\n")
    assert directives(tmp_path / "redis.conf") == [("port", "1")]
