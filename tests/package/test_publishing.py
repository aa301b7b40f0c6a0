"""The repository as its publisher makes it again and again: what stays, what is refused."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.installation import raised_version
from tests.package.published import LONG_AGO, URL, Publisher

POOL = "pool/main/h/hx-gateway-db"
KEYRINGS = "pool/main/h/hx-gateway-db-archive-keyring"
SUITES = ("bookworm", "trixie")


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    """Who has a key, "first"."""
    publisher = Publisher(tmp_path / "publisher")
    publisher.make_key("first")
    yield publisher
    publisher.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def packages(publisher: Publisher, suite: str) -> str:
    return (publisher.repository / f"dists/{suite}/main/binary-all/Packages").read_text()


def test_a_second_build_keeps_the_older_version_and_its_indexes(
    publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    publisher.publish(deb, "first")
    keyrings = names(publisher.repository / KEYRINGS)
    assert len(keyrings) == len(SUITES)
    publisher.publish(raised_version(deb, tmp_path, "99"), "first")
    assert names(publisher.repository / POOL) == [deb.name, "hx-gateway-db_99_all.deb"]
    # Nothing that hosts would have to be told anew.
    assert names(publisher.repository / KEYRINGS) == keyrings
    for suite, mark in zip(SUITES, ("deb12", "deb13"), strict=True):
        listed = re.findall(r"(?m)^Version: (.*)", packages(publisher, suite))
        assert {"99", deb.name.split("_")[1]} < set(listed)
        assert [version.partition("+")[2] for version in listed if "+" in version] == [mark]
        index = publisher.repository / f"dists/{suite}/main/binary-all"
        assert len(names(index / "by-hash/SHA256")) == 4


def test_what_inrelease_names_is_there_under_its_hash(publisher: Publisher, deb: Path) -> None:
    publisher.publish(deb, "first")
    for suite in SUITES:
        dist = publisher.repository / "dists" / suite
        text = (dist / "InRelease").read_text()
        assert "\nAcquire-By-Hash: yes\n" in text and "\nValid-Until: " in text
        named = re.findall(r"(?m)^ ([0-9a-f]{64}) +[0-9]+ (.*)", text)
        assert "main/Contents-all.xz" in [name for _, name in named]
        for digest, name in named:
            path = dist / name
            assert (path.parent / "by-hash/SHA256" / digest).read_bytes() == path.read_bytes()


def test_the_same_input_gives_the_same_bytes(
    publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    again = Publisher(tmp_path / "again", home=publisher.home)
    for one in (publisher, again):
        one.publish(deb, "first", epoch=LONG_AGO)
    folders = (str(publisher.repository), str(again.repository))
    assert (
        subprocess.run(["diff", "--recursive", *folders], capture_output=True, check=False).stdout
        == b""
    )


def test_a_version_that_was_published_is_not_replaced_by_other_bytes(
    publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    publisher.publish(deb, "first")
    before = packages(publisher, "trixie")
    (tmp_path / "other").mkdir()
    other = raised_version(deb, tmp_path / "other", deb.name.split("_")[1])
    done = publisher.try_to_publish(other, "--keys=first")
    assert done.returncode == 1
    assert "is not the same file as" in done.stderr and "raise the version" in done.stderr
    assert "Traceback" not in done.stderr
    assert packages(publisher, "trixie") == before


def test_hosts_are_told_a_new_address_and_none_is_forgotten(
    publisher: Publisher, deb: Path
) -> None:
    done = publisher.try_to_publish(deb, "--keys=first")
    assert "http://localhost:8000" in done.stdout
    publisher.publish(deb, "first")
    assert len(names(publisher.repository / KEYRINGS)) == 2 * len(SUITES)
    done = publisher.try_to_publish(deb, "--keys=first")
    assert done.returncode == 0 and "localhost" not in done.stdout
    assert len(names(publisher.repository / KEYRINGS)) == 2 * len(SUITES)
    told = ["dpkg-deb", "--fsys-tarfile"]
    told.append(str(publisher.repository / "hx-gateway-db-archive-keyring_trixie.deb"))
    assert URL.encode() in subprocess.run(told, check=True, capture_output=True).stdout


def test_keys_that_no_host_knows_are_refused_and_the_cures_work(
    publisher: Publisher, deb: Path
) -> None:
    publisher.publish(deb, "first")
    before = packages(publisher, "trixie")
    publisher.make_key("second")
    for keys in ("--keys=second", "--keys="):
        done = publisher.try_to_publish(deb, keys)
        assert done.returncode == 1 and "Hosts know this repository by the key" in done.stderr
    assert packages(publisher, "trixie") == before
    done = publisher.try_to_publish(deb, "--keys=second")
    both = re.search(r"KEY=(\S+,second)", done.stderr)
    removed = re.search(r"remove (\S+) first", done.stderr)
    assert both and removed
    assert publisher.try_to_publish(deb, f"--keys={both[1]}").returncode == 0
    subprocess.run(["rm", "-r", removed[1]], check=True)
    publisher.publish(deb, "second")


def test_without_a_key_it_is_for_a_try_and_says_so(
    publisher: Publisher, deb: Path, tmp_path: Path
) -> None:
    for package in (deb, raised_version(deb, tmp_path, "99")):
        done = publisher.try_to_publish(package)
        assert done.returncode == 0 and "Signed with a throwaway key" in done.stdout
    assert names(publisher.repository / POOL) == [deb.name, "hx-gateway-db_99_all.deb"]
    assert "throwaway" not in publisher.gpg("--list-keys")


@pytest.mark.parametrize("url", ["ftp://x", "packages.example.org", "https://a b", "https://a\nb"])
def test_an_address_that_no_host_can_use_is_refused(
    publisher: Publisher, deb: Path, url: str
) -> None:
    done = publisher.try_to_publish(deb, "--keys=first", f"--url={url}")
    assert done.returncode == 1 and "is no address that hosts can use" in done.stderr
    assert not publisher.repository.exists()


def test_a_key_that_ends_before_the_release_is_told(publisher: Publisher, deb: Path) -> None:
    fingerprint = publisher.make_key("short")
    publisher.gpg("--quick-set-expire", fingerprint, "9d")
    done = publisher.try_to_publish(deb, "--keys=short")
    assert "A key ends on" in done.stdout
