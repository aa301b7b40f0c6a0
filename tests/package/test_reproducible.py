"""Built again elsewhere, by somebody else, at another time, the package is the same bit for bit."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = ("setup.py", "stdeb.cfg", "MANIFEST.in", "hx_gateway_db", "templates", "debian")
# reprotest would change the user by an option of sudo that sudo refuses by now; so the build
# does, where reprotest has set this variable.
OTHER_USER = "HX_OTHER_USER"
BUILD = f"""\
rm -f ../hx-gateway-db_*
other=
if [ -n "${{{OTHER_USER}:-}}" ]; then
    chown -R nobody:nogroup . && chown nobody:nogroup ..
    other='setpriv --reuid=nobody --regid=nogroup --clear-groups'
fi
echo "Built by $($other id -un), LC_ALL $LC_ALL, TZ $TZ, umask $(umask) on $(uname -nr)."
exec $other dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes
"""


@pytest.fixture
def locales(tmp_path: Path) -> Path:
    """A folder with the locale that reprotest sets, whose alphabet has another order."""
    folder = tmp_path / "locales"
    folder.mkdir()
    target = str(folder / "et_EE.UTF-8")
    command = ["localedef", "--inputfile=et_EE", "--charmap=UTF-8", target]
    subprocess.run(command, check=True)
    return folder


def test_what_surrounds_the_build_leaves_no_trace_in_the_package(
    tmp_path: Path, locales: Path, deb: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        path = PROJECT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    # With --extra-build a third time: as another user, who can't use FUSE or rename the machine.
    variations = "+all,-user_group" + ("" if os.access("/dev/fuse", os.R_OK) else ",-fileordering")
    other_user = f"-fileordering,-domain_host,environment.variables+={OTHER_USER}"
    command = ["reprotest", f"--variations={variations}", f"--extra-build={other_user}"]
    command += ["--no-diffoscope", "--min-cpus=1", f"--store-dir={tmp_path / 'built'}"]
    done = subprocess.run(
        [*command, "--build-command", BUILD, ".", "../*.deb", "--", "null"],
        cwd=source,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LOCPATH": str(locales), "HOME": "/root"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Reproduction successful" in done.stdout
    builds = [line for line in done.stdout.splitlines() if line.startswith("Built by ")]
    assert [line.split()[2] for line in builds] == ["root,", "root,", "nobody,"]
    assert ["LC_ALL et_EE.UTF-8," in line for line in builds] == [False, True, True]
    # reprotest keeps one of those that are the same.
    built = next((tmp_path / "built").rglob("*.deb"))
    assert built.read_bytes() == deb.read_bytes()
