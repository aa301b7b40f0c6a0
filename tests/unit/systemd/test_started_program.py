"""What is made of ExecStart= as `systemctl show` prints it, and of a script's first line."""

import pytest

from hx_gateway_db.systemd.started_program import StartedProgram, python_of, shown

SHOWN = (
    "{ path=/opt/HX-Infrastructure-/v env/bin/litellm ; argv[]=/opt/HX-Infrastructure-/v"
    " --port 4000 --config /x ; ignore_errors=no ; start_time=[n/a] ; pid=0 ; status=0/0 }"
)


def test_the_program_and_its_port_are_found() -> None:
    program = shown(SHOWN)
    assert program is not None
    assert program.path == "/opt/HX-Infrastructure-/v env/bin/litellm"
    assert program.arguments == ("--port", "4000", "--config", "/x")
    assert program.port == 4000


def test_a_unit_that_starts_nothing_has_no_program() -> None:
    assert shown("") is None


@pytest.mark.parametrize(
    ("arguments", "port"),
    [
        ("", None),
        ("--port", None),
        ("--port x", None),
        ("--port=5000", 5000),
        ("--port 1 --host h --port 2", 2),
    ],
)
def test_the_last_port_counts(arguments: str, port: int | None) -> None:
    assert StartedProgram("/p", tuple(arguments.split())).port == port


@pytest.mark.parametrize(
    ("beginning", "python"),
    [
        ("#!/v/bin/python3\nimport x", "/v/bin/python3"),
        ("#! /v/bin/python3.11 -s\n", "/v/bin/python3.11"),
        ("#!/usr/bin/env python3\n", "python3"),
        ("#!/bin/sh\n'''exec' \"/v w/bin/python\" \"$0\" \"$@\"\n' '''\n", "/v w/bin/python"),
        ("#!/bin/sh\n'''exec' /long/bin/python \"$0\" \"$@\"\n' '''\n", "/long/bin/python"),
        ("#!/bin/sh\nexec litellm\n", None),
        ("#!/bin/bash\n", None),
        ("\x7fELF", None),
        ("", None),
    ],
)
def test_the_python_of_a_script_is_that_of_its_first_line(
    beginning: str, python: str | None
) -> None:
    assert python_of(StartedProgram("/v/bin/litellm", ()), beginning) == python


def test_a_program_that_is_python_itself_is_its_own_python() -> None:
    assert (
        python_of(StartedProgram("/v/bin/python3", ("-m", "litellm")), "\x7f") == "/v/bin/python3"
    )
