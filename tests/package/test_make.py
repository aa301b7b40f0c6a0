"""make, as root, in a clone that another user owns: changing it meanwhile gains nothing.

What a target does is the word of who owns the clone, and root asks for that. But what root builds,
runs and installs is what was there when root asked, and nothing is written outside.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from tests.machine.installation import raised_version

PROJECT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".git", ".venv", ".bench", "build", "__pycache__", ".*_cache", ".hypothesis")
OWNER = "nobody"
SECRET = "geheim-4711"

# What the owner runs in the clone, again and again; the folder above may be closed to it.
LINK_AGAIN = """
import os, sys
while True:
    try:
        os.symlink(sys.argv[1], "build")
    except OSError:
        pass
"""
SWAP_PACKAGE = """
import glob, os, time
while not glob.glob("build/*.changes"):
    time.sleep(0.001)
name = glob.glob("build/*.deb")[0]
os.rename("build", "aside")
os.mkdir("build")
with open(name, "w") as file:
    file.write("swapped")
time.sleep(600)
"""
LOOK_AT_OUR_PROCESSES = """
import json, os
known = set(os.listdir("/proc"))
while True:
    for pid in filter(str.isdigit, set(os.listdir("/proc")) - known):
        try:
            if os.stat(f"/proc/{pid}").st_uid != os.getuid():
                continue
            with open(f"/proc/{pid}/environ") as file:
                environment = file.read()
            with open(f"/proc/{pid}/stat") as file:
                terminal = file.read().rpartition(")")[2].split()[4]
            files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        print(json.dumps([environment, terminal, files]), flush=True)
"""
# Instead of the programs that would change this machine. What apt would install is in the
# repository that its sources name.
APT_GET = "#!/bin/sh\ncase $* in *build-dep*) sleep 0.2 ;; esac\n"
APT = """#!/bin/sh
uri=$(sed -n 's/^URIs: file://p' /etc/apt/sources.list.d/hx-gateway-db-local.sources)
deb=$(find "$uri/pool" -name 'hx-gateway-db_*.deb')
for last; do :; done
{
    echo "$last from $uri"
    sha256sum <"$deb"
    setpriv --reuid=_apt --regid=nogroup --clear-groups test -r "$deb" && echo readable
    find "$uri" /etc/apt/sources.list.d/hx-gateway-db-local.sources \
        '(' ! -user root -o ! -type l -perm /022 ')' -print
} >"$HX_RECORD"
"""
APT_CACHE = """#!/bin/sh
echo "  Candidate: $(dpkg-parsechangelog --show-field=Version)"
"""
# Its changes to the system end with it.
APART = """
mount -t tmpfs tmpfs /mnt
for folder in /var/lib /etc/apt; do
    mkdir -p "/mnt$folder/upper" "/mnt$folder/work"
    layers="lowerdir=$folder,upperdir=/mnt$folder/upper,workdir=/mnt$folder/work"
    mount -t overlay -o "$layers" overlay "$folder"
done
exec make "$@"
"""
NOTHING = "#!/bin/sh\n"


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that nobody but root may pass through, with a blank in its name."""
    if os.geteuid() != 0:
        pytest.fail("These tests are about make as root: run them as root.")
    folder = Path(tempfile.mkdtemp(prefix="hx make "))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def victim(ground: Path) -> Path:
    """A folder of root's, which who owns the clone would like to have written into."""
    folder = ground / "victim"
    folder.mkdir()
    return folder


@pytest.fixture
def clone(ground: Path) -> Path:
    """A clone that belongs to another user."""
    folder = ground / "a clone"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    give(folder)
    return folder


def give(path: Path) -> None:
    """Let the path and all below belong to the owner of the clone."""
    subprocess.run(["chown", "-R", "--no-dereference", OWNER, path], check=True)


def make(clone: Path, target: str, **environment: str) -> str:
    """What `make TARGET` says as root; whether it succeeds is the caller's business."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", APART, "sh", target],
        cwd=clone,
        env={"PATH": os.environ["PATH"], "HOME": "/root", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return f"{done.stdout}\nexit status {done.returncode}"


@contextmanager
def at_work(clone: Path, program: str, *arguments: str | Path) -> Iterator[Path]:
    """The owner of the clone runs the program in it meanwhile; what it prints is in that file."""
    said = clone.with_name("said")
    command = ["/usr/bin/python3", "-I", "-c", f"print('ready', flush=True)\n{program}"]
    with said.open("w") as output:
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=clone,
            stdout=output,
            user=OWNER,
            group="nogroup",
            extra_groups=[],
        )
    try:
        while not said.stat().st_size:
            time.sleep(0.01)
        yield said
    finally:
        process.kill()
        process.wait()


def built(clone: Path) -> Path:
    return next((clone / "build").glob("*.deb"))


def test_what_is_made_of_another_user_s_clone_lies_in_it_as_that_user_s(
    clone: Path, victim: Path, deb: Path
) -> None:
    for name in ("build", ".venv"):
        (clone / name).symlink_to(victim)
    assert "exit status 0" in make(clone, "deb")
    assert built(clone).read_bytes() == deb.read_bytes()
    assert {path.owner() for path in (clone, *clone.rglob("*")) if not path.is_symlink()} == {OWNER}
    assert list(victim.iterdir()) == []


def test_what_was_published_from_another_user_s_clone_before_stays_in_it(
    clone: Path, ground: Path, deb: Path
) -> None:
    pool = clone / "build/repository/pool/main/h/hx-gateway-db"
    pool.mkdir(parents=True)
    shutil.copy(raised_version(deb, ground, "0.0.1"), pool)
    give(clone / "build")
    assert "exit status 0" in make(clone, "repository")
    assert "exit status 0" in make(clone, "deb")
    assert {path.name for path in pool.iterdir()} == {"hx-gateway-db_0.0.1_all.deb", deb.name}
    index = clone / "build/repository/dists/trixie/main/binary-all/Packages"
    assert index.read_text().count("\nVersion: 0.") == 2
    assert {path.owner() for path in (clone / "build").rglob("*")} == {OWNER}


@pytest.fixture
def slow_mkdir(ground: Path) -> Path:
    """A folder with a mkdir that leaves time between what was before it and itself."""
    program = ground / "slow/mkdir"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nsleep 0.2\nexec /usr/bin/mkdir "$@"\n')
    program.chmod(0o755)
    return program.parent


def test_a_link_that_is_put_in_the_way_again_and_again_leads_root_nowhere(
    clone: Path, victim: Path, slow_mkdir: Path
) -> None:
    with at_work(clone, LINK_AGAIN, victim):
        said = make(clone, "deb", PATH=f"{slow_mkdir}:{os.environ['PATH']}")
    assert list(victim.iterdir()) == []
    assert "exit status 0" in said or "can't be written here with the rights of" in said


def test_a_link_to_a_file_of_root_s_brings_it_into_no_package(clone: Path, ground: Path) -> None:
    secret = ground / "secret"
    secret.write_text(f"# {SECRET}\n")
    secret.chmod(0o600)
    (clone / "hx_gateway_db/leak.py").symlink_to(secret)
    assert "exit status 0" in make(clone, "deb")
    shown = ["dpkg-deb", "--fsys-tarfile", str(built(clone))]
    assert SECRET.encode() not in subprocess.run(shown, check=True, capture_output=True).stdout


def test_root_runs_no_python_that_another_user_has_put_there(clone: Path) -> None:
    python = clone / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nid -u >>'{clone}/proof'\nexec '{sys.executable}' \"$@\"\n")
    python.chmod(0o755)
    (clone / ".venv/ready").touch()
    (clone / "debian/control").write_text("")
    give(clone)
    said = make(clone, "debianize")
    assert not (clone / "proof").exists()
    assert "exit status 0" in said
    assert (clone / "debian/control").read_text() == (PROJECT / "debian/control").read_text()
    assert (clone / "debian/control").owner() == OWNER


def test_a_link_in_place_of_the_tools_leads_root_nowhere(clone: Path, victim: Path) -> None:
    (clone / ".venv").symlink_to(victim)
    give(clone / ".venv")
    assert "exit status 0" in make(clone, "debianize")
    assert list(victim.iterdir()) == []


@pytest.fixture
def stubs(ground: Path) -> Path:
    """Programs in place of those that would change this machine, and of git, which is not there."""
    folder = ground / "stubs"
    folder.mkdir()
    programs = {"apt-get": APT_GET, "apt": APT, "apt-cache": APT_CACHE}
    programs |= {"git": '#!/bin/sh\necho "git $*" >>"$HX_RECORD"\nexit 1\n'}
    for name in ("debconf-show", "debconf-set-selections", "hx-gateway-db", "service"):
        programs[name] = NOTHING
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("owner", [OWNER, "root"])
def test_the_package_that_is_installed_is_the_one_that_was_built(
    clone: Path, stubs: Path, deb: Path, owner: str
) -> None:
    record = stubs / "record"
    path = f"{stubs}:{os.environ['PATH']}"
    if owner == "root":
        subprocess.run(["chown", "-R", "root:root", clone], check=True)
        said = make(clone, "install", PATH=path, HX_RECORD=str(record))
    else:
        with at_work(clone, SWAP_PACKAGE):
            said = make(clone, "install", PATH=path, HX_RECORD=str(record))
    assert "exit status 0" in said
    # What apt's own user can't read, apt reads as root, and says so.
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    where = "hx-gateway-db from /var/lib/hx-gateway-db-repository"
    assert record.read_text() == f"{where}\n{digest}  -\nreadable\n"
    assert not Path("/var/lib/hx-gateway-db-repository").exists()


def test_what_runs_as_the_owner_of_the_clone_has_no_terminal_and_nothing_else_of_root_s(
    clone: Path, ground: Path
) -> None:
    # So that it takes long enough to be seen.
    (clone / "large").write_bytes(bytes(100_000_000))
    give(clone)
    with at_work(clone, LOOK_AT_OUR_PROCESSES) as said:
        terminal = pexpect.spawn(
            "sh",
            ["-c", f"exec 5>'{ground}/kept' && exec make deb"],
            cwd=str(clone),
            env={"PATH": os.environ["PATH"], "HOME": "/root", "TOKEN": SECRET},
            timeout=300,
        )
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 0
    seen = [json.loads(line) for line in said.read_text().splitlines()[1:]]
    assert seen
    for environment, tty, files in seen:
        assert SECRET not in environment and tty == "0"
        assert [
            path for path in files if "/dev/pts" in path or "/dev/tty" in path or "kept" in path
        ] == []


def test_root_s_own_clone_is_made_in_place_without_git(clone: Path, stubs: Path, deb: Path) -> None:
    subprocess.run(["chown", "-R", "root:root", clone], check=True)
    record = stubs / "record"
    path = f"{stubs}:{os.environ['PATH']}"
    assert "exit status 0" in make(clone, "deb", PATH=path, HX_RECORD=str(record))
    assert built(clone).read_bytes() == deb.read_bytes()
    assert (clone / "build/source").is_dir() and not record.exists()


def test_a_folder_of_root_s_that_others_may_write_into_is_refused(clone: Path) -> None:
    subprocess.run(["chown", "-R", "root:root", clone], check=True)
    clone.chmod(0o777)
    said = make(clone, "deb")
    assert "Others may write into this folder of root's: 'chmod go-w .' ends that." in said
    assert not (clone / "build").exists()
