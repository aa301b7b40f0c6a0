"""Images without a gateway: a bare one, and one with the archive's own tools of that release.

The tools are lintian, autopkgtest and three shells. What debian/tests asks for is there too, since
machines have no network.
"""

import hashlib
from pathlib import Path

from tests.machine import image

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "debconf", "whiptail"),
    *("lintian", "autopkgtest", "dpkg-dev"),
    *("bash-completion", "zsh", "fish", "curl"),
    *("postgresql", "redis-server"),
    *("python3", "python3-yaml", "python3-jinja2", "python3-dotenv"),
    *("python3-psycopg", "python3-redis"),
)


def build_tools_image(release: str) -> Path:
    """The root directory of the image with the tools, built first when it is not there yet.

    Raises ImageError and StepFailed.
    """
    return _build(f"tools-{release}", release, PACKAGES)


def build_bare_image(release: str) -> Path:
    """As `build_tools_image`, but with nothing beyond the packages of priority required and apt."""
    return _build(f"bare-{release}", release, ("?priority(required)",))


def _build(kind: str, release: str, packages: tuple[str, ...]) -> Path:
    recipe = hashlib.sha256(Path(__file__).read_bytes() + Path(image.__file__).read_bytes())
    return image.cached(
        kind, recipe.hexdigest()[:12], lambda root: image.bootstrap(release, root, packages)
    )
