"""The packages that ours is compared with, built here."""

import re
import subprocess
from pathlib import Path

EMPTY = "hx-bench-empty"
DBCONFIG = "hx-bench-dbconfig"
PLAIN = "hxbenchplain"
_DPKG_DEB = ("dpkg-deb", "--root-owner-group", "--build")
_DEBHELPERS_PART = re.compile(
    r"^# Automatically added by .*?^# End automatically added section$", re.M | re.S
)
_SCRIPTS = Path(__file__).with_name("dbconfig")


def build_empty(ours: Path, folder: Path, version: str = "0.1.0") -> Path:
    """dpkg's floor: no file, no script, and what `ours` depends on."""
    query = ["dpkg-deb", "--field", str(ours), "Depends"]
    depends = subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
    return _build(folder, EMPTY, version, depends, [])


def build_plain(ours: Path, folder: Path, version: str = "0.1.0") -> Path:
    """The files of ours under other names, with nothing but what debhelper does with such files:
    compile Python, enable a unit, and take both back.
    """
    tree = folder / f"{PLAIN}-{version}"
    subprocess.run(["dpkg-deb", "--raw-extract", str(ours), str(tree)], check=True)
    control = tree / "DEBIAN"
    for name in ("config", "templates", "triggers", "md5sums"):
        (control / name).unlink()
    for name in ("postinst", "prerm", "postrm"):
        parts = _DEBHELPERS_PART.findall((control / name).read_text())
        script = "\n".join(("#!/bin/sh", "set -e", *parts, ""))
        (control / name).write_text(script.replace("hx-gateway-db", PLAIN))
    fields = (
        (control / "control").read_text().replace("Package: hx-gateway-db", f"Package: {PLAIN}")
    )
    (control / "control").write_text(re.sub(r"(?m)^Version:.*", f"Version: {version}", fields))
    for path in sorted(tree.rglob("*hx[-_]gateway[-_]db*"), reverse=True):
        path.rename(path.with_name(re.sub("hx[-_]gateway[-_]db", PLAIN, path.name)))
    target = folder / f"{PLAIN}_{version}_all.deb"
    subprocess.run([*_DPKG_DEB, str(tree), str(target)], check=True, capture_output=True)
    return target


def build_dbconfig(folder: Path) -> Path:
    """A package whose database dbconfig-common makes, and whose configuration it writes."""
    scripts = [_SCRIPTS / name for name in ("config", "postinst", "prerm", "postrm")]
    return _build(folder, DBCONFIG, "0.1.0", "dbconfig-pgsql, debconf", scripts)


def _build(folder: Path, name: str, version: str, depends: str, scripts: list[Path]) -> Path:
    control = folder / f"{name}-{version}" / "DEBIAN"
    control.mkdir(parents=True)
    fields = {
        "Package": name,
        "Version": version,
        "Architecture": "all",
        "Maintainer": "HX Infrastructure <hx-gateway-db@example.invalid>",
        "Depends": depends,
        "Description": "made for a benchmark",
    }
    (control / "control").write_text("".join(f"{key}: {text}\n" for key, text in fields.items()))
    for script in scripts:
        (control / script.name).write_bytes(script.read_bytes())
        (control / script.name).chmod(0o755)
    target = folder / f"{name}_{version}_all.deb"
    build = [*_DPKG_DEB, str(control.parent), str(target)]
    subprocess.run(build, check=True, capture_output=True)
    return target
