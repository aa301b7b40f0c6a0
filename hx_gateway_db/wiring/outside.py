"""What a change of the gateway meets outside of files; a test hands in another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hx_gateway_db.checks import preflight
from hx_gateway_db.checks.preflight import Inspection
from hx_gateway_db.findings import Finding
from hx_gateway_db.gateway.answerer import LITELLM, WRAPPER, Service
from hx_gateway_db.gateway.readiness import Readiness
from hx_gateway_db.handover import memory, redirect
from hx_gateway_db.handover.memory import Memory
from hx_gateway_db.handover.redirect import Redirect
from hx_gateway_db.host import litellm_version
from hx_gateway_db.host.host import Host
from hx_gateway_db.settings.litellm import LiteLLM
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import Units
from hx_gateway_db.wiring import startable


class Prove(Protocol):
    """The function `proof.prove`."""

    def __call__(
        self,
        settings: Settings,
        config: bytes,
        litellm: Service = LITELLM,
        wrapper: Service | None = WRAPPER,
    ) -> list[str]:
        """See there."""


def _prove(
    settings: Settings,
    config: bytes,
    litellm: Service = LITELLM,
    wrapper: Service | None = WRAPPER,
) -> list[str]:
    # Its PostgreSQL library is nothing that a rollback should need.
    from hx_gateway_db.gateway.proof import prove

    return prove(settings, config, litellm, wrapper)


@dataclass(frozen=True)
class Outside:
    """systemd, the services, the servers.

    `system` is the root of the system that systemd runs. The functions are those of
    `preflight`, `proof`, `startable` and `litellm_version` with their names.
    """

    units: Units = units
    readiness: Readiness = field(default_factory=Readiness)
    inspect: Callable[[Host, Settings, Finding, Mapping[str, str] | None], Inspection] = (
        preflight.inspect
    )
    check_servers: Callable[[Settings], None] = preflight.check_servers
    prove: Prove = _prove
    obstacle: Callable[[str], str] = startable.obstacle
    litellm_of_gateway: Callable[[], LiteLLM] = litellm_version.of_gateway
    redirect: Redirect = redirect
    memory: Memory = memory
    system: Path = Path("/")

    def live(self, root: Path) -> bool:
        """Whether `root` is a running system, whose units can be restarted."""
        return root == self.system and self.units.available()

    def litellm(self, root: Path) -> Callable[[], LiteLLM]:
        """What finds out which LiteLLM the gateway at `root` runs: unknown where none can run."""
        return self.litellm_of_gateway if self.live(root) else LiteLLM


REAL = Outside()
