"""A unit's environment on its way from `systemctl show` into a file for EnvironmentFile=."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hx_gateway_db.programs import Ended
from hx_gateway_db.systemd import environment_files
from hx_gateway_db.systemd import sandbox as sandboxes
from hx_gateway_db.systemd.sandbox import (
    Sandbox,
    Unavailable,
    _environment_file,
    environment,
    variables,
)
from hx_gateway_db.systemd.started_program import StartedProgram

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30)


def test_the_shown_environment_is_unquoted() -> None:
    shown = r'A=1 "B=x y" "C=\$x \"q\" \\" D= E=a\ b'
    assert environment(shown) == {"A": "1", "B": "x y", "C": '$x "q" \\', "D": "", "E": "a b"}


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_systemd_reads_from_the_file_what_was_put_into_it(values: dict[str, str]) -> None:
    with ExitStack() as stack:
        text = Path(_environment_file(values, stack)).read_text()
        assert environment_files.values(text) == values


def test_the_file_is_gone_afterwards() -> None:
    with ExitStack() as stack:
        path = _environment_file({"A": "geheim"}, stack)
        assert os.stat(path).st_uid == os.getuid()
    assert not Path(path).exists()


def test_what_is_no_name_of_a_variable_is_left_out() -> None:
    with ExitStack() as stack:
        assert (
            Path(_environment_file({"A\nB": "1", "1A": "2", "A B": "3"}, stack)).read_text() == ""
        )


def test_a_pattern_of_files_is_read_in_order_and_a_missing_one_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "1.env").write_text("A=1\nB=1\n")
    (tmp_path / "2.env").write_text("B=2\n")
    assert variables(str(tmp_path / "*.env")) == {"A": "1", "B": "2"}
    assert variables(str(tmp_path / "no.env")) == {}


def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.env")
    assert variables(str(tmp_path / "pipe.env")) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give things away")
@pytest.mark.parametrize("kind", ["link", "device", "folder", "large"])
def test_what_is_no_environment_file_is_not_read(tmp_path: Path, kind: str) -> None:
    planted = tmp_path / "planted.env"
    (tmp_path / "secret.env").write_text("ROOT=geheim\n")
    if kind == "link":
        planted.symlink_to("secret.env")
        os.chown(planted, 12345, 12345, follow_symlinks=False)
    elif kind == "device":
        os.mknod(planted, 0o20666, os.makedev(1, 5))
    elif kind == "folder":
        planted.mkdir()
    else:
        planted.write_text("A=1\n")
        os.truncate(planted, 2**40)
    assert variables(str(planted)) == {}


def sandbox(path: str, **environment: str) -> Sandbox:
    return Sandbox("u.service", (("User", "gw"),), environment, (), StartedProgram(path, ()))


Command = tuple[str, ...]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Command]:
    """The commands that were run in the sandbox, where `head` sees a Python script."""
    commands: list[Command] = []

    def run(sandbox: Sandbox, command: Command, *, seconds: float) -> Ended:
        commands.append(command)
        return Ended(0 if "head" in command[0] else 1, "#!/v/bin/python3\n")

    monkeypatch.setattr(sandboxes, "run", run)
    return commands


def test_a_program_of_the_usual_kind_is_looked_at_from_here(
    tmp_path: Path, asked: list[Command]
) -> None:
    (tmp_path / "litellm").write_text("#!/venv/bin/python3.11\n")
    assert sandbox(f"{tmp_path}/litellm").python() == ("/venv/bin/python3.11",)
    assert asked == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give things away")
def test_a_program_behind_a_link_of_the_user_s_is_looked_at_as_the_user(
    tmp_path: Path, asked: list[Command]
) -> None:
    (tmp_path / "litellm").symlink_to("/etc/shadow")
    os.chown(tmp_path / "litellm", 12345, 12345, follow_symlinks=False)
    assert sandbox(f"{tmp_path}/litellm").python() == ("/v/bin/python3",)
    assert asked == [("/usr/bin/head", "-c", "1024", "--", f"{tmp_path}/litellm")]


def test_a_program_that_is_missing_is_said_to_be(tmp_path: Path, asked: list[Command]) -> None:
    with pytest.raises(Unavailable, match=r"litellm, which u\.service starts, .*it is not there"):
        sandbox(f"{tmp_path}/litellm").python()
    assert asked == []


def test_programs_of_others_are_not_told_the_gateway_s_secrets() -> None:
    told = {
        "LITELLM_MASTER_KEY": "1",
        "LITELLM_SALT_KEY": "1",
        "OPENAI_API_KEY": "1",
        "HF_TOKEN": "1",
        "PG_PASS": "1",
        "PG_URL": "postgresql://u:p@h/d",
        "SITE": "http://h/",
        "https_proxy": "http://u:p@proxy",
        "npm_config__authToken": "1",
        "PATH": "/bin",
    }
    properties = dict(sandbox("/x", **told).without_passwords().properties)
    unset = properties["UnsetEnvironment"].split()
    assert [name for name in told if name not in unset] == [
        *("SITE", "https_proxy", "npm_config__authToken", "PATH")
    ]
    assert {"DATABASE_URL", "DIRECT_URL", "REDIS_URL"} < set(unset)
