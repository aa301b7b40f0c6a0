"""Where the gateway's and our own files are (specification, steps 1 to 4)."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

LITELLM_UNIT = "hx-litellm-gateway.service"
WRAPPER_UNIT = "hx-gateway-ml.service"
UNITS = (LITELLM_UNIT, WRAPPER_UNIT)
LITELLM_PORT = 4000
WRAPPER_PORT = 4010
GATEWAY_GROUP = "hx-gateway"
DEFAULT_BASE = PurePosixPath("/opt/HX-Infrastructure-/api-gateway")

STATE_FOLDER = PurePosixPath("/var/lib/hx-gateway-db")
STATE_FILE = STATE_FOLDER / "state"
PRISTINE_CONFIG = STATE_FOLDER / "config.yaml.pristine"
LOCK = STATE_FOLDER / "lock"
SETTLED = STATE_FOLDER / "settled"
# Where Prisma's client is prepared, and where it lies then: for others to read, unlike the state.
PRISMA_WORK = STATE_FOLDER / "prisma"
PRISMA_FOLDER = PurePosixPath("/var/lib/hx-gateway-db-prisma")

GATEWAY_ENV = "gateway.env"
CONFIG_YAML = "config.yaml"
DATABASE_DROP_IN = "30-db.conf"
GROUPS = PurePosixPath("/etc/group")
# The authorities that the system trusts (package ca-certificates).
SYSTEM_CERTIFICATES = PurePosixPath("/etc/ssl/certs/ca-certificates.crt")
# What looks every few minutes whether virtual keys work, what it has seen, and for node_exporter.
WATCH_TIMER = "hx-gateway-db.timer"
WATCH_UNIT = "hx-gateway-db-watch.service"
WATCH_FOLDER = PurePosixPath("/run/hx-gateway-db")
LAST_LOOK = WATCH_FOLDER / "last.json"
METRICS = PurePosixPath("/var/lib/prometheus/node-exporter/hx-gateway-db.prom")
# A second gateway for the time of a change: its units, the environment that systemd reads for them,
# its configuration beside the first one's, and its journal below the state folder. Not hx-*: a
# site's drop-ins could be meant for all of those.
SECOND_UNITS = {
    LITELLM_UNIT: "hxgatewaydb-litellm.service",
    WRAPPER_UNIT: "hxgatewaydb-wrapper.service",
}
SECOND_ENV = PurePosixPath("/run/hx-gateway-db-second/gateway.env")
SECOND_CONFIG = "hx-gateway-db-second.yaml"
SECOND_JOURNAL = "second"
# Where systemd runs the machine (sd_booted(3)).
SYSTEMD_RUNS = Path("/run/systemd/system")

_PARENT = Path(__file__).resolve().parent.parent
_IN_CHECKOUT = (_PARENT / "setup.py").is_file()
TEMPLATES = _PARENT / "templates" if _IN_CHECKOUT else Path("/usr/share/hx-gateway-db/templates")


@dataclass(frozen=True)
class Layout:
    """The files of one host.

    `root` is `/`, or the folder of a mounted image; every other path is absolute inside it.
    """

    root: Path
    base: PurePosixPath = DEFAULT_BASE

    @property
    def live(self) -> bool:
        """Whether this is the running system rather than a tree of files."""
        return self.root == Path("/")

    @property
    def config_folder(self) -> PurePosixPath:
        return self.base / "config" / "api-gateway"

    @property
    def gateway_env(self) -> PurePosixPath:
        return self.config_folder / GATEWAY_ENV

    @property
    def config_yaml(self) -> PurePosixPath:
        return self.config_folder / CONFIG_YAML


def drop_in_folder(unit: str) -> PurePosixPath:
    """The folder of an administrator's drop-ins for `unit` (systemd.unit(5))."""
    return PurePosixPath("/etc/systemd/system") / f"{unit}.d"
