"""Our package while python3, or a library of ours, is in the middle of its own upgrade.

Until that is finished nothing of ours begins anything, and says so in one sentence; what can be
done without Python goes on; and afterwards dpkg finishes.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machine.installation import DROP_INS, GATEWAY_ENV, existing, preseed
from tests.machine.machine import CONFIG_YAML, Machine
from tests.package.dpkg import Dpkg

pytestmark = pytest.mark.sample_release("trixie")

WIRED = (GATEWAY_ENV, str(CONFIG_YAML), *DROP_INS)
# Makes a package file of what is installed as "$1", with a higher version, and damages it by the
# command "$2", which runs in the folder of its files.
REPACK = """\
set -e
tree=/root/$1
mkdir -p "$tree/DEBIAN"
dpkg-query --listfiles "$1" | tar --create --no-recursion --files-from - | tar -xC "$tree"
dpkg-query --status "$1" | sed '/^Status:/d; /^Conffiles:/,/^[^ ]/{/^Conffiles:/d; /^ /d}' |
    sed 's/^Version: .*/&+1/' >"$tree/DEBIAN/control"
dpkg-deb --build "$tree" /root/whole.deb
cd "$tree"
eval "$2"
dpkg-deb --build "$tree" /root/damaged.deb
"""


@dataclass(frozen=True)
class Upgrade:
    """An upgrade of `package` of which, so far, only half is done; what ours says to that."""

    package: str
    damage: str
    sentence: str


UPGRADES = (
    # As while python3.13 is not unpacked yet.
    Upgrade(
        "python3-minimal",
        "ln -sf python3.99 usr/bin/python3",
        "hx-gateway-db: python3 can't run now, so nothing was changed",
    ),
    Upgrade(
        "python3-yaml",
        "rm -r usr/lib/python3/dist-packages/yaml",
        "hx-gateway-db: the Python library yaml can't be loaded: run 'apt --fix-broken install'.",
    ),
)


@pytest.fixture(params=UPGRADES, ids=lambda upgrade: str(upgrade.package))
def upgrade(request: pytest.FixtureRequest) -> Upgrade:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def dpkg(cold_machine: Machine, deb: Path, tmp_path: Path, upgrade: Upgrade) -> Dpkg:
    """A wired host on which that upgrade has stopped in the middle."""
    dpkg = wired(cold_machine, deb, tmp_path)
    cold_machine.run(["sh", "-c", REPACK, "sh", upgrade.package, upgrade.damage])
    dpkg.run("--unpack", "/root/damaged.deb")
    assert dpkg.state(upgrade.package).startswith("unpacked")
    return dpkg


def wired(machine: Machine, deb: Path, folder: Path) -> Dpkg:
    """dpkg on a host with version 1 installed and the gateway wired."""
    dpkg = Dpkg(machine, deb, folder)
    preseed(machine, existing("a p@ssword"))
    dpkg.install("1")
    return dpkg


def finish(dpkg: Dpkg) -> None:
    """Finish the upgrade, as apt would, and what waits for it."""
    dpkg.run("--unpack", "/root/whole.deb")
    dpkg.run("--configure", "--pending")


def wiring(dpkg: Dpkg) -> list[str]:
    return [dpkg.machine.read(path) for path in WIRED]


def test_a_removal_waits_with_everything_as_it_was(dpkg: Dpkg, upgrade: Upgrade) -> None:
    before = wiring(dpkg)
    said = dpkg.run("--remove", "--force-depends", "hx-gateway-db", check=False)
    # Once when it is to be taken away, once when it is to be put back.
    assert said.count(upgrade.sentence) == 2
    assert "Traceback" not in said
    assert dpkg.state() == "half-configured 1"
    assert wiring(dpkg) == before
    dpkg.run("--unpack", "/root/whole.deb")
    dpkg.run("--configure", upgrade.package)
    dpkg.run("--remove", "hx-gateway-db")
    assert not any(dpkg.machine.exists(path) for path in DROP_INS)


def test_an_upgrade_waits_with_everything_as_it_was(dpkg: Dpkg, upgrade: Upgrade) -> None:
    before = wiring(dpkg)
    dpkg.run("--unpack", "/root/hx-gateway-db_2_all.deb")
    dpkg.run("--configure", "hx-gateway-db", check=False)
    said = dpkg.run("--configure", "--force-depends", "hx-gateway-db", check=False)
    assert upgrade.sentence in said
    assert "Traceback" not in said
    assert wiring(dpkg) == before
    finish(dpkg)
    assert dpkg.state() == "installed 2"
    assert wiring(dpkg) == before


def test_an_upgrade_of_ours_that_fails_meanwhile_leaves_ours_installed(
    dpkg: Dpkg, upgrade: Upgrade
) -> None:
    before = wiring(dpkg)
    dpkg.fail("2 preinst upgrade")
    dpkg.install("2", check=False)
    assert dpkg.state() == "installed 1"
    assert wiring(dpkg) == before
    finish(dpkg)


def test_a_purge_after_a_removal_needs_no_python(
    cold_machine: Machine, deb: Path, tmp_path: Path
) -> None:
    dpkg = wired(cold_machine, deb, tmp_path)
    dpkg.run("--remove", "hx-gateway-db")
    cold_machine.run(["mv", "/usr/bin/python3", "/usr/bin/python3.away"])
    dpkg.run("--purge", "hx-gateway-db")
    assert dpkg.state() == "not-installed"
    assert not cold_machine.exists(GATEWAY_ENV)
    assert not cold_machine.exists("/var/lib/hx-gateway-db")
