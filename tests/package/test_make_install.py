"""`make install` for real, in a container without systemd and without a gateway.

It is what who has cloned the project runs first. apt has no sources there but what it makes.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.machine import Machine
from tests.package.repository_image import build_repository_image

pytestmark = pytest.mark.sample_release("trixie")

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = (
    *("Makefile", "setup.py", "stdeb.cfg", "MANIFEST.in", "hx_gateway_db", "templates"),
    *("debian", "repository", "tests/requirements.txt"),
)
REPOSITORY = "/var/lib/hx-gateway-db-repository"
LIST = "/etc/apt/sources.list.d/hx-gateway-db-local.sources"
# Nobody but root may pass through the clone. All in one run: with it, its processes end.
STORY = """
exec 2>&1
mkdir -m 700 /root/clone && cd /root/clone && tar --extract --file=/root/clone.tar
make install </dev/null || exit
echo '# again'
make install </dev/null || exit
echo '# policy'
apt-cache policy hx-gateway-db
echo '# servers'
runuser -u postgres -- psql -XAtc 'SELECT rolname FROM pg_roles' postgres
redis-cli ping
echo '# audit'
apt $(apt --version | grep -q '^apt 2' || echo --audit) update
echo '# removal'
{removal}
apt-get update
apt-cache policy hx-gateway-db
"""


@pytest.fixture
def host(release: str) -> Iterator[Machine]:
    with Machine(build_repository_image(release)) as machine:
        yield machine


def test_the_first_command_makes_a_database_where_no_gateway_and_no_systemd_is(
    host: Machine, tmp_path: Path
) -> None:
    packed = tmp_path / "clone.tar"
    command = ["tar", "--create", f"--file={packed}", "--exclude=__pycache__", "-C", str(PROJECT)]
    subprocess.run([*command, *SOURCES], check=True)
    host.put(packed, "/root/clone.tar")
    page = (PROJECT / "docs/repository.md").read_text()
    removal = page.partition(f"sudo rm -r {REPOSITORY}")
    taken_away = "".join(removal[1:]).partition("\n")[0]
    done = host.run(["sh", "-c", STORY.format(removal=taken_away)], check=False)
    assert done.returncode == 0, done.stdout
    first, again, policy, servers, audit, removed = done.stdout.split("\n# ")
    for said in (first, again):
        assert "$ apt install hx-gateway-db\n" in said
        assert "wired                 yes\n" in said
        assert said.rstrip().endswith(
            "No gateway is on this machine yet (/opt/HX-Infrastructure-/api-gateway/config/"
            "api-gateway/config.yaml is not there): 'sudo make demo' shows the whole story on one"
            " that is thrown away, in a container."
        )
        assert "unsandboxed" not in said
    assert "Making the role and database hx_gateway." in first
    assert "Nothing to change" in again
    assert f"500 file:{REPOSITORY} " in policy
    assert "hx_gateway" in servers.split() and "PONG" in servers.split()
    assert not any(word in audit for word in ("Warning", "Notice", "Error", "W:", "N:", "E:"))
    assert f"file:{REPOSITORY}" not in removed and "Installed: 0" in removed
    assert not any(map(host.exists, (REPOSITORY, LIST)))
