"""What `rotate` says and how it exits, and what `status` tells of the logins in turn."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hx_gateway_db.cli.parser import main
from hx_gateway_db.host.host import read_host
from hx_gateway_db.host.turn import Turn
from hx_gateway_db.redis.rule import password_hash
from hx_gateway_db.wiring import rotate
from hx_gateway_db.wiring.made import Memory
from hx_gateway_db.wiring.rotate import Rotated
from tests.unit.tree import ANSWERS, Run

SINCE = 1795899093  # 2026-11-28 20:51:33 UTC
WITH_USER = ANSWERS + "REDIS_USER=hx\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the rotation is asked for; it ends as a test wants it: the last of these."""
    asked: list[object] = [Rotated("All is done.")]

    def rotated(
        root: Path,
        servers: Sequence[str],
        given: Mapping[str, str],
        progress: object,
        *,
        leave_open: bool,
    ) -> object:
        end = asked.pop()
        asked.extend([tuple(servers), dict(given), *(["left open"] if leave_open else [])])
        return end

    monkeypatch.setattr(rotate, "rotate", rotated)
    monkeypatch.setenv("PG_PASS", "of today")
    return asked


def test_a_rotation_is_of_all_servers_or_of_one(
    asked: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rotate"]) == 0
    # The specification's variables hold the passwords of today.
    assert asked == [("postgres", "redis"), {}]
    assert capsys.readouterr().out == "All is done.\n"
    asked[:] = [Rotated("All is done.")]
    main(["rotate", "redis", "--leave-open"])
    assert asked == [("redis",), {}, "left open"]


def test_one_that_goes_on_later_exits_7_with_what_is_to_be_run_on_its_own(
    asked: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    asked[:] = [Rotated("Somebody uses it.", done=False, script="BEGIN;\nCOMMIT;\n")]
    assert main(["rotate", "postgres"]) == 7
    said = capsys.readouterr()
    assert (said.out, said.err) == ("BEGIN;\nCOMMIT;\n", "Somebody uses it.\n")


def test_new_passwords_and_administrators_come_as_answers(
    asked: list[object], tmp_path: Path
) -> None:
    file = tmp_path / "answers"
    file.write_text("PG_PASS=new\nPG_ADMIN_USER=dba\n")
    main(["rotate", "--answers", str(file)])
    assert asked[1] == {"PG_PASS": "new", "PG_ADMIN_USER": "dba"}


@pytest.mark.parametrize("wrong", [["rotate", "mysql"], ["rotate", "redis", "postgres"]])
def test_another_server_is_a_wrong_usage(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2


def test_a_tree_of_files_has_nothing_to_rotate(run: Run) -> None:
    status, _, said = run("rotate")
    assert (status, "can't be used with --root" in said) == (2, True)


@pytest.mark.parametrize(
    ("turn", "shown"),
    [
        (Turn(), "hx_gateway, not rotated yet"),
        (Turn("hx_gateway", "", SINCE), "hx_gateway, in use since 2026-11-28 20:51 UTC"),
        (
            Turn("hx_gateway", "hx_gateway_b", SINCE),
            "hx_gateway, in use since 2026-11-28 20:51 UTC; hx_gateway_b is still open:"
            " 'hx-gateway-db rotate postgres' closes it",
        ),
        (
            Turn("hx_gateway_b", "hx_gateway", SINCE),
            "hx_gateway, a change to hx_gateway_b has begun: 'hx-gateway-db rotate postgres'"
            " goes on",
        ),
        (Turn("others", "theirs", SINCE), "hx_gateway, not rotated yet"),
    ],
)
def test_status_tells_of_the_database_s_login(root: Path, run: Run, turn: Turn, shown: str) -> None:
    run("apply", answers=ANSWERS)
    host = read_host(root)
    assert host.state
    Memory(host).remember(replace(host.state, postgres=turn))
    assert json.loads(run("status", "--json")[1])["database login"] == shown


def test_status_tells_of_redis_s_password_without_it_or_its_hash(root: Path, run: Run) -> None:
    run("apply", answers=WITH_USER)
    host = read_host(root)
    assert host.state
    here, before = password_hash("rot"), password_hash("before")
    Memory(host).remember(replace(host.state, redis=Turn(here, before, SINCE)))
    shown = json.loads(run("status", "--json")[1])["redis password"]
    assert shown == (
        "in use since 2026-11-28 20:51 UTC; the one before is still open: 'hx-gateway-db rotate"
        " redis' closes it"
    )
    run("apply", answers=WITH_USER.replace("REDIS_PASS=rot", "REDIS_PASS=rad"))
    assert json.loads(run("status", "--json")[1])["redis password"] == "not rotated yet"


def test_an_apply_without_a_change_stays_one_after_a_rotation(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    host = read_host(root)
    assert host.state
    Memory(host).remember(replace(host.state, postgres=Turn("hx_gateway", "", SINCE)))
    before = {path: os.stat(path).st_mtime_ns for path in (root / "opt").rglob("*")}
    assert "Nothing to change" in run("apply", answers=ANSWERS)[1]
    assert {path: os.stat(path).st_mtime_ns for path in (root / "opt").rglob("*")} == before
    state = read_host(root).state
    assert state and state.postgres == Turn("hx_gateway", "", SINCE)
