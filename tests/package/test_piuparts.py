"""Debian's own test of a package's life, in a chroot with nothing but what it depends on."""

import subprocess
from pathlib import Path


def test_piuparts_passes(release: str, deb: Path) -> None:
    # debconf leaves this folder of its own on trixie.
    ignored = ("-I", r"^/var/cache/debconf/tmp\.ci/?$")
    command = ["piuparts", "--distribution", release, "--no-upgrade-test", *ignored, str(deb)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
