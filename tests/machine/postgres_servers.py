"""PostgreSQL servers in trouble, on a machine: for the tests of what we say about them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.machine.machine import Machine

PASSWORD = "secret word"
ROLES = f"""
CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{PASSWORD}';
CREATE ROLE dba LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}';
CREATE ROLE hx LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE hx_rejected LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE hx_tls LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE hx_ident LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE hx_certificate LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE hx_nologin PASSWORD '{PASSWORD}';
CREATE ROLE hx_expired LOGIN PASSWORD '{PASSWORD}' VALID UNTIL '2020-01-01';
CREATE ROLE hx_full LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
CREATE ROLE hx_few LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 5 VALID UNTIL '2100-01-01';
CREATE ROLE "hx_$path" LOGIN PASSWORD '{PASSWORD}';
ALTER ROLE "hx_$path" SET search_path = elsewhere;
CREATE DATABASE hx OWNER hx;
CREATE DATABASE hx_closed OWNER hx ALLOW_CONNECTIONS false;
CREATE DATABASE hx_private;
REVOKE CONNECT ON DATABASE hx_private FROM PUBLIC;
CREATE DATABASE hx_limited OWNER hx CONNECTION LIMIT 0;
CREATE DATABASE hx_latin OWNER hx ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
CREATE DATABASE hx_still OWNER hx;
ALTER DATABASE hx_still SET default_transaction_read_only = on;
CREATE DATABASE hx_others;
CREATE DATABASE "hx other" OWNER hx;
GRANT ALL ON DATABASE hx TO "hx_$path", hx_few, hx_tls;
"""
HBA = """
local all postgres peer
host all hx_rejected 127.0.0.1/32 reject
host all hx_ident 127.0.0.1/32 ident
hostssl all hx_certificate 127.0.0.1/32 cert
host all hx_stranger 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
host all hx ::1/128 scram-sha-256
hostssl all hx_tls ::1/128 scram-sha-256
"""
_PROGRAM = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from hx_gateway_db.postgres import administration, check, script
from hx_gateway_db.postgres.facts import Pool
from hx_gateway_db.errors import Refused
from hx_gateway_db.settings.values import Login, Postgres

def settings_of(values):
    values = {key: value for key, value in values.items() if key != "pool"}
    return Postgres(**values | {"parameters": tuple(map(tuple, values.get("parameters", ())))})

def inspect(values):
    inspection = check.inspect_postgres(settings_of(values), Pool(values.get("pool", 10)))
    found = [asdict(finding) | {"level": finding.level.value, "by": finding.by.value,
        "sentence": finding.sentence} for finding in inspection.findings]
    return [found, inspection.pooled]

given = json.load(sys.stdin)
settings = settings_of(given["settings"])
try:
    if given["call"] == "inspect":
        print(json.dumps(inspect(given["settings"])))
    elif given["call"] == "inspect_each":
        with ThreadPoolExecutor(8) as threads:
            print(json.dumps(list(threads.map(inspect, given["each"]))))
    elif given["call"] == "provision_as":
        done = administration.provision_as(settings, Login(*given["administrator"]))
        print(json.dumps(done))
    elif given["call"] == "provision":
        print(json.dumps(administration.provision(settings).done))
    else:
        print(json.dumps(script.sql(settings, given["version"])))
except Refused as refusal:
    print(json.dumps({"refused": str(refusal)}))
"""


_HERE = {"host": "127.0.0.1", "database": "hx", "user": "hx", "password": PASSWORD}


def call(
    machine: Machine,
    name: str,
    settings: dict[str, Any],
    environment: dict[str, str] | None = None,
    **more: Any,
) -> Any:
    """Call a function of the installed package on the machine; returns what it returns."""
    request = {"call": name, "settings": _HERE | settings, **more}
    done = machine.run(["python3", "-c", _PROGRAM], input=json.dumps(request), env=environment)
    assert done.stderr == ""
    return json.loads(done.stdout)


def findings(
    machine: Machine, *, environment: dict[str, str] | None = None, **settings: Any
) -> list[dict[str, str]]:
    """What `inspect` finds."""
    found: list[dict[str, str]] = call(machine, "inspect", settings, environment)[0]
    return found


def failing(machine: Machine, **settings: Any) -> str:
    """The sentences of what fails, in a line each."""
    return _failing(findings(machine, **settings))


def failing_each(machine: Machine, each: list[dict[str, Any]]) -> list[str]:
    """The same for several settings at once."""
    all_settings = [_HERE | settings for settings in each]
    return [_failing(found) for found, _ in call(machine, "inspect_each", {}, each=all_settings)]


def _failing(found: list[dict[str, str]]) -> str:
    return "\n".join(one["sentence"] for one in found if one["level"] == "failed")


def warning(machine: Machine, **settings: Any) -> str:
    """The sentences of the warnings, in a line each; nothing may fail."""
    found = findings(machine, **settings)
    assert [one for one in found if one["level"] == "failed"] == []
    return "\n".join(one["sentence"] for one in found if one["level"] == "warning")


def version(machine: Machine) -> str:
    """The server's major version, as Debian names its folders."""
    return machine.run(["ls", "/etc/postgresql"]).stdout.strip()


def make_servers(machine: Machine) -> None:
    """The main server with its roles and databases, certificates, and a PgBouncer in front."""
    machine.run(["sh", "-c", "printf '127.0.0.1 db.hx.test\\n' >>/etc/hosts"])
    machine.psql(ROLES)
    machine.psql('CREATE TABLE "LiteLLM_Config" (name text)', database="hx_others")
    machine.psql("GRANT USAGE, CREATE ON SCHEMA public TO hx", database="hx_others")
    machine.psql(
        "CREATE SCHEMA elsewhere; GRANT ALL ON SCHEMA public, elsewhere TO PUBLIC", database="hx"
    )
    write_hba(machine, HBA)
    _make_certificates(machine)
    machine.psql("ALTER SYSTEM SET ssl_cert_file = '/etc/ssl/hx/server.crt'")
    machine.psql("ALTER SYSTEM SET ssl_key_file = '/etc/ssl/hx/server.key'")
    machine.psql("ALTER SYSTEM SET ssl_ca_file = '/etc/ssl/hx/ca.crt'")
    present(machine, "good")
    _start_pgbouncer(machine)


def write_hba(machine: Machine, text: str) -> None:
    """Have the main server know these lines."""
    folder = f"/etc/postgresql/{version(machine)}/main"
    machine.write(f"{folder}/pg_hba.conf", text, mode=0o640, owner="postgres:postgres")
    machine.psql("SELECT pg_reload_conf()")


_CERTIFICATES = """
cd /etc/ssl/hx
authority() { openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$1" \
    -keyout "$1.key" -out "$1.crt"; }
server() {
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
    printf 'subjectAltName=%s' "$2" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$3" \
        -extfile "$1.ext" -out "$1.crt"
}
authority ca
authority other-ca
server good DNS:db.hx.test,IP:127.0.0.1 30
server wrong DNS:another.hx.test 30
server expired DNS:db.hx.test 0
server soon DNS:db.hx.test 3
cat other-ca.crt ca.crt >second.crt
echo nonsense >nonsense.crt
install -m 600 ca.crt secret.crt
install -m 644 ca.crt /root/ca.crt
"""


def _make_certificates(machine: Machine) -> None:
    machine.run(["mkdir", "/etc/ssl/hx"])
    machine.run(["sh", "-ec", _CERTIFICATES])


def present(machine: Machine, certificate: str) -> None:
    """Have the main server present one of /etc/ssl/hx, and wait until it does."""
    script = (
        f"install -m 600 -o postgres /etc/ssl/hx/{certificate}.crt /etc/ssl/hx/server.crt;"
        f"install -m 600 -o postgres /etc/ssl/hx/{certificate}.key /etc/ssl/hx/server.key"
    )
    machine.run(["sh", "-ec", script])
    machine.psql("SELECT pg_reload_conf()")
    shown = ["openssl", "s_client", "-starttls", "postgres", "-connect", "127.0.0.1:5432"]

    def presented() -> bool:
        said = machine.run(shown, input="", check=False).stdout
        return f"subject=CN = {certificate}" in said or f"subject=CN={certificate}" in said

    machine.wait_until(presented, 10, what=f"the certificate {certificate}")


_PGBOUNCER = """
[databases]
hx = host=127.0.0.1 port=5432
hx_down = host=127.0.0.1 port=5999 dbname=hx
hx_denied = host=127.0.0.1 port=5432 dbname=hx user=hx password=outdated
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
pool_mode = transaction
query_wait_timeout = 1
max_client_conn = 100
unix_socket_dir = /tmp
pidfile = /run/postgresql/pgbouncer.pid
"""


def _start_pgbouncer(machine: Machine) -> None:
    machine.write("/etc/pgbouncer/pgbouncer.ini", _PGBOUNCER, owner="postgres:postgres")
    users = f'"hx" "{PASSWORD}"\n'
    machine.write("/etc/pgbouncer/userlist.txt", users, mode=0o600, owner="postgres:postgres")
    machine.run(["systemctl", "start", "pgbouncer"])


_HOLDER = """
import contextlib, sys, time, psycopg
conninfo, number, spare, statement = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
held = []
with contextlib.suppress(psycopg.OperationalError):
    while len(held) < number:
        held.append(psycopg.connect(conninfo))
        if statement:
            held[-1].execute(statement)
for _ in range(spare):
    held.pop().close()
open("/run/held", "w").close()
time.sleep(600)
"""


@contextmanager
def held(
    machine: Machine, conninfo: str, *, number: int = 1, spare: int = 0, statement: str = ""
) -> Iterator[None]:
    """Hold that many connections meanwhile, or as many as there are, and give `spare` back.

    Each is in a transaction after `statement`.
    """
    holder = [f"{conninfo} password='{PASSWORD}'", str(number), str(spare), statement]
    unit = ["systemd-run", "--quiet", "--collect", "--unit=holder"]
    machine.run([*unit, "python3", "-c", _HOLDER, *holder])
    try:
        machine.wait_until(lambda: machine.exists("/run/held"), 20, what="the connections")
        yield
    finally:
        machine.run(["sh", "-c", "systemctl stop holder; rm -f /run/held"], check=False)


_LISTENERS = """
import socket, time
silent, closing, full = (socket.create_server(("127.0.0.1", port)) for port in (7001, 7002, 7003))
full.listen(0)
waiting = []
for _ in range(3):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", 7003))
    waiting.append(one)
open("/run/listening", "w").close()
while True:
    closing.accept()[0].close()
"""


def start_listeners(machine: Machine) -> None:
    """Port 7001 says nothing, 7002 hangs up, 7003 drops what comes, as a firewall does."""
    machine.run(
        ["systemd-run", "--quiet", "--collect", "--unit=listeners", "python3", "-c", _LISTENERS]
    )
    machine.wait_until(lambda: machine.exists("/run/listening"), 10, what="the listeners")


SECOND = 5433


def start_second_cluster(machine: Machine) -> str:
    """A second server on SECOND, German, with the roles of the first; returns its folder."""
    release = version(machine)
    machine.run(["pg_createcluster", release, "second", "--port", str(SECOND)])
    settings = f"/etc/postgresql/{release}/second"
    machine.write(f"{settings}/pg_hba.conf", HBA, mode=0o640, owner="postgres:postgres")
    # Of a locale, messages need no more than its name.
    machine.run(["cp", "-r", "/usr/lib/locale/C.utf8", "/usr/lib/locale/de_DE.utf8"])
    machine.write(f"{settings}/conf.d/german.conf", "lc_messages = 'de_DE.UTF-8'\n")
    second_cluster(machine, "start")
    psql = ["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-p", str(SECOND), "-f", "-"]
    machine.run([*psql, "-v", "ON_ERROR_STOP=1"], input=ROLES)
    return f"/var/lib/postgresql/{release}/second"


def second_cluster(machine: Machine, *command: str) -> None:
    machine.run(["pg_ctlcluster", version(machine), "second", *command])
