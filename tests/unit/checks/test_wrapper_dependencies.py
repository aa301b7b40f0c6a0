"""What verify makes of a wrapper's own look at its database and its Redis."""

from dataclasses import replace
from pathlib import Path

import pytest

from hx_gateway_db.checks.chain import Chain
from hx_gateway_db.checks.wrapper_dependencies import finding
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.gateway.http import Answer, HeldByAnother, NotAnswering
from hx_gateway_db.host.host import read_host
from hx_gateway_db.systemd.environment_files import values
from tests.unit.tree import ANSWERS, ENV, Run, edit

TABLES = Subject("postgres.tables", "").ok("they are there")
RESTART = "run 'systemctl restart hx-gateway-ml'"
LOG = "read 'journalctl -u hx-gateway-ml -n 80 --no-pager'"
APPLY = "run 'hx-gateway-db apply'"


@pytest.fixture
def chain(root: Path, run: Run) -> Chain:
    """A wrapper that runs with what gateway.env says."""
    run("apply", answers=ANSWERS)
    lines = values((root / ENV).read_text())
    return Chain(read_host(root), lines, lines, b"", "sk-master")


def found(chain: Chain, body: object, status: int = 200, tables: Finding = TABLES) -> Finding:
    made = finding(chain, Answer(status, body, ""), tables)
    assert made is not None
    return made


def test_all_that_is_up_is_named(chain: Chain) -> None:
    well = found(chain, {"postgres": True, "redis": True, "qdrant": True})
    assert well.level is Level.OK
    assert well.what == "the wrapper on port 4010 reaches postgres, redis and qdrant"


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, {"detail": "Not Found"}), (404, {"redis": False}), (200, None), (401, {"error": "no"})],
)
def test_a_wrapper_without_such_a_check_is_no_row(chain: Chain, status: int, body: object) -> None:
    assert finding(chain, Answer(status, body, ""), TABLES) is None


def test_an_answer_of_another_shape_is_nothing_wrong(chain: Chain) -> None:
    assert found(chain, {"uptime": 7}).level is Level.SKIPPED
    said = finding(chain, NotAnswering("port 4010 did not answer within 10 s"), TABLES)
    assert said is not None and said.level is Level.SKIPPED


def test_who_is_not_the_wrapper_is_not_believed(chain: Chain) -> None:
    stranger = Subject("x", "").failed("port 4010 is held by a stranger")
    said = finding(chain, HeldByAnother(stranger), TABLES)
    assert said is not None
    assert (said.name, said.level) == ("wrapper.deps", Level.FAILED)


def test_a_database_that_it_does_not_reach_is_a_failure_in_its_words(chain: Chain) -> None:
    body = {"deps": {"postgres": {"ok": False, "error": "geh@im % \x1b[2J timed out"}}}
    said = chain.cleaned(found(chain, body, 503))
    assert (said.level, said.cure) == (Level.FAILED, LOG)
    assert said.what == "the wrapper on port 4010 does not reach postgres"
    assert said.why == "in its words: *** \ufffd[2J timed out"


def test_a_password_of_the_wrapper_s_own_url_is_not_shown(chain: Chain) -> None:
    own = dict(chain.wrapper) | {"PG_URL": "postgresql://u:wort%21@h/d?sslmode=require"}
    chain = replace(chain, wrapper=own)
    said = chain.cleaned(found(chain, {"postgres": "error: refused wort! and wort%21"}))
    assert "wort" not in said.sentence and "***" in said.why


def test_what_litellm_does_not_reach_either_comes_first(chain: Chain) -> None:
    tables = Subject("postgres.tables", "").failed("gone", cure="start it")
    said = found(chain, {"postgres": False}, tables=tables)
    assert said.cure == "do first what postgres.tables says"


def test_a_wrapper_that_runs_with_another_url_is_restarted(chain: Chain) -> None:
    for name, variable in (("postgres", "PG_URL"), ("redis", "REDIS_URL")):
        others = dict(chain.wrapper) | {variable: "old"}
        assert found(replace(chain, wrapper=others), {name: False}).cure == RESTART
        del others[variable]
        assert found(replace(chain, wrapper=others), {name: False}).cure == RESTART


def test_a_host_of_an_earlier_version_gets_the_line_by_an_apply(root: Path, chain: Chain) -> None:
    line = f"PG_URL={chain.wrapper['PG_URL']}\n"
    edit(root / ENV, (line, ""))
    lines = values((root / ENV).read_text())
    old = replace(chain, host=read_host(root), wrapper=lines)
    assert found(old, {"postgres": False}).cure == APPLY
    unit = root / "etc/systemd/system/hx-gateway-ml.service"
    unit.write_text("[Service]\nEnvironment=PG_URL=postgresql://mine\n")
    elsewhere = replace(old, wrapper=lines | {"PG_URL": "postgresql://mine"})
    assert (
        found(elsewhere, {"postgres": False}).cure
        == "correct PG_URL where hx-gateway-ml has it from"
    )


def test_a_redis_that_is_away_is_named(chain: Chain) -> None:
    assert found(chain, {"redis": False}).cure == (
        "start Redis at r1:6379, or check REDIS_HOST and REDIS_PORT"
    )


def test_an_administrators_url_that_leads_elsewhere_is_named(root: Path, chain: Chain) -> None:
    ours = chain.wrapper["PG_URL"]
    edit(root / ENV, (f"PG_URL={ours}", "PG_URL=postgresql://u:p@db9/other"))
    lines = values((root / ENV).read_text())
    said = found(replace(chain, host=read_host(root), wrapper=lines), {"postgres": False})
    assert said.cure.startswith("correct PG_URL in gateway.env, or remove it there and run")


def test_a_redis_that_nobody_has_wired_is_not_missed(root: Path, run: Run) -> None:
    run("apply", answers="PG_HOST=db1\nPG_PASS=p\n")
    lines = values((root / ENV).read_text())
    chain = Chain(read_host(root), lines, lines, b"", None)
    said = found(chain, {"postgres": True, "redis": False})
    assert (said.level, said.what) == (Level.OK, "the wrapper on port 4010 reaches postgres")


def test_a_server_that_is_none_of_ours_is_a_warning(chain: Chain) -> None:
    said = found(chain, {"postgres": True, "redis": True, "qdrant": False})
    assert said.level is Level.WARNING and said.what.endswith("does not reach qdrant")


def test_what_runs_with_is_not_known_is_looked_up_in_the_log(chain: Chain) -> None:
    assert found(replace(chain, wrapper={}), {"postgres": False}).cure == LOG
