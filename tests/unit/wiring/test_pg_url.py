"""PG_URL, the wrapper's way to the same database: ours, an administrator's, and when it comes."""

import re
from pathlib import Path

import pytest

from hx_gateway_db.systemd.environment_files import values
from tests.unit.tree import ANSWERS, ENV, UNIT_FOLDERS, Run, edit, snapshot

OURS = "postgresql://hx_gateway:geh%40im%20%25@db1:5432/hx_gateway"
STATE = "var/lib/hx-gateway-db/state"
UNIT = "etc/systemd/system/hx-gateway-ml.service"


def pg_url(root: Path) -> str | None:
    return values((root / ENV).read_text()).get("PG_URL")


def applied(root: Path, run: Run, answers: str = "") -> tuple[int, str, str]:
    """An apply, after which the units are restarted, as on a host that lives."""
    done = run("apply", answers=answers)
    state = (root / STATE).read_text()
    (root / STATE).write_text(re.sub(r"(?m)^restart .*\n", "", state))
    return done


def ours(root: Path) -> bool:
    """Whether a purge would take it away."""
    return "\nline PG_URL " in (root / STATE).read_text()


def without_it(root: Path) -> None:
    """The host as 0.1.0 has left it."""
    text = re.sub(r"\n\n#[^\n]*\nPG_URL=[^\n]*", "", (root / ENV).read_text())
    (root / ENV).write_text(text)
    state = (root / STATE).read_text()
    (root / STATE).write_text(re.sub(r"(?m)^line PG_URL .*\n", "", state))
    assert pg_url(root) is None and not ours(root)


def test_it_names_the_same_database_and_follows_it(root: Path, run: Run) -> None:
    applied(root, run, ANSWERS)
    assert pg_url(root) == OURS and ours(root)
    applied(root, run, "PG_DB=other\nPG_SSLMODE=require\n")
    moved = OURS.removesuffix("hx_gateway") + "other?sslmode=require"
    assert pg_url(root) == moved
    edit(root / ENV, ("DATABASE_URL=postgresql://hx_gateway:", "DATABASE_URL=postgresql://me:"))
    applied(root, run)
    assert pg_url(root) == moved.replace("//hx_gateway", "//me")
    assert ours(root)


def test_no_upgrade_writes_it_and_the_next_change_does(root: Path, run: Run) -> None:
    applied(root, run, ANSWERS)
    new = snapshot(root)
    without_it(root)
    before = snapshot(root)
    # As postinst does, with an answer to every question.
    _, out, _ = applied(root, run, ANSWERS)
    assert out.startswith("Nothing to change") and snapshot(root) == before
    applied(root, run, "DISABLE_ADMIN_UI=false\n")
    assert pg_url(root) == OURS and ours(root)
    applied(root, run, "DISABLE_ADMIN_UI=true\n")
    assert values(new[ENV].decode()) == values((root / ENV).read_text())


def test_an_administrator_who_asks_for_all_that_there_is_gets_it(root: Path, run: Run) -> None:
    applied(root, run, ANSWERS)
    without_it(root)
    assert "+PG_URL=postgresql://hx_gateway:***@db1:5432/hx_gateway" in run("plan")[1]
    applied(root, run)
    assert pg_url(root) == OURS and ours(root)


def test_one_that_goes_on_from_a_database_url_of_before_waits_too(root: Path, run: Run) -> None:
    applied(root, run, ANSWERS)
    edit(root / ENV, ("DATABASE_URL=postgresql://hx_gateway:", "DATABASE_URL=postgresql://me:"))
    before = snapshot(root)
    applied(root, run, "PG_USER=me\n")
    assert snapshot(root) == before


def test_one_that_was_taken_away_comes_back_with_the_next_change_or_at_once(
    root: Path, run: Run
) -> None:
    applied(root, run, ANSWERS)
    before = snapshot(root)
    edit(root / ENV, (f"PG_URL={OURS}\n", ""))
    applied(root, run)
    assert values(before[ENV].decode()) == values((root / ENV).read_text())


MINE = "postgresql://reader:mine@db1:5432/hx_gateway?application_name=wrapper"


@pytest.mark.parametrize("line", [f"PG_URL={MINE}", f"PG_URL='{MINE}'", f"export PG_URL={MINE}"])
def test_an_administrators_stays_whatever_happens(root: Path, run: Run, line: str) -> None:
    (root / ENV).write_text(f"{line}\n")
    (root / ENV).chmod(0o640)
    status, _, err = applied(root, run, ANSWERS)
    assert status == 0 and "PG_URL" not in err
    applied(root, run, "PG_HOST=db2\n")
    applied(root, run)
    run("rollback")
    assert (root / ENV).read_text().startswith(f"{line}\n")
    assert not ours(root)


def test_one_that_an_administrator_has_edited_is_theirs_from_then_on(root: Path, run: Run) -> None:
    applied(root, run, ANSWERS)
    edit(root / ENV, (f"PG_URL={OURS}", f"PG_URL={MINE}"))
    applied(root, run, "PG_PASS=neu\n")
    assert pg_url(root) == MINE and not ours(root)
    run("rollback")
    applied(root, run, ANSWERS)
    assert pg_url(root) == MINE and not ours(root)


def test_one_that_was_edited_together_with_database_url_stays_ours(root: Path, run: Run) -> None:
    applied(root, run, ANSWERS)
    text = (root / ENV).read_text()
    (root / ENV).write_text(text.replace("@db1:", "@db2:"))
    run("rollback")
    assert ours(root)
    applied(root, run, "PG_PASS=neu\n")
    assert pg_url(root) == "postgresql://hx_gateway:neu@db2:5432/hx_gateway" and ours(root)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://x:geheim@db7/y", "but names y on db7:5432, another database than"),
        (OURS.replace("geh", "alt"), "but has another password for hx_gateway than DATABASE_URL"),
    ],
)
def test_one_that_leads_elsewhere_is_told(root: Path, run: Run, url: str, says: str) -> None:
    (root / ENV).write_text(f"PG_URL={url}\n")
    (root / ENV).chmod(0o640)
    _, _, err = applied(root, run, ANSWERS)
    assert f"/{ENV}: PG_URL is an administrator's and stays, {says}" in err
    assert says in run("plan")[1].replace("\n", " ")
    assert "geheim" not in err and "alt" not in err
    # The cure.
    edit(root / ENV, (f"PG_URL={url}\n", ""))
    applied(root, run)
    assert pg_url(root) == OURS and ours(root)


@pytest.mark.parametrize(
    "lines", ["Environment=PG_URL=postgresql://mine/d", "EnvironmentFile=/etc/hx-gateway/ml.env"]
)
def test_one_that_the_wrapper_has_from_elsewhere_is_not_overridden(
    root: Path, run: Run, lines: str
) -> None:
    for name, text in ((UNIT, f"[Service]\n{lines}\n"), ("etc/hx-gateway/ml.env", "PG_URL=x\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    applied(root, run, ANSWERS)
    assert pg_url(root) is None and not ours(root)
    (root / UNIT).write_text("[Service]\n")
    applied(root, run)
    assert pg_url(root) == OURS
    (root / UNIT).write_text(f"[Service]\n{lines}\n")
    applied(root, run)
    assert pg_url(root) is None


def test_a_rollback_leaves_it_with_the_file_and_the_next_wiring_knows_it(
    root: Path, run: Run
) -> None:
    applied(root, run, ANSWERS)
    run("rollback")
    assert pg_url(root) == OURS and ours(root)
    applied(root, run, "PG_PASS=neu\n")
    assert pg_url(root) == "postgresql://hx_gateway:neu@db1:5432/hx_gateway" and ours(root)


def test_a_gateway_that_moves_takes_an_administrators_along(root: Path, run: Run) -> None:
    applied(root, run, ANSWERS)
    edit(root / ENV, (f"PG_URL={OURS}", f"PG_URL={MINE}"))
    (root / "srv/gw/config/api-gateway").mkdir(parents=True)
    applied(root, run, "BASE=/srv/gw\n")
    assert values((root / "srv/gw/config/api-gateway/gateway.env").read_text())["PG_URL"] == MINE
    assert not (root / ENV).exists() and not ours(root)


def test_wiring_by_hand_gets_it_when_both_units_are_restarted(root: Path, run: Run) -> None:
    (root / ENV).write_text("DATABASE_URL=postgresql://u:p@h:5432/d\nDISABLE_ADMIN_UI=true\n")
    (root / ENV).chmod(0o640)
    assert not (root / UNIT_FOLDERS[0]).exists()
    applied(root, run, "DATABASE=existing\n")
    assert pg_url(root) == "postgresql://u:p@h:5432/d" and ours(root)
