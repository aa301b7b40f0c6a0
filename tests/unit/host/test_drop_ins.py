"""Each drop-in's record fits its template."""

from dataclasses import replace
from pathlib import Path

import pytest

from hx_gateway_db.host import drop_in, render
from hx_gateway_db.host.drop_ins import DROP_INS, WATCH, DropIn, redis_user
from hx_gateway_db.layout import UNITS, Layout
from hx_gateway_db.settings.values import Cache, Postgres, Redis, Settings

LAYOUT = Layout(Path("/"))
SETTINGS = Settings(Postgres("h", "d", "u", "p"), Redis("r"), Cache(7), True)
# Those that an administrator may share with us.
SHARED = [record for record in DROP_INS if record.ours]
EACH = pytest.mark.parametrize("record", SHARED, ids=lambda record: str(record.path))


def test_no_two_are_one_file_and_those_of_the_gateways_units_may_be_shared() -> None:
    assert len({record.path for record in DROP_INS}) == len(DROP_INS)
    assert {record.unit for record in SHARED} == set(UNITS)


def test_the_timer_is_wanted_at_boot_where_somebody_watches_and_nowhere_else() -> None:
    text = render.drop_in(WATCH, SETTINGS, LAYOUT)
    assert str(WATCH.path) == "/etc/systemd/system/timers.target.d/hx-gateway-db.conf"
    assert text.endswith("[Unit]\nWants=hx-gateway-db.timer\n")
    assert not WATCH.wanted(SETTINGS) and not WATCH.wanted(None)
    assert WATCH.wanted(replace(SETTINGS, watch=True))


@EACH
def test_what_the_template_sets_is_ours_and_can_be_taken_out_whatever_it_was_given(
    record: DropIn,
) -> None:
    text, usual = (render.drop_in(record, given, LAYOUT) for given in (SETTINGS, None))
    settings = [line for line in text.splitlines() if line[0] not in "[#"]
    assert record.ours and settings
    assert list(drop_in.owned(text, record.ours).values()) == settings
    assert drop_in.strip(text, record.ours, usual) is None
    edited = f"{text}Nice=5\n"
    left = drop_in.strip(edited, record.ours, usual)
    assert left and left.splitlines()[-1] == "Nice=5"
    assert not drop_in.owned(left, record.ours)


@EACH
def test_a_record_names_what_its_template_sets(record: DropIn) -> None:
    assert record.ours
    text = render.drop_in(record, SETTINGS, LAYOUT)
    assert set(record.sets(LAYOUT)) == set(drop_in.owned(text, record.ours))


@EACH
def test_systemd_reads_what_the_template_sets(record: DropIn) -> None:
    assert record.ours
    for name, line in drop_in.owned(render.drop_in(record, SETTINGS, LAYOUT), record.ours).items():
        assert record.ours.effect(line) == name


def test_a_redis_makes_the_user_again_with_the_installed_command() -> None:
    record = redis_user("redis-server.service")
    assert str(record.path) == "/etc/systemd/system/redis-server.service.d/hx-gateway-db.conf"
    assert render.drop_in(record, None, LAYOUT).endswith(
        "[Service]\nExecStartPost=-+/usr/sbin/hx-gateway-db provision --local-redis\n"
    )
