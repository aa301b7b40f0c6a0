"""Whether a restarted unit answers, and whether it goes on to.

systemd calls LiteLLM's unit active the moment it is forked, so only the service itself can tell.
"""

import time
from contextlib import suppress

from hx_gateway_db.gateway import http
from hx_gateway_db.gateway.http import HeldByAnother, NotAnswering
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_UNIT
from hx_gateway_db.progress import Progress
from hx_gateway_db.systemd import units as services
from hx_gateway_db.systemd.units import ServiceFailed, Unit

# LiteLLM's migrations on an empty database take most of it; a crash is noticed at once.
_READY_SECONDS = 240.0
# Some failures end a service only after it has answered; it has to stay up for this long.
_STEADY_SECONDS = 12.0
# Asking the service costs next to nothing, and nobody is served in between; asking systemd
# starts a process.
_ASK_SECONDS = 0.03
_LOOK_SECONDS = 0.2


def answers(name: str) -> bool:
    """Whether the service of the unit `name` answers now; nobody else counts."""
    with suppress(NotAnswering):
        return http.health(name) == 200
    return False


def answering() -> tuple[str, ...]:
    """The units whose services answer now."""
    return tuple(name for name in (LITELLM_UNIT, WRAPPER_UNIT) if answers(name))


def wait_until_ready(unit: Unit, progress: Progress) -> None:
    """Wait until a unit answers.

    Raises ServiceFailed as soon as it has crashed, or somebody else is on its port: LiteLLM is on
    another one then.
    """
    started = looked = time.monotonic()
    while not _ready(unit.name):
        now = time.monotonic()
        if now - looked >= _LOOK_SECONDS:
            looked = now
            if not _still_runs(unit):
                raise ServiceFailed(f"{unit.name} ended while it was starting.", unit.name)
            seconds = now - started
            if seconds > _READY_SECONDS:
                raise ServiceFailed(f"{unit.name} was not ready after {seconds:.0f} s.", unit.name)
            progress.waiting(unit.name, seconds)
        time.sleep(_ASK_SECONDS)


def _ready(name: str) -> bool:
    try:
        return http.health(name) == 200
    except HeldByAnother as error:
        raise ServiceFailed(error.finding.sentence, name) from None
    except NotAnswering:
        pass
    return False


def watch(units: list[Unit], since: float, progress: Progress) -> None:
    """See that units stay up that came up at `since` (time.monotonic()).

    Raises ServiceFailed as soon as one does not.
    """
    while (seconds := time.monotonic() - since) < _STEADY_SECONDS:
        for unit in units:
            if not _still_runs(unit):
                raise ServiceFailed(f"{unit.name} came up and ended again.", unit.name)
        progress.waiting(f"{units[0].name} to stay up", seconds)
        time.sleep(_LOOK_SECONDS)


def _still_runs(unit: Unit) -> bool:
    now = services.unit(unit.name)
    return now.invocation == unit.invocation and now.running
