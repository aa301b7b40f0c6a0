"""The machines themselves, and the bar to beat: the gateway as it is and the specification by hand.

If one of these fails, nothing that the other tests on machines say can be trusted.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pexpect
import pytest

from tests.machine.installation import DROP_INS, GATEWAY_ENV, make_database, new_key
from tests.machine.machine import (
    BASE,
    CONFIG_YAML,
    LITELLM_UNIT,
    LITELLM_URL,
    MASTER_KEY,
    WRAPPER_UNIT,
    WRAPPER_URL,
    Machine,
    Response,
)

pytestmark = pytest.mark.sample_release("bookworm")

CHAT = "/v1/chat/completions"
PASSWORD = "p@ss:w/%#?&+ ä;$\\\"'"

# The specification's commands, letter by letter; `sudo` is nothing to root.
SPECIFIED_SQL = """
CREATE DATABASE hx_gateway;
CREATE USER hx_gateway WITH PASSWORD 'REDACTED';
GRANT ALL PRIVILEGES ON DATABASE hx_gateway TO hx_gateway;
"""
SPECIFIED_STEPS_0_TO_5 = r"""
sudo() { "$@"; }
export PG_HOST="127.0.0.1"
export PG_PORT="5432"
export PG_DB="hx_gateway"
export PG_USER="hx_gateway"
export PG_PASS="REDACTED"

export REDIS_HOST="127.0.0.1"
export REDIS_PORT="6379"
export REDIS_PASS="REDACTED"

export BASE="/opt/HX-Infrastructure-/api-gateway"
sudo install -d -m 0755 "$BASE/config/api-gateway"

sudo bash -c "cat > $BASE/config/api-gateway/gateway.env" <<EOF
# Postgres (LiteLLM will auto-initialize tables on start)
DATABASE_URL=postgresql://${PG_USER}:${PG_PASS}@${PG_HOST}:${PG_PORT}/${PG_DB}

# Redis (for cache/rate-limit if enabled)
REDIS_URL=redis://:${REDIS_PASS}@${REDIS_HOST}:${REDIS_PORT}/0

# Optional hardening / switches
DISABLE_ADMIN_UI=true
EOF

# Lock it down for the service user
sudo chown root:hx-gateway "$BASE/config/api-gateway/gateway.env"
sudo chmod 640 "$BASE/config/api-gateway/gateway.env"

# Core LiteLLM proxy (port 4000)
sudo mkdir -p /etc/systemd/system/hx-litellm-gateway.service.d
sudo bash -c 'cat > /etc/systemd/system/hx-litellm-gateway.service.d/30-db.conf' <<'EOF'
[Service]
EnvironmentFile=/opt/HX-Infrastructure-/api-gateway/config/api-gateway/gateway.env
EOF

# SOLID wrapper (port 4010)
sudo mkdir -p /etc/systemd/system/hx-gateway-ml.service.d
sudo bash -c 'cat > /etc/systemd/system/hx-gateway-ml.service.d/30-db.conf' <<'EOF'
[Service]
EnvironmentFile=/opt/HX-Infrastructure-/api-gateway/config/api-gateway/gateway.env
EOF

sudo systemctl daemon-reload

export CFG="$BASE/config/api-gateway/config.yaml"

# Remove db-less flags if present
sudo sed -i '/^[[:space:]]*disable_spend_logs:/d' "$CFG"
sudo sed -i '/^[[:space:]]*disable_error_logs:/d' "$CFG"

# Ensure general_settings exists, then add positive flags
grep -q '^general_settings:' "$CFG" || \
  sudo sed -i '1igeneral_settings:' "$CFG"

sudo awk 'BEGIN{done=0}
  /^general_settings:/ && !done {print; print "  disable_spend_logs: false"; print "  disable_error_logs: false"; done=1; next}
  {print}' "$CFG" | sudo tee "$CFG.tmp" >/dev/null && sudo mv "$CFG.tmp" "$CFG"

sudo systemctl restart hx-litellm-gateway
sleep 5 && sudo systemctl is-active --quiet hx-litellm-gateway || { echo "liteLLM failed"; exit 1; }

sudo systemctl restart hx-gateway-ml
sleep 5 && sudo systemctl is-active --quiet hx-gateway-ml || { echo "wrapper failed"; exit 1; }
"""  # noqa: E501
SPECIFIED_ROLLBACK = r"""
sudo() { "$@"; }
BASE="/opt/HX-Infrastructure-/api-gateway"
CFG="${BASE}/config/api-gateway/config.yaml"
sudo rm -f /etc/systemd/system/hx-*-service.d/30-db.conf /etc/systemd/system/hx-*-service.d/40-cache.conf
sudo sed -i '/^[[:space:]]*disable_spend_logs:/d' "$CFG"; sudo sed -i '/^[[:space:]]*disable_error_logs:/d' "$CFG"
sudo awk 'BEGIN{done=0}
  /^general_settings:/ && !done {print; print "  disable_spend_logs: true"; print "  disable_error_logs: true"; done=1; next}
  {print}' "$CFG" | sudo tee "$CFG.tmp" >/dev/null && sudo mv "$CFG.tmp" "$CFG"
sudo systemctl daemon-reload
sudo systemctl restart hx-litellm-gateway hx-gateway-ml
"""  # noqa: E501


def chat(machine: Machine, url: str, key: str) -> Response:
    """Ask the model `hx-chat` for its only answer."""
    messages = [{"role": "user", "content": "Return exactly the text: HX-OK"}]
    return machine.http(
        "POST", f"{url}{CHAT}", key=key, body={"model": "hx-chat", "messages": messages}
    )


def answer(response: Response) -> str:
    """The text of a chat answer, which must have succeeded."""
    assert response.status == 200, response
    return str(response.json["choices"][0]["message"]["content"])


def readiness(machine: Machine) -> str:
    """What LiteLLM says of its database."""
    return str(machine.http("GET", f"{LITELLM_URL}/health/readiness").json["db"])


def wire_by_hand(machine: Machine) -> None:
    """Do what the specification means: a role that owns its database, and its password encoded."""
    make_database(machine, PASSWORD)
    url = f"postgresql://hx_gateway:{quote(PASSWORD, safe='')}@127.0.0.1:5432/hx_gateway"
    machine.write(GATEWAY_ENV, f"DATABASE_URL={url}\n", mode=0o640, owner="root:hx-gateway")
    for path in DROP_INS:
        machine.run(["mkdir", "-p", path.rpartition("/")[0]])
        machine.write(path, f"[Service]\nEnvironmentFile={GATEWAY_ENV}\n")
    flags = "s/^  disable_\\(spend\\|error\\)_logs: true/  disable_\\1_logs: false/"
    machine.run(["sed", "-i", flags, str(CONFIG_YAML)])
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "restart", LITELLM_UNIT, WRAPPER_UNIT])
    machine.wait_for_gateway()


def test_without_a_database_any_key_but_the_master_key_is_told_so(shared_machine: Machine) -> None:
    refused = chat(shared_machine, WRAPPER_URL, "sk-not-the-master-key")
    assert (refused.status, refused.json["error"]["message"]) == (400, "No connected db.")
    assert answer(chat(shared_machine, WRAPPER_URL, MASTER_KEY)) == "HX-OK"
    assert readiness(shared_machine) == "Not connected"


def test_the_wrapper_serves_all_models_and_turns_prompt_into_input(shared_machine: Machine) -> None:
    models = shared_machine.http("GET", f"{WRAPPER_URL}/v1/models", key=MASTER_KEY)
    assert len(models.json["data"]) == 16
    body = {"model": "emb-premium", "prompt": "HX-OK"}
    embedded = shared_machine.http(
        "POST", f"{WRAPPER_URL}/v1/embeddings", key=MASTER_KEY, body=body
    )
    assert embedded.json["data"][0]["embedding"] == [0.1, 0.2, 0.3]


def test_a_machine_is_as_an_administrator_leaves_it(shared_machine: Machine) -> None:
    failed = shared_machine.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"])
    assert failed.stdout == ""
    assert not shared_machine.exists("/usr/sbin/policy-rc.d")
    assert shared_machine.stat(CONFIG_YAML) == "hx-gateway:hx-gateway 640"
    assert shared_machine.stat("/etc/hx-gateway/ml.env") == "root:root 600"
    interfaces = shared_machine.run(["ls", "/sys/class/net"]).stdout.split()
    assert interfaces == ["lo"]


# Each line, and what systemd and python-dotenv read from it: the variables it sets.
ENVIRONMENT_LINES = [
    ("A=pa$$word ${HOME}", {"A": "pa$$word ${HOME}"}, {"A": "pa$$word ${HOME}"}),
    ("B=a%40b%25@h:5432/d", {"B": "a%40b%25@h:5432/d"}, {"B": "a%40b%25@h:5432/d"}),
    ('C="quo\\"ted \\$x"', {"C": 'quo"ted $x'}, {"C": 'quo"ted \\$x'}),
    ("D=a#b ;c", {"D": "a#b ;c"}, {"D": "a#b ;c"}),
    ("E=a\\b\\\\c", {"E": "ab\\c"}, {"E": "a\\b\\\\c"}),
    ("F=a #b", {"F": "a #b"}, {"F": "a"}),
    ("G='a'\"'\"'b'", {"G": "a'b"}, {}),
    ("H=trailing  ", {"H": "trailing"}, {"H": "trailing"}),
    ("export K=a", {}, {"K": "a"}),
]

READ_BY_DOTENV = """
import dotenv, json, sys
print(json.dumps(dotenv.dotenv_values(sys.argv[1], interpolate=False)))
"""


@pytest.mark.parametrize(
    ("line", "by_systemd", "by_dotenv"), ENVIRONMENT_LINES, ids=lambda value: str(value)[:1]
)
def test_systemd_and_dotenv_read_an_environment_file_as_the_table_says(
    shared_machine: Machine, line: str, by_systemd: dict[str, str], by_dotenv: dict[str, str]
) -> None:
    path = "/root/table.env"
    shared_machine.write(path, f"{line}\nEND=end\n")
    unit = ["systemd-run", "--quiet", "--wait", "--pipe", f"--property=EnvironmentFile={path}"]
    shown = shared_machine.run([*unit, "env", "--null"]).stdout
    environment = dict(item.split("=", 1) for item in shown.split("\0") if item)
    names = {*by_systemd, *by_dotenv}
    assert {name: environment[name] for name in names if name in environment} == by_systemd
    assert environment["END"] == "end"

    read = json.loads(shared_machine.run(["python3", "-c", READ_BY_DOTENV, path]).stdout)
    assert read == {**by_dotenv, "END": "end"}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("mysql://postgres@127.0.0.1:5432/postgres", "P1013"),
        ("postgresql://nobody:wrong@127.0.0.1:5432/postgres", "P1000"),
        ("postgresql://postgres:wrong@127.0.0.1:1/postgres", "P1001"),
    ],
)
def test_the_query_engine_refuses_to_start_as_the_native_one_does(
    shared_machine: Machine, url: str, code: str
) -> None:
    shared_machine.write("/root/schema.prisma", "")
    engine = shared_machine.run(
        ["/opt/prisma-engines/query-engine", "--port", "4466"],
        env={"DATABASE_URL": url, "PRISMA_DML_PATH": "/root/schema.prisma"},
        check=False,
    )
    assert engine.returncode == 1
    assert json.loads(engine.stderr)["error_code"] == code


MIGRATIONS = {
    "1_good": "CREATE FUNCTION one() RETURNS int AS $$ BEGIN RETURN 1; END; $$ LANGUAGE plpgsql;",
    "2_bad": "CREATE TABLE half (id int); CREATE TABLE away.whole (id int);",
}
SCHEMA = """\
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Half {
  id Int @id
}
"""


def test_a_migration_fails_and_is_resolved_as_with_prisma_s_native_engine(
    shared_machine: Machine,
) -> None:
    make_database(shared_machine, "pw", "migrated")
    shared_machine.run(["mkdir", "-p", *(f"/root/migrations/{name}" for name in MIGRATIONS)])
    for name, sql in MIGRATIONS.items():
        shared_machine.write(f"/root/migrations/{name}/migration.sql", sql)
    shared_machine.write("/root/schema.prisma", SCHEMA)
    shared_machine.write("/root/migrations/migration_lock.toml", 'provider = "postgresql"\n')
    site = shared_machine.read("/etc/systemd/system/hx-litellm-gateway.service.d/10-prisma.conf")
    lines = re.findall(r"^Environment=(\w+)=(.*)$", site, re.MULTILINE)
    environment = dict(lines) | {"DATABASE_URL": "postgresql://migrated:pw@127.0.0.1/migrated"}

    def prisma(*arguments: str) -> str:
        command = [f"{BASE}/gateway/venv/bin/prisma", *arguments]
        done = shared_machine.run(
            ["sh", "-c", 'cd /root && exec "$@"', "sh", *command], env=environment, check=False
        )
        return done.stdout + done.stderr

    said = prisma("migrate", "deploy")
    assert "P3018" in said and "Migration name: 2_bad" in said
    assert 'Database error code: 3F000\n\nDatabase error:\nERROR: schema "away" does not' in said
    rows = "SELECT migration_name, finished_at IS NULL, logs LIKE '%away%' FROM _prisma_migrations"
    listed = shared_machine.psql(f"{rows} ORDER BY 1", database="migrated")
    assert listed == "1_good|f|\n2_bad|t|t"
    assert "P3009" in prisma("migrate", "deploy")
    assert "marked as rolled back" in prisma("migrate", "resolve", "--rolled-back", "2_bad")
    assert "P3011" in prisma("migrate", "resolve", "--rolled-back", "9_nobody")
    assert "P3012" in prisma("migrate", "resolve", "--rolled-back", "1_good")
    shared_machine.run(["rm", "-r", "/root/migrations/2_bad"])
    assert "No pending migrations" in prisma("migrate", "deploy")
    difference = ("--from-url", environment["DATABASE_URL"], "--to-schema-datamodel")
    script = prisma("migrate", "diff", *difference, "schema.prisma", "--script")
    assert 'CREATE TABLE "Half"' in script


def test_machines_side_by_side_have_nothing_in_common(
    shared_machine: Machine, machine: Machine
) -> None:
    machine.run(["systemctl", "stop", "redis-server", LITELLM_UNIT])
    machine.write("/etc/only-here", "")
    assert shared_machine.is_active("redis-server")
    assert shared_machine.http("GET", f"{LITELLM_URL}/health/liveliness").status == 200
    assert not shared_machine.exists("/etc/only-here")


def test_a_terminal_in_a_machine_shows_a_dialog_and_takes_an_answer(
    shared_machine: Machine,
) -> None:
    dialog = shared_machine.spawn(["whiptail", "--yesno", "Shall it work?", "10", "40"])
    dialog.expect("Shall it work")
    dialog.send("\r")
    dialog.expect(pexpect.EOF)
    dialog.close()
    assert dialog.exitstatus == 0


def test_without_systemd_a_machine_runs_commands_and_keeps_its_files(cold_machine: Machine) -> None:
    assert not cold_machine.exists("/run/systemd/system")
    cold_machine.write("/etc/kept", "kept\n", mode=0o640, owner="root:hx-gateway")
    assert (cold_machine.read("/etc/kept"), cold_machine.stat("/etc/kept")) == (
        "kept\n",
        "root:hx-gateway 640",
    )
    cold_machine.boot()
    assert cold_machine.read("/etc/kept") == "kept\n"


def test_a_database_wired_as_the_specification_means_it_makes_virtual_keys_work(
    machine: Machine,
) -> None:
    wire_by_hand(machine)
    assert readiness(machine) == "connected"
    applied = "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL"
    assert machine.psql(applied, database="hx_gateway") == "32"

    body = {"metadata": {"site": "hx"}}
    made = machine.http("POST", f"{LITELLM_URL}/key/generate", key=MASTER_KEY, body=body)
    key = made.json["key"]
    kept = "SELECT metadata->>'site' FROM \"LiteLLM_VerificationToken\""
    assert machine.psql(kept, database="hx_gateway") == "hx"
    assert answer(chat(machine, LITELLM_URL, key)) == "HX-OK"
    request = chat(machine, WRAPPER_URL, key)
    assert answer(request) == "HX-OK"
    row = f"SELECT model FROM \"LiteLLM_SpendLogs\" WHERE request_id = '{request.json['id']}'"
    machine.wait_until(
        lambda: machine.psql(row, database="hx_gateway") == "hx-chat", 60, what="the row of spend"
    )

    # The newer kind of wrapper stops the same key before LiteLLM sees it.
    machine.write(
        "/etc/hx-gateway/ml.env",
        f"HX_AUTHORIZATION=own-key\nHX_MASTER_KEY={MASTER_KEY}\nHX_UPSTREAM_KEY={key}\n",
        mode=0o600,
    )
    machine.run(["systemctl", "restart", WRAPPER_UNIT])
    machine.wait_for_gateway()
    refused = chat(machine, WRAPPER_URL, key)
    assert (refused.status, refused.json["error"]["message"]) == (401, "invalid wrapper key")
    assert answer(chat(machine, WRAPPER_URL, MASTER_KEY)) == "HX-OK"

    delete = {"keys": [key]}
    machine.http("POST", f"{LITELLM_URL}/key/delete", key=MASTER_KEY, body=delete)
    assert chat(machine, LITELLM_URL, key).status == 401
    assert chat(machine, WRAPPER_URL, MASTER_KEY).status == 401

    # A power cut, and all is there again.
    machine.kill()
    machine.boot()
    machine.wait_for_gateway()
    assert readiness(machine) == "connected"
    assert machine.psql(applied, database="hx_gateway") == "32"


def test_the_specification_to_the_letter_says_connected_and_serves_no_virtual_key(
    machine: Machine,
) -> None:
    machine.psql(SPECIFIED_SQL)
    machine.run(["bash", "-c", SPECIFIED_STEPS_0_TO_5])
    machine.wait_for_gateway()
    assert readiness(machine) == "connected"
    assert answer(chat(machine, WRAPPER_URL, MASTER_KEY)) == "HX-OK"

    assert new_key(machine).status == 500
    virtual = chat(machine, WRAPPER_URL, "sk-a-virtual-key")
    assert virtual.status == 401
    assert "LiteLLM_VerificationToken" in virtual.json["error"]["message"]
    assert machine.stat(CONFIG_YAML) == "root:root 644"

    machine.run(["bash", "-c", SPECIFIED_ROLLBACK])
    assert [machine.exists(path) for path in DROP_INS] == [True, True]
    for unit in (LITELLM_UNIT, WRAPPER_UNIT):
        assert str(GATEWAY_ENV) in machine.run(["systemctl", "show", unit]).stdout
