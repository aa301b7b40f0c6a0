"""A run that knows that nothing is to be done, and each thing that makes it plan anew."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from hx_gateway_db.cli.parser import main
from hx_gateway_db.errors import Refused
from hx_gateway_db.host.drop_ins import WATCH, redis_user
from hx_gateway_db.host.host import read_host
from hx_gateway_db.layout import SETTLED, STATE_FOLDER, TEMPLATES, UNITS
from hx_gateway_db.settings.litellm import LiteLLM
from hx_gateway_db.transaction import snapshot
from hx_gateway_db.transaction.changes import Changes, FileChange
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.transaction.snapshot import FileImage, take
from hx_gateway_db.transaction.transaction import Transaction
from hx_gateway_db.wiring import settled
from hx_gateway_db.wiring.apply import desired
from hx_gateway_db.wiring.plan import plan_apply
from hx_gateway_db.wiring.settled import NOTHING_TO_CHANGE, is_settled, remember

PROJECT = Path(__file__).resolve().parents[3]
STATE = str(STATE_FOLDER.relative_to("/"))
CONFIG_FOLDER = "opt/HX-Infrastructure-/api-gateway/config/api-gateway"
CONFIG, ENV = f"{CONFIG_FOLDER}/config.yaml", f"{CONFIG_FOLDER}/gateway.env"
UNIT_FOLDERS = [f"etc/systemd/system/{unit}.d" for unit in UNITS]
DROP_INS = [f"{folder}/30-db.conf" for folder in UNIT_FOLDERS]
CACHE_DROP_IN = f"{UNIT_FOLDERS[0]}/40-cache.conf"
WATCH_DROP_IN = str(WATCH.path.relative_to("/"))
REDIS_DROP_IN = str(redis_user("redis-server.service").path.relative_to("/"))
PRESENT = (f"{STATE}/state", f"{STATE}/config.yaml.pristine", "etc/group", ENV, CONFIG, *DROP_INS)
ANSWERS = {"PG_HOST": "db1", "PG_PASS": "geh@im %", "REDIS_HOST": "r1", "REDIS_PASS": "rot"}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A gateway that is not wired yet."""
    root = tmp_path / "root"
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("general_settings:\n  master_key: sk-test-key\n")
    (root / "etc").mkdir()
    (root / "etc/group").write_text(f"hx-gateway:x:{os.getegid()}:\n")
    return root


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on the tree, and returns its status, output and messages."""
    for name in ("PG_HOST", "PG_PASS"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, **answers: str) -> tuple[int, str, str]:
        file = root.parent / "answers"
        file.write_text("".join(f"{key}={value}\n" for key, value in answers.items()))
        source = ["--answers", str(file)] if arguments[0] in ("apply", "plan") else []
        status = main(["--root", str(root), *arguments, *source])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def wired(root: Path, run: Run) -> Path:
    """A gateway of which it is remembered that ANSWERS change nothing."""
    run("apply", **ANSWERS)
    assert not is_settled(root, ANSWERS)
    assert run("apply", **ANSWERS)[1] == f"{NOTHING_TO_CHANGE}\n"
    assert is_settled(root, ANSWERS)
    return root


@pytest.fixture
def no_plan(wired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The full way fails."""

    def planned(*arguments: object) -> str:
        raise AssertionError("a plan was made")

    monkeypatch.setattr("hx_gateway_db.wiring.apply.apply", planned)


@pytest.mark.usefixtures("no_plan")
def test_what_is_settled_is_said_without_a_plan(wired: Path, run: Run) -> None:
    assert run("apply", **ANSWERS) == (0, f"{NOTHING_TO_CHANGE}\n", "")
    assert run("apply", "--anyway", **ANSWERS) == (0, f"{NOTHING_TO_CHANGE}\n", "")
    assert run("apply", **dict(reversed(ANSWERS.items())))[0] == 0


@pytest.mark.usefixtures("no_plan")
def test_a_client_to_prepare_is_the_full_way(wired: Path, run: Run) -> None:
    assert "AssertionError" in run("apply", "--prepare-prisma", **ANSWERS)[2]


def forgetful_redis(root: Path) -> None:
    """Let the state file name a Redis that forgets its users, and have a drop-in for it."""
    state = root / STATE / "state"
    state.write_text(f"{state.read_text()}redis-unit redis-server.service\n")
    (root / REDIS_DROP_IN).parent.mkdir()
    (root / REDIS_DROP_IN).write_text("[Service]\n")


def test_a_plan_reads_no_file_that_the_digest_lacks(
    wired: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful_redis(wired)
    (wired / WATCH_DROP_IN).parent.mkdir()
    taken: set[PurePosixPath] = set()
    take_in = snapshot.take_in

    def noted(folder: int, path: PurePosixPath) -> FileImage | None:
        taken.add(path)
        return take_in(folder, path)

    monkeypatch.setattr(snapshot, "take_in", noted)
    host, moved_from, settings = desired(wired, ANSWERS)
    plan_apply(settings, host, moved_from, LiteLLM)
    assert taken == set(host.files)
    assert len(taken) == 10


def add_a_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def change_the_mode(path: Path) -> None:
    path.chmod(path.stat().st_mode ^ stat.S_IROTH)


def change_the_owner(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("owners can only be given away by root")
    os.chown(path, 64999, -1)


def change_the_group(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("groups can only be given away by root")
    os.chown(path, -1, 64999)


def add_an_attribute(path: Path) -> None:
    os.setxattr(path, "user.note", b"mine")


def take_away(path: Path) -> None:
    path.unlink()


def put_a_link_in_its_place(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def give_it_a_second_name(path: Path) -> None:
    os.link(path, path.with_name("elsewhere"))


WAYS = (
    *(add_a_byte, change_the_mode, change_the_owner, change_the_group, add_an_attribute),
    *(take_away, put_a_link_in_its_place, give_it_a_second_name),
)


@pytest.mark.parametrize("name", PRESENT)
@pytest.mark.parametrize("change", WAYS, ids=lambda change: str(change.__name__))
def test_any_change_of_a_file_is_the_full_way(
    wired: Path, name: str, change: Callable[[Path], None]
) -> None:
    change(wired / name)
    assert not is_settled(wired, ANSWERS)


def test_a_file_that_comes_into_being_is_the_full_way(wired: Path) -> None:
    (wired / CACHE_DROP_IN).touch()
    assert not is_settled(wired, ANSWERS)


def test_the_drop_in_of_a_redis_that_forgets_its_users_counts_too(wired: Path) -> None:
    forgetful_redis(wired)
    remember(wired, ANSWERS, read_host(wired).files)
    assert is_settled(wired, ANSWERS)
    add_a_byte(wired / REDIS_DROP_IN)
    assert not is_settled(wired, ANSWERS)


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {**ANSWERS, "PG_PASS": "another"},
        {**ANSWERS, "PG_PASS": ""},
        {**ANSWERS, "CACHE": "false"},
        {**ANSWERS, "BASE": "/srv/gateway"},
        {**ANSWERS, "DATABASE": "later"},
        {**ANSWERS, "DATABASE": "no such choice"},
        {**ANSWERS, "PG_ADMIN_USER": "root"},
    ],
)
def test_other_answers_are_the_full_way(wired: Path, answers: dict[str, str]) -> None:
    assert not is_settled(wired, answers)


@pytest.mark.parametrize("name", ["geteuid", "getegid"])
def test_another_user_is_the_full_way(
    wired: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, name, lambda: 64998)
    assert not is_settled(wired, ANSWERS)


def copy_of_the_program(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program's files, of which the digest is made, be copies in `target`."""
    shutil.copytree(TEMPLATES, target / "templates")
    shutil.copytree(PROJECT / "hx_gateway_db", target / "modules")
    monkeypatch.setattr(settled, "TEMPLATES", target / "templates")
    monkeypatch.setattr(settled, "__file__", str(target / "modules/wiring/settled.py"))


@pytest.mark.parametrize("name", ["templates/30-db.conf.j2", "modules/yaml_edit/proof.py"])
@pytest.mark.parametrize("change", [add_a_byte, change_the_mode, take_away, os.utime])
def test_an_upgrade_is_the_full_way(
    wired: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    change: Callable[[Path], None],
) -> None:
    copy_of_the_program(tmp_path, monkeypatch)
    remember(wired, ANSWERS, read_host(wired).files)
    assert is_settled(wired, ANSWERS)
    change(tmp_path / name)
    assert not is_settled(wired, ANSWERS)


@pytest.mark.parametrize("library", ["yaml", "jinja2", "dotenv"])
def test_another_version_of_a_library_is_the_full_way(
    wired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    (tmp_path / "libraries").mkdir()
    (tmp_path / f"libraries/{library}.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "libraries")
    assert not is_settled(wired, ANSWERS)


def test_another_python_is_the_full_way(wired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version", "3.99")
    assert not is_settled(wired, ANSWERS)


@pytest.mark.parametrize("name", ["journal", "journal.new", "prisma", "anything"])
def test_anything_else_in_the_state_folder_is_the_full_way(wired: Path, name: str) -> None:
    (wired / STATE / name).mkdir()
    assert not is_settled(wired, ANSWERS)


def test_a_run_that_was_interrupted_is_recovered_first(wired: Path, run: Run) -> None:
    path = PurePosixPath("/", CONFIG)
    now = take(wired, path)
    # Its files are as they are remembered, as when it was killed before its first change.
    Transaction.begin(wired, Changes((FileChange(path, now, None),)))
    status, out, err = run("apply", **ANSWERS)
    assert (status, out) == (0, f"{NOTHING_TO_CHANGE}\n")
    assert "An earlier run was interrupted: putting its files back." in err
    assert not (wired / STATE / "journal").exists()


def test_a_record_that_was_cut_off_or_scribbled_over_is_the_full_way(wired: Path) -> None:
    record = wired / STATE / SETTLED.name
    whole = record.read_bytes()
    for end in range(len(whole) - 1):
        record.write_bytes(whole[:end])
        assert not is_settled(wired, ANSWERS)
    for scribble in (b"\xff", b"\0", b"/etc/shadow\n", b"relative\n"):
        record.write_bytes(whole + scribble)
        assert not is_settled(wired, ANSWERS)
    record.write_bytes(whole)
    assert is_settled(wired, ANSWERS)
    put_a_link_in_its_place(record)
    assert not is_settled(wired, ANSWERS)


def test_notes_are_said_every_time(wired: Path, run: Run) -> None:
    path = wired / DROP_INS[0]
    path.write_text(path.read_text().replace("=/opt", "=-/opt"))
    for _ in range(3):
        status, out, err = run("apply", **ANSWERS)
        assert (status, out) == (0, f"{NOTHING_TO_CHANGE}\n")
        assert "was edited since: left as it is." in err


def test_after_a_rollback_the_same_answers_wire_again(wired: Path, run: Run) -> None:
    run("rollback")
    assert not is_settled(wired, ANSWERS)
    assert "Files are written." in run("apply", **ANSWERS)[1]
    assert (wired / DROP_INS[0]).exists()


def test_what_another_run_holds_the_lock_for_is_waited_for_and_then_refused(
    wired: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hx_gateway_db.transaction.lock._LOCK_SECONDS", 0.1)
    with lock(wired, "rollback"), pytest.raises(Refused, match="hx-gateway-db rollback"):
        is_settled(wired, ANSWERS)
    with lock(wired, "rollback"):
        status, _, said = run("apply", **ANSWERS)
    assert status == 3 and said.startswith("hx-gateway-db: hx-gateway-db rollback")


def test_the_record_is_roots_alone_and_has_no_password(wired: Path) -> None:
    record = wired / STATE / SETTLED.name
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    digest, *paths = record.read_text().splitlines()
    assert len(digest) == 64 and int(digest, 16)
    assert {path.removeprefix("/") for path in paths} == {*PRESENT, CACHE_DROP_IN, WATCH_DROP_IN}


def test_an_administrator_s_login_is_in_no_digest(wired: Path, run: Run) -> None:
    before = (wired / SETTLED.relative_to("/")).read_text()
    with_login = {**ANSWERS, "PG_ADMIN_USER": "postgres", "PG_ADMIN_PASS": "weak"}
    assert run("apply", **with_login)[1] == f"{NOTHING_TO_CHANGE}\n"
    assert not is_settled(wired, with_login)
    assert (wired / SETTLED.relative_to("/")).read_text() == before


def test_a_record_that_can_not_be_written_is_only_missed(root: Path, run: Run) -> None:
    run("apply", **ANSWERS)
    (root / STATE / SETTLED.name).mkdir()
    assert run("apply", **ANSWERS) == (0, f"{NOTHING_TO_CHANGE}\n", "")
    assert run("apply", **ANSWERS) == (0, f"{NOTHING_TO_CHANGE}\n", "")


def test_a_record_that_somebody_has_opened_to_others_is_roots_again(wired: Path) -> None:
    record = wired / STATE / SETTLED.name
    record.chmod(0o644)
    remember(wired, {}, read_host(wired).files)
    assert stat.S_IMODE(record.stat().st_mode) == 0o600


MODULES = f"""\
import sys
sys.path.insert(0, {str(PROJECT)!r})
from hx_gateway_db.cli.parser import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
assert status == 0, status
print(*sorted(sys.modules), file=sys.stderr)
"""
HEAVY = {
    *("yaml", "jinja2", "dotenv", "psycopg", "redis", "http.client", "difflib", "ctypes"),
    *("subprocess", "ssl", "tempfile", "secrets", "random", "lzma", "bz2", "textwrap"),
}


def imported_by(*arguments: str) -> set[str]:
    """The modules that a run of the command has loaded when it ends."""
    done = subprocess.run(
        ["/usr/bin/python3", "-IB", "-c", MODULES, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def ours(modules: set[str]) -> set[str]:
    return {
        module.removeprefix("hx_gateway_db.")
        for module in modules
        if module.startswith("hx_gateway_db.")
    }


COMMAND_LINE = {"cli", "cli.parser", "cli.help_text", "cli.screen"}


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], set()),
        (["apply", "--help"], {"settings", "settings.catalogue"}),
        (["verify", "--help"], set()),
    ],
)
def test_help_loads_nothing_but_the_command_line_and_what_it_shows(
    arguments: list[str], shown: set[str]
) -> None:
    modules = imported_by(*arguments)
    assert ours(modules) == COMMAND_LINE | shown
    assert modules & (HEAVY - {"lzma", "bz2", "textwrap"}) == set()
    assert "dataclasses" not in modules


def test_what_is_settled_loads_no_library_and_no_planning(wired: Path) -> None:
    answers = str(wired.parent / "answers")
    modules = imported_by("--root", str(wired), "apply", "--answers", answers)
    assert modules & (HEAVY - {"lzma", "bz2"}) == set()
    assert ours(modules) == {
        *COMMAND_LINE,
        *("cli.commands", "cli.terminal", "errors", "findings", "redaction", "layout"),
        *("settings", "settings.answers", "settings.catalogue", "settings.values"),
        *("settings.kinds", "settings.variables"),
        *("wiring", "wiring.settled", "wiring.interruption"),
        *("transaction", "transaction.lock", "transaction.folders"),
        *("transaction.foreign_file", "transaction.snapshot"),
    }


def test_status_on_a_tree_loads_neither_servers_nor_http_nor_templates(wired: Path) -> None:
    modules = imported_by("--root", str(wired), "status")
    assert modules & {"jinja2", "dotenv", "psycopg", "redis", "http.client", "ssl"} == set()


def test_a_rollback_on_a_tree_needs_no_library_of_the_servers(wired: Path) -> None:
    modules = imported_by("--root", str(wired), "rollback")
    assert modules & {"psycopg", "redis"} == set()


def test_what_is_settled_without_systemd_is_not_settled_where_it_runs(
    wired: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = read_host(wired).files
    monkeypatch.setattr(settled, "SYSTEMD_RUNS", wired / "nowhere")
    in_a_chroot = settled._digest(Path("/"), {}, files)
    monkeypatch.setattr(settled, "SYSTEMD_RUNS", wired)
    assert settled._digest(Path("/"), {}, files) != in_a_chroot
    assert settled._digest(wired, {}, files) == in_a_chroot
