"""Units that a run has left with their old files: policy-rc.d forbade to restart them, or no
systemd ran where it wrote the files, as in a chroot."""

from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import STATE_FILE
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import Units


def pending(host: Host, name: str, units: Units = units) -> bool:
    """Whether a unit still runs with what the files held before.

    It does not when it was started since, at boot say. Raises ServiceFailed.
    """
    if host.state is None or name not in host.state.restart:
        return False
    remembered = host.layout.root / STATE_FILE.relative_to("/")
    return not units.started_since(name, remembered.stat().st_mtime)
