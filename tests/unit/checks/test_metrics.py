"""The metrics: what Prometheus reads, and the alert rule that docs/watching.md has for each."""

import re
from pathlib import Path

from hx_gateway_db.checks.last_look import LastLook
from hx_gateway_db.checks.look import State
from hx_gateway_db.checks.metrics import text
from hx_gateway_db.wiring.watching import CHANGED

DOCS = (Path(__file__).resolve().parents[3] / "docs/watching.md").read_text()
CHECKS = tuple(
    {"name": name, "result": result, "detail": "", "cure": ""}
    for name, result in (
        *(("litellm.key", "failed"), ("litellm.unit", "warning"), ("gateway.wiring", "warning")),
        *(("gateway.wiring", "failed"), ("litellm.database", "ok"), ("x", "skipped")),
    )
)
LAST = LastLook(State.FAILING, 1_795_867_200.0, 1_795_867_500.25, 100.0, "", "", CHECKS)


def values(last: LastLook) -> dict[str, str]:
    lines = [line for line in text(last).splitlines() if line[0] != "#"]
    return dict(line.rsplit(" ", 1) for line in lines)


def test_the_state_is_one_of_all_that_there_are() -> None:
    found = {name: value for name, value in values(LAST).items() if "{" in name}
    assert found == {
        'hx_gateway_db_state{state="serving"}': "0",
        'hx_gateway_db_state{state="failing"}': "1",
        'hx_gateway_db_state{state="stopped"}': "0",
        'hx_gateway_db_state{state="unwired"}': "0",
    }


def test_times_are_seconds_and_what_keeps_keys_from_working_is_no_warning() -> None:
    found = {name: value for name, value in values(LAST).items() if "{" not in name}
    assert found == {
        "hx_gateway_db_state_change_timestamp_seconds": "1795867200",
        "hx_gateway_db_last_look_timestamp_seconds": "1795867500.25",
        "hx_gateway_db_last_look_duration_seconds": "100",
        "hx_gateway_db_warnings": "2",
    }


def test_each_metric_is_explained_and_has_an_alert_rule_in_the_docs() -> None:
    rules = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    expressions = " ".join(re.findall(r"expr: (.*)", "".join(rules)))
    for name in {name.partition("{")[0] for name in values(LAST)}:
        assert f"# HELP {name} " in text(LAST) and f"# TYPE {name} gauge" in text(LAST)
        assert f"| `{name}" in DOCS and name in expressions


def test_the_docs_name_the_message_id() -> None:
    assert f"MESSAGE_ID={CHANGED} " in DOCS
