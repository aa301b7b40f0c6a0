"""The peers, installed at first use into .bench, from Debian, PyPI and npm."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parent / ".bench"
_PROGRAMS = {"nodejs": "node"}


def debian_packages() -> None:
    """Install what of packages.txt is missing: a program of another origin counts as there."""
    packages = (HERE / "packages.txt").read_text().split()
    missing = [name for name in packages if shutil.which(_PROGRAMS.get(name, name)) is None]
    if missing:
        subprocess.run(["apt-get", "update"], check=True)
        command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
        subprocess.run(command, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, check=True)


def python(name: str = "requirements.txt") -> Path:
    """A Python with Debian's own libraries and the peers from PyPI that the file `name` lists."""
    requirements = HERE / name
    folder = _folder("venv", requirements)
    interpreter = folder / "bin" / "python"
    if not (folder / "ready").exists():
        create = ["/usr/bin/python3", "-m", "venv", "--clear", "--system-site-packages"]
        subprocess.run([*create, str(folder)], check=True)
        install = [str(interpreter), "-m", "pip", "install", "--quiet", "--require-hashes"]
        install += ["--no-deps", "--only-binary=:all:", "--requirement", str(requirements)]
        subprocess.run(install, check=True, stdout=sys.stderr)
        (folder / "ready").touch()
    return interpreter


def node_modules() -> Path:
    """The folder `node_modules` with the peers from npm (package.json, and its lock file)."""
    wanted = [HERE / "package.json", HERE / "package-lock.json"]
    folder = _folder("npm", *wanted)
    if not (folder / "ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for path in wanted:
            shutil.copy(path, folder)
        install = ["npm", "ci", "--ignore-scripts", "--silent", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=folder, check=True)
        (folder / "ready").touch()
    return folder / "node_modules"


def _folder(name: str, *wanted: Path) -> Path:
    """Another folder for other versions."""
    content = b"".join(path.read_bytes() for path in wanted)
    return FOLDER / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
