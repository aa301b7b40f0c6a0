"""Settings for hypothesis: how fast the machine is proves nothing. A certificate for servers."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.fake_postgres import make_certificate

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key and the self-signed certificate of 127.0.0.1, in one file."""
    return make_certificate(tmp_path_factory.mktemp("certificate"), "IP:127.0.0.1")
