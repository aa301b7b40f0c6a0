"""Images of Debian machines with a gateway on them: built once, cached, never changed.

An image is a folder with a Debian root. Its name carries a hash of everything it is made from, so
that a change of the recipe makes a new one. What it holds, `gateway/install.sh` and PACKAGES say,
and LITELLMS, with which LiteLLM.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine import container, step

RELEASES = ("bookworm", "trixie")

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "apt", "ca-certificates"),
    *("debconf", "whiptail", "dialog"),
    *("postgresql", "pgbouncer", "redis-server", "nftables", "python3-venv", "nodejs", "npm"),
    *("strace", "acl", "attr", "curl", "jq", "procps", "tmux"),
    # What the package under test depends on: it is installed without a network.
    *("python3", "python3-yaml", "python3-jinja2", "python3-dotenv"),
    *("python3-psycopg", "python3-redis"),
    # Ansible, which installs it there.
    "python3-apt",
)

_HERE = Path(__file__).parent
# The LiteLLM that the site pins, and the newest that installs: each a list for pip.
LITELLMS = {"site": "gateway/requirements.txt", "newest": "newest/requirements.txt"}
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PASSED_ON = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("npm_config_registry", "http_proxy", "https_proxy", "no_proxy"),
)
_READ_BY_PIP_AND_NPM = ("/etc/pip.conf", "/etc/npmrc")


class ImageError(Exception):
    """An image can't be built here; the message says why."""


def build_image(release: str, litellm: str = "site") -> Path:
    """The root directory of the release's image, built first when it is not there yet.

    `litellm` is one of LITELLMS. Raises ImageError and StepFailed.
    """
    requirements = LITELLMS[litellm]

    def build(root: Path) -> None:
        bootstrap(release, root, PACKAGES)
        _install_gateway(root, requirements)

    kind = release if litellm == "site" else f"{litellm}-{release}"
    return cached(kind, _recipe_hash(requirements), build)


def cached(kind: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """The image of this kind and recipe (its hash), made by `build` when it is not there yet.

    A complete image appears by one rename, so an interrupted build leaves nothing that looks like
    one. Images from older recipes are removed unless a test run still uses them.
    """
    container.enter_private_mount_namespace()
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    if cache.stat().st_uid != os.geteuid():
        raise ImageError(f"{cache} belongs to another user: remove it, or set XDG_CACHE_HOME.")
    image = cache / f"{kind}-{recipe}"
    with _locked(cache / f".{kind}.lock"):
        for leftover in cache.glob(f"{kind}-*.partial"):
            shutil.rmtree(leftover)
        if not image.is_dir():
            partial = image.with_name(f"{image.name}.partial")
            try:
                build(partial)
                partial.rename(image)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        _hold(image)
        for other in cache.glob(f"{kind}-*"):
            if other != image and not _in_use(other):
                shutil.rmtree(other)
    return image


def cache_directory() -> Path:
    # Not where HOME says, which sudo may have kept from somebody else.
    base = os.environ.get("XDG_CACHE_HOME") or Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".cache"
    return Path(base) / "hx-gateway-db" / "images"


def _recipe_hash(requirements: str) -> str:
    """A hash of all that determines an image: this file, and what is copied or read into it."""
    folders = (_HERE / "gateway", _HERE / "engines")
    files = [Path(__file__), *(path for folder in folders for path in sorted(folder.rglob("*")))]
    files.append(_HERE / requirements)
    digest = hashlib.sha256()
    for path in files:
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(_HERE)} {path.stat().st_mode:o}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def bootstrap(release: str, root: Path, packages: Iterable[str]) -> None:
    """Make a Debian of this release, with these packages, in the folder `root`.

    Raises StepFailed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as options:
        options.write(_apt_acquire_options())
        options.flush()
        step.run(
            f"bootstrap of {release}",
            [
                *("mmdebstrap", "--verbose", "--variant=apt", f"--include={','.join(packages)}"),
                *(f"--aptopt={options.name}", "--dpkgopt=force-unsafe-io"),
                # The tests must see apt and dpkg as an ordinary installation has them.
                "--customize-hook=rm $1/etc/apt/apt.conf.d/99mmdebstrap",
                "--customize-hook=rm $1/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
                *(release, str(root), *_debian_mirror()),
            ],
        )


def _apt_acquire_options() -> str:
    """This machine's own Acquire settings (proxies and the like), as an apt configuration."""
    command = ["apt-config", "dump", "--no-empty", '--format=%f "%v";%n', "Acquire"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _debian_mirror() -> list[str]:
    """The Debian archive that this machine's apt uses; none means mmdebstrap's own choice."""
    command = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        suite, _, uri = line.partition(" ")
        if suite in (*RELEASES, "forky", "sid", "stable", "testing", "unstable"):
            return [uri]
    return []


def _install_gateway(root: Path, requirements: str) -> None:
    """Run `gateway/install.sh` inside, with the network and the certificates of this machine."""
    bundle = str(_CA_BUNDLE)
    certificates = ("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile")
    settings = dict.fromkeys(certificates, bundle)
    settings |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    shared = [path for path in _READ_BY_PIP_AND_NPM if Path(path).is_file()]
    name = f"hx{os.getpid()}build"
    step.run(
        "installation of the gateway",
        container.nspawn(
            name,
            root,
            *("--as-pid2", "--pipe", "--resolv-conf=bind-host"),
            *(f"--setenv={name}={value}" for name, value in settings.items()),
            *(f"--bind-ro={path}" for path in (bundle, *shared)),
            f"--bind-ro={_HERE}:/mnt",
            *("/mnt/gateway/install.sh", f"/mnt/{requirements}"),
        ),
    )
    container.remove_cgroups(name)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _hold(image: Path) -> None:
    """Mark the image as used by this process, until it ends."""
    descriptor = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def _in_use(image: Path) -> bool:
    descriptor = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
