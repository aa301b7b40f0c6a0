"""LiteLLM's rows as they gather over months: sizes, what deletes them, and who gets in whose way.

Pure. LiteLLM deletes spend logs only with general_settings.maximum_spend_logs_retention_period
(spend_log_cleanup.py), for the first time one interval after it was started.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hx_gateway_db.checks.migrations import size
from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.postgres.stored import SPEND_LOGS, Stored

PERIOD = ("general_settings", "maximum_spend_logs_retention_period")
INTERVAL = ("general_settings", "maximum_spend_logs_retention_interval")
_TOOL_INDEX = "LiteLLM_SpendLogToolIndex"
_LARGE = 2**30
_DAY = 86400
# litellm_core_utils/duration_parser.py
_DURATION = re.compile(r"([0-9]{1,9})(mo|[smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": _DAY, "w": 7 * _DAY, "mo": 31 * _DAY}


@dataclass(frozen=True)
class Tending:
    """What LiteLLM's configuration says of its rows, and whether it gathers spend in Redis first.

    `period` and `interval` are as they stand there, None if they don't. `redis`: it has one.
    """

    period: object = None
    interval: object = None
    buffer: bool = False
    redis: bool = False


def findings(where: str, stored: Stored, tending: Tending) -> Iterator[Finding]:
    """How large the spend logs are and whether they stop growing; deadlocks."""
    yield _growth(where, stored, tending)
    yield _deadlocks(where, stored, tending)


def duration(value: object) -> int | None:
    """Seconds in what LiteLLM takes for a duration; None for what it doesn't."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    return int(match[1]) * _SECONDS[match[2]] if match else None


def _growth(where: str, stored: Stored, tending: Tending) -> Finding:
    about = Subject("postgres.growth", where)
    tables = [table for table in (SPEND_LOGS, _TOOL_INDEX) if table in stored.sizes]
    whole = sum(stored.sizes[table].total for table in tables)
    what = " and ".join(f"{table} takes {size(stored.sizes[table].total)}" for table in tables)
    what = what or "LiteLLM has no spend logs"
    key, example = PERIOD[1], "'90d' for example"
    if tending.period is None:
        why = f"nothing deletes its rows: {key} is not set"
        if whole < _LARGE:
            return about.ok(what, why)
        return about.warning(what, why, f"set general_settings.{key} in config.yaml, {example}")
    period = duration(tending.period)
    if period is None:
        what, why = f"{key} in config.yaml is no duration", "LiteLLM then deletes no spend logs"
        return about.warning(what, why, f"write a number with its unit, {example}")
    interval = duration(tending.interval or "1d") or _DAY
    if stored.oldest is not None and stored.oldest > period + interval + _DAY:
        days = stored.oldest / _DAY
        return about.warning(
            f"the oldest row of {SPEND_LOGS} is {days:.0f} days old, in spite of {key}",
            "LiteLLM deletes for the first time one interval after its start (a day, if nothing"
            " else is said), and so many rows at a time",
            f"set general_settings.{INTERVAL[1]} in config.yaml to less, '1h' for example",
        )
    return about.ok(f"{what}; {key} is set")


def _deadlocks(where: str, stored: Stored, tending: Tending) -> Finding:
    about = Subject("postgres.deadlocks", where)
    if not stored.deadlocks:
        return about.ok("no two writers of the database have got in each other's way")
    since = f" in {stored.counted / _DAY:.0f} days" if stored.counted >= _DAY else ""
    deadlocks = "1 deadlock" if stored.deadlocks == 1 else f"{stored.deadlocks} deadlocks"
    what = f"PostgreSQL has ended {deadlocks} in the database{since}"
    if tending.buffer:
        return about.ok(what, "spend is gathered in Redis now, so that one gateway alone writes it")
    why = "LiteLLM's workers and gateways change the same rows, and lose what they had counted"
    also = "" if tending.redis else " and a REDIS_HOST"
    return about.warning(what, why, f"answer REDIS_TRANSACTION_BUFFER=true{also}")
