"""Every call that dpkg makes of a maintainer script (policy, chapter 6), each caused for real.

In all of them one of our scripts or somebody else's fails, dpkg is left in the state that the
policy says, and the usual commands lead out of it. The host is one story, on files only: how a
gateway serves meanwhile is for test_dpkg_beside_a_gateway.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.installation import DROP_INS, GATEWAY_ENV, existing, preseed
from tests.machine.machine import CONFIG_YAML, Machine
from tests.package.dpkg import Dpkg

pytestmark = pytest.mark.sample_release("trixie")

PASSWORD = "a p@ssword"
WIRED = (GATEWAY_ENV, str(CONFIG_YAML), *DROP_INS)


@pytest.fixture(scope="module")
def shared_dpkg(image: Path, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dpkg]:
    """A machine on which the package is to be installed."""
    with Machine(image) as machine:
        yield Dpkg(machine, deb, tmp_path_factory.mktemp("packages"))


@pytest.fixture
def wired(shared_dpkg: Dpkg) -> Iterator[Dpkg]:
    """The same with version 1 installed and the gateway wired; it has to be so afterwards."""
    if shared_dpkg.state() != "installed 1":
        preseed(shared_dpkg.machine, existing(PASSWORD))
        shared_dpkg.install("1")
    before = wiring(shared_dpkg)
    assert "disable_spend_logs: false" in before[1]
    shared_dpkg.calls()
    yield shared_dpkg
    assert shared_dpkg.unused_failures() == []
    assert shared_dpkg.state() in ("installed 1", "installed 2")
    assert wiring(shared_dpkg) == before


def wiring(shared_dpkg: Dpkg) -> list[str]:
    script = 'for file; do echo "== $(stat -c "%U:%G %a" "$file")"; cat "$file"; done'
    text = shared_dpkg.machine.run(["sh", "-c", script, "sh", *WIRED], check=False).stdout
    return text.split("== ")[1:]


# First, while it is not installed.


def test_an_installation_that_fails_before_the_files_are_there(shared_dpkg: Dpkg) -> None:
    shared_dpkg.fail("1 preinst install")
    shared_dpkg.install("1", check=False)
    assert shared_dpkg.calls() == ["1 preinst install", "1 postrm abort-install"]
    assert shared_dpkg.state() == "not-installed"


def test_the_same_when_cleaning_up_fails_too(shared_dpkg: Dpkg) -> None:
    shared_dpkg.fail("1 preinst install", "1 postrm abort-install")
    shared_dpkg.install("1", check=False)
    assert shared_dpkg.calls() == ["1 preinst install", "1 postrm abort-install"]
    assert shared_dpkg.state() == "half-installed 1"
    shared_dpkg.install("1")
    assert shared_dpkg.state() == "installed 1"


def test_a_first_configuration_that_fails(shared_dpkg: Dpkg) -> None:
    shared_dpkg.run("--purge", "hx-gateway-db")
    preseed(shared_dpkg.machine, existing(PASSWORD))
    shared_dpkg.calls()
    shared_dpkg.fail("1 config configure", "1 postinst configure")
    shared_dpkg.install("1", check=False)
    assert shared_dpkg.calls() == ["1 preinst install", "1 postinst configure"]
    assert shared_dpkg.state() == "half-configured 1"
    shared_dpkg.run("--configure", "--pending", check=False)
    assert shared_dpkg.calls() == ["1 postinst configure", "1 config configure"]
    assert shared_dpkg.state() == "half-configured 1"
    shared_dpkg.run("--configure", "--pending")
    assert shared_dpkg.calls() == [
        "1 postinst configure",
        "1 config configure",
        "1 postinst triggered hx-gateway-db-forget-passwords",
        "1 config configure hx-gateway-db-forget-passwords",
    ]
    assert shared_dpkg.state() == "installed 1"
    assert len(wiring(shared_dpkg)) == len(WIRED)


# Upgrades, from 1 to 2

PREPARED = ["1 prerm upgrade 2", "2 preinst upgrade 1 2"]
UNPACKED = [*PREPARED, "1 postrm upgrade 2"]


@pytest.mark.parametrize(
    ("failing", "calls", "state"),
    [
        ([], [*UNPACKED, "2 postinst configure 1"], "installed 2"),
        (
            ["1 prerm upgrade"],
            [PREPARED[0], "2 prerm failed-upgrade 1 2", *UNPACKED[1:], "2 postinst configure 1"],
            "installed 2",
        ),
        (
            ["1 prerm upgrade", "2 prerm failed-upgrade"],
            [PREPARED[0], "2 prerm failed-upgrade 1 2", "1 postinst abort-upgrade 2"],
            "installed 1",
        ),
        (
            ["2 preinst upgrade"],
            [*PREPARED, "2 postrm abort-upgrade 1 2", "1 postinst abort-upgrade 2"],
            "installed 1",
        ),
        (
            ["1 postrm upgrade"],
            [*UNPACKED, "2 postrm failed-upgrade 1 2", "2 postinst configure 1"],
            "installed 2",
        ),
        (
            ["1 postrm upgrade", "2 postrm failed-upgrade"],
            [
                *UNPACKED,
                "2 postrm failed-upgrade 1 2",
                "1 preinst abort-upgrade 2",
                "2 postrm abort-upgrade 1 2",
                "1 postinst abort-upgrade 2",
            ],
            "installed 1",
        ),
        (
            ["2 preinst upgrade", "2 postrm abort-upgrade"],
            [*PREPARED, "2 postrm abort-upgrade 1 2"],
            "half-installed 1",
        ),
        (
            ["2 preinst upgrade", "1 postinst abort-upgrade"],
            [*PREPARED, "2 postrm abort-upgrade 1 2", "1 postinst abort-upgrade 2"],
            "unpacked 1",
        ),
        (["2 postinst configure"], [*UNPACKED, "2 postinst configure 1"], "half-configured 2"),
    ],
)
def test_an_upgrade_in_which_scripts_fail(
    wired: Dpkg, failing: list[str], calls: list[str], state: str
) -> None:
    if failing:
        wired.fail(*failing)
    wired.install("2", check=state == "installed 2")
    made = [call for call in wired.calls() if " config " not in call]
    assert made == calls
    assert wired.state() == state
    if state.startswith("half-installed"):
        wired.install("2")
    elif not state.startswith("installed"):
        wired.run("--configure", "--pending")
    assert wired.state() in ("installed 1", "installed 2")


# Removal and purge


def test_a_removal_that_fails_before_anything_is_taken_away(wired: Dpkg) -> None:
    wired.fail("1 prerm remove")
    wired.run("--remove", "hx-gateway-db", check=False)
    assert wired.calls() == ["1 prerm remove", "1 postinst abort-remove"]
    assert wired.state() == "installed 1"


def test_the_same_when_putting_back_fails_too(wired: Dpkg) -> None:
    wired.fail("1 prerm remove", "1 postinst abort-remove")
    wired.run("--remove", "hx-gateway-db", check=False)
    assert wired.state() == "half-configured 1"
    wired.install("1")


def test_a_removal_that_fails_at_its_end(wired: Dpkg) -> None:
    wired.fail("1 postrm remove")
    wired.run("--remove", "hx-gateway-db", check=False)
    assert wired.calls() == ["1 prerm remove", "1 postrm remove"]
    assert wired.state() == "half-installed 1"
    wired.run("--remove", "hx-gateway-db")
    assert wired.state() == "config-files 1"
    assert "disable_spend_logs: true" in wired.machine.read(CONFIG_YAML)

    wired.fail("1 preinst install")
    wired.calls()
    wired.install("1", check=False)
    assert wired.calls() == ["1 preinst install 1 1", "1 postrm abort-install 1 1"]
    assert wired.state() == "config-files 1"
    wired.install("1")


def test_a_purge_that_fails(wired: Dpkg) -> None:
    wired.fail("1 postrm purge")
    wired.run("--purge", "hx-gateway-db", check=False)
    assert wired.calls() == ["1 prerm remove", "1 postrm remove", "1 postrm purge"]
    assert wired.state() == "config-files 1"
    assert wired.machine.exists(GATEWAY_ENV)
    wired.run("--purge", "hx-gateway-db")
    assert wired.state() == "not-installed"
    assert not any(wired.machine.exists(path) for path in (GATEWAY_ENV, *DROP_INS))
    preseed(wired.machine, existing(PASSWORD))
    wired.install("1")


# Other packages

REFUSE = {"preinst": "exit 1"}
RIVAL = {"Conflicts": "hx-gateway-db", "Replaces": "hx-gateway-db", "Provides": "hx-gateway-db"}


def test_a_rival_that_takes_our_place_but_fails(wired: Dpkg) -> None:
    rival = wired.make("hx-failing-rival", RIVAL, scripts=REFUSE)
    wired.run("--install", rival, check=False)
    assert wired.calls() == [
        "1 prerm remove in-favour hx-failing-rival 1",
        "1 postinst abort-remove in-favour hx-failing-rival 1",
    ]
    assert wired.state() == "installed 1"


def test_a_rival_whose_way_we_do_not_clear(wired: Dpkg) -> None:
    rival = wired.make("hx-stopped-rival", RIVAL)
    wired.fail("1 prerm remove")
    wired.run("--install", rival, check=False)
    assert wired.calls() == [
        "1 prerm remove in-favour hx-stopped-rival 1",
        "1 postinst abort-remove in-favour hx-stopped-rival 1",
    ]
    assert wired.state("hx-stopped-rival") == "not-installed"


def test_a_rival_that_takes_our_place(wired: Dpkg) -> None:
    wired.run("--install", wired.make("hx-rival", RIVAL))
    assert wired.calls() == [
        "1 prerm remove in-favour hx-rival 1",
        "1 postrm remove",
    ]
    assert wired.state() == "config-files 1"
    assert "disable_spend_logs: true" in wired.machine.read(CONFIG_YAML)
    wired.run("--purge", "hx-rival")
    wired.install("1")


def test_a_package_that_breaks_us_but_fails(wired: Dpkg) -> None:
    breaker = wired.make("hx-failing-breaker", {"Breaks": "hx-gateway-db (<< 2)"}, scripts=REFUSE)
    wired.run("--auto-deconfigure", "--install", breaker, check=False)
    assert wired.calls() == [
        "1 prerm deconfigure in-favour hx-failing-breaker 1",
        "1 postinst abort-deconfigure in-favour hx-failing-breaker 1",
    ]
    assert wired.state() == "installed 1"


def test_a_package_that_breaks_us_until_we_are_upgraded(wired: Dpkg) -> None:
    breaker = wired.make("hx-breaker", {"Breaks": "hx-gateway-db (<< 2)"})
    wired.fail("1 prerm deconfigure")
    wired.run("--auto-deconfigure", "--install", breaker, check=False)
    wired.calls()
    wired.run("--auto-deconfigure", "--unpack", breaker)
    assert wired.calls() == ["1 prerm deconfigure in-favour hx-breaker 1"]
    assert wired.state() == "half-configured 1"
    wired.install("2")
    assert "2 postinst configure 1" in wired.calls()
    wired.run("--purge", "hx-breaker")


def test_a_rival_of_a_library_of_ours_that_fails(wired: Dpkg) -> None:
    fields = dict.fromkeys(("Conflicts", "Replaces"), "python3-dotenv")
    rival = wired.make("hx-other-dotenv", fields, scripts=REFUSE)
    wired.run("--auto-deconfigure", "--install", rival, check=False)
    version = wired.state("python3-dotenv").split()[1]
    about = f"in-favour hx-other-dotenv 1 removing python3-dotenv {version}"
    assert wired.calls() == [
        f"1 prerm deconfigure {about}",
        f"1 postinst abort-deconfigure {about}",
    ]


def test_a_package_that_takes_over_all_our_files(wired: Dpkg) -> None:
    listed = wired.machine.run(["dpkg-query", "--listfiles", "hx-gateway-db"]).stdout.split("\n")
    is_file = 'for path; do if [ ! -d "$path" ]; then echo "$path"; fi; done'
    files = wired.machine.run(["sh", "-c", is_file, "sh", *filter(None, listed)]).stdout.split()
    heir = wired.make("hx-heir", {"Replaces": "hx-gateway-db"}, files=files)
    before = wiring(wired)
    wired.run("--install", heir)
    assert wired.calls() == ["1 postrm disappear hx-heir 1"]
    assert wired.state() == "not-installed"
    # The heir's now: what it is wired to, and what is needed to undo that.
    assert wiring(wired) == before
    assert wired.machine.exists("/var/lib/hx-gateway-db/state")
    wired.run("--purge", "hx-heir")
    wired.install("1")


# Triggers and dpkg-reconfigure


def test_a_trigger_that_fails(wired: Dpkg) -> None:
    wired.fail("1 postinst triggered")
    wired.machine.run(["dpkg-trigger", "--by-package=test", "hx-gateway-db-forget-passwords"])
    wired.run("--triggers-only", "hx-gateway-db", check=False)
    assert wired.calls() == ["1 postinst triggered hx-gateway-db-forget-passwords"]
    assert wired.state() == "half-configured 1"
    wired.run("--configure", "--pending")
    assert "1 postinst configure 1" in wired.calls()


@pytest.mark.parametrize(
    ("failing", "calls"),
    [
        ("1 prerm upgrade", ["1 prerm upgrade 1"]),
        ("1 preinst upgrade", ["1 prerm upgrade 1", "1 preinst upgrade 1"]),
        (
            "1 config reconfigure",
            ["1 prerm upgrade 1", "1 preinst upgrade 1", "1 config reconfigure 1"],
        ),
        (
            "1 postinst configure",
            [
                "1 prerm upgrade 1",
                "1 preinst upgrade 1",
                "1 config reconfigure 1",
                "1 postinst configure 1",
            ],
        ),
    ],
)
def test_a_reconfiguration_that_fails(wired: Dpkg, failing: str, calls: list[str]) -> None:
    reconfigure = ["dpkg-reconfigure", "--frontend=noninteractive", "hx-gateway-db"]
    wired.fail(failing)
    assert wired.machine.run(reconfigure, check=False).returncode != 0
    assert wired.calls() == calls
    assert wired.state() == "installed 1"
    wired.machine.run(reconfigure)
