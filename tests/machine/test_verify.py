"""What verify tells of a gateway on which all is well, and of failures that are caused for real."""

import json
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.machine.installation import GATEWAY_ENV, UNITS, existing, make_database, preseed
from tests.machine.machine import CONFIG_YAML, LITELLM_URL, MASTER_KEY, Machine

pytestmark = pytest.mark.sample_release("bookworm")

LITELLM, WRAPPER = UNITS
PASSWORD = "correct horse"
ML_ENV = "/etc/hx-gateway/ml.env"
VERIFY = ["hx-gateway-db", "verify"]
NAMES = [
    *("litellm.unit", "wrapper.unit", "litellm.port", "wrapper.port", "gateway.wiring"),
    *("litellm.database", "postgres.tables", "wrapper.deps", "litellm.key", "wrapper.key"),
    *("model.list", "model.chat"),
    *("model.embedding", "litellm.cache", "litellm.limit", "litellm.ui", "litellm.spend"),
]
# What stands behind hx-chat: a server of its own, that can be away without the gateway.
BACKEND = """
import http.server, itertools, json

serial = itertools.count()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": "HX-OK"}
        reply = {
            "id": f"chatcmpl-backend-{next(serial)}",
            "object": "chat.completion",
            "created": 0,
            "model": "hx-chat",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        }
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", 9999), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A wired gateway with the cache on, whose hx-chat has a server of its own."""
    shared_machine.write("/root/backend.py", BACKEND)
    start(shared_machine, "backend", "/usr/bin/python3", "/root/backend.py")
    mock = 'hx-chat, api_key: none, mock_response: "HX-OK"'
    assert mock in shared_machine.read(CONFIG_YAML)
    configure(shared_machine, mock, 'hx-chat, api_key: none, api_base: "http://127.0.0.1:9999/v1"')
    make_database(shared_machine, PASSWORD)
    # A limit of two requests is less than verify makes itself.
    answers = existing(PASSWORD, redis="true", redis_host="127.0.0.1", cache="true", rate_limit="2")
    preseed(shared_machine, answers)
    shared_machine.install(deb)
    return shared_machine


def start(machine: Machine, name: str, *command: str) -> None:
    machine.run(["systemd-run", "--quiet", "--collect", f"--unit={name}", *command])


def configure(machine: Machine, old: str, new: str) -> str:
    """Edit config.yaml as an administrator; returns what it was."""
    text = machine.read(CONFIG_YAML)
    owner, mode = machine.stat(CONFIG_YAML).split()
    machine.write(CONFIG_YAML, text.replace(old, new), owner=owner, mode=int(mode, 8))
    return text


def verify(machine: Machine, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status and the checks by name."""
    done = machine.run([*VERIFY, "--json", *options], check=False)
    assert "Traceback" not in done.stderr, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in report["checks"]}


def results(checks: dict[str, dict[str, Any]], result: str) -> set[str]:
    return {name for name, check in checks.items() if check["result"] == result}


def failure(machine: Machine, *names: str) -> str:
    """What verify says of the checks that fail, and their cures, as a person sees it."""
    done = machine.run(VERIFY, check=False)
    assert done.returncode == 6, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout and MASTER_KEY not in done.stdout
    lines = done.stdout.splitlines()
    failed = [line.split()[1] for line in lines if line.startswith("failed ")]
    assert failed == list(names), done.stdout
    return done.stdout


@contextmanager
def stopped(machine: Machine, unit: str) -> Iterator[None]:
    machine.run(["systemctl", "stop", unit])
    try:
        yield
    finally:
        machine.run(["systemctl", "reset-failed", unit], check=False)
        machine.run(["systemctl", "start", unit])


@contextmanager
def wrapper_with(machine: Machine, environment: str) -> Iterator[None]:
    before = machine.read(ML_ENV)
    set_wrapper(machine, environment)
    try:
        yield
    finally:
        set_wrapper(machine, before)


def set_wrapper(machine: Machine, environment: str) -> None:
    machine.write(ML_ENV, environment, mode=0o600)
    restart_wrapper(machine)
    machine.wait_for_gateway()


def restart_wrapper(machine: Machine) -> None:
    # The tests restart it more often than systemd likes.
    machine.run(["systemctl", "reset-failed", WRAPPER], check=False)
    machine.run(["systemctl", "restart", WRAPPER])


def test_all_is_well_down_to_the_row_of_that_very_chat(machine: Machine) -> None:
    status, checks = verify(machine, "--wait")
    assert status == 0
    assert list(checks) == NAMES
    assert results(checks, "ok") == set(NAMES), checks
    assert "active since 2" in checks["litellm.unit"]["detail"]
    assert "hands a virtual key on" in checks["wrapper.key"]["detail"]
    reaches = "the wrapper on port 4010 reaches postgres and redis"
    assert checks["wrapper.deps"]["detail"] == reaches
    assert "16 models on port 4010" in checks["model.list"]["detail"]
    assert "hx-chat on port 4010 says HX-OK" in checks["model.chat"]["detail"]
    assert "came from Redis" in checks["litellm.cache"]["detail"]
    assert "a new key may make 2 requests a minute" in checks["litellm.limit"]["detail"]
    assert "HTTP 200" in checks["litellm.ui"]["detail"]
    assert "although DISABLE_ADMIN_UI=true" in checks["litellm.ui"]["detail"]
    assert "the row of this chat is written" in checks["litellm.spend"]["detail"]
    assert all(
        set(check) == {"name", "result", "seconds", "detail", "cure"} for check in checks.values()
    )
    rows = machine.psql(
        "SELECT count(*) FROM \"LiteLLM_SpendLogs\" WHERE request_id LIKE 'chatcmpl-backend-%'",
        database="hx_gateway",
    )
    assert int(rows) > 0


def test_it_takes_less_than_five_seconds_and_tells_a_row_that_has_not_come(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    said = machine.run(VERIFY).stdout
    with capsys.disabled():
        print(f"verify took {time.monotonic() - started:.1f} s: {said.splitlines()[-1]}")
    rows = [line.split()[:2] for line in said.splitlines()[:-1] if not line.startswith(" ")]
    assert [name for _, name in rows] == NAMES
    assert all(result == "ok" for result, name in rows if name != "litellm.spend")
    if rows[-1][0] == "skipped":
        assert "not written yet" in said and "Cure: run 'hx-gateway-db verify --wait'" in said


def test_redis_stopped(machine: Machine) -> None:
    with stopped(machine, "redis-server"):
        said = failure(machine, "wrapper.deps", "litellm.cache")
        on_terminal = ["script", "--quiet", "--command", " ".join(VERIFY), "/dev/null"]
        plain = machine.run(on_terminal, env={"NO_COLOR": "1", "TERM": "xterm"}).stdout
        coloured = machine.run(on_terminal, env={"TERM": "xterm"}).stdout
    assert "\033" not in plain and "failed   litellm.cache" in plain
    assert "\033[31mfailed\033[0m   litellm.cache" in coloured
    assert "the wrapper on port 4010 does not reach redis" in said
    assert "Cure: start Redis at 127.0.0.1:6379, or check" in said
    assert "LiteLLM on port 4000 does not reach Redis at 127.0.0.1:6379" in said
    assert "Cure: start Redis there, or check REDIS_HOST and REDIS_PORT" in said
    assert "hx-litellm-gateway logged last:" in said and "Connection refused" in said


def test_the_server_of_a_model_away_is_a_warning(machine: Machine) -> None:
    machine.run(["systemctl", "stop", "backend"])
    status, checks = verify(machine)
    start(machine, "backend", "/usr/bin/python3", "/root/backend.py")
    assert status == 0
    assert results(checks, "warning") == {"model.chat"}
    assert checks["model.chat"]["detail"].startswith("the server behind hx-chat can't be reached")
    assert (
        checks["model.chat"]["cure"] == "start it, or correct the entry of hx-chat in config.yaml"
    )
    assert checks["litellm.cache"]["result"] == "skipped"


def test_a_wrapper_that_runs_with_another_pg_url_than_there_is_now(machine: Machine) -> None:
    env = machine.read(GATEWAY_ENV)
    owner, mode = machine.stat(GATEWAY_ENV).split()
    other = re.sub("(?m)^PG_URL=.*", "PG_URL=postgresql://nobody:unknown@127.0.0.1/hx_gateway", env)
    machine.write(GATEWAY_ENV, other, owner=owner, mode=int(mode, 8))
    restart_wrapper(machine)
    machine.wait_for_gateway()
    machine.write(GATEWAY_ENV, env, owner=owner, mode=int(mode, 8))
    said = failure(machine, "wrapper.deps")
    assert "the wrapper on port 4010 does not reach postgres" in said
    assert "Cure: run 'systemctl restart hx-gateway-ml'" in said
    restart_wrapper(machine)
    machine.wait_for_gateway()
    assert verify(machine)[1]["wrapper.deps"]["result"] == "ok"


def test_the_wrapper_stopped(machine: Machine) -> None:
    with stopped(machine, WRAPPER):
        said = failure(machine, "wrapper.unit")
        status, checks = verify(machine)
    assert f"{WRAPPER} is stopped" in said
    assert "Cure: run 'systemctl start hx-gateway-ml'" in said
    assert "on port 4000 says HX-OK" in checks["model.chat"]["detail"]
    machine.wait_for_gateway()


def test_the_wrapper_masked_and_missing(machine: Machine) -> None:
    unit_file = f"/etc/systemd/system/{WRAPPER}"
    with stopped(machine, WRAPPER):
        machine.run(["mv", unit_file, "/root/"])
        machine.run(["systemctl", "daemon-reload"])
        missing = failure(machine, "wrapper.unit")
        machine.run(["systemctl", "mask", WRAPPER])
        masked = failure(machine, "wrapper.unit")
        machine.run(["systemctl", "unmask", WRAPPER])
        machine.run(["mv", f"/root/{WRAPPER}", unit_file])
        machine.run(["systemctl", "daemon-reload"])
    machine.wait_for_gateway()
    assert f"{WRAPPER} is not installed" in missing
    assert f"{WRAPPER} is masked" in masked
    assert "Cure: run 'systemctl unmask hx-gateway-ml' and start it" in masked


def test_a_foreign_process_on_the_wrapper_s_port(machine: Machine) -> None:
    machine.run(["systemctl", "stop", WRAPPER])
    start(machine, "foreign", "/usr/bin/python3", "-m", "http.server", "4010")
    machine.wait_until(lambda: machine.http("GET", "http://127.0.0.1:4010/").status == 200, 20)
    pid = machine.main_pid("foreign")
    restart_wrapper(machine)
    log = "address already in use"
    machine.wait_until(lambda: log in machine.journal(WRAPPER), 20)
    machine.wait_until(lambda: not machine.is_active(WRAPPER), 20)
    said = machine.run(VERIFY, check=False).stdout
    machine.run(["systemctl", "stop", "foreign"])
    restart_wrapper(machine)
    machine.wait_for_gateway()
    holder = f"python3, process {pid}, foreign.service"
    assert f"port 4010 is held by another program ({holder})" in said
    assert "Cure: stop that, then run 'systemctl restart hx-gateway-ml'" in said
    assert f"{WRAPPER} ends again and again (exit status 1)" in said
    assert "hx-gateway-ml logged last:" in said and log in said


OWN_KEY = "HX_AUTHORIZATION=own-key\nHX_MASTER_KEY=sk-own-key-1\n"


def test_a_wrapper_without_an_upstream_key(machine: Machine) -> None:
    with wrapper_with(machine, OWN_KEY):
        said = failure(machine, "wrapper.key")
    assert "the wrapper on port 4010 has no HX_UPSTREAM_KEY" in said
    assert "it sends LiteLLM no key, and LiteLLM refuses every request" in said
    assert f"Cure: set HX_UPSTREAM_KEY in {ML_ENV} to a key of LiteLLM's" in said
    assert "401 Unauthorized" in said


def test_a_wrapper_whose_upstream_key_litellm_refuses(machine: Machine) -> None:
    with wrapper_with(machine, f"{OWN_KEY}HX_UPSTREAM_KEY=sk-of-yesterday\n"):
        said = failure(machine, "wrapper.key")
    assert "LiteLLM refuses the HX_UPSTREAM_KEY that the wrapper on port 4010 sends" in said
    assert "sk-of-yesterday" not in said


def test_a_wrapper_that_has_no_key_of_its_own(machine: Machine) -> None:
    with wrapper_with(machine, f"HX_AUTHORIZATION=own-key\nHX_UPSTREAM_KEY={MASTER_KEY}\n"):
        said = failure(machine, "wrapper.key")
    assert "refuses virtual keys and has no HX_MASTER_KEY or MASTER_KEY of its own" in said
    assert f"Cure: set HX_MASTER_KEY in {ML_ENV}" in said


def test_a_wrapper_with_another_master_key_than_litellm_is_told_as_it_is(machine: Machine) -> None:
    with wrapper_with(machine, f"{OWN_KEY}HX_UPSTREAM_KEY={MASTER_KEY}\n"):
        status, checks = verify(machine, "--wait")
    assert status == 0
    assert results(checks, "ok") == set(NAMES), checks
    assert checks["wrapper.key"]["detail"] == (
        "the wrapper takes its own key, HX_MASTER_KEY (virtual keys work on port 4000 only)"
    )


def test_the_database_stopped(machine: Machine) -> None:
    with stopped(machine, "postgresql"):
        status, checks = verify(machine)
        said = machine.run(VERIFY, check=False).stdout
    assert status == 6
    failed = {"postgres.tables", "wrapper.deps", "litellm.key"}
    assert results(checks, "failed") == failed, checks
    assert checks["wrapper.deps"]["cure"] == "do first what postgres.tables says"
    assert "PostgreSQL at 127.0.0.1:5432 refuses connections" in checks["postgres.tables"]["detail"]
    assert "check PG_PORT, that the server runs" in checks["postgres.tables"]["cure"]
    assert "can't make a virtual key (HTTP 500: it does not" in checks["litellm.key"]["detail"]
    assert "hx-litellm-gateway logged last:" in said
    assert '"POST /key/generate HTTP/1.1" 500 Internal Server Error' in said


def test_a_table_missing(machine: Machine) -> None:
    rename = 'ALTER TABLE "LiteLLM_{}" RENAME TO "LiteLLM_{}"'
    machine.wait_until(lambda: verify(machine)[0] == 0, 30)
    machine.psql(rename.format("VerificationToken", "Gone"), database="hx_gateway")
    status, checks = verify(machine)
    machine.psql(rename.format("Gone", "VerificationToken"), database="hx_gateway")
    assert status == 6
    assert "postgres.tables" in results(checks, "failed")
    tables = checks["postgres.tables"]
    assert "hx_gateway on 127.0.0.1:5432 has no LiteLLM_VerificationToken" in tables["detail"]
    assert "if they were dropped since, restore them from a backup" in tables["cure"]


def test_a_gateway_that_hangs_does_not_hang_verify(machine: Machine) -> None:
    pid = str(machine.main_pid(LITELLM))
    machine.run(["kill", "-STOP", pid])
    try:
        done: CompletedProcess[str] = machine.run(VERIFY, check=False, timeout=30)
    finally:
        machine.run(["kill", "-CONT", pid])
    assert "port 4000 did not answer within 3 s" in done.stdout
    assert "Cure: run 'systemctl restart hx-litellm-gateway'" in done.stdout


def test_watch_redraws_in_place_until_ctrl_c(machine: Machine) -> None:
    command = "hx-gateway-db verify --watch 1; echo exit status $?; sleep 600"
    machine.run(["tmux", "new-session", "-d", "-s", "w", "-x", "80", "-y", "24", command])
    machine.wait_until(lambda: "row of the chat of" in screen(machine), 40, what="an earlier row")
    lines = screen(machine).splitlines()
    assert "every 1 s, Ctrl-C ends it" in lines[0]
    assert lines[1].startswith("All well, in ")
    last = 2 + len(NAMES)
    assert [line.split()[1] for line in lines[2:last]] == NAMES
    assert not any(lines[last:])
    assert "\033[32mok" in screen(machine, "-e")
    with stopped(machine, "redis-server"):
        machine.wait_until(lambda: "2 of 17 checks failed" in screen(machine), 20)
        assert "does not reach Redis" in screen(machine)
        assert "Ctrl-C ends it" in screen(machine).splitlines()[0]
    machine.wait_until(lambda: "All well" in screen(machine), 20)
    resize(machine, 40, 24)
    machine.wait_until(lambda: "litellm.spend" in screen(machine), 20)
    resize(machine, 40, 12)
    machine.wait_until(lambda: "more: hx-gateway-db verify" in screen(machine), 20)
    assert all(len(line) <= 40 for line in screen(machine).splitlines())
    machine.run(["tmux", "send-keys", "-t", "w", "C-c"])
    machine.wait_until(lambda: "exit status 0" in screen(machine), 20)
    machine.run(["tmux", "kill-session", "-t", "w"])


def resize(machine: Machine, columns: int, lines: int) -> None:
    machine.run(["tmux", "resize-window", "-t", "w", "-x", str(columns), "-y", str(lines)])


def screen(machine: Machine, *options: str) -> str:
    return machine.run(["tmux", "capture-pane", "-p", *options, "-t", "w"]).stdout


def test_watch_into_a_pipe_appends_tables_without_control_characters(machine: Machine) -> None:
    # grep ends with the second table, and with it the others before it in the pipe.
    watch = f"timeout 60 {shlex.join([*VERIFY, '--watch', '1'])} | tee /tmp/said"
    machine.run(["sh", "-c", f"{watch} | grep --max-count=2 --count 'All well, in ' | grep 2"])
    assert "\033" not in machine.read("/tmp/said")


def test_litellm_stopped_then_starting_then_without_a_master_key(machine: Machine) -> None:
    machine.run(["systemctl", "stop", LITELLM])
    said = failure(machine, "litellm.unit")
    assert f"{LITELLM} is stopped" in said
    assert "Cure: run 'systemctl start hx-litellm-gateway'" in said

    before = configure(machine, f"  master_key: {MASTER_KEY}\n", "")
    machine.run(["systemctl", "start", LITELLM])
    assert "ago: nobody listens yet" in failure(machine, "litellm.port")

    serves = f"{LITELLM_URL}/health/liveliness"
    machine.wait_until(lambda: machine.http("GET", serves).status == 200, 90)
    said = failure(machine, "litellm.key")
    assert "LiteLLM has no master key (it lets in whoever reaches it" in said
    assert "Cure: set general_settings.master_key in config.yaml and restart it" in said

    owner, mode = machine.stat(CONFIG_YAML).split()
    machine.write(CONFIG_YAML, before, owner=owner, mode=int(mode, 8))
    status, checks = verify(machine)
    assert status == 0 or results(checks, "failed") <= {"litellm.key"}
