"""An image for the packages' benchmark: PostgreSQL, dbconfig-common, and what ours depends on."""

import hashlib
from pathlib import Path

from tests.machine import image

_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "debconf", "postgresql", "dbconfig-pgsql"),
    *("python3", "python3-yaml", "python3-jinja2", "python3-dotenv"),
    *("python3-psycopg", "python3-redis"),
)


def build_package_image(release: str) -> Path:
    """The root directory of the image, built first when it is not there yet.

    Raises ImageError and StepFailed.
    """
    recipe = hashlib.sha256(" ".join(_PACKAGES).encode() + Path(image.__file__).read_bytes())
    return image.cached(
        f"bench-{release}",
        recipe.hexdigest()[:12],
        lambda root: image.bootstrap(release, root, _PACKAGES),
    )
