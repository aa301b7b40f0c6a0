"""A unit as systemd shows it: its files, when it was started, and whose environment is believed."""

import pytest

from hx_gateway_db.systemd.loaded import as_shown

UNIT = "hx-gateway-ml.service"
SHOWN = [
    ("LoadState", "loaded"),
    ("ActiveState", "active"),
    ("FragmentPath", f"/etc/systemd/system/{UNIT}"),
    ("DropInPaths", "/etc/a.conf /etc/b.conf"),
    ("NeedDaemonReload", "no"),
    ("EnvironmentFiles", "/etc/one.env (ignore_errors=no)"),
    ("EnvironmentFiles", "/etc/two (odd).env (ignore_errors=yes)"),
    ("InvocationID", "0a1b"),
    ("ExecMainStartTimestamp", "Sat 2026-11-28 17:00:00.250000 UTC"),
]


def test_its_files_are_all_that_is_read_when_it_is_started() -> None:
    unit = as_shown(UNIT, SHOWN, {})
    assert unit.present and unit.running and not unit.outdated
    assert unit.files == (
        *(f"/etc/systemd/system/{UNIT}", "/etc/a.conf", "/etc/b.conf"),
        *("/etc/one.env", "/etc/two (odd).env"),
    )
    assert as_shown(UNIT, [("NeedDaemonReload", "yes")], {}).outdated


def test_a_process_is_the_units_if_systemd_has_started_it_for_that() -> None:
    environment = {"DATABASE_URL": "x", "INVOCATION_ID": "0a1b"}
    assert as_shown(UNIT, SHOWN, environment).environment == environment
    for other in ({"DATABASE_URL": "x"}, {**environment, "INVOCATION_ID": "ffff"}):
        assert as_shown(UNIT, SHOWN, other).environment == {}
    none = [item for item in SHOWN if item[0] != "InvocationID"]
    assert as_shown(UNIT, none, {"INVOCATION_ID": ""}).environment == {}


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [
        ("Sat 2026-11-28 17:00:00.250000 UTC", 1795885200.25),
        ("", 0.0),
        ("n/a", 0.0),
        ("Sat 2026-11-28 17:00:00.250000 XYZ", 0.0),
    ],
)
def test_when_it_was_started_is_known_to_the_microsecond(shown: str, seconds: float) -> None:
    assert as_shown(UNIT, [("ExecMainStartTimestamp", shown)], {}).started == seconds
