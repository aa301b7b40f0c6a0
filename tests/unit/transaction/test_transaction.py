"""File changes happen all or none."""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from hx_gateway_db.errors import NotRolledBack, Refused
from hx_gateway_db.programs import Ended
from hx_gateway_db.transaction.changes import Changes, FileChange, Group
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.transaction.replacement import exchange, rename_to_new
from hx_gateway_db.transaction.snapshot import FileImage, Metadata, take
from hx_gateway_db.transaction.transaction import Transaction, interrupted

OLD, NEW, GONE = (PurePosixPath(f"/etc/{name}") for name in ("old", "new.d/new", "gone"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/old").write_text("before")
    (tmp_path / "etc/old").chmod(0o640)
    os.setxattr(tmp_path / "etc/old", "user.note", b"mine")
    (tmp_path / "etc/gone").write_text("to go")
    return tmp_path


def nothing(change: FileChange, now: FileImage) -> FileImage | None:
    """Nobody can tell our part of a file that was edited since."""
    return None


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (
            stat.S_IMODE(path.stat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted((root / "etc").rglob("*"))
    }


def changes(root: Path) -> Changes:
    old = take(root, OLD)
    assert old is not None
    new = FileImage(b"new", Metadata(os.geteuid(), os.getegid(), 0o644))
    return Changes(
        (
            FileChange(OLD, old, FileImage(b"after", old.metadata)),
            FileChange(NEW, None, new),
            FileChange(GONE, take(root, GONE), None),
        )
    )


def test_all_changes_are_made_and_the_journal_closed(root: Path) -> None:
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        transaction.write()
        transaction.close()
    assert tree(root) == {
        "etc/old": (0o640, b"after"),
        "etc/new.d": (0o755, b""),
        "etc/new.d/new": (0o644, b"new"),
    }
    assert os.getxattr(root / "etc/old", "user.note") == b"mine"
    assert interrupted(root) is None
    assert sorted(path.name for path in (root / "var/lib/hx-gateway-db").iterdir()) == ["lock"]


def test_undoing_gives_back_every_file_and_folder(root: Path) -> None:
    before = tree(root)
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        transaction.write()
        assert transaction.undo(nothing).foreign == ()
        assert transaction.undo(nothing).foreign == ()
    assert tree(root) == before


def test_a_run_that_was_cut_off_is_undone_by_the_next(root: Path) -> None:
    before = tree(root)
    with lock(root, "test"):
        Transaction.begin(root, changes(root)).write()
    with lock(root, "test"):
        left = interrupted(root)
        assert left is not None and left.served is None
        left.transaction.undo(nothing)
        left.transaction.close()
        assert interrupted(root) is None
    assert tree(root) == before


def test_the_journal_knows_that_units_were_being_restarted(root: Path) -> None:
    with lock(root, "test"):
        Transaction.begin(root, changes(root)).services_begin(["some.service"])
        left = interrupted(root)
    assert left is not None and left.served == ("some.service",)


def test_a_file_that_somebody_edited_meanwhile_is_not_overwritten(root: Path) -> None:
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        (root / "etc/gone").write_text("edited")
        with pytest.raises(Refused, match="/etc/gone was changed by somebody else"):
            transaction.write()
        assert transaction.undo(nothing).foreign == (GONE,)
    assert (root / "etc/old").read_text() == "before"
    assert (root / "etc/gone").read_text() == "edited"


def test_a_file_that_somebody_edited_since_is_left_by_an_undo(root: Path) -> None:
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        transaction.write()
        (root / "etc/old").write_text("edited")
        assert transaction.undo(nothing).foreign == (OLD,)
    assert (root / "etc/old").read_text() == "edited"


@pytest.mark.parametrize("name", [OLD, GONE, NEW])
def test_an_edit_in_the_last_moment_is_not_overwritten(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: PurePosixPath
) -> None:
    """An editor saves, with a rename as editors do, between our last look and our rename."""
    path = root / name.relative_to("/")

    def save_just_before(rename: Callable[[int, str, str], bool]) -> Callable[..., bool]:
        def renamed(folder: int, one: str, other: str) -> bool:
            if name.name in (one, other) and not path.with_suffix(".saved").exists():
                path.with_suffix(".saved").write_text("edited")
                path.with_suffix(".new").write_text("edited")
                path.with_suffix(".new").rename(path)
            return rename(folder, one, other)

        return renamed

    monkeypatch.setattr(
        "hx_gateway_db.transaction.replacement.exchange", save_just_before(exchange)
    )
    monkeypatch.setattr(
        "hx_gateway_db.transaction.replacement.rename_to_new", save_just_before(rename_to_new)
    )
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        with pytest.raises(Refused, match=f"{name} was changed by somebody else just now"):
            transaction.write()
        assert transaction.undo(nothing).foreign == (name,)
    assert path.read_text() == "edited"
    assert not list(root.rglob(".*.hx-gateway-db"))


def test_of_two_edits_in_the_last_moment_the_newest_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = iter(["edited", "edited again"])

    def exchange_after_a_save(folder: int, one: str, other: str) -> bool:
        for text in saved:
            (root / "etc/new").write_text(text)
            (root / "etc/new").rename(root / "etc/old")
            break
        return exchange(folder, one, other)

    monkeypatch.setattr("hx_gateway_db.transaction.replacement.exchange", exchange_after_a_save)
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        with pytest.raises(Refused, match="changed by somebody else just now"):
            transaction.write()
        transaction.undo(nothing)
    assert (root / "etc/old").read_text() == "edited again"


def test_an_edit_that_a_kill_left_under_our_temporary_name_goes_back(root: Path) -> None:
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        transaction.write()
        (root / "etc/.old.hx-gateway-db").write_text("edited")
        assert transaction.undo(nothing).foreign == (OLD,)
    assert (root / "etc/old").read_text() == "edited"
    assert not (root / "etc/.old.hx-gateway-db").exists()


def test_what_a_kill_left_half_written_is_cleared_away(root: Path) -> None:
    before = tree(root)
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        (root / "etc/.old.hx-gateway-db").write_text("aft")
        transaction.undo(nothing)
    assert tree(root) == before


def test_where_the_file_system_cannot_exchange_files_are_still_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(root)
    monkeypatch.setattr("hx_gateway_db.transaction.replacement.exchange", lambda *names: False)
    monkeypatch.setattr("hx_gateway_db.transaction.replacement.rename_to_new", lambda *names: False)
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        transaction.write()
        assert (root / "etc/old").read_text() == "after"
        assert not (root / "etc/gone").exists()
        transaction.undo(nothing)
    assert tree(root) == before


def test_of_a_file_that_somebody_edited_since_only_our_part_is_taken_back(root: Path) -> None:
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        transaction.write()
        (root / "etc/old").write_text("after, edited")

        def take_back(change: FileChange, now: FileImage) -> FileImage | None:
            assert change.before is not None
            return replace(now, content=now.content.replace(b"after", change.before.content))

        assert transaction.undo(take_back).edited == (OLD,)
    assert (root / "etc/old").read_text() == "before, edited"


def test_a_folder_that_was_swapped_keeps_no_other_file_from_being_put_back(root: Path) -> None:
    before = tree(root)
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        transaction.write()
        (root / "etc/new.d/new").unlink()
        (root / "etc/new.d/new").symlink_to("/etc/passwd")
        assert transaction.undo(nothing).foreign == (NEW,)
    (root / "etc/new.d/new").unlink()
    (root / "etc/new.d").rmdir()
    assert tree(root) == before


def test_a_journal_that_cannot_be_closed_is_still_there_to_undo(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock(root, "test"):
        transaction = Transaction.begin(root, changes(root))
        transaction.write()

        def full(folder: Path) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr("hx_gateway_db.transaction.journal.sync", full)
        with pytest.raises(NotRolledBack, match="can't be closed"):
            transaction.close()
        assert interrupted(root) is not None


def test_journal_and_state_folder_are_private(root: Path) -> None:
    os.umask(0o022)
    with lock(root, "test"):
        Transaction.begin(root, changes(root))
    folder = root / "var/lib/hx-gateway-db"
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert len(folders) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_second_run_is_told_who_holds_the_lock(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hx_gateway_db.transaction.lock._LOCK_SECONDS", 0.2)
    with (
        lock(root, "apply"),
        pytest.raises(Refused, match=rf"hx-gateway-db apply \(process {os.getpid()}\)"),
        lock(root, "rollback"),
    ):
        pass


@pytest.fixture
def group_tools(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """groupadd, which finds that somebody else was faster, and groupdel; what was called."""
    called: list[str] = []

    def run(command: list[str], seconds: float) -> Ended:
        called.append(command[0])
        return Ended(9, "", "groupadd: group 'hx-gateway' already exists")

    monkeypatch.setattr("hx_gateway_db.transaction.transaction.captured", run)
    return called


def with_a_group(root: Path) -> Changes:
    return replace(changes(root), group=Group("hx-gateway", 999))


def test_a_group_that_somebody_else_made_meanwhile_stays(
    root: Path, group_tools: list[str]
) -> None:
    with lock(root, "test"):
        transaction = Transaction.begin(root, with_a_group(root))
        with pytest.raises(Refused, match="already exists"):
            transaction.write()
        transaction.undo(nothing)
    assert group_tools == ["groupadd"]


def test_a_group_is_taken_away_by_who_finds_that_its_making_was_interrupted(
    root: Path, group_tools: list[str]
) -> None:
    with lock(root, "test"):
        begun = Transaction.begin(root, with_a_group(root))
        begun._journal.group_begins()
        left = interrupted(root)
        assert left is not None
        left.transaction.undo(nothing)
    assert group_tools == ["groupdel"]


def test_an_interrupted_run_that_had_not_come_to_its_group_leaves_it(
    root: Path, group_tools: list[str]
) -> None:
    with lock(root, "test"):
        Transaction.begin(root, with_a_group(root))
        left = interrupted(root)
        assert left is not None
        left.transaction.undo(nothing)
    assert group_tools == []
