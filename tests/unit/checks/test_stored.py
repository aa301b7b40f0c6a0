"""What LiteLLM has stored, against the LiteLLM that is installed: each thing with its cure."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from hx_gateway_db.checks import growth, migrations
from hx_gateway_db.checks.growth import Tending, duration
from hx_gateway_db.checks.migrations import Installed
from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.postgres.stored import SPEND_LOGS, Attempt, Index, Size, Stored
from hx_gateway_db.prisma.migration_sql import works
from hx_gateway_db.prisma.schema import Table

GIB = 2**30
DAY = 86400.0
BASELINE = "20250326162113_baseline"
STATUS = "20250508072103_add_status"
LOGS = Table(SPEND_LOGS, ("request_id", "startTime", "status"), (("startTime",),))
SQL = {
    BASELINE: f'CREATE TABLE "{SPEND_LOGS}" ("request_id" TEXT, "startTime" TIMESTAMP(3));',
    STATUS: f'ALTER TABLE "{SPEND_LOGS}" ADD COLUMN "status" TEXT;',
}


def installed(sql: dict[str, str] = SQL, tables: Sequence[Table] = (LOGS,)) -> Installed:
    return Installed(tables, sql, {name: works(text) for name, text in sql.items()})


def applied(*names: str) -> tuple[Attempt, ...]:
    return tuple(Attempt(name, True, False, True, 9 * DAY) for name in names)


WELL = Stored(
    sizes={SPEND_LOGS: Size(1000, 10)},
    columns={SPEND_LOGS: frozenset(LOGS.columns)},
    indexes={SPEND_LOGS: (Index("i", True, ("startTime", "request_id")),)},
    attempts=applied(BASELINE, STATUS),
)


def found(stored: Stored, wanted: Installed | None = None) -> dict[str, Finding]:
    all_of_them = migrations.findings("hx on db1:5432", stored, wanted or installed())
    return {finding.name.removeprefix("postgres."): finding for finding in all_of_them}


def warned(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.level is not Level.OK}


def test_tables_as_they_should_be_are_well() -> None:
    findings = found(WELL)
    assert list(findings) == ["migrations", "columns", "downgrade", "indexes"]
    assert warned(findings) == set()


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (Attempt(STATUS, False, False, False, DAY), f"migration {STATUS} of LiteLLM has failed"),
        (Attempt(STATUS, False, True, False, DAY), f"{STATUS} of LiteLLM was rolled back"),
    ],
)
def test_a_migration_that_failed_or_was_rolled_back_is_told(attempt: Attempt, words: str) -> None:
    finding = found(replace(WELL, attempts=(*applied(BASELINE), attempt)))["migrations"]
    assert finding.level is Level.WARNING and words in finding.what
    assert finding.cure.startswith("run 'systemctl restart hx-litellm-gateway'")


def test_one_that_was_tried_again_or_runs_now_is_well() -> None:
    back = Attempt(STATUS, False, True, False, DAY)
    assert warned(found(replace(WELL, attempts=(back, *WELL.attempts)))) == set()
    running = Attempt(STATUS, False, False, False, 5.0)
    assert "migrations" not in warned(found(replace(WELL, attempts=(*applied(BASELINE), running))))


def test_a_migration_that_counts_as_applied_and_is_not_is_found_by_its_column() -> None:
    lacking = replace(WELL, columns={SPEND_LOGS: frozenset(LOGS.columns[:2])})
    finding = found(lacking)["columns"]
    assert finding.what == f"the database lacks {SPEND_LOGS}.status of LiteLLM"
    assert (
        f"DELETE FROM _prisma_migrations WHERE migration_name = '{STATUS}', then run"
        in finding.cure
    )


@pytest.mark.parametrize(
    "text",
    [
        # It adds something that is there: it would fail the second time.
        f'ALTER TABLE "{SPEND_LOGS}" ADD COLUMN "status" TEXT, ADD COLUMN "startTime" TEXT;',
        f'CREATE TABLE "{SPEND_LOGS}" ("status" TEXT);',
        f'CREATE TABLE "LiteLLM_Other" ("status" TEXT); SELECT * FROM "{SPEND_LOGS}";',
    ],
)
def test_a_migration_that_can_t_be_made_again_is_no_cure(text: str) -> None:
    lacking = replace(WELL, columns={SPEND_LOGS: frozenset(LOGS.columns[:2])})
    finding = found(lacking, installed({BASELINE: "", STATUS: text}))["columns"]
    assert finding.cure.startswith("restore the database")


def test_a_table_that_is_missing_is_named_once() -> None:
    tags = Table("LiteLLM_Tag", ("id", "name"))
    sql = {**SQL, "20250601000000_tags": 'CREATE TABLE "LiteLLM_Tag" ("id" TEXT, "name" TEXT);'}
    lacking = replace(WELL, attempts=applied(*sql))
    finding = found(lacking, installed(sql, (LOGS, tags)))["columns"]
    assert finding.what == "the database lacks LiteLLM_Tag of LiteLLM"
    assert "'20250601000000_tags'" in finding.cure


def test_the_name_of_a_migration_is_no_part_of_a_command_unless_it_is_harmless() -> None:
    evil = "x'; DROP TABLE y; --"
    lacking = replace(
        WELL, columns={SPEND_LOGS: frozenset(LOGS.columns[:2])}, attempts=applied(BASELINE, evil)
    )
    finding = found(lacking, installed({BASELINE: "", evil: SQL[STATUS]}))["columns"]
    assert finding.level is Level.WARNING and "DROP" not in finding.cure


def test_what_a_newer_litellm_has_left_is_told_after_a_downgrade() -> None:
    newer = replace(
        WELL,
        attempts=(*WELL.attempts, *applied("20260101000000_newer")),
        columns={SPEND_LOGS: frozenset((*LOGS.columns, "agent_id"))},
    )
    finding = found(newer)["downgrade"]
    assert finding.level is Level.WARNING
    assert f"20260101000000_newer, {SPEND_LOGS}.agent_id for one" in finding.what
    made_up = applied("0_init", "20251128170000_baseline_diff")
    assert "downgrade" not in warned(found(replace(WELL, attempts=(*WELL.attempts, *made_up))))


def test_an_upgrade_that_takes_long_is_told_before_it() -> None:
    sql = {**SQL, "2026_index": f'CREATE INDEX "j" ON "{SPEND_LOGS}"("status");'}
    assert found(WELL, installed(sql))["upgrade"].level is Level.OK
    large = replace(WELL, sizes={SPEND_LOGS: Size(3 * GIB, 10)})
    finding = found(large, installed(sql))["upgrade"]
    assert finding.level is Level.WARNING
    assert f"2026_index makes an index on {SPEND_LOGS} (3.0 GiB)" in finding.what
    # What it adds is not missing, but still to come.
    assert "columns" not in found(large, installed(sql))


def test_an_index_that_is_missing_or_not_valid_is_told() -> None:
    finding = found(replace(WELL, indexes={}))["indexes"]
    assert finding.what == f"{SPEND_LOGS} has no index on startTime"
    assert finding.cure.endswith(f'CREATE INDEX CONCURRENTLY ON "{SPEND_LOGS}" ("startTime")')
    broken = {SPEND_LOGS: (*WELL.indexes[SPEND_LOGS], Index("j", False, ("status",)))}
    finding = found(replace(WELL, indexes=broken))["indexes"]
    assert finding.what == "the index j is not valid"
    assert finding.cure.endswith('REINDEX INDEX CONCURRENTLY "j"')


def test_without_the_files_of_a_litellm_nothing_is_compared() -> None:
    assert list(found(WELL, installed({}, ()))) == ["migrations"]


def grown(stored: Stored, tending: Tending) -> tuple[Finding, Finding]:
    spend, deadlocks = growth.findings("hx on db1:5432", stored, tending)
    return spend, deadlocks


LARGE = replace(
    WELL, sizes={SPEND_LOGS: Size(2 * GIB, 10), "LiteLLM_SpendLogToolIndex": Size(5, 1)}
)


@pytest.mark.parametrize(
    ("stored", "tending", "words"),
    [
        (WELL, Tending(), ""),
        (LARGE, Tending(), "nothing deletes its rows"),
        (LARGE, Tending("90d"), ""),
        (WELL, Tending(90), "is no duration"),
        (WELL, Tending("ninety days"), "is no duration"),
        (replace(WELL, oldest=50 * DAY), Tending("30d"), "is 50 days old"),
        (replace(WELL, oldest=31 * DAY), Tending("30d"), ""),
        (replace(WELL, oldest=50 * DAY), Tending("30d", "3w"), ""),
        (replace(WELL, oldest=50 * DAY), Tending("2mo"), ""),
    ],
)
def test_spend_logs_that_grow_for_ever_are_told(
    stored: Stored, tending: Tending, words: str
) -> None:
    finding, _ = grown(stored, tending)
    assert (finding.level is Level.WARNING) == bool(words)
    assert words in finding.sentence


def test_a_duration_is_one_as_litellm_reads_it() -> None:
    read = {text: duration(text) for text in ("7d", "2w", "1mo", "12h", "5m", "30s")}
    assert read == {
        "7d": 7 * DAY,
        "2w": 14 * DAY,
        "1mo": 31 * DAY,
        "12h": 43200,
        "5m": 300,
        "30s": 30,
    }
    assert [duration(value) for value in (None, 7, "7", "", "d7", True)] == [None] * 6


def test_deadlocks_are_told_until_spend_is_gathered_in_redis() -> None:
    dead = replace(WELL, deadlocks=3, counted=4 * DAY)
    finding = grown(dead, Tending(redis=True))[1]
    assert finding.level is Level.WARNING
    assert finding.what == "PostgreSQL has ended 3 deadlocks in the database in 4 days"
    assert finding.cure == "answer REDIS_TRANSACTION_BUFFER=true"
    assert grown(dead, Tending())[1].cure.endswith("=true and a REDIS_HOST")
    assert grown(dead, Tending(buffer=True))[1].level is Level.OK
    assert grown(WELL, Tending())[1].level is Level.OK
