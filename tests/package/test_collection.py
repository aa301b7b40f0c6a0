"""The collection of Ansible, built and installed as it is published."""

import pytest

from tests.machine.fleet.control import ANSIBLES, Control
from tests.machine.image import cache_directory


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Control:
    return Control(tmp_path_factory.mktemp("control"), cache_directory().parent)


# One process of pytest-xdist, since the collection is built for all of them.
pytestmark = pytest.mark.xdist_group("collection")


def test_ansible_lint_finds_nothing_by_its_strictest_profile(control: Control) -> None:
    done = control.lint()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("ansible", ANSIBLES)
def test_each_ansible_can_read_the_playbooks(control: Control, ansible: str) -> None:
    control.inventory({}, {})
    others = [f"hx.gateway_db.{name}" for name in ("rotate", "verify", "remove")]
    played = control.play("deploy", *others, "--syntax-check", ansible=ansible, secrets={})
    assert played.status == 0, played.said
