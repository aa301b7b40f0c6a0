"""Which file of a unit wins, as systemd reads them in order."""

import pytest

from hx_gateway_db.systemd.unit_environment import Defeat, defeats, environment_files, in_order

UNIT = "/etc/systemd/system/u.service"
OURS = "/etc/systemd/system/u.service.d/30-db.conf"
LATE = "/etc/systemd/system/u.service.d/90-late.conf"
ENV = "/base/gateway.env"
WANTED = {"DATABASE_URL": "ours", "REDIS_URL": "ours too"}
CONTENTS = {"/etc/site.env": {"DATABASE_URL": "theirs", "X": "1", "REDIS_URL": "ours too"}}


def found(late: str, early: str = "") -> list[Defeat]:
    texts = [
        (UNIT, f"[Unit]\nEnvironmentFile=\n[Service]\nExecStart=/x\n{early}"),
        (OURS, f"[Service]\nEnvironmentFile={ENV}\n"),
        (LATE, f"[Service]\n{late}\n[Install]\nEnvironmentFile=\n"),
    ]
    return defeats(texts, ENV, WANTED, CONTENTS)


@pytest.mark.parametrize(
    ("late", "defeat"),
    [
        ("EnvironmentFile=/etc/site.env", Defeat(LATE, "/etc/site.env", ("DATABASE_URL",))),
        ("EnvironmentFile = -/etc/site.env", Defeat(LATE, "/etc/site.env", ("DATABASE_URL",))),
        ("EnvironmentFile=\\\n /etc/site.env", Defeat(LATE, "/etc/site.env", ("DATABASE_URL",))),
        ("EnvironmentFile=", Defeat(LATE)),
        ("UnsetEnvironment=REDIS_URL", Defeat(LATE, "", ("REDIS_URL",))),
        ('UnsetEnvironment="DATABASE_URL=ours" X', Defeat(LATE, "", ("DATABASE_URL",))),
    ],
)
def test_what_comes_later_defeats_ours(late: str, defeat: Defeat) -> None:
    assert found(late) == [defeat]


@pytest.mark.parametrize(
    ("late", "early"),
    [
        ("", "EnvironmentFile=/etc/site.env"),
        ("", "EnvironmentFile="),
        ("Environment=DATABASE_URL=theirs", ""),
        ("# EnvironmentFile=", ""),
        ("UnsetEnvironment=DATABASE_URL=theirs", ""),
        ("UnsetEnvironment=DATABASE_URL\nUnsetEnvironment=", ""),
        (f"EnvironmentFile=\nEnvironmentFile={ENV}", ""),
        (f"EnvironmentFile=/etc/site.env\nEnvironmentFile={ENV}", ""),
        ("EnvironmentFile=/etc/not.there", ""),
    ],
)
def test_what_does_not_defeat_ours_is_left_in_peace(late: str, early: str) -> None:
    assert found(late, early) == []


def test_drop_ins_are_read_by_name_wherever_they_are() -> None:
    others = [
        "/run/systemd/system/u.service.d/40-x.conf",
        "/etc/systemd/system/service.d/10-y.conf",
    ]
    masked = "/run/systemd/system/u.service.d/30-db.conf"
    assert in_order(UNIT, [*others, masked], OURS) == [UNIT, others[1], OURS, others[0]]


def test_the_files_that_are_named_are_known() -> None:
    text = "[Service]\nEnvironmentFile=-/a.env\nEnvironmentFile=\nEnvironmentFile=/b.env\n"
    assert environment_files([(UNIT, text)]) == ["/a.env", "/b.env"]
