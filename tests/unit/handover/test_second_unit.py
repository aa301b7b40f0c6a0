"""The unit file of a second service: what comes along, what changes, what can't be had twice."""

from pathlib import PurePosixPath

import pytest

from hx_gateway_db.handover.second_unit import (
    NotPossible,
    Original,
    Second,
    listens_on,
    second_unit,
)
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_UNIT

ENV, CONFIG = PurePosixPath("/b/gateway.env"), PurePosixPath("/b/config.yaml")
NEW_ENV, NEW_CONFIG = PurePosixPath("/b/second.env"), PurePosixPath("/b/second.yaml")
EXEC = "/venv/bin/litellm --host 0.0.0.0 --port 4000 --config /b/config.yaml"
UNIT = f"""\
[Unit]
Description=The first
PartOf=something.target
Conflicts=other.service

[Service]
User=hx-gateway
Environment=PYTHONUNBUFFERED=1
ExecStart={EXEC}
Restart=on-failure
ProtectSystem=full

[Install]
WantedBy=multi-user.target
"""
DROP_IN = "[Service]\nEnvironmentFile=-/b/gateway.env\n"


def made(*texts: str, second: Second | None = None) -> list[str]:
    original = Original(LITELLM_UNIT, "litellm", 4000, texts)
    return second_unit(original, second or Second(4001)).splitlines()


def test_what_the_service_is_comes_along_and_what_it_is_tied_to_does_not() -> None:
    lines = made(UNIT, DROP_IN)
    assert "User=hx-gateway" in lines and "ProtectSystem=full" in lines
    assert "EnvironmentFile=-/b/gateway.env" in lines
    assert not [line for line in lines if line.startswith(("PartOf", "Conflicts", "WantedBy"))]


def test_it_is_on_another_port_in_another_slice_and_not_restarted() -> None:
    lines = made(UNIT)
    assert f"ExecStart={EXEC.replace('4000', '4001')}" in lines
    # The last counts.
    assert [line for line in lines if line.startswith("Restart=")][-1] == "Restart=no"
    assert "Slice=hxgatewaydb.slice" in lines
    assert "RuntimeDirectoryPreserve=yes" in lines


def test_it_reads_the_files_that_are_staged_for_it() -> None:
    second = Second(4001, {ENV: NEW_ENV}, {CONFIG: NEW_CONFIG})
    lines = made(UNIT, DROP_IN, second=second)
    assert "EnvironmentFile=/b/second.env" in lines
    assert "EnvironmentFile=-/b/gateway.env" not in lines
    assert any(line.endswith("--config /b/second.yaml") for line in lines)


def test_one_that_is_only_tried_is_on_loopback() -> None:
    lines = made(UNIT, second=Second(4001, on_loopback=True))
    command = next(line for line in lines if line.startswith("ExecStart="))
    assert command.endswith("--config /b/config.yaml --host 127.0.0.1")
    assert "0.0.0.0" not in "".join(lines)


def test_a_later_exec_start_takes_the_place_of_an_earlier_one() -> None:
    other = f"[Service]\nExecStart=\nExecStart={EXEC} --num_workers 2\n"
    lines = made(UNIT, other)
    assert [line for line in lines if line.startswith("ExecStart=")] == [
        f"ExecStart={EXEC.replace('4000', '4001')} --num_workers 2"
    ]


@pytest.mark.parametrize(
    ("command", "becomes"),
    [
        ("/v/litellm --port=4000 -c /b/config.yaml", "--port=4001 -c /b/second.yaml"),
        ("/v/litellm --config=/b/config.yaml --port 4000", "--config=/b/second.yaml --port 4001"),
    ],
)
def test_options_are_found_however_they_are_written(command: str, becomes: str) -> None:
    second = Second(4001, {}, {CONFIG: NEW_CONFIG})
    lines = made(f"[Service]\nExecStart={command}\n", second=second)
    assert any(line.startswith("ExecStart=/v/litellm") and becomes in line for line in lines)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ExecStart=\nExecStart=/bin/sh -c 'litellm --port 4000'", "starts no plain litellm"),
        ("ExecStart=\nExecStart=/v/litellm --port ${PORT}", "starts no plain litellm"),
        ("ExecStart=\nExecStart=@/v/litellm litellm --port 4000", "starts no plain litellm"),
        ("ExecStart=\nExecStart=/usr/bin/env litellm --port 4000", "starts no plain litellm"),
        ("ExecStart=\nExecStart=/v/litellm --config /b/config.yaml", "without --port 4000"),
        ("ExecStart=\nExecStart=/v/litellm --port 4000", "without --config /b/config.yaml"),
        ("ExecStart=", "starts no plain litellm"),
        ("ExecStart=/v/litellm --port 4000", "starts no plain litellm"),  # a second one
        ("ExecStartPre=/usr/bin/fuser -k 4000/tcp", "ExecStartPre="),
        ("ExecStopPost=/usr/bin/rm /run/x", "ExecStopPost="),
        ("PIDFile=/run/litellm.pid", "PIDFile="),
        ("Type=forking", "can't be had twice"),
        ("DynamicUser=yes", "can't be had twice"),
        ("DynamicUser=True", "can't be had twice"),
        ("StateDirectory=%N", "specifier for its own name"),
        ("Environment=X=%%%n", "specifier for its own name"),
    ],
)
def test_what_a_second_one_can_not_be_made_of_is_said(line: str, says: str) -> None:
    with pytest.raises(NotPossible, match=says) as why:
        made(UNIT, f"[Service]\n{line}\n", second=Second(4001, {}, {CONFIG: NEW_CONFIG}))
    assert str(why.value).startswith(LITELLM_UNIT)


@pytest.mark.parametrize("line", ["ExecStartPre=/bin/x\nExecStartPre=", "Environment=X=%%n"])
def test_what_is_taken_back_or_escaped_is_no_obstacle(line: str) -> None:
    assert made(UNIT, f"[Service]\n{line}\n")


@pytest.mark.parametrize(
    ("option", "address"),
    [("--host 0.0.0.0", ""), ("", ""), ("--host=::", ""), ("--host 127.0.0.1", "127.0.0.1")],
)
def test_where_it_listens_is_read_from_its_command(option: str, address: str) -> None:
    text = f"[Service]\nExecStart=/v/uvicorn app:app {option} --port 4010\n"
    assert listens_on(Original(WRAPPER_UNIT, "uvicorn", 4010, (text,))) == address
