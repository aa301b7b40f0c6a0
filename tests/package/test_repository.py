"""The signed repository, on booted hosts that know nothing but what docs/repository.md tells them.

One host for each release, with two services in the gateway's place, needrestart and
unattended-upgrades; its apt has no other sources. The chapters build on each other.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.machine.installation import main_pids, preseed, raised_version
from tests.machine.machine import Machine
from tests.package.published import FOLDER, LONG_AGO, PROJECT, URL, Publisher, serve, upload
from tests.package.repository_image import build_repository_image

PAGE = PROJECT / "docs/repository.md"
# As cron and Ansible run things: not even HOME, TERM or a locale.
BARE = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
LISTS = "/var/lib/apt/lists"
# What apt says of a file that is not the one that the Release, or the index, names.
UNLIKE = re.compile("Hash Sum mismatch|unexpected size")
SOURCES = "/etc/apt/sources.list.d/hx-gateway-db.sources"
KEYRING = "/usr/share/keyrings/hx-gateway-db-archive-keyring.pgp"


def lines_of(title: str, number: int = 0) -> str:
    """The commands of a section of the page, as written."""
    section = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return str(re.findall(r"(?ms)^```sh\n(.*?)^```", section)[number])


@pytest.fixture(scope="module")
def publisher(release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    """Who has a key, "first", and publishes for the hosts of one release."""
    publisher = Publisher(tmp_path_factory.mktemp(f"publisher-{release}"))
    publisher.make_key("first")
    yield publisher
    publisher.close()


@pytest.fixture(scope="module")
def shared_host(release: str, publisher: Publisher, deb: Path) -> Iterator[Machine]:
    """A host whose gateway has no database, and a web server with the repository."""
    with Machine(build_repository_image(release)) as machine:
        machine.boot()
        for name in ("install-stand-in", "stand-in"):
            machine.put(PROJECT / "debian/tests" / name, f"/root/{name}", mode=0o755)
        machine.run(["/root/install-stand-in"])
        serve(machine)
        publisher.publish(deb, "first")
        upload(publisher.repository, machine)
        yield machine


def publish_version(
    publisher: Publisher, machine: Machine, deb: Path, folder: Path, version: str
) -> None:
    publisher.publish(raised_version(deb, folder, version), "first")
    upload(publisher.repository, machine)


def run(machine: Machine, script: str) -> str:
    """What a script says that fails at its first failing command, without a terminal."""
    done = machine.run([*BARE, "sh", "-ec", f"cd /root; exec 2>&1\n{script}"], check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def installed(machine: Machine, package: str = "hx-gateway-db") -> str:
    return machine.run(["dpkg-query", "--show", "--showformat=${Version}", package]).stdout


def refused(machine: Machine, *, afresh: bool = True) -> str:
    """What apt says when it does not believe the repository."""
    if afresh:
        run(machine, f"rm -rf {LISTS}")
    done = machine.run([*BARE, "apt-get", "update", "--error-on=any"], check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


@pytest.fixture
def as_published(shared_host: Machine, publisher: Publisher) -> Iterator[Machine]:
    """The host; what a test does to what is on the web server is undone."""
    yield shared_host
    upload(publisher.repository, shared_host)
    run(shared_host, f"rm -rf {LISTS}; apt-get update --error-on=any")


def test_the_lines_for_a_host_install_the_package_without_a_terminal(shared_host: Machine) -> None:
    said = run(shared_host, lines_of("On a host"))
    assert not re.findall(r"(?m)^[WEN]: (?!Download is performed unsandboxed).*", said)
    assert "dpkg-reconfigure hx-gateway-db" in said
    policy = run(shared_host, "apt-cache policy hx-gateway-db")
    assert "500 https://packages.example.org/hx-gateway-db" in policy


def test_apt_finds_nothing_to_say_of_it(shared_host: Machine, release: str) -> None:
    audit = "--audit" if release != "bookworm" else ""
    said = run(shared_host, f"rm -rf {LISTS}; apt {audit} update")
    assert not re.findall(r"(?m)^(?:[WEN]:|Warning|Error|Notice|Audit).*", said)
    assert "by-hash" in run(
        shared_host, f"rm -rf {LISTS}; apt-get -o Debug::Acquire::https=1 update"
    )


def test_the_wired_gateway_is_left_alone_by_apt_upgrade(
    shared_host: Machine, publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    preseed(shared_host, {"database": "local"})
    run(shared_host, "dpkg-reconfigure --frontend=noninteractive hx-gateway-db")
    before = main_pids(shared_host)
    publish_version(publisher, shared_host, deb, tmp_path, "0.2.1")
    # As a person at a terminal, who is asked nothing but whether to go on.
    terminal = shared_host.spawn(["sh", "-ec", lines_of("On a host", 1)], timeout=120)
    terminal.expect("ontinue")
    terminal.sendline("y")
    terminal.expect_exact("No services need to be restarted")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert installed(shared_host) == "0.2.1"
    assert main_pids(shared_host) == before


def test_unattended_upgrades_takes_it_once_it_is_told_to(
    shared_host: Machine, publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    before = main_pids(shared_host)
    publish_version(publisher, shared_host, deb, tmp_path, "0.2.2")
    run(shared_host, "apt-get update; unattended-upgrade")
    assert installed(shared_host) == "0.2.1"
    run(shared_host, lines_of("On a host", 2))
    run(shared_host, "unattended-upgrade")
    assert installed(shared_host) == "0.2.2"
    assert main_pids(shared_host) == before


def test_older_versions_stay_to_go_back_to(shared_host: Machine) -> None:
    policy = run(shared_host, "apt-cache madison hx-gateway-db")
    assert [line.split("|")[1].strip() for line in policy.splitlines()] == [
        "0.2.2",
        "0.2.1",
        "0.2.0",
    ]


def test_needrestart_restarts_the_gateway_for_a_library_unless_it_is_told_not_to(
    shared_host: Machine,
) -> None:
    automatic = "needrestart -r a"
    before = main_pids(shared_host)
    run(shared_host, automatic)
    assert main_pids(shared_host) == before
    # As an upgrade of a library does it: the processes have one that is not there any more.
    library = "$(ldconfig -p | sed -n 's/.*libz.so.1 .*=> //p' | xargs readlink -f)"
    run(shared_host, f"library={library}; cp -a $library $library.new; mv $library.new $library")
    run(shared_host, lines_of("On a host", 3))
    run(shared_host, automatic)
    assert main_pids(shared_host) == before
    run(shared_host, "rm /etc/needrestart/conf.d/hx-gateway.conf")
    run(shared_host, automatic)
    assert not set(main_pids(shared_host)) & {0, *before}


def test_an_index_that_is_not_below_by_hash_is_believed_only_if_it_is_the_same(
    as_published: Machine,
) -> None:
    run(as_published, f"rm -r {FOLDER}/dists/*/main/*/by-hash")
    run(as_published, f"rm -rf {LISTS}; apt-get update --error-on=any")
    run(as_published, f"for f in {FOLDER}/dists/*/main/binary-all/Packages*; do echo >>$f; done")
    assert UNLIKE.search(refused(as_published))


def test_an_index_that_was_changed_below_by_hash_is_refused(as_published: Machine) -> None:
    run(
        as_published,
        f"for f in {FOLDER}/dists/*/main/binary-all/by-hash/SHA256/*; do printf x >>$f; done",
    )
    assert UNLIKE.search(refused(as_published))


def test_a_package_that_was_changed_is_refused(as_published: Machine) -> None:
    run(as_published, f"for f in {FOLDER}/pool/main/h/hx-gateway-db/*; do printf x >>$f; done")
    assert UNLIKE.search(run(as_published, "! apt-get install --reinstall hx-gateway-db"))


def test_a_release_that_was_changed_is_refused(as_published: Machine) -> None:
    run(as_published, f"sed -i 's/^Label: .*/Label: Debian/' {FOLDER}/dists/*/InRelease")
    assert "is not signed" in refused(as_published)


def test_a_release_of_another_key_is_refused(
    as_published: Machine, deb: Path, tmp_path: Path
) -> None:
    stranger = Publisher(tmp_path / "stranger")
    stranger.make_key("stranger")
    stranger.publish(deb, "stranger")
    stranger.close()
    upload(stranger.repository, as_published)
    assert "is not signed" in refused(as_published)


def test_a_release_that_is_over_is_refused(
    as_published: Machine, publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    earlier = Publisher(tmp_path / "earlier", home=publisher.home)
    earlier.publish(deb, "first", epoch=LONG_AGO)
    upload(earlier.repository, as_published)
    assert "expired" in refused(as_published)


def test_who_has_read_an_older_release_gets_its_indexes(
    as_published: Machine, publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    keep = f"cd {FOLDER}/dists; tar -cf /root/releases.tar */InRelease"
    run(as_published, keep)
    publisher.publish(raised_version(deb, tmp_path, "0.2.3"), "first")
    upload(publisher.repository, as_published)
    run(as_published, f"tar -xf /root/releases.tar -C {FOLDER}/dists")
    run(as_published, f"rm -rf {LISTS}; apt-get update --error-on=any")
    assert "0.2.3" not in run(as_published, "apt-cache madison hx-gateway-db")
    run(as_published, f"rm -r {FOLDER}/dists/*/main/binary-all/by-hash")
    assert re.search("404|mismatch|unexpected size", refused(as_published))


def test_a_new_key_reaches_the_hosts_as_an_upgrade(
    shared_host: Machine, publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    newest = raised_version(deb, tmp_path, "0.2.4")
    before = installed(shared_host, "hx-gateway-db-archive-keyring")
    publisher.make_key("second")
    publisher.publish(newest, "first,second")
    upload(publisher.repository, shared_host)
    run(shared_host, "apt-get update --error-on=any; apt-get --yes upgrade")
    assert installed(shared_host, "hx-gateway-db-archive-keyring") > before
    publisher.publish(newest, "second")
    upload(publisher.repository, shared_host)
    run(shared_host, f"rm -rf {LISTS}; apt-get update --error-on=any; apt-get --yes upgrade")
    publisher.publish(newest, "second")
    upload(publisher.repository, shared_host)
    run(shared_host, f"rm -rf {LISTS}; apt-get update --error-on=any")
    assert installed(shared_host) == "0.2.4"


def test_the_repository_is_taken_away_from_a_host_and_the_package_stays(
    shared_host: Machine,
) -> None:
    before = main_pids(shared_host)
    run(shared_host, lines_of("On a host", 4).replace("apt purge", "apt --yes purge"))
    assert not any(map(shared_host.exists, (SOURCES, KEYRING)))
    run(shared_host, "apt-get update --error-on=any")
    assert URL not in run(shared_host, "apt-cache policy hx-gateway-db")
    assert main_pids(shared_host) == before
    assert installed(shared_host) == "0.2.4"
