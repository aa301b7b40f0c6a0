"""Images of hosts as people have them who install from a repository: no gateway, no sources of apt.

They upgrade by themselves and look for services to restart; and they have what `make install` asks
apt for, since machines have no network.
"""

import hashlib
from pathlib import Path

from tests.machine import image

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "debconf", "whiptail", "ca-certificates", "sudo"),
    *("wget", "unattended-upgrades", "needrestart", "openssl"),
    *("postgresql", "redis-server"),
    *("python3", "python3-yaml", "python3-jinja2", "python3-dotenv"),
    *("python3-psycopg", "python3-redis"),
    *("make", "build-essential", "debhelper", "dh-python", "po-debconf", "python3-all"),
    *("python3-setuptools", "apt-utils", "gpg", "gpg-agent"),
)


def build_repository_image(release: str) -> Path:
    """The root directory of the image, built first when it is not there yet. Raises ImageError."""

    def build(root: Path) -> None:
        image.bootstrap(release, root, PACKAGES)
        for sources in (root / "etc/apt").glob("sources.list*"):
            if sources.is_file():
                sources.unlink()
        for sources in (root / "etc/apt/sources.list.d").iterdir():
            sources.unlink()

    recipe = hashlib.sha256(Path(__file__).read_bytes() + Path(image.__file__).read_bytes())
    return image.cached(f"repository-{release}", recipe.hexdigest()[:12], build)
