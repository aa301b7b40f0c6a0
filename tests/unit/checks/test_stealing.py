"""A LiteLLM that was published to steal credentials is found by its files, and given none."""

from pathlib import Path

import pytest

from hx_gateway_db.checks import stealing
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Level
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_UNIT, Layout
from tests.unit.tree import ANSWERS, BASE, ENV, Run, snapshot

SITE = f"{BASE}/gateway/venv/lib/python3.11/site-packages"
ELSEWHERE = "srv/wrapper/.venv"


def installed(root: Path, *names: str, site: str = SITE) -> Path:
    for name in names:
        (root / site / name).mkdir(parents=True)
    return root / site


def unit_file(root: Path, unit: str, command: str) -> None:
    file = root / "etc/systemd/system" / unit
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"[Service]\nExecStart={command}\n")


def levels(root: Path) -> list[Level]:
    return [finding.level for finding in stealing.findings(Layout(root))]


def test_another_version_is_told(root: Path) -> None:
    installed(root, "litellm", "litellm-1.74.15.dist-info", "litellm_enterprise-1.82.8.dist-info")
    (found,) = stealing.findings(Layout(root))
    assert found.level is Level.OK and found.what.endswith("runs LiteLLM 1.74.15")
    stealing.refuse(Layout(root))


@pytest.mark.parametrize(
    "name",
    ["litellm-1.82.7.dist-info", "litellm-1.82.8.dist-info", "LiteLLM-1.82.8.dist-info"],
)
def test_a_version_that_steals_is_refused(root: Path, name: str) -> None:
    installed(root, "litellm-1.74.15.dist-info", name)
    assert levels(root) == [Level.FAILED]
    with pytest.raises(Refused, match=r"24518.*: take this machine as broken into"):
        stealing.refuse(Layout(root))


def test_what_it_leaves_behind_is_refused_beside_any_version(root: Path) -> None:
    (installed(root, "litellm-1.83.0.dist-info") / "litellm_init.pth").write_text("import os")
    assert levels(root) == [Level.FAILED]


@pytest.mark.parametrize("unit", [LITELLM_UNIT, WRAPPER_UNIT])
@pytest.mark.parametrize("command", ["/{0}/bin/python3 -m x", "-/{0}/bin/serve --port 1"])
def test_the_python_of_either_unit_is_looked_at(root: Path, unit: str, command: str) -> None:
    """The wrapper reads gateway.env as well."""
    unit_file(root, unit, command.format(ELSEWHERE))
    (root / ELSEWHERE / "bin").mkdir(parents=True)
    (root / ELSEWHERE / "bin/serve").write_text(f"#!/{ELSEWHERE}/bin/python\n")
    installed(root, "litellm-1.82.7.dist-info", site=f"{ELSEWHERE}/lib/python3.13/site-packages")
    assert levels(root) == [Level.FAILED]


def test_a_python_of_the_system_is_looked_at(root: Path) -> None:
    unit_file(root, LITELLM_UNIT, "/usr/bin/python3 -m litellm")
    site = "usr/local/lib/python3.11/dist-packages"
    installed(root, "litellm-1.82.8.dist-info", site=site)
    assert levels(root) == [Level.FAILED]


@pytest.mark.parametrize("anyway", [(), ("--anyway",)])
def test_not_a_byte_is_written_for_it(root: Path, run: Run, anyway: tuple[str, ...]) -> None:
    installed(root, "litellm-1.82.8.dist-info")
    before = snapshot(root)
    status, _, said = run("apply", *anyway, answers=ANSWERS)
    assert status == 3 and "litellm 1.82.8 is in /opt/" in said
    assert snapshot(root) == before and not (root / ENV).exists()


def test_a_folder_that_leads_elsewhere_and_one_without_end_are_borne(root: Path) -> None:
    site = root / SITE
    site.parent.mkdir(parents=True)
    site.symlink_to("/")
    assert levels(root) == [Level.SKIPPED]
