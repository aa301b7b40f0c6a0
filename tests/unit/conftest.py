"""Settings for hypothesis, and a gateway of the test.

How fast the machine is proves nothing, and the same commit is tested with the same on every day.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hx_gateway_db.gateway import answerer
from hx_gateway_db.layout import UNITS
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.listeners import _process
from tests.fake_postgres import make_certificate
from tests.unit.tree import root, run

__all__ = ["root", "run"]

settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture
def own_group(monkeypatch: pytest.MonkeyPatch) -> str:
    """The control group of the test, which is that of both units: what listens here is they."""
    process = _process(Path(f"/proc/{os.getpid()}"))
    assert process and process.group
    monkeypatch.setattr(units, "available", lambda: True)
    monkeypatch.setattr(answerer, "_groups", dict.fromkeys(UNITS, process.group))
    return process.group


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key and the self-signed certificate of 127.0.0.1, in one file."""
    return make_certificate(tmp_path_factory.mktemp("certificate"), "IP:127.0.0.1")
