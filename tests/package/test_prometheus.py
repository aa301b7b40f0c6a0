"""What Prometheus's own tool says of the metrics, and of the alert rules in docs/watching.md."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hx_gateway_db.checks import metrics
from hx_gateway_db.checks.last_look import LastLook
from hx_gateway_db.checks.look import State
from tests.machine import image
from tests.machine.machine import Machine

pytestmark = pytest.mark.sample_release("trixie")

DOCS = Path(__file__).resolve().parents[2] / "docs/watching.md"
PACKAGES = ("prometheus",)
LAST = LastLook(State.FAILING, 1_795_867_200.0, 1_795_867_500.0, 0.25, "", "", ())


@pytest.fixture
def promtool(release: str) -> Iterator[Machine]:
    """A machine with promtool, which comes with a Prometheus; it is not booted."""
    recipe = hashlib.sha256(Path(__file__).read_bytes() + Path(image.__file__).read_bytes())

    def build(root: Path) -> None:
        image.bootstrap(release, root, PACKAGES)

    built = image.cached(f"prometheus-{release}", recipe.hexdigest()[:12], build)
    with Machine(built) as machine:
        yield machine


def test_promtool_has_nothing_to_say_of_the_metrics_and_takes_the_rules(
    promtool: Machine,
) -> None:
    checked = promtool.run(["promtool", "check", "metrics"], input=metrics.text(LAST))
    assert checked.stdout + checked.stderr == ""
    (rules,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    promtool.write("/root/rules.yml", rules)
    said = promtool.run(["promtool", "check", "rules", "/root/rules.yml"]).stdout
    assert f"SUCCESS: {rules.count('alert: ')} rules found" in said
