"""A tree that somebody else has made, and goes on making, becomes root's: copied, or refused."""

import itertools
import os
import socket
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction.adoption import Limits, adopt

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

OWNER = 12345
SEEN = PurePosixPath("/var/lib/hx-gateway-db-prisma/0a")
LIMITS = Limits(depth=20, names=50, bytes=10_000)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder that the gateway's user has filled, with a client in it."""
    folder = tmp_path / "work"
    (folder / "client/bin").mkdir(parents=True)
    (folder / "client/client.py").write_text("code\n")
    (folder / "client/bin/engine").write_text("engine")
    (folder / "client/bin/engine").chmod(0o755)
    return folder


def give_away(work: Path) -> None:
    for path in work.rglob("*"):
        os.chown(path, OWNER, OWNER, follow_symlinks=False)


def adopted(work: Path, limits: Limits = LIMITS) -> Path:
    give_away(work)
    target = work.parent / "0a.new"
    adopt(work, target, ("client", "home"), OWNER, SEEN, limits)
    return target


def test_all_of_it_is_root_s_to_change_and_everybody_s_to_read(work: Path) -> None:
    (work / "client/client.py").chmod(0o600)
    (work / "client/bin").chmod(0o777)
    (work / "client/bin/engine").chmod(0o6777)
    previous = os.umask(0o077)
    target = adopted(work)
    os.umask(previous)
    found = {
        str(path.relative_to(target)): (path.lstat().st_uid, path.lstat().st_mode & 0o7777)
        for path in [target, *target.rglob("*")]
    }
    assert found == {
        ".": (0, 0o755),
        "client": (0, 0o755),
        "client/bin": (0, 0o755),
        "client/client.py": (0, 0o644),
        "client/bin/engine": (0, 0o755),
    }
    assert (target / "client/client.py").read_text() == "code\n"


def test_a_descriptor_that_was_kept_open_writes_into_nothing_of_root_s(work: Path) -> None:
    with open(work / "client/client.py", "r+") as kept:
        target = adopted(work)
        kept.write("evil\n")
        kept.flush()
    assert (target / "client/client.py").read_text() == "code\n"


def test_what_was_compiled_still_fits_its_source(work: Path) -> None:
    os.utime(work / "client/client.py", ns=(1, 1_600_000_000_123_456_789))
    target = adopted(work)
    assert (target / "client/client.py").stat().st_mtime_ns == 1_600_000_000_123_456_789


def test_what_was_not_asked_for_is_not_taken_over(work: Path) -> None:
    (work / "scratch").mkdir()
    os.mkfifo(work / "pipe")
    assert [path.name for path in adopted(work).iterdir()] == ["client"]


def _hard_link(path: Path) -> None:
    os.link(path.parent / "client.py", path)


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "no plain file"),
        (_bind, "no plain file"),
        (lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)), "no plain file"),
        (_hard_link, "another name"),
        (lambda path: path.symlink_to("/tmp/evil"), "a link out of it"),
        (lambda path: path.symlink_to("../../../../evil"), "a link out of it"),
        (lambda path: path.symlink_to(f"{SEEN}/../../../../tmp/evil"), "a link out of it"),
        (lambda path: os.truncate(path, path.write_bytes(b"") or 2**40), "larger than 0 MiB"),
    ],
)
def test_what_is_no_file_of_its_own_is_refused(
    work: Path, make: Callable[[Path], object], said: str
) -> None:
    make(work / "client/planted")
    with pytest.raises(Refused, match=said):
        adopted(work)


def test_a_file_of_somebody_else_is_refused(work: Path) -> None:
    give_away(work)
    secret = work / "client/gateway.env"
    secret.write_text("DATABASE_URL=\n")
    with pytest.raises(Refused, match="belongs to the user id 0"):
        adopt(work, work.parent / "0a.new", ("client",), OWNER, SEEN, LIMITS)
    assert not (work.parent / "0a.new/client/gateway.env").exists()


def test_a_link_that_stays_inside_leads_there_afterwards(work: Path) -> None:
    (work / "client/near").symlink_to("bin/engine")
    (work / "client/bin/far").symlink_to(SEEN / "client/client.py")
    (work / "client/shell").symlink_to("/bin/sh")
    (work / "client/round").symlink_to("round")
    target = adopted(work)
    assert (target / "client/near").read_text() == "engine"
    assert (target / "client/bin/far").read_text() == "code\n"
    assert os.readlink(target / "client/shell") == "/bin/sh"


def test_a_link_through_another_is_judged_by_where_it_really_leads(work: Path) -> None:
    (work / "client/a/b").mkdir(parents=True)
    (work / "client/a/b/up").symlink_to(SEEN / "client")
    (work / "client/a/b/out").symlink_to("up/../../evil")
    with pytest.raises(Refused, match="a/b/out is a link out of it"):
        adopted(work)


@pytest.mark.parametrize(
    "name", ["...", "..\n", "-rf", "\x1b[31m", b"\xff\xfe".decode(errors="surrogateescape")]
)
def test_a_strange_name_is_a_name(work: Path, name: str) -> None:
    (work / "client" / name).write_text("strange")
    assert (adopted(work) / "client" / name).read_text() == "strange"
    os.mkfifo(work / "client" / f"{name}.pipe")
    with pytest.raises(Refused) as refused:
        adopt(work, work.parent / "again", ("client",), OWNER, SEEN, LIMITS)
    assert str(refused.value).isprintable()


def test_depth_number_and_size_have_limits(work: Path) -> None:
    (work / "client" / "/".join("d" * 30)).mkdir(parents=True)
    with pytest.raises(Refused, match="nested more than 20 deep"):
        adopted(work)


def test_the_number_of_names_has_a_limit(work: Path) -> None:
    for number in range(60):
        (work / f"client/{number}").touch()
    with pytest.raises(Refused, match="more than 50 files"):
        adopted(work)


def test_the_sum_of_the_sizes_has_a_limit(work: Path) -> None:
    for number in range(3):
        (work / f"client/{number}").write_bytes(b"x" * 4_000)
    with pytest.raises(Refused, match="larger than"):
        adopted(work)


@pytest.mark.parametrize("change", [b"more", b"", b"ev1l\n"])
def test_a_file_that_changes_while_it_is_copied_is_refused(
    work: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    utime = os.utime

    def meanwhile(*arguments: object, **options: object) -> None:
        utime(*arguments, **options)  # type: ignore[arg-type]
        (work / "client/client.py").write_bytes(change)

    monkeypatch.setattr(os, "utime", meanwhile)
    with pytest.raises(Refused, match=r"client\.py was changed"):
        adopted(work)


@pytest.mark.parametrize("name", ["sub", "sub/file"])
@pytest.mark.parametrize("lasting", [True, False])
def test_a_swap_at_any_step_gains_nothing(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, lasting: bool
) -> None:
    secret = tmp_path / "secret"
    (secret / "sub").mkdir(parents=True)
    (secret / "sub/file").write_text("geheim")
    (work / "client/sub").mkdir()
    (work / "client/sub/file").write_text("mine")
    give_away(work)
    place, aside = work / "client" / name, tmp_path / "aside"
    outcomes = set()
    for step in itertools.count(1):
        target = tmp_path / f"{step}.new"
        with monkeypatch.context() as patch:
            swaps = Swaps(step, place, aside, secret / name, lasting)
            for call in ("open", "stat", "scandir", "fstat", "mkdir"):
                patch.setattr(os, call, swaps.disturbed(getattr(os, call)))
            try:
                adopt(work, target, ("client",), OWNER, SEEN, LIMITS)
                outcomes.add("taken over")
            except (Refused, OSError) as error:
                outcomes.add(type(error).__name__)
        if not swaps.made:
            break
        swaps.undo()
        found = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
        assert all(b"geheim" not in path.read_bytes() for path in found)
    assert step > 20 and len(outcomes) > 1, outcomes


class Swaps:
    """Puts a link in the place of something before a system call, for good or for that call."""

    def __init__(self, step: int, place: Path, aside: Path, goal: Path, lasting: bool) -> None:
        self.made = False
        self._step, self._lasting = step, lasting
        self._place, self._aside, self._goal = place, aside, goal
        self._swapped = False

    def disturbed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def disturbed(*arguments: Any, **options: Any) -> Any:
            self._step -= 1
            if self._step == 0:
                self._place.rename(self._aside)
                self._place.symlink_to(self._goal)
                self.made = self._swapped = True
            try:
                return call(*arguments, **options)
            finally:
                if self._step == 0 and not self._lasting:
                    self.undo()

        return disturbed

    def undo(self) -> None:
        if self._swapped:
            self._swapped = False
            self._place.unlink()
            self._aside.rename(self._place)
