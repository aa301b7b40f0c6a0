"""The drop-ins' changes, by their records."""

from pathlib import Path, PurePosixPath

from hx_gateway_db.host.drop_ins import DATABASE
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.settings.answers import parse_answers, to_settings
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.wiring.wanted_drop_ins import redis_drop_ins, wired_drop_ins, with_prisma
from tests.unit.tree import ANSWERS, Run

PRISMA = {"PATH": "/venv/bin:/usr/bin", "PYTHONPATH": "/var/lib/hx-gateway-db-prisma/0/client"}


def wanted() -> Settings:
    return to_settings(parse_answers(ANSWERS, "here"), None, lambda: "generated")


def content(change: FileChange) -> str:
    return change.after.content.decode() if change.after else ""


def test_a_prepared_client_is_named_to_litellm_alone(root: Path) -> None:
    host = read_host(root)
    edits = with_prisma(wired_drop_ins(wanted(), host, host), PRISMA)
    first, *others = (content(edit.change) for edit in edits)
    assert edits[0].change.path == DATABASE[LITELLM_UNIT].path
    assert 'Environment="PATH=/venv/bin:/usr/bin"\n' in first
    assert first.startswith("[Service]\n") and "\nEnvironmentFile=" in first
    assert [text.count('Environment="') for text in (first, *others)] == [2, 0, 0, 0]


def test_another_preparation_takes_the_place_of_the_one_before(root: Path) -> None:
    host = read_host(root)
    first = with_prisma(wired_drop_ins(wanted(), host, host), PRISMA)
    assert with_prisma(first, PRISMA) == first
    assert with_prisma(first, {}) == wired_drop_ins(wanted(), host, host)


def test_a_redis_that_is_not_the_gateways_any_more_loses_its_drop_in(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    folder = root / "etc/systemd/system/redis-server.service.d"
    folder.mkdir()
    (folder / "hx-gateway-db.conf").write_text("[Service]\n# whatever is in it\n")
    state = root / "var/lib/hx-gateway-db/state"
    state.write_text(f"{state.read_text()}redis-unit redis-server.service\n")
    now, before = redis_drop_ins(wanted(), read_host(root), "redis@2.service")
    system = PurePosixPath("/etc/systemd/system")
    assert now.path == system / "redis@2.service.d/hx-gateway-db.conf"
    assert "provision --local-redis\n" in content(now)
    assert before.path == system / "redis-server.service.d/hx-gateway-db.conf"
    assert before.before and before.after is None
    (kept,) = redis_drop_ins(wanted(), read_host(root), "redis-server.service")
    assert content(kept) == content(now)
