"""What the inspection of PostgreSQL says of servers that are in trouble, caused for real.

In the first half nothing is ever changed on the gateway. Then: the same server's TLS and PgBouncer
as LiteLLM gets them, and roles and databases that we make.
"""

import json
import string
from pathlib import Path
from typing import Any

import pytest

from hx_gateway_db.settings.urls import libpq_url
from hx_gateway_db.settings.values import Postgres
from tests.machine.installation import GATEWAY_ENV, assert_a_virtual_key_works, chat
from tests.machine.machine import BASE, WRAPPER_URL, Machine
from tests.machine.postgres_failures import FAILURES, HERE
from tests.machine.postgres_servers import (
    HBA,
    PASSWORD,
    SECOND,
    call,
    failing,
    failing_each,
    findings,
    held,
    make_servers,
    present,
    second_cluster,
    start_listeners,
    start_second_cluster,
    version,
    warning,
    write_hba,
)

pytestmark = pytest.mark.sample_release("trixie")

NAMED = "PostgreSQL at db.hx.test:5432"
PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "
ODD = """o'd"d $\\{role} é:'x'; %s=--"""


@pytest.fixture(scope="module")
def machine(shared_machine: Machine, deb: Path) -> Machine:
    """A machine with the package, not yet configured, and the servers in trouble."""
    shared_machine.install(deb)
    make_servers(shared_machine)
    start_listeners(shared_machine)
    return shared_machine


@pytest.fixture(scope="module")
def said(machine: Machine) -> list[str]:
    """What is said of each of FAILURES."""
    return failing_each(machine, [answers for answers, _ in FAILURES])


@pytest.mark.parametrize("number", range(len(FAILURES)))
def test_a_failure_is_one_sentence_with_its_cure(said: list[str], number: int) -> None:
    assert said[number] == FAILURES[number][1]


def test_nothing_is_wrong_with_a_good_database(machine: Machine) -> None:
    found = findings(machine)
    assert {one["level"] for one in found} == {"ok"}
    names = "name port tls login database version pooler encoding writable schema tables"
    assert [one["name"] for one in found] == [
        f"postgres.{name}" for name in f"{names} connections clock password".split()
    ]
    assert not call(machine, "inspect", {})[1]


def test_libpq_s_variables_and_files_of_the_caller_do_not_count(machine: Machine) -> None:
    machine.run(["mkdir", "-p", "/root/.postgresql"])
    machine.write("/root/.postgresql/root.crt", machine.read("/etc/ssl/hx/other-ca.crt"))
    machine.write("/root/.postgresql/postgresql.crt", "nonsense")
    machine.write("/root/.pg_service.conf", "[other]\nhost=192.0.2.1\n")
    environment = {
        "PGSERVICE": "other",
        "PGHOSTADDR": "192.0.2.1",
        "PGOPTIONS": "-c nonsense=1",
        "PGSSLMODE": "verify-full",
        "PGTARGETSESSIONATTRS": "standby",
        "PGCHANNELBINDING": "require",
    }
    assert {one["level"] for one in findings(machine, environment=environment)} == {"ok"}
    machine.run(["rm", "-r", "/root/.postgresql", "/root/.pg_service.conf"])


def test_a_pgbouncer_whose_own_login_fails_is_told_from_ours_where_it_says_so(
    machine: Machine,
) -> None:
    # PgBouncer 1.18 passes the server's words on with a code of its own, 1.24 with the server's.
    assert failing(machine, port=6432, database="hx_denied") in (
        "the PgBouncer at 127.0.0.1:6432 does not get hx into hx_denied (detail, as it came:"
        " \"password authentication failed for user 'hx'\"): look at PgBouncer's log and at the"
        " server behind it.",
        "PostgreSQL at 127.0.0.1:6432 refuses the password of the user hx (a user that does not"
        " exist, or a password that has expired or is kept as MD5, looks the same): check PG_USER"
        " and PG_PASS.",
    )


# Names, passwords


def test_every_odd_name_and_password_gets_in(machine: Machine) -> None:
    machine.psql(f"CREATE ROLE {quoted(ODD)} LOGIN PASSWORD {literal(PRINTABLE)}")
    machine.psql(f"CREATE DATABASE {quoted(ODD)} OWNER {quoted(ODD)}")
    given: dict[str, Any] = {"user": ODD, "database": ODD, "password": PRINTABLE}
    found = [one for one in findings(machine, **given) if one["level"] != "ok"]
    assert [one["name"] for one in found] == ["postgres.database_name"]
    given |= {"database": "hx"}
    machine.psql(f"GRANT ALL ON SCHEMA public TO {quoted(ODD)}", database="hx")
    assert {one["level"] for one in findings(machine, **given)} == {"ok"}
    assert failing(machine, **given | {"host": "::1"}).startswith("PostgreSQL at [::1]:5432")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# TLS


GOOD_CA = {"sslmode": "verify-full", "ca_file": "/etc/ssl/hx/ca.crt"}


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ({"sslmode": "disable"}, "the connection is not encrypted, as PG_SSLMODE=disable asks"),
        ({"sslmode": "prefer"}, "the connection is encrypted (TLSv1.3)"),
        ({"sslmode": "require"}, "the connection is encrypted (TLSv1.3)"),
        ({"port": 6432}, "is not encrypted, and does not leave this host"),
        (GOOD_CA, "the connection is encrypted (TLSv1.3), and the certificate of"),
        (GOOD_CA | {"host": "db.hx.test"}, "the connection is encrypted (TLSv1.3), and the cert"),
    ],
)
def test_tls_is_as_pg_sslmode_asks(machine: Machine, answers: dict[str, Any], what: str) -> None:
    tls = [one for one in findings(machine, **answers) if one["name"] == "postgres.tls"]
    assert what in tls[0]["sentence"] and tls[0]["level"] == "ok"
    assert failing(machine, **answers) == ""


@pytest.mark.parametrize(
    ("certificate", "sentence"),
    [
        ("wrong", f"the certificate of {NAMED} is for another name than db.hx.test"),
        ("expired", f"the certificate of {NAMED} has expired"),
    ],
)
def test_a_bad_certificate_is_refused_where_it_is_checked_and_only_there(
    machine: Machine, certificate: str, sentence: str
) -> None:
    present(machine, certificate)
    assert failing(machine, host="db.hx.test", **GOOD_CA).startswith(sentence)
    for mode in ("disable", "prefer", "require"):
        assert failing(machine, host="db.hx.test", sslmode=mode) == ""
    present(machine, "good")


def test_a_certificate_that_ends_soon_is_a_warning(machine: Machine) -> None:
    present(machine, "soon")
    assert "good until" in warning(machine, host="db.hx.test", **GOOD_CA)
    present(machine, "good")


def test_a_ca_file_that_the_units_can_t_see_is_a_warning(machine: Machine) -> None:
    machine.run(["chmod", "a+x", "/root"])
    said = warning(machine, sslmode="verify-full", ca_file="/root/ca.crt")
    assert "is where ProtectHome= and PrivateTmp= hide it from the gateway's units" in said
    machine.run(["chmod", "a-x", "/root"])


def test_a_server_that_wants_encryption_says_so_where_there_is_none(machine: Machine) -> None:
    assert failing(machine, host="::1", user="hx_tls") == ""
    assert failing(machine, host="::1", user="hx_tls", sslmode="disable") == (
        "PostgreSQL at [::1]:5432 does not let hx_tls reach hx from this host (its pg_hba.conf has"
        " no entry for that without encryption): choose PG_SSLMODE=require, or have a line for this"
        " host in its pg_hba.conf, above what rejects, and reload it."
    )


# Warnings


@pytest.mark.parametrize(
    "where",
    ['ROLE "hx_acting"', 'ROLE "hx_acting" IN DATABASE "hx_acts"', 'DATABASE "hx_acts"'],
)
def test_a_login_that_acts_as_another_role_is_told_how_to_act_as_itself(
    machine: Machine, where: str
) -> None:
    if where == 'ROLE "hx_acting"':
        machine.psql(f"CREATE ROLE hx_acting LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE hx_worker")
        machine.psql("GRANT hx_worker TO hx_acting")
        machine.psql("CREATE DATABASE hx_acts OWNER hx_acting")
        tables = 'SET ROLE hx_acting; CREATE TABLE "LiteLLM_Config" (name text)'
        machine.psql(f"{tables}; GRANT ALL ON SCHEMA public TO hx_worker", database="hx_acts")
    machine.psql(f"ALTER {where} SET role = hx_worker")
    said = failing(machine, user="hx_acting", database="hx_acts")
    assert said == (
        "tables of LiteLLM in hx_acts belong to the role hx_acting, and hx_acting acts as the role"
        " hx_worker (SET role), which is no member of it (LiteLLM changes its tables when it is"
        f" upgraded): as an administrator run ALTER {where} RESET role, or give the tables to the"
        " role that it acts as."
    )
    machine.psql(said.partition(" run ")[2].partition(", or ")[0])
    assert failing(machine, user="hx_acting", database="hx_acts") == ""


def test_a_search_path_that_leads_elsewhere_is_a_warning(machine: Machine) -> None:
    assert warning(machine, user="hx_$path") == (
        "the search_path of hx_$path leads to the schema elsewhere (LiteLLM reads its tables in"
        " public and may make them elsewhere): as an administrator run"
        ' ALTER ROLE "hx_$path" SET search_path = "public".'
    )
    assert warning(machine, user="hx_$path", parameters=[["schema", "public"]]) == ""


def test_a_pool_that_is_larger_than_the_role_s_limit_is_a_warning(machine: Machine) -> None:
    assert warning(machine, user="hx_few") == (
        "the role hx_few has room for 5 connections of LiteLLM (one gateway with a pool of 10 may"
        " open 10): as an administrator run"
        ' ALTER ROLE "hx_few" CONNECTION LIMIT -1, or set'
        " general_settings.database_connection_pool_limit to 5."
    )
    assert warning(machine, user="hx_few", pool=5) == ""


def test_other_gateways_pools_count(machine: Machine) -> None:
    with held(machine, "host=::1 user=hx dbname=hx", number=4):
        found = {one["name"]: one["sentence"] for one in findings(machine)}
    assert "2 gateways with a pool of 10 may open 20" in found["postgres.connections"]


def test_a_password_that_expires_soon_is_a_warning(machine: Machine) -> None:
    machine.psql("ALTER ROLE hx VALID UNTIL 'tomorrow'")
    assert "the password of hx expires on" in warning(machine)
    machine.psql("ALTER ROLE hx VALID UNTIL 'infinity'")


def test_tables_of_another_program_are_a_warning(machine: Machine) -> None:
    machine.psql("CREATE TABLE shop (id int)", database="hx")
    assert "holds tables that are not LiteLLM's, shop for one" in warning(machine)
    machine.psql("DROP TABLE shop", database="hx")


# Servers at their end, hanging, in recovery


def test_a_server_with_its_last_connection_given_away_is_full(machine: Machine) -> None:
    close_pgbouncer_s_connections(machine)
    with held(machine, "host=127.0.0.1 user=hx dbname=postgres", number=200, spare=1):
        assert failing(machine) == (
            "the server has no connection left for LiteLLM (one gateway with a pool of 10 may open"
            " 10): raise max_connections there."
        )
    with held(machine, "host=127.0.0.1 user=hx dbname=postgres", number=200):
        assert failing(machine) == (
            f"{HERE} has no connection left (max_connections is used up): end connections that"
            " nobody needs, or raise max_connections there."
        )


def close_pgbouncer_s_connections(machine: Machine) -> None:
    """Otherwise it keeps some, of the same role and from the same address."""
    machine.run(["systemctl", "restart", "pgbouncer"])


def test_a_server_that_hangs_in_the_login_or_after_it_is_given_up_in_time(
    machine: Machine,
) -> None:
    with held(machine, "host=127.0.0.1 user=boss dbname=hx", statement="LOCK pg_depend"):
        assert failing(machine) == (
            f"{HERE} does not answer a query within 2 s (it is overloaded, or a pooler in front"
            " waits for its server): look at the server's load and its log."
        )
    with held(machine, "host=127.0.0.1 user=boss dbname=hx", statement="LOCK pg_authid"):
        assert failing(machine) == (
            f"{HERE} does not finish the login within 4 s (it is overloaded, or a pooler in front"
            " waits for its server): look at the server's load and its log."
        )


SECOND_HERE = f"PostgreSQL at 127.0.0.1:{SECOND}"


def test_a_server_in_another_language_is_understood(machine: Machine) -> None:
    start_second_cluster(machine)
    said = psql_fails(machine, "hx_nologin")
    assert "Rolle »hx_nologin«" in said
    expected = {
        "hx_nobody": f"{SECOND_HERE} refuses the password of the user hx_nobody",
        "hx_rejected": f"{SECOND_HERE} does not let hx_rejected reach hx from this host",
        "hx_nologin": f"{SECOND_HERE} does not let the user hx_nologin log in",
        "hx_full": f"{SECOND_HERE} has no connection left for hx_full on hx",
    }
    for user, sentence in expected.items():
        assert failing(machine, user=user, port=SECOND).startswith(sentence)
    assert failing(machine, database="hx_none", port=SECOND).startswith(
        f"{SECOND_HERE} has no database hx_none"
    )


def psql_fails(machine: Machine, user: str) -> str:
    argv = ["psql", "-h", "127.0.0.1", "-p", str(SECOND), "-U", user, "-c", "", "hx"]
    return machine.run(argv, env={"PGPASSWORD": PASSWORD}, check=False).stderr


def test_a_server_that_shuts_down_or_recovers_says_so(machine: Machine) -> None:
    folder = f"/var/lib/postgresql/{version(machine)}/second"
    settings = f"/etc/postgresql/{version(machine)}/second/conf.d/german.conf"
    machine.write(settings, "lc_messages = 'C'\n")
    second_cluster(machine, "restart")
    with held(machine, f"host=127.0.0.1 port={SECOND} user=hx dbname=hx"):
        pg_ctl = f"/usr/lib/postgresql/{version(machine)}/bin/pg_ctl"
        stop = [pg_ctl, "stop", "--no-wait", "--mode=smart", "--pgdata", folder]
        machine.run(["runuser", "-u", "postgres", "--", *stop])
        assert failing(machine, port=SECOND) == (
            f"{SECOND_HERE} is shutting down: start it there, then try again."
        )
    status = ["pg_ctlcluster", version(machine), "second", "status"]
    machine.wait_until(lambda: machine.run(status, check=False).returncode != 0, 20)
    machine.write(f"{folder}/standby.signal", "", owner="postgres:postgres")
    second_cluster(machine, "start")
    assert failing(machine, port=SECOND) == (
        f"the database hx on {SECOND_HERE} is read-only (the server is a replica):"
        " answer the primary server as PG_HOST."
    )
    machine.write(settings, "lc_messages = 'C'\nhot_standby = off\n")
    second_cluster(machine, "stop", "--force")
    # It waits for a server that lets it in.
    start = ["pg_ctlcluster", version(machine), "second", "start"]
    machine.run(
        ["systemd-run", "--quiet", "--collect", "--property=Type=forking", "--no-block", *start]
    )
    machine.wait_until(lambda: "recovers" in failing(machine, port=SECOND), 20)
    assert failing(machine, port=SECOND) == (
        f"{SECOND_HERE} accepts no connections while it recovers (it crashed or is a standby"
        " without hot_standby): wait until it has recovered, or answer the primary server as"
        " PG_HOST."
    )
    second_cluster(machine, "stop", "--force")


# What the wrapper gets


CLIENTS = """
import asyncio, json, sys

WHO = "SELECT current_user, current_database(), current_schema()"
WHO += ", (SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
client, urls = sys.argv[1], json.load(sys.stdin)


def by_psycopg(url):
    import psycopg

    with psycopg.connect(url) as connection:
        return list(connection.execute(WHO).fetchone())


async def ask(url):
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetchrow(WHO))
    finally:
        await connection.close()


def by_asyncpg(url):
    return asyncio.run(ask(url))


def by_libpq(url):
    import subprocess

    command = ["psql", "-XAtq", "-F", "\\x1f", "-c", WHO, "-d", url]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\\n").split("\\x1f")


def outcome(url):
    try:
        return globals()[f"by_{client}"](url)
    except Exception as error:
        return "certificate" if "certificate" in str(error).lower() else repr(error)


print(json.dumps([outcome(url) for url in urls]))
"""
PYTHONS = {
    "libpq": "/usr/bin/python3",
    "psycopg": "/usr/bin/python3",
    "asyncpg": f"{BASE}/gateway/venv/bin/python",
}


def outcomes(machine: Machine, client: str, each: list[dict[str, Any]]) -> list[Any]:
    """What a client gets with the PG_URL of each of these databases, as the wrapper's user."""
    here: dict[str, Any] = {"host": "127.0.0.1", "database": "hx", "user": "hx"}
    urls = [libpq_url(Postgres(**here | {"password": PASSWORD} | one)) for one in each]
    command = ["runuser", "-u", "hx-gateway", "--", PYTHONS[client], "-c", CLIENTS, client]
    found = json.loads(machine.run(command, input=json.dumps(urls)).stdout)
    return [tuple(one) if isinstance(one, list) else one for one in found]


HX, WITH_TLS, WITHOUT = ("hx", "hx", "public"), "true", "false"
BY_NAME = {"host": "db.hx.test"}
ANY_CA = {"sslmode": "verify-full"}


WRITERS = f"{ODD} writers"


@pytest.fixture(scope="module")
def odd_names(machine: Machine) -> None:
    machine.psql(f"CREATE ROLE {quoted(WRITERS)} LOGIN PASSWORD {literal(PRINTABLE)}")
    machine.psql(f"CREATE DATABASE {quoted(WRITERS)} OWNER {quoted(WRITERS)}")
    machine.psql(f"CREATE SCHEMA {quoted(ODD)} AUTHORIZATION hx", database="hx")


@pytest.mark.usefixtures("odd_names")
@pytest.mark.parametrize("client", PYTHONS)
def test_pg_url_is_read_alike_by_whoever_reads_it(machine: Machine, client: str) -> None:
    odd = {"user": WRITERS, "database": WRITERS, "password": PRINTABLE}
    elsewhere = {"parameters": (("schema", "elsewhere"), ("connection_limit", "5"))}
    expected = (
        ({"sslmode": "disable"}, (*HX, WITHOUT)),
        ({"sslmode": "prefer"}, (*HX, WITH_TLS)),
        ({"sslmode": "require"}, (*HX, WITH_TLS)),
        (GOOD_CA, (*HX, WITH_TLS)),
        (GOOD_CA | BY_NAME, (*HX, WITH_TLS)),
        # The CA is none of the system's.
        (ANY_CA | BY_NAME, "certificate"),
        ({"host": "::1"}, (*HX, WITH_TLS)),
        (odd, (WRITERS, WRITERS, "public", WITH_TLS)),
        (odd | GOOD_CA, (WRITERS, WRITERS, "public", WITH_TLS)),
        (elsewhere, ("hx", "hx", "elsewhere", WITH_TLS)),
        ({"parameters": (("schema", ODD),)}, ("hx", "hx", ODD, WITH_TLS)),
    )
    got = outcomes(machine, client, [settings for settings, _ in expected])
    assert got == [wanted for _, wanted in expected]


@pytest.mark.parametrize("certificate", ["wrong", "expired"])
def test_pg_url_checks_what_is_to_be_checked_whoever_reads_it(
    machine: Machine, certificate: str
) -> None:
    present(machine, certificate)
    for client in PYTHONS:
        got = outcomes(machine, client, [GOOD_CA | BY_NAME, BY_NAME | {"sslmode": "require"}])
        assert got == ["certificate", (*HX, WITH_TLS)], client
    present(machine, "good")


def test_pg_url_trusts_the_system_s_authorities_where_no_other_is_answered(
    machine: Machine,
) -> None:
    machine.run(["install", "-m", "644", "/etc/ssl/hx/ca.crt", "/usr/local/share/ca-certificates/"])
    machine.run(["update-ca-certificates"])
    for client in PYTHONS:
        assert outcomes(machine, client, [ANY_CA | BY_NAME]) == [(*HX, WITH_TLS)], client
    machine.run(["rm", "/usr/local/share/ca-certificates/ca.crt"])
    machine.run(["update-ca-certificates", "--fresh"])


# What LiteLLM gets


def test_litellm_connects_with_the_certificate_checked_or_is_not_touched(machine: Machine) -> None:
    answers = (
        f"PG_HOST=db.hx.test\nPG_DB=hx\nPG_USER=hx\nPG_PASS={PASSWORD}\n"
        "PG_SSLMODE=verify-full\nPG_SSLROOTCERT=/etc/ssl/hx/ca.crt\n"
    )
    for certificate, reason in (("wrong", "is for another name"), ("expired", "has expired")):
        present(machine, certificate)
        assert reason in apply(machine, answers, status=3)
        assert not machine.exists(GATEWAY_ENV)
        assert "TLS" in can_connect(machine, DATABASE_URL)
    present(machine, "good")
    assert can_connect(machine, DATABASE_URL) == ""
    close_pgbouncer_s_connections(machine)
    apply(machine, answers, status=0)
    assert f"DATABASE_URL={DATABASE_URL}\n" in machine.read(GATEWAY_ENV)
    assert_a_virtual_key_works(machine)
    assert machine.http("GET", f"{WRAPPER_URL}/healthz/deps").json["postgres"] is True
    assert sessions(machine) == ["t|TLSv1.3"]


DATABASE_URL = (
    "postgresql://hx:secret%20word@db.hx.test:5432/hx"
    "?sslmode=require&sslaccept=strict&sslcert=%2Fetc%2Fssl%2Fhx%2Fca.crt"
)


def apply(machine: Machine, answers: str, status: int) -> str:
    command = ["hx-gateway-db", "apply", "--answers", "-"]
    done = machine.run(command, input=answers, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout + done.stderr


def can_connect(machine: Machine, url: str) -> str:
    """What Prisma's schema engine says to the URL; nothing if it can connect."""
    command = ["/opt/prisma-engines/schema-engine", "cli", "--datasource", url]
    done = machine.run([*command, "can-connect-to-database"], check=False)
    return done.stderr if done.returncode else ""


def sessions(machine: Machine) -> list[str]:
    """The kinds of encryption of LiteLLM's connections to the database."""
    return machine.psql(
        "SELECT DISTINCT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        " WHERE usename = 'hx' AND datname = 'hx'"
    ).splitlines()


def test_a_pgbouncer_in_transaction_mode_is_found_and_litellm_works_through_it(
    machine: Machine,
) -> None:
    found, pooled = call(machine, "inspect", {"port": 6432, "pgbouncer": True})
    assert pooled and {one["level"] for one in found} == {"ok"}
    answers = "PG_HOST=127.0.0.1\nPG_PORT=6432\nPG_BOUNCER=auto\nPG_SSLMODE=prefer\n"
    apply(machine, f"{answers}PG_DB=hx\nPG_USER=hx\nPG_PASS={PASSWORD}\n", status=0)
    env = machine.read(GATEWAY_ENV)
    assert ":6432/hx?pgbouncer=true\n" in env
    assert "\nPRISMA_SCHEMA_DISABLE_ADVISORY_LOCK=1\n" in env
    key = assert_a_virtual_key_works(machine)
    assert chat(machine, key, "once more").status == 200
    # Without the parameter Prisma's engine does not even get in.
    without = "postgresql://hx:secret%20word@127.0.0.1:6432/hx"
    assert "unsupported startup parameter" in can_connect(machine, without)


# Roles and databases that we make


def provision_as(machine: Machine, administrator: str, **settings: Any) -> Any:
    return call(machine, "provision_as", settings, administrator=[administrator, PASSWORD])


def memberships(machine: Machine, administrator: str) -> str:
    """Which roles an administrator may act as or inherit from."""
    options = "" if int(version(machine)) < 16 else "AND (inherit_option OR set_option)"
    return machine.psql(
        "SELECT roleid::regrole FROM pg_auth_members"
        f" WHERE member = '{administrator}'::regrole {options}"
    )


@pytest.fixture(scope="module")
def by_md5(machine: Machine) -> Machine:
    """The same, whose server makes MD5 of a password that it is told, and lets nobody in by it."""
    machine.psql("ALTER SYSTEM SET password_encryption = 'md5'")
    machine.psql("SELECT pg_reload_conf()")
    machine.wait_until(lambda: machine.psql("SHOW password_encryption") == "md5", 10)
    return machine


@pytest.mark.parametrize("administrator", ["boss", "dba"])
def test_an_administrator_makes_role_and_database_once(by_md5: Machine, administrator: str) -> None:
    machine = by_md5
    user, database = f"{ODD} {administrator}", f"made_by_{administrator}"
    given: dict[str, Any] = {"user": user, "database": database, "password": PRINTABLE}
    assert provision_as(machine, administrator, **given) == [
        f"made the role {user}",
        f"made the database {database}, owned by {user}",
    ]
    assert {one["level"] for one in findings(machine, **given)} == {"ok"}
    assert provision_as(machine, administrator, **given) == []
    assert memberships(machine, administrator) == ""
    given |= {"password": "a new word", "parameters": [["schema", "its own"]]}
    assert provision_as(machine, administrator, **given) == [
        f"set the password of the role {user}",
        f"made the schema its own in {database}, owned by {user}",
    ]
    assert {one["level"] for one in findings(machine, **given)} == {"ok"}
    assert memberships(machine, administrator) == ""
    log = machine.run(["sh", "-c", "cat /var/log/postgresql/*-main.log"]).stdout
    assert "a new word" not in log


def test_in_a_database_of_somebody_else_the_role_is_granted_what_it_lacks(
    machine: Machine,
) -> None:
    machine.psql("CREATE DATABASE shared")
    machine.psql("REVOKE CONNECT ON DATABASE shared FROM PUBLIC; CREATE TABLE shop (id int)")
    assert provision_as(machine, "boss", database="shared") == [
        "let hx connect to shared",
        "let hx create tables in the schema public of shared",
    ]
    assert failing(machine, database="shared") == ""
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shared'"
    assert machine.psql(owner) == "postgres"
    assert provision_as(machine, "boss", database="shared") == []


def test_the_local_server_s_role_and_database_are_made_and_mended(by_md5: Machine) -> None:
    machine = by_md5
    given: dict[str, Any] = {"user": "here", "database": "here", "password": PRINTABLE}
    assert len(call(machine, "provision", given)) == 2
    assert {one["level"] for one in findings(machine, **given)} == {"ok"}
    machine.psql("ALTER DATABASE here OWNER TO postgres")
    assert call(machine, "provision", given) == [
        "set the password of the role here",
        "let here create tables in the schema public of here",
    ]
    assert {one["level"] for one in findings(machine, **given)} == {"ok"}
    # A role of somebody else keeps its password.
    assert call(machine, "provision", {"password": "another word"}) == []
    assert failing(machine) == ""


def test_an_administrator_who_may_not_is_refused_in_one_sentence(machine: Machine) -> None:
    refused = call(machine, "provision_as", {}, administrator=["boss", "wrong"])["refused"]
    assert refused == (
        f"{HERE} refuses the password of the user boss (a user that does not exist, or a password"
        " that has expired or is kept as MD5, looks the same): check PG_ADMIN_USER and"
        " PG_ADMIN_PASS."
    )
    may = "answer a PG_ADMIN_USER that is a superuser, or has CREATEROLE and CREATEDB"
    asked = provision_as(machine, "hx", user="newcomer", database="newcomer")["refused"]
    assert asked.startswith(
        f"{HERE} does not let the administrator hx make the role newcomer: {may}"
    )
    asked = provision_as(machine, "dba", database="postgres")["refused"]
    assert asked.startswith(
        f"{HERE} does not let the administrator dba let hx create tables in the schema public"
    )


@pytest.mark.parametrize("known", [True, False])
def test_the_printed_sql_does_the_same(by_md5: Machine, known: bool) -> None:
    machine = by_md5
    release = int(version(machine)) * 10000 if known else None
    user = f"{ODD} printed {known}"
    given: dict[str, Any] = {
        "user": user,
        "database": f"printed_{known}".lower(),
        "password": PRINTABLE,
    }
    script = call(machine, "sql", given, version=release)
    assert PRINTABLE not in script
    machine.write("/tmp/provision.sql", script)
    run_with_psql(machine, "boss")
    assert {one["level"] for one in findings(machine, **given)} == {"ok"}
    run_with_psql(machine, "boss")
    assert {one["level"] for one in findings(machine, **given)} == {"ok"}


def test_a_server_that_asks_for_md5_lets_in_whom_we_have_made(by_md5: Machine) -> None:
    write_hba(by_md5, HBA.replace("scram-sha-256", "md5"))
    given: dict[str, Any] = {"user": "by md5", "database": "by_md5", "password": PRINTABLE}
    assert len(provision_as(by_md5, "boss", **given)) == 2
    assert {one["level"] for one in findings(by_md5, **given)} == {"ok"}
    write_hba(by_md5, HBA)
    assert {one["level"] for one in findings(by_md5, **given)} == {"ok"}


def test_the_printed_sql_is_right_for_odd_databases_and_mends_those_of_others(
    machine: Machine,
) -> None:
    for database in (ODD + "=", "open_to_nobody"):
        user = f"{database} user"
        given: dict[str, Any] = {"user": user, "database": database, "password": PRINTABLE}
        machine.psql(f"CREATE DATABASE {quoted(database)}")
        machine.psql(f"REVOKE CONNECT ON DATABASE {quoted(database)} FROM PUBLIC")
        script = call(machine, "sql", given, version=None)
        machine.write("/tmp/provision.sql", script)
        run_with_psql(machine, "boss")
        bad = [one["name"] for one in findings(machine, **given) if one["level"] != "ok"]
        assert bad == (["postgres.database_name"] if database != "open_to_nobody" else [])


def run_with_psql(machine: Machine, administrator: str) -> None:
    """As a DBA does; psql asks for the role's password twice."""
    to = ["-h", "127.0.0.1", "-U", administrator, "-d", "postgres"]
    command = ["setsid", "psql", "-X", *to, "-f", "/tmp/provision.sql"]
    environment = {"PGPASSWORD": PASSWORD}
    machine.run(command, input=f"{PRINTABLE}\n{PRINTABLE}\n", env=environment)
