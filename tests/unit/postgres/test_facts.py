"""What the facts of a database mean for LiteLLM."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hx_gateway_db.findings import Finding, Level
from hx_gateway_db.postgres.facts import Facts, Pool, Slots, findings
from hx_gateway_db.settings.litellm import LiteLLM, Version
from hx_gateway_db.settings.values import Postgres

NOW = datetime(2026, 11, 24, tzinfo=UTC)
POSTGRES = Postgres("db1", "hx", "hx", "secret")
LITELLMS = Pool()
# A server with room for a hundred, where this check has the only connection.
FREE = Slots(97, -1, -1, server=1, role=1, database=1, mine=0, ours=1, gateways=0)


def one(name: str, facts: Facts, postgres: Postgres = POSTGRES, pool: Pool = LITELLMS) -> Finding:
    found = {finding.name: finding for finding in findings(postgres, facts, NOW, pool)}
    return found[f"postgres.{name}"]


def test_a_good_database_has_nothing_to_mend() -> None:
    found = list(findings(POSTGRES, Facts(170002, pooled=False, slots=FREE), NOW, LITELLMS))
    assert {finding.level for finding in found} == {Level.OK}


@pytest.mark.parametrize(
    ("version", "level", "what"),
    [
        (90500, Level.FAILED, "is version 9.5.0"),
        (90624, Level.WARNING, "is version 9.6.24"),
        (140019, Level.WARNING, "is version 14.19"),
        (150014, Level.OK, "is version 15.14"),
        (190001, Level.OK, "is version 19.1"),
    ],
)
def test_a_server_is_as_old_as_its_support(version: int, level: Level, what: str) -> None:
    finding = one("version", Facts(version, pooled=False))
    assert finding.level is level and finding.what.endswith(what)


def test_of_a_server_that_is_too_old_no_more_is_said() -> None:
    assert len(list(findings(POSTGRES, Facts(90500, pooled=False), NOW, LITELLMS))) == 1


@pytest.mark.parametrize(
    ("set_for", "statement"),
    [
        (3, 'ALTER ROLE "hx" IN DATABASE "hx" RESET role'),
        (2, 'ALTER ROLE "hx" RESET role'),
        (1, 'ALTER DATABASE "hx" RESET role'),
        (0, "ALTER ROLE ALL RESET role"),
    ],
)
@pytest.mark.parametrize(
    ("missing", "name"), [({"foreign_owner": "hx"}, "tables"), ({"may_create": False}, "schema")]
)
def test_a_login_that_acts_as_another_role_is_told_how_it_acts_as_itself(
    set_for: int, statement: str, missing: dict[str, Any], name: str
) -> None:
    facts = Facts(170002, pooled=False, acts_as="worker", set_for=set_for, **missing)
    finding = one(name, facts)
    assert finding.level is Level.FAILED
    assert "hx acts as the role worker (SET role)" in finding.what
    assert finding.cure.startswith(f"as an administrator run {statement}, or give ")


@pytest.mark.parametrize(
    ("slots", "level", "what"),
    [
        (FREE, Level.OK, "there is room for 97 connections of LiteLLM"),
        # What this gateway's own pool has is given back; what others have is not.
        (replace(FREE, server=97, ours=10, mine=9), Level.OK, "there is room for 10"),
        (replace(FREE, server=97, ours=9, mine=8), Level.WARNING, "the server has room for 9"),
        (replace(FREE, server=97, ours=1), Level.FAILED, "the server has no connection left"),
        (replace(FREE, gateways=9, ours=20, server=20), Level.WARNING, "has room for 97"),
        (replace(FREE, role_limit=1), Level.FAILED, "the role hx has no connection left"),
        (replace(FREE, database_limit=5), Level.WARNING, "the database hx has room for 5"),
    ],
)
def test_the_room_for_all_gateways_pools_counts(slots: Slots, level: Level, what: str) -> None:
    finding = one("connections", Facts(170000, pooled=False, slots=slots))
    assert finding.level is level
    assert what in finding.what


def test_the_pool_is_what_litellm_makes_of_it_and_not_what_the_url_says() -> None:
    slots = replace(FREE, server_limit=20, gateways=1)
    facts = Facts(170000, pooled=False, slots=slots)
    assert one("connections", facts).level is Level.OK
    in_the_url = replace(POSTGRES, parameters=(("connection_limit", "99"),))
    assert one("connections", facts, in_the_url).level is Level.OK
    larger = one("connections", facts, pool=Pool(11))
    assert larger.cure.endswith("set general_settings.database_connection_pool_limit to 10")
    several = one("connections", facts, pool=Pool(10, workers=4))
    assert "2 gateways with 4 workers and a pool of 10 each may open 80" in several.why
    assert several.cure.endswith("database_connection_pool_limit to 2")
    crowded = one("connections", facts, pool=Pool(10, workers=16))
    assert crowded.cure.endswith("database_connection_pool_limit to 1 and --num_workers to 10")


def test_a_mode_in_libpq_s_words_is_no_check_of_a_certificate() -> None:
    by_hand = replace(POSTGRES, parameters=(("sslmode", "verify-full"),))
    finding = one("sslmode", Facts(170000, pooled=False), by_hand)
    assert finding.level is Level.WARNING
    assert finding.what == "DATABASE_URL says sslmode=verify-full"
    assert finding.cure == "answer PG_SSLMODE=verify-full"
    names = {each.name for each in findings(POSTGRES, Facts(170000, False), NOW, LITELLMS)}
    assert "postgres.sslmode" not in names


@pytest.mark.parametrize(
    ("version", "mode", "why"),
    [
        ((), "verify-full", "which LiteLLM before 1.101.0 takes for prefer: no certificate is"),
        ((1, 74, 15), "verify-ca", "which LiteLLM 1.74.15 takes for prefer: no certificate is"),
        ((1, 101, 0), "verify-ca", "LiteLLM 1.101.0 checks a certificate; this check has not"),
        ((1, 101, 0), "allow", "which LiteLLM 1.101.0 takes for prefer: no certificate is"),
    ],
)
def test_what_a_mode_in_libpq_s_words_means_is_told_for_the_litellm_there_is(
    version: Version, mode: str, why: str
) -> None:
    by_hand = replace(POSTGRES, parameters=(("sslmode", mode),))
    facts = Facts(170000, pooled=False)
    found = {one.name: one for one in findings(by_hand, facts, NOW, LITELLMS, LiteLLM(version))}
    assert why in found["postgres.sslmode"].why


def test_behind_a_pooler_its_connections_are_not_counted() -> None:
    names = {
        finding.name for finding in findings(POSTGRES, Facts(170000, pooled=True), NOW, LITELLMS)
    }
    assert "postgres.connections" not in names


@pytest.mark.parametrize(
    ("clock", "level"), [(59.0, Level.OK), (-61.0, Level.WARNING), (3600.0, Level.WARNING)]
)
def test_a_clock_may_be_a_minute_off(clock: float, level: Level) -> None:
    finding = one("clock", Facts(170000, pooled=False, clock=clock))
    assert finding.level is level
    if clock < 0:
        assert "is 61 s behind this host's" in finding.what


def test_a_password_that_lasts_two_weeks_more_is_no_warning() -> None:
    lasting = Facts(170000, pooled=False, password_until=NOW.timestamp() + 15 * 86400)
    assert one("password", lasting).level is Level.OK
    ending = replace(lasting, password_until=NOW.timestamp() + 13 * 86400)
    assert one("password", ending).what == "the password of hx expires on 2026-12-07"


def test_a_schema_that_is_not_there_may_be_made_by_who_may() -> None:
    named = replace(POSTGRES, parameters=(("schema", "litellm"),))
    facts = Facts(170000, pooled=False, schema_exists=False)
    assert one("schema", facts, named).level is Level.OK
    assert one("schema", replace(facts, may_create=False), named).level is Level.FAILED


def test_names_are_quoted_in_the_sql_of_a_cure() -> None:
    odd = replace(POSTGRES, user='o"d')
    assert 'TO "o""d"' in one("schema", Facts(170000, False, may_create=False), odd).cure
