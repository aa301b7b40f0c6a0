"""What --json prints is what docs/schema/ says of it, on real output."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hx_gateway_db.checks.verify import Row
from hx_gateway_db.cli import commands
from hx_gateway_db.findings import Cure, Finding, Level
from tests.unit.tree import ANSWERS, CACHE_ON, CONFIG, ORIGINAL, Run

FOLDER = Path(__file__).resolve().parents[3] / "docs/schema"
FINDING = Finding("a.b", Level.WARNING, "/f", "what", "why", "cure", Cure.REDIS_ADMINISTRATOR)


def schema(command: str) -> Any:
    return json.loads((FOLDER / f"{command}.schema.json").read_text())


def valid(command: str, text: str) -> Any:
    report = json.loads(text)
    jsonschema.Draft202012Validator(schema(command)).validate(report)
    assert report["schema"] == 1
    return report


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_schema_is_one(path: Path) -> None:
    found = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["title"].startswith("hx-gateway-db ")
    assert found["properties"]["schema"]["const"] == commands.SCHEMA


def test_the_status_before_and_after_and_of_a_gateway_that_has_lost_keys(
    root: Path, run: Run
) -> None:
    assert valid("status", run("status", "--json")[1])["wired"] == "no"
    run("apply", answers=CACHE_ON)
    assert valid("status", run("status", "--json")[1])["findings"] == []
    (root / CONFIG).write_text(ORIGINAL)
    (finding,) = valid("status", run("status", "--json")[1])["findings"]
    assert (finding["name"], finding["level"]) == ("gateway.wiring", "failed")
    assert finding["cure"] == "run 'hx-gateway-db apply'"
    (root / CONFIG).unlink()
    assert valid("status", run("status", "--json")[1])["findings"]


def test_a_plan(run: Run) -> None:
    assert valid("plan", run("plan", "--json", answers=ANSWERS)[1])["files"]


def test_findings_and_rows(run: Run) -> None:
    (found,) = valid("check", as_check([FINDING]))["findings"]
    assert (found["level"], found["by"]) == ("warning", "redis")
    rows = [Row(FINDING, 0.25).as_json()]
    valid("verify", json.dumps({"schema": 1, "ok": True, "checks": rows}))


def as_check(findings: list[Finding]) -> str:
    return json.dumps(
        {"schema": 1, "ok": True, "findings": [finding.as_json() for finding in findings]}
    )


def test_a_name_more_or_less_is_noticed(run: Run) -> None:
    report = json.loads(run("status", "--json")[1])
    for wrong in ({**report, "new": "x"}, {k: v for k, v in report.items() if k != "findings"}):
        with pytest.raises(jsonschema.ValidationError):
            valid("status", json.dumps(wrong))
