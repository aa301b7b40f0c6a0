"""The SQL for a DBA; it is run for real in tests/machine/test_postgres.py."""

import pytest

from hx_gateway_db import postgres_administration
from hx_gateway_db.errors import Refused
from hx_gateway_db.postgres_administration import sql
from hx_gateway_db.settings import Postgres


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
    monkeypatch.setattr(postgres_administration, "_SUPERUSER", "no-such-user")
    with pytest.raises(Refused, match="apt install postgresql"):
        postgres_administration.provision(Postgres("127.0.0.1", "hx", "hx", "geheim"))
