"""The command where nothing is to be done, beside the specification's own steps and Ansible.

Every contender works on a tree of its own, which a first run of it has wired; that the trees then
mean the same is seen before anything is measured, and once more afterwards.
"""

import json
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench import installation
from bench.measure import Sample, take_turns
from bench.table import Row
from hx_gateway_db.host.drop_ins import DATABASE
from hx_gateway_db.layout import GATEWAY_GROUP, Layout
from hx_gateway_db.systemd import environment_files
from tests.progress import Progress

_PROJECT = Path(__file__).resolve().parent.parent
_PEERS = Path(__file__).with_name("peers")
# As the program's first line has it; the library is the checkout's.
_PYTHON = ("/usr/bin/python3", "-I")
_LIBRARIES = "import yaml, jinja2, dotenv"
_GROUP_ID = 64987
# A password without special characters: the specification leaves the encoding to the reader.
_STEP_0 = {
    "PG_HOST": "192.168.10.7",
    "PG_PORT": "5432",
    "PG_DB": "hx_gateway",
    "PG_USER": "hx_gateway",
    "PG_PASS": "correct-horse-battery",
    "REDIS_HOST": "192.168.10.8",
    "REDIS_PORT": "6379",
    "REDIS_PASS": "staple-of-paper",
}
_MODELS = 16
_RUNS, _RUNS_OF_ANSIBLE = 21, 5


@dataclass(frozen=True)
class _Reads:
    """What a process has read: calls of read(2) and the like, and their bytes."""

    calls: int
    bytes: int


def rows(progress: Progress) -> list[Row]:
    """Measure. Raises RuntimeError when a contender fails or the trees do not mean the same."""
    with tempfile.TemporaryDirectory(prefix="hx-bench-") as folder:
        return _rows(progress, Path(folder))


def _rows(progress: Progress, folder: Path) -> list[Row]:
    command = [*_PYTHON, str(_program(folder))]
    trees = {name: _new_tree(folder / name) for name in ("command", "script", "ansible")}
    on_tree = [*command, "--root", str(trees["command"])]
    apply = [*on_tree, "apply", "--answers", str(_answers(folder))]
    script = [str(_PEERS / "specification.sh")]
    playbook = _playbook(folder, trees["ansible"])
    environment = {"ROOT": str(trees["script"]), "GATEWAY_GROUP": str(_GROUP_ID), **_STEP_0}

    def no_op() -> Sample:
        return _run(apply, says="Nothing to change")

    _run(apply, says="Files are written")
    _run(script, environment)
    playbook("failed=0")
    _assert_the_same(trees)
    # The first that finds nothing to change remembers that.
    no_op()

    figures = take_turns(
        progress,
        {
            "no-op": no_op,
            "libraries": lambda: _run([*_PYTHON, "-c", _LIBRARIES]),
            "script": lambda: _run(script, environment),
            "help": lambda: _run([*command, "--help"]),
            "status": lambda: _run([*on_tree, "status"]),
            "pass": lambda: _run([*_PYTHON, "-c", "pass"]),
        },
        _RUNS,
    )
    beside_ansible = take_turns(
        progress, {"no-op": no_op, "ansible": lambda: playbook("changed=0")}, _RUNS_OF_ANSIBLE
    )
    _assert_the_same(trees)
    reads = _reads(apply)
    size = f"a tree, {_MODELS} models"
    remark = f"{reads.calls} reads, {reads.bytes // 1024} KiB"
    name = "apply with nothing to change"
    return [
        Row(
            name,
            size,
            figures["no-op"],
            f"python3 -c '{_LIBRARIES}'",
            figures["libraries"],
            "above 1x, under 300 ms CPU",
            remark,
        ),
        Row(
            name,
            size,
            figures["no-op"],
            "the specification's steps 1 to 3",
            figures["script"],
            remark="the script writes every file anew, and leaves the encoding to its reader",
        ),
        Row(
            name,
            size,
            beside_ansible["no-op"],
            "ansible-playbook",
            beside_ansible["ansible"],
            "above 20x",
            "without facts, with pipelining",
        ),
        Row("--help", "", figures["help"], "python3 -c pass", figures["pass"], "above 0.2x"),
        Row("status", size, figures["status"], "python3 -c pass", figures["pass"]),
    ]


def _program(folder: Path) -> Path:
    """The program as it is installed, with the checkout for its library."""
    text = (_PROJECT / "debian/sbin/hx-gateway-db").read_text()
    line = f"import sys\nsys.path.insert(0, {str(_PROJECT)!r})\n"
    program = folder / "hx-gateway-db"
    program.write_text(text.replace("import sys\n", line, 1))
    return program


def _new_tree(tree: Path) -> Path:
    """A gateway that has no database yet."""
    layout = Layout(tree)
    config = tree / layout.config_yaml.relative_to("/")
    config.parent.mkdir(parents=True)
    models = "".join(
        f"  - model_name: model-{number}\n"
        f"    litellm_params: {{model: ollama/m{number}, api_base: 'http://192.168.10.9:11434'}}\n"
        for number in range(_MODELS)
    )
    config.write_text(
        "# the gateway's models\n"
        f"model_list:\n{models}\n"
        "general_settings:\n"
        "  master_key: sk-hx-dev-1234\n"
        "  disable_spend_logs: true\n"
        "  disable_error_logs: true\n"
    )
    (tree / "etc").mkdir()
    (tree / "etc/group").write_text(f"root:x:0:\n{GATEWAY_GROUP}:x:{_GROUP_ID}:\n")
    return tree


def _answers(folder: Path) -> Path:
    answers = folder / "answers"
    answers.write_text("".join(f"{key}={value}\n" for key, value in _STEP_0.items()))
    return answers


def _playbook(folder: Path, tree: Path) -> Callable[[str], Sample]:
    """A run of the playbook, whose recap has to have the text that it is called with."""
    program = installation.python("requirements-ansible.txt").with_name("ansible-playbook")
    values = folder / "values.json"
    values.write_text(json.dumps({"root": str(tree), "gateway_group": str(_GROUP_ID), **_STEP_0}))
    command = [str(program), "--inventory", "localhost,", "--extra-vars", f"@{values}"]
    environment = {
        "ANSIBLE_HOME": str(folder / "ansible-home"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }
    return lambda says: _run([*command, str(_PEERS / "playbook.yaml")], environment, says)


def _run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, says: str = ""
) -> Sample:
    """Run to the end, with the children. Raises RuntimeError when it fails or does not say that."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=_environment(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode != 0 or says not in said:
        raise RuntimeError(f"{shlex.join(command)} ended with {process.returncode}: {said}")
    return Sample(seconds, usage.ru_utime + usage.ru_stime)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root", **more}


def _reads(command: Sequence[str]) -> _Reads:
    """What a run reads, from proc(5), while its process has ended and is not collected yet."""
    process = subprocess.Popen(command, env=_environment({}), stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    lines = Path(f"/proc/{process.pid}/io").read_text().splitlines()
    process.wait()
    counters = dict(line.split(": ") for line in lines)
    return _Reads(int(counters["syscr"]), int(counters["rchar"]))


def _assert_the_same(trees: Mapping[str, Path]) -> None:
    meanings = {name: _meaning(tree) for name, tree in trees.items()}
    for name, meaning in meanings.items():
        if meaning != meanings["command"]:
            raise RuntimeError(f"{name} leads to {meaning}, not to {meanings['command']}")


def _meaning(tree: Path) -> dict[str, object]:
    """What LiteLLM and systemd read from a tree, and who may read the passwords."""
    layout = Layout(tree)
    env = tree / layout.gateway_env.relative_to("/")
    status = env.stat()
    drop_ins = [tree / record.path.relative_to("/") for record in DATABASE.values()]
    return {
        "gateway.env": environment_files.values(env.read_text()),
        "gateway.env is": (status.st_uid, status.st_gid, oct(status.st_mode)),
        "config.yaml": yaml.safe_load((tree / layout.config_yaml.relative_to("/")).read_text()),
        "drop-ins": [path.read_text() for path in drop_ins],
    }
