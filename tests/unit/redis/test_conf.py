"""redis.conf, read as Redis reads it."""

import os
from pathlib import Path

import pytest

from hx_gateway_db.redis.conf import configurations, directives, split


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


@pytest.mark.parametrize(
    "path", ["/", "..", "relative.conf", "/no/such/*", '"/a\\x00b"', "/*", "**"]
)
def test_a_path_that_names_no_file_is_left_out(tmp_path: Path, path: str) -> None:
    (tmp_path / "redis.conf").write_text(f"include {path}\nport 1\n")
    assert ("port", "1") in directives(tmp_path / "redis.conf")


def test_a_recursive_pattern_does_not_walk_the_whole_disk(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "x.conf").write_text("port 2\n")
    (tmp_path / "redis.conf").write_text(f"include {tmp_path}/**\nport 1\n")
    assert ("port", "2") not in directives(tmp_path / "redis.conf")


@pytest.mark.parametrize("port", ["²", "٣", "9" * 5000, "-1", "1e3", ""])
def test_a_port_that_is_none_is_none(tmp_path: Path, port: str) -> None:
    (tmp_path / "redis.conf").write_text(f'port "{port}"\n')
    (found,) = configurations((tmp_path,))
    assert found.ports == ()


def test_a_link_that_root_does_not_control_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("requirepass one\n")
    folder = tmp_path / "redis"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "redis.conf").symlink_to(tmp_path / "secret")
    (found,) = configurations((folder,))
    assert found.passwords == ()


def test_no_more_is_read_than_servers_need(tmp_path: Path) -> None:
    line = "# " + "x" * 1000 + "\n"
    for number in range(100):
        (tmp_path / f"{number:03}.conf").write_text(line * 100 + "requirepass one\n")
    assert sum(bool(found.passwords) for found in configurations((tmp_path,))) == 20


def test_a_password_is_readable_by_whom_its_file_and_folders_let(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("requirepass one\n")
    path.chmod(0o644)
    tmp_path.chmod(0o700)
    (found,) = configurations((tmp_path,))
    (secret,) = found.secrets
    assert secret.file == path
    assert secret.readable_by(0, frozenset())
    assert secret.readable_by(os.geteuid(), frozenset())
    assert not secret.readable_by(4242, frozenset())
    assert "one" not in repr(found)
