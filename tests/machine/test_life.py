"""The life of one installation, from a preseeded install to its purge; each test a chapter."""

import json
import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.machine.installation import (
    CACHE_DROP_IN,
    DROP_INS,
    GATEWAY_ENV,
    assert_a_virtual_key_works,
    assert_no_password_in_debconf,
    assert_only_the_salt_is_left,
    chat,
    existing,
    main_pids,
    make_database,
    new_key,
    no_connected_db,
    preseed,
    raised_version,
    reconfigure,
    stopped,
)
from tests.machine.machine import CONFIG_YAML, MASTER_KEY, WRAPPER_URL, Machine

# On the other release, test_upgrade.py tells a life.
pytestmark = pytest.mark.sample_release("trixie")

FIRST = "first p@ss:w/rd%"
# Space first and last would be trimmed by debconf-set-selections, not by us.
PRINTABLE = string.ascii_letters + string.punctuation + " " + string.digits
FLAGS = ("disable_spend_logs", "disable_error_logs")


@pytest.fixture(scope="module")
def machine(shared_machine: Machine) -> Machine:
    return shared_machine


@pytest.fixture(scope="module")
def original(machine: Machine) -> str:
    """config.yaml before the package came, with an ACL and an extended attribute on it."""
    machine.run(["setfacl", "--modify", "user:daemon:r", str(CONFIG_YAML)])
    machine.run(["setfattr", "--name=user.note", "--value=mine", str(CONFIG_YAML)])
    return machine.read(CONFIG_YAML)


def access(machine: Machine) -> str:
    acl = machine.run(["getfacl", "--absolute-names", str(CONFIG_YAML)]).stdout
    return acl + machine.run(["getfattr", "--dump", "--absolute-names", str(CONFIG_YAML)]).stdout


def with_logs(text: str) -> str:
    """config.yaml with both flags `false`; the gateway's own has them `true`."""
    for flag in FLAGS:
        assert text.count(f"{flag}: true") == 1
        text = text.replace(f"{flag}: true", f"{flag}: false")
    return text


def test_a_preseeded_install_gives_the_gateway_its_database(
    machine: Machine, deb: Path, original: str
) -> None:
    before = access(machine)
    assert no_connected_db(machine)
    make_database(machine, FIRST)
    preseed(machine, existing(FIRST))
    said = machine.install(deb)
    assert "A virtual key works" in said.stdout + said.stderr
    assert FIRST not in said.stdout + said.stderr

    key = assert_a_virtual_key_works(machine)
    assert key
    machine.wait_until(
        lambda: machine.psql(
            "SELECT count(*) FROM \"LiteLLM_SpendLogs\" WHERE model LIKE '%hx-chat%'"
            " OR model_group = 'hx-chat'",
            database="hx_gateway",
        )
        != "0",
        90,
        what="the request's row in LiteLLM_SpendLogs",
    )
    assert machine.stat(GATEWAY_ENV) == "root:hx-gateway 640"
    for path in DROP_INS:
        assert machine.read(path) == f"[Service]\nEnvironmentFile={GATEWAY_ENV}\n"
    assert not machine.exists(CACHE_DROP_IN)
    assert machine.read(CONFIG_YAML) == with_logs(original)
    assert access(machine) == before
    assert_no_password_in_debconf(machine, FIRST)


def test_verify_finds_nothing_wrong(machine: Machine) -> None:
    said = machine.run(["hx-gateway-db", "verify"]).stdout
    assert "All well, in " in said and "HX-OK" in said


def test_reconfiguring_without_a_change_restarts_nothing(machine: Machine) -> None:
    before = main_pids(machine)
    assert "Nothing to change" in reconfigure(machine)
    assert main_pids(machine) == before


def test_an_upgrade_with_the_database_down_restarts_nothing_and_succeeds(
    machine: Machine, deb: Path, tmp_path: Path
) -> None:
    before = main_pids(machine)
    machine.run(["systemctl", "stop", "postgresql"])
    machine.install(raised_version(deb, tmp_path, "99.0"))
    assert main_pids(machine) == before
    machine.run(["systemctl", "start", "postgresql"])
    shown = machine.run(
        ["dpkg-query", "--show", "--showformat=${Version} ${Status}", "hx-gateway-db"]
    )
    assert shown.stdout == "99.0 install ok installed"
    # LiteLLM connects again by itself; its first question may still fail.
    machine.wait_until(lambda: new_key(machine).status == 200, 60)
    assert_a_virtual_key_works(machine)


def test_a_new_password_of_all_printable_characters_is_taken(machine: Machine) -> None:
    machine.psql("ALTER ROLE hx_gateway PASSWORD $pw$" + PRINTABLE + "$pw$")
    before = main_pids(machine)
    preseed(machine, {"pg-pass": PRINTABLE})
    reconfigure(machine)
    assert all(old != new for old, new in zip(before, main_pids(machine), strict=True))
    assert_a_virtual_key_works(machine)
    assert_no_password_in_debconf(machine, PRINTABLE)
    assert as_python_dotenv_reads_it(machine) == as_systemd_read_it(machine)


def as_python_dotenv_reads_it(machine: Machine) -> str:
    program = (
        "import dotenv, sys;"
        "print(dotenv.dotenv_values(sys.argv[1], interpolate=False)['DATABASE_URL'])"
    )
    return machine.run(["/usr/bin/python3", "-c", program, GATEWAY_ENV]).stdout.strip()


def as_systemd_read_it(machine: Machine) -> str:
    environment = machine.read(f"/proc/{main_pids(machine)[1]}/environ").split("\0")
    return next(x for x in environment if x.startswith("DATABASE_URL=")).partition("=")[2]


def test_a_wrong_password_is_refused_in_one_sentence_and_changes_nothing(machine: Machine) -> None:
    before = (main_pids(machine), machine.read(GATEWAY_ENV), machine.read(CONFIG_YAML))
    preseed(machine, {"pg-pass": "wrong-as-can-be"})
    said = reconfigure(machine, check=False)
    assert "refuses the password of the user hx_gateway" in said
    assert "wrong-as-can-be" not in said and "Traceback" not in said
    assert (main_pids(machine), machine.read(GATEWAY_ENV), machine.read(CONFIG_YAML)) == before
    assert_a_virtual_key_works(machine)
    preseed(machine, {"pg-pass": PRINTABLE})
    machine.run(["dpkg", "--configure", "--pending"], env={"DEBIAN_FRONTEND": "noninteractive"})


WATCH = ["systemctl", "start", "hx-gateway-db-watch.service"]
LAST = "/run/hx-gateway-db/last.json"
METRICS = "/var/lib/prometheus/node-exporter/hx-gateway-db.prom"
CHANGED = "MESSAGE_ID=bb7f2cd4276f4f20a07a2c0da9f6b1c2"
TIMER = "hx-gateway-db.timer"


def looked(machine: Machine) -> tuple[bool, dict[str, Any]]:
    """Let the timer's unit look once: whether it failed, and what it has left."""
    failed = machine.run(WATCH, check=False).returncode != 0
    return failed, json.loads(machine.read(LAST))


def changes(machine: Machine) -> list[str]:
    """What the journal says of changes of state."""
    asked = ["journalctl", "--no-pager", "--output=cat", CHANGED]
    return machine.run([*asked, "_SYSTEMD_UNIT=hx-gateway-db-watch.service"]).stdout.splitlines()


def written_rows(machine: Machine) -> dict[str, int]:
    names = ("SpendLogs", "ErrorLogs", "VerificationToken")
    counted = [f'(SELECT count(*) FROM "LiteLLM_{name}")' for name in names]
    line = machine.psql(f"SELECT {', '.join(counted)}", database="hx_gateway")
    return dict(zip(names, map(int, line.split("|")), strict=True))


@contextmanager
def told_as_the_docs_say(machine: Machine) -> Iterator[None]:
    """With the example units of docs/watching.md, which tell a file here."""
    docs = (Path(__file__).resolve().parents[2] / "docs/watching.md").read_text()
    examples = dict(re.findall(r"```ini\n# (/\S+)\n(.*?)```", docs, re.DOTALL))
    assert examples
    for path, text in examples.items():
        machine.run(["mkdir", "-p", str(Path(path).parent)])
        machine.write(path, text)
    machine.write("/usr/local/bin/tell", '#!/bin/sh\necho "$1" >>/root/told\n', mode=0o755)
    machine.run(["systemctl", "daemon-reload"])
    yield
    machine.run(["rm", "/usr/local/bin/tell", *examples])
    for path in examples:
        machine.run(["rmdir", "--ignore-fail-on-non-empty", str(Path(path).parent)])
    machine.run(["systemctl", "daemon-reload"])


def kill_the_query_engine(machine: Machine) -> None:
    machine.run(["pkill", "-KILL", "-f", "^query-engine"])


def test_nobody_watches_unless_asked_to(machine: Machine) -> None:
    assert not machine.is_active(TIMER)
    assert "\nwatched                       no\n" in machine.run(["hx-gateway-db", "status"]).stdout
    machine.run(["mkdir", "-p", str(Path(METRICS).parent)])
    before = main_pids(machine)
    preseed(machine, {"watch": "true"})
    reconfigure(machine)
    assert machine.is_active(TIMER)
    assert main_pids(machine) == before
    dependencies = machine.run(["systemctl", "list-dependencies", "--plain", "timers.target"])
    assert TIMER in dependencies.stdout


def test_a_look_at_a_gateway_that_serves_leaves_no_row_and_no_line(machine: Machine) -> None:
    before = written_rows(machine)
    for _ in range(10):
        failed, last = looked(machine)
        assert not failed and last["state"] == "serving", last
    key = assert_a_virtual_key_works(machine)
    # What waits to be written is written together, so that this row is the last of all.
    more = before | {
        "SpendLogs": before["SpendLogs"] + 1,
        "VerificationToken": before["VerificationToken"] + 1,
    }
    machine.wait_until(lambda: written_rows(machine)["SpendLogs"] > before["SpendLogs"], 60)
    assert key and written_rows(machine) == more
    assert changes(machine) == []
    assert 'hx_gateway_db_state{state="serving"} 1\n' in machine.read(METRICS)
    assert (machine.stat(LAST), machine.stat(METRICS)) == ("root:root 644", "root:root 644")
    exposed = ["systemd-analyze", "security", "--threshold=30", "hx-gateway-db-watch.service"]
    machine.run([*exposed, "--no-pager"])


def not_judged_while_unpacked(machine: Machine, deb: Path) -> dict[str, Any]:
    """What is known after a look in the middle of an upgrade, which does not fail."""
    machine.put(deb, "/root/again.deb")
    machine.run(["dpkg", "--unpack", "/root/again.deb"])
    failed, last = looked(machine)
    assert not failed
    machine.run(["dpkg", "--configure", "hx-gateway-db"])
    return last


def test_a_query_engine_that_ends_is_a_failed_unit_and_one_line(
    machine: Machine, deb: Path
) -> None:
    with told_as_the_docs_say(machine):
        fails_and_recovers(machine, deb)


def fails_and_recovers(machine: Machine, deb: Path) -> None:
    kill_the_query_engine(machine)
    assert all(looked(machine)[0] for _ in range(2))
    _, last = looked(machine)
    assert last["state"] == "failing" and "the query engine" in last["reason"]
    failed = machine.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout
    assert "hx-gateway-db-watch.service" in failed
    assert 'hx_gateway_db_state{state="failing"} 1\n' in machine.read(METRICS)
    told = changes(machine)
    assert len(told) == 1 and told[0].startswith("Virtual keys fail: the query engine of LiteLLM")
    assert not_judged_while_unpacked(machine, deb) == last
    said = machine.run(["hx-gateway-db", "verify"], check=False).stdout
    assert said.split("\n")[0].startswith("warning  looks"), said
    assert "virtual keys have failed since" in said.split("\n")[0]

    machine.run(["sh", "-c", last["cure"].split("'")[1]])
    machine.wait_for_gateway()
    machine.wait_until(lambda: looked(machine)[1]["state"] == "serving", 60)
    assert changes(machine) == [*told, "Virtual keys work."]
    sentences = ["The gateway's virtual keys fail", "The gateway's virtual keys work again"]
    machine.wait_until(lambda: machine.read("/root/told").splitlines() == sentences, 20)
    said = machine.run(["hx-gateway-db", "verify"], check=False).stdout
    assert re.match(r"warning  looks .* virtual keys failed from \d\d:\d\d to \d\d:\d\d \(", said)


def test_a_gateway_that_was_stopped_on_purpose_is_no_failure(machine: Machine) -> None:
    with stopped(machine):
        failed, last = looked(machine)
        assert not failed and last["state"] == "stopped"
    assert looked(machine) == (False, json.loads(machine.read(LAST)))


def test_removal_leaves_a_gateway_that_serves_without_a_database(
    machine: Machine, original: str
) -> None:
    machine.run(["apt-get", "remove", "--yes", "hx-gateway-db"])
    assert no_connected_db(machine)
    models = machine.http("GET", f"{WRAPPER_URL}/v1/models", key=MASTER_KEY)
    assert models.status == 200 and len(models.json["data"]) == 16
    site, ours = (Path(path).parent for path in DROP_INS)
    assert machine.run(["ls", str(site)]).stdout == "10-prisma.conf\n"
    assert not machine.exists(ours)
    assert not machine.is_active(TIMER)
    assert not any(machine.exists(path) for path in (LAST, METRICS))
    assert machine.read(CONFIG_YAML) == original
    assert machine.stat(GATEWAY_ENV) == "root:hx-gateway 640"


def test_a_reinstall_takes_the_credentials_that_it_finds(machine: Machine, deb: Path) -> None:
    machine.install(deb)
    assert_a_virtual_key_works(machine)


def test_with_the_cache_on_the_second_identical_request_comes_from_redis(machine: Machine) -> None:
    preseed(machine, {"redis": "true", "redis-host": "127.0.0.1", "cache": "true"})
    reconfigure(machine)
    assert "LITELLM_REDIS_URL=redis://127.0.0.1:6379/0\n" in machine.read(GATEWAY_ENV)
    assert "Environment=LITELLM_CACHE=1\n" in machine.read(CACHE_DROP_IN)
    key = assert_a_virtual_key_works(machine)
    question = "something that nobody asked before"
    first = chat(machine, key, question)
    hits = int(redis_statistic(machine, "keyspace_hits"))
    cached = machine.run(["redis-cli", "--scan", "--pattern", "litellm:*"]).stdout
    second = chat(machine, key, question)
    assert cached != ""
    assert first.json["id"] == second.json["id"]
    assert int(redis_statistic(machine, "keyspace_hits")) > hits
    info = machine.http("GET", f"http://127.0.0.1:4000/key/info?key={key}", key=MASTER_KEY)
    assert info.json["info"]["rpm_limit"] == 60


def redis_statistic(machine: Machine, name: str) -> str:
    lines = machine.run(["redis-cli", "INFO", "stats"]).stdout.splitlines()
    return next(line.split(":")[1] for line in lines if line.startswith(f"{name}:"))


def test_purging_leaves_nothing_and_the_configuration_as_it_was(
    machine: Machine, original: str
) -> None:
    purge = machine.run(["apt-get", "purge", "--yes", "hx-gateway-db"])
    assert "dpkg: warning" not in purge.stdout + purge.stderr
    assert no_connected_db(machine)
    assert machine.read(CONFIG_YAML) == original
    assert_only_the_salt_is_left(machine)
    for path in (*DROP_INS, CACHE_DROP_IN, "/var/lib/hx-gateway-db"):
        assert not machine.exists(path)
    left = machine.run(
        ["find", "/", "-xdev", "-name", "*hx-gateway-db*", "-not", "-path", "/root/*"]
    ).stdout.split()
    assert left == []
    assert "hx-gateway-db" not in machine.run(["debconf-show", "--listowners"]).stdout
