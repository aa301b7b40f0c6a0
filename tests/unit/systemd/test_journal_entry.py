"""An entry as journald gets it: each field with its length, whatever is in it."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from hx_gateway_db.systemd import journal_entry


@pytest.fixture
def journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "socket")
    monkeypatch.setattr(journal_entry, "_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(5)
        yield server


def parsed(data: bytes) -> dict[str, str]:
    fields = {}
    while data:
        name, _, data = data.partition(b"\n")
        (length,) = struct.unpack("<Q", data[:8])
        fields[name.decode()] = data[8 : 8 + length].decode()
        assert data[8 + length : 9 + length] == b"\n"
        data = data[9 + length :]
    return fields


def test_a_value_can_pretend_to_be_no_other_field(journald: socket.socket) -> None:
    fields = {"MESSAGE": "Schlüssel\n_UID=0\nPRIORITY=0", "PRIORITY": "5", "EMPTY": ""}
    journal_entry.send(fields)
    assert parsed(journald.recv(65536)) == fields


def test_where_no_journald_is_that_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_entry, "_SOCKET", "/nonexistent/socket")
    with pytest.raises(OSError, match="No such file"):
        journal_entry.send({"MESSAGE": "x"})
