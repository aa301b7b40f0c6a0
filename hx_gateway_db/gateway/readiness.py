"""Whether a restarted unit answers, and whether it goes on to.

systemd calls LiteLLM's unit active the moment it is forked, so only the service itself can tell.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from hx_gateway_db.gateway import http
from hx_gateway_db.gateway.answerer import LITELLM, WRAPPER, Service
from hx_gateway_db.gateway.http import HeldByAnother, NotAnswering
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_UNIT
from hx_gateway_db.progress import Progress
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import ServiceFailed, Unit, Units

# Nobody is served in between, and asking the service costs next to nothing; asking systemd starts
# a process.
_ASK_SECONDS = 0.03
_LOOK_SECONDS = 0.2


class Health(Protocol):
    """The function `http.health`."""

    def __call__(self, unit: str, /, litellm: Service = LITELLM, wrapper: Service = WRAPPER) -> int:
        """See there."""


class PortTaken(ServiceFailed):
    """Somebody else is on the unit's port."""


class Clock(Protocol):
    """The module time, as far as it is used here."""

    def monotonic(self) -> float:
        """Seconds from some moment on."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


@dataclass(frozen=True)
class Patience:
    """Seconds that a unit has to become ready, and that it has to stay up then.

    LiteLLM's migrations on an empty database take most of the first; a crash is noticed at once.
    Some failures end a service only after it has answered.
    """

    ready: float = 240.0
    steady: float = 12.0


@dataclass(frozen=True)
class Readiness:
    """Asks the services of units, and waits for them. `health` is `http.health`."""

    units: Units = units
    health: Health = http.health
    clock: Clock = time
    patience: Patience = field(default_factory=Patience)

    def answers(self, name: str) -> bool:
        """Whether the service of the unit `name` answers now; nobody else counts."""
        with suppress(NotAnswering):
            return self.health(name) == 200
        return False

    def answering(self) -> tuple[str, ...]:
        """The units whose services answer now."""
        return tuple(name for name in (LITELLM_UNIT, WRAPPER_UNIT) if self.answers(name))

    def wait_until_ready(self, unit: Unit, progress: Progress) -> None:
        """Wait until a unit answers.

        Raises ServiceFailed as soon as it has crashed, or somebody else is on its port: LiteLLM is
        on another one then.
        """
        started = looked = self.clock.monotonic()
        while not self._ready(unit.name):
            now = self.clock.monotonic()
            if now - looked >= _LOOK_SECONDS:
                looked = now
                if not self._still_runs(unit):
                    raise ServiceFailed(f"{unit.name} ended while it was starting.", unit.name)
                seconds = now - started
                if seconds > self.patience.ready:
                    raise ServiceFailed(
                        f"{unit.name} was not ready after {seconds:.0f} s.", unit.name
                    )
                progress.waiting(unit.name, seconds)
            self.clock.sleep(_ASK_SECONDS)

    def watch(self, restarted: list[Unit], since: float, progress: Progress) -> None:
        """See that units stay up that came up at `since` (the clock's monotonic()).

        Raises ServiceFailed as soon as one does not.
        """
        while (seconds := self.clock.monotonic() - since) < self.patience.steady:
            for unit in restarted:
                if not self._still_runs(unit):
                    raise ServiceFailed(f"{unit.name} came up and ended again.", unit.name)
            progress.waiting(f"{restarted[0].name} to stay up", seconds)
            self.clock.sleep(_LOOK_SECONDS)

    def _ready(self, name: str) -> bool:
        try:
            return self.health(name) == 200
        except HeldByAnother as error:
            raise PortTaken(error.finding.sentence, name) from None
        except NotAnswering:
            pass
        return False

    def _still_runs(self, unit: Unit) -> bool:
        now = self.units.unit(unit.name)
        return now.invocation == unit.invocation and now.running
