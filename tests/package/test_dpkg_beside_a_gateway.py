"""What a gateway notices when dpkg fails: nothing, or a restart with what it had before.

The gateway is the stand-in of debian/tests. One story on one booted machine.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.installation import main_pids, preseed
from tests.machine.machine import WRAPPER_URL, Machine
from tests.package.dpkg import Dpkg
from tests.package.tools_image import build_tools_image

pytestmark = pytest.mark.sample_release("bookworm")

STAND_IN = Path(__file__).resolve().parents[2] / "debian/tests"
RIVAL = {"Conflicts": "hx-gateway-db", "Replaces": "hx-gateway-db"}


@pytest.fixture(scope="module")
def shared_dpkg(
    release: str, deb: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dpkg]:
    """A booted machine with two services that have a database since version 1 was installed."""
    with Machine(build_tools_image(release)) as machine:
        machine.boot()
        for name in ("stand-in", "install-stand-in"):
            machine.put(STAND_IN / name, f"/root/{name}", mode=0o755)
        machine.run(["/root/install-stand-in"])
        dpkg = Dpkg(machine, deb, tmp_path_factory.mktemp("packages"))
        preseed(machine, {"database": "local"})
        dpkg.install("1")
        yield dpkg


def has_database(machine: Machine) -> bool:
    """Whether LiteLLM looks a key up, which it says to one that it does not know."""
    answer = machine.http("GET", f"{WRAPPER_URL}/v1/models", key="sk-nobodys-key")
    return answer.status == 401


@pytest.mark.parametrize(
    "failing",
    [
        ["2 preinst upgrade"],
        ["1 prerm upgrade", "2 prerm failed-upgrade"],
        ["1 postrm upgrade", "2 postrm failed-upgrade"],
        ["2 postinst configure"],
        [],
    ],
)
def test_an_upgrade_restarts_nothing_however_it_ends(shared_dpkg: Dpkg, failing: list[str]) -> None:
    before = main_pids(shared_dpkg.machine)
    assert 0 not in before
    if failing:
        shared_dpkg.fail(*failing)
    shared_dpkg.install("2", check=not failing)
    assert has_database(shared_dpkg.machine)
    shared_dpkg.run("--configure", "--pending")
    shared_dpkg.install("1")
    assert main_pids(shared_dpkg.machine) == before
    assert has_database(shared_dpkg.machine)


def test_a_removal_that_is_refused_restarts_nothing(shared_dpkg: Dpkg) -> None:
    before = main_pids(shared_dpkg.machine)
    shared_dpkg.fail("1 prerm remove")
    shared_dpkg.run("--remove", "hx-gateway-db", check=False)
    assert shared_dpkg.state() == "installed 1"
    assert main_pids(shared_dpkg.machine) == before
    assert has_database(shared_dpkg.machine)


def test_a_rival_that_fails_leaves_the_gateway_its_database(shared_dpkg: Dpkg) -> None:
    rival = shared_dpkg.make("hx-failing-rival", RIVAL, scripts={"preinst": "exit 1"})
    shared_dpkg.run("--install", rival, check=False)
    assert shared_dpkg.state() == "installed 1"
    assert has_database(shared_dpkg.machine)


def test_a_removal_that_fails_at_its_end_leaves_a_gateway_that_serves(shared_dpkg: Dpkg) -> None:
    shared_dpkg.fail("1 postrm remove")
    shared_dpkg.run("--remove", "hx-gateway-db", check=False)
    assert shared_dpkg.state() == "half-installed 1"
    answer = shared_dpkg.machine.http("GET", f"{WRAPPER_URL}/v1/models", key="sk-stand-in")
    assert answer.status == 200
    shared_dpkg.run("--purge", "hx-gateway-db")
    assert shared_dpkg.state() == "not-installed"
