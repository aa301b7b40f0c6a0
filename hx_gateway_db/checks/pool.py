"""How many connections to PostgreSQL this gateway may open, as LiteLLM decides it."""

from contextlib import suppress

from hx_gateway_db.errors import Refused
from hx_gateway_db.host import config_yaml
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import last_with, parts
from hx_gateway_db.layout import LITELLM_UNIT
from hx_gateway_db.postgres.facts import Pool
from hx_gateway_db.systemd import started_program, units
from hx_gateway_db.systemd.units import ServiceFailed

_WORKERS = "--num_workers"


def pool_of(host: Host | None) -> Pool:
    """The pool of a gateway that is known; where nothing else is said, LiteLLM's own."""
    each = None
    with suppress(Refused):
        # An included section takes the place of config.yaml's.
        part = last_with(parts(host), config_yaml.POOL[0]) if host else None
        each = config_yaml.pool_limit(part.text) if part else None
    workers = _workers() if host and host.layout.live and units.available() else 1
    return Pool(each or Pool().each, workers)


def _workers() -> int:
    """Those that LiteLLM's unit starts, by its command line or else by NUM_WORKERS."""
    with suppress(ServiceFailed):
        shown = dict(units.properties(LITELLM_UNIT, ("ExecStart",))).get("ExecStart", "")
        program = started_program.shown(shown)
        if program and (number := program.number(_WORKERS)):
            return number
        number_set = units.environment(units.unit(LITELLM_UNIT)).get("NUM_WORKERS", "")
        if number_set.isascii() and number_set.isdigit() and 0 < len(number_set) < 4:
            return int(number_set) or 1
    return 1
