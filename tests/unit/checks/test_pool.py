"""The connections that a gateway may open, from its config.yaml and its unit."""

from dataclasses import replace
from pathlib import Path

import pytest

from hx_gateway_db.checks.pool import pool_of
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import Layout
from hx_gateway_db.postgres.facts import Pool
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import Unit
from tests.unit.tree import CONFIG, ORIGINAL


@pytest.mark.parametrize(
    ("value", "each"), [("7", 7), ("true", 10), ("many", 10), ("0", 10), ("-1", 10), ("", 10)]
)
def test_the_limit_is_the_one_in_config_yaml(root: Path, value: str, each: int) -> None:
    line = f"  database_connection_pool_limit: {value}\n" if value else ""
    text = ORIGINAL.replace("general_settings:\n", f"general_settings:\n{line}")
    (root / CONFIG).write_text(text)
    assert pool_of(read_host(root)) == Pool(each)


def test_the_limit_of_an_included_section_takes_the_place_of_config_yaml_s(root: Path) -> None:
    limit = "general_settings:\n  database_connection_pool_limit: {}\n"
    (root / CONFIG).write_text(f"include: [more.yaml]\n{limit.format(5)}")
    (root / CONFIG).with_name("more.yaml").write_text(limit.format(7))
    assert pool_of(read_host(root)) == Pool(7)


def test_a_config_yaml_that_nobody_can_read_says_nothing(root: Path) -> None:
    (root / CONFIG).write_text("a: [")
    assert pool_of(read_host(root)) == pool_of(None) == Pool()


@pytest.mark.parametrize(
    ("arguments", "variable", "workers"),
    [
        ("--port 4000", "", 1),
        ("--num_workers 4", "2", 4),
        ("--num_workers=4", "", 4),
        ("--port 4000", "3", 3),
        ("--port 4000", "0", 1),
        ("--port 4000", "\u0663", 1),
        ("--num_workers lots", "", 1),
    ],
)
def test_the_workers_are_those_of_the_unit(
    root: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, variable: str, workers: int
) -> None:
    command = f"{{ path=/v/litellm ; argv[]=/v/litellm {arguments} ; ignore_errors=no ; }}"
    monkeypatch.setattr(Layout, "live", True)
    monkeypatch.setattr(units, "available", lambda: True)
    monkeypatch.setattr(units, "properties", lambda *_: [("ExecStart", command)])
    monkeypatch.setattr(units, "unit", lambda name: Unit(name, "loaded", "active", "", 1, ""))
    monkeypatch.setattr(units, "environment", lambda unit: {"NUM_WORKERS": variable})
    assert pool_of(read_host(root)) == replace(Pool(), workers=workers)
