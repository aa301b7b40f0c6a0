"""What the last look saw as text for node_exporter's textfile collector. Pure.

Names and units are after Prometheus's conventions (prometheus.io/docs/practices/naming);
docs/watching.md has an alert rule for each.
"""

from collections.abc import Iterator, Mapping

from hx_gateway_db.checks.last_look import LastLook
from hx_gateway_db.checks.look import State

_PREFIX = "hx_gateway_db_"


def text(last: LastLook) -> str:
    """The metrics in the exposition format of Prometheus."""
    return "".join(f"{line}\n" for line in _lines(last))


def _lines(last: LastLook) -> Iterator[str]:
    kept = [state for state in State if state is not State.UNDECIDED]
    states = {f'{{state="{state.value}"}}': int(state is last.state) for state in kept}
    yield from _gauge("state", "What the last look found the gateway to be: 1 for that.", states)
    for name, help_text, value in (
        (
            "state_change_timestamp_seconds",
            "When a look first saw the present state, in seconds since 1970.",
            last.since,
        ),
        (
            "last_look_timestamp_seconds",
            "When the last look was, in seconds since 1970.",
            last.looked_at,
        ),
        ("last_look_duration_seconds", "How long the last look took.", round(last.seconds, 3)),
        (
            "warnings",
            "What the last look found that is not as it was wired, but does not stop keys.",
            last.warnings,
        ),
    ):
        yield from _gauge(name, help_text, {"": value})


def _gauge(name: str, help_text: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {help_text}"
    yield f"# TYPE {_PREFIX}{name} gauge"
    for labels, value in values.items():
        yield f"{_PREFIX}{name}{labels} {value:.3f}".rstrip("0").rstrip(".")
