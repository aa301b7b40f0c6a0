"""The SQL for a DBA; it is run for real in tests/machine/test_postgres.py."""

import json

import pytest

from hx_gateway_db import programs
from hx_gateway_db.errors import Refused
from hx_gateway_db.postgres import administration
from hx_gateway_db.postgres.administration import Provisioned
from hx_gateway_db.postgres.script import sql
from hx_gateway_db.programs import Ended
from hx_gateway_db.settings.values import Login, Postgres
from tests.fake_postgres import GREETING, READY, Client, message, serving


def test_names_are_quoted_and_the_password_is_not_there() -> None:
    script = sql(Postgres("db1", "d'b", 'o"d', "geheim"), 150014)
    assert "geheim" not in script
    assert '\\password "o""d"\n' in script
    assert "datname = 'd''b'" in script
    assert "\\connect -reuse-previous=on \"dbname='d\\'b'\"\n" in script
    assert script.startswith(
        "-- A role and a database for LiteLLM on PostgreSQL at db1:5432, version 15.\n"
    )


def test_it_asks_for_membership_as_the_version_has_it() -> None:
    postgres = Postgres("db1", "hx", "hx", "geheim")
    assert "pg_has_role('hx', 'MEMBER')" in sql(postgres, 150014)
    assert "pg_has_role('hx', 'SET')" in sql(postgres, 160000)
    assert "CASE WHEN" in sql(postgres, None)


def test_the_schema_is_that_of_database_url() -> None:
    postgres = Postgres("db1", "hx", "hx", "geheim", parameters=(("schema", "litellm"),))
    assert "format('CREATE SCHEMA %I AUTHORIZATION %I', 'litellm', 'hx')" in sql(postgres, None)


def test_a_machine_without_postgresql_is_told_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(administration, "SUPERUSER", "no-such-user")
    with pytest.raises(Refused, match="apt install postgresql"):
        administration.provision(Postgres("127.0.0.1", "hx", "hx", "geheim"))


# What runs as the operating system's `postgres`


LOCAL = Postgres("127.0.0.1", "hx", "hx", "geheim")


def answered(monkeypatch: pytest.MonkeyPatch, output: str) -> tuple[str, ...]:
    """What `provision` makes of a process as `postgres` that prints `output`."""

    def captured_as(*arguments: object, **options: object) -> Ended:
        return Ended(0, output)

    monkeypatch.setattr(programs, "captured_as", captured_as)
    return administration.provision(LOCAL).done


def test_the_password_is_not_handed_to_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[object] = []

    def captured_as(*arguments: object, **options: object) -> Ended:
        handed.extend([*arguments, *options.values()])
        return Ended(0, '{"done": [], "ours": ["hx"]}')

    monkeypatch.setattr(programs, "captured_as", captured_as)
    assert administration.provision(LOCAL) == Provisioned(ours=True, done=())
    assert handed[0] == "postgres"
    assert "geheim" not in str(handed) and "SCRAM-SHA-256$4096:" in str(handed)
    assert {"PATH": "/usr/bin:/bin"} in handed, "and nothing of root's environment"


@pytest.mark.parametrize(
    "output",
    [
        "",
        "null",
        "[]",
        "{}",
        "1e999",
        '{"done": 1, "ours": []}',
        '{"done": []}',
        '{"done": [], "ours": 1}',
        '{"failure": {}}',
        '{"done": [], "ours": [], "more": []}',
        '{"done": ["made it", 7], "ours": []}',
        '{"other": []}',
        "[" * 60_000,
        '{"done": ' * 10_000,
        "\udcff",
    ],
    ids=lambda output: output[:12],
)
def test_an_answer_that_is_none_is_a_refusal(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    with pytest.raises(Refused, match="came to no end"):
        answered(monkeypatch, output)


def test_what_it_says_is_cut_and_made_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = json.dumps({"ours": [], "done": ["made\x1b]0;x\x07 it\nall" + "x" * 5000, *[""] * 100]})
    done = answered(monkeypatch, odd)
    assert len(done) <= 20 and max(map(len, done)) < 1100
    assert done[0].startswith("made\ufffd]0;x\ufffd it all")
    with pytest.raises(Refused) as refusal:
        answered(monkeypatch, json.dumps({"failure": ["\x1b[2J", "sk-abcdefgh"]}))
    assert str(refusal.value) == "\ufffd[2J ***"


def test_a_server_that_is_too_old_for_scram_gets_no_password() -> None:
    def script(client: Client) -> None:
        client.hear_start()
        client.say(GREETING.replace(b"15.0", b"9.6\0"))
        while client.hear():
            client.say(message(b"C", b"SELECT 0\0") + READY)

    with serving(script) as server, pytest.raises(Refused):
        administration.provision_as(server.postgres, Login("dba", "geheim"))
    assert not server.knows("geheim") and not server.knows("SCRAM")
