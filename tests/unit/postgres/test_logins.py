"""Logins in turn: what is handed to whom, and the SQL for a DBA.

The statements are run for real in tests/machine/test_rotation.py.
"""

from __future__ import annotations

import json
import socket

import pytest

from hx_gateway_db import programs
from hx_gateway_db.errors import Refused
from hx_gateway_db.postgres.logins import ByOthers, Elsewhere, Local
from hx_gateway_db.postgres.script import closing_sql, opening_sql
from hx_gateway_db.programs import Ended
from hx_gateway_db.settings.values import Login, Postgres

POSTGRES = Postgres("127.0.0.1", "d'b", 'o"d', "of today")


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the process of `postgres` is told; it answers with the last of it."""
    handed = [json.dumps({"done": ["did it"]})]

    def captured_as(*arguments: object, **options: object) -> Ended:
        output = handed.pop()
        handed.append(f"{arguments} {options}")
        return Ended(0, output)

    monkeypatch.setattr(programs, "captured_as", captured_as)
    return handed


def test_root_s_way_hands_no_password_to_another_user(handed: list[str]) -> None:
    assert Local(POSTGRES).open("of tomorrow", "") == ("did it",)
    assert "of today" not in handed[0] and "of tomorrow" not in handed[0]
    assert handed[0].count("SCRAM-SHA-256$4096:") == 2


@pytest.mark.parametrize("output", ["", "[]", '{"done": []}', '{"left": [7]}', '{"left": []'])
def test_who_answers_otherwise_than_asked_has_closed_nothing(
    handed: list[str], output: str
) -> None:
    handed[:] = [output]
    with pytest.raises(Refused, match="came to no end"):
        Local(POSTGRES).close("other")


def test_what_it_says_of_others_is_made_printable(handed: list[str]) -> None:
    handed[:] = [json.dumps({"left": ["one session (\x1b[2J)"]})]
    assert Local(POSTGRES).close("other") == ["one session (\ufffd[2J)"]


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    postgres = Postgres("127.0.0.1", "hx", "hx", "of today", port=port)
    for access in (Elsewhere(postgres, Login("dba", "of the dba")), ByOthers(postgres)):
        with pytest.raises(Refused, match="refuses connections"):
            access.other()


def test_the_sql_that_opens_a_login_is_one_transaction_and_asks_if_it_has_to() -> None:
    script = opening_sql(POSTGRES, 'o"d_b', ["ALTER ROLE a RENAME TO b"], asks=False)
    assert "\nBEGIN;\nALTER ROLE a RENAME TO b;\nCOMMIT;\n" in script
    assert "\\password" not in script and "\\set ON_ERROR_STOP on\n" in script
    assert "--dbname='d'\"'\"'b' --file" in script
    asking = opening_sql(POSTGRES, 'o"d_b', [], asks=True)
    assert asking.endswith(
        "COMMIT;\n-- The new password; psql makes of it what the server would.\n"
        'SET password_encryption = \'scram-sha-256\';\n\\password "o""d_b"\n'
    )


def test_the_sql_that_closes_a_login_hands_over_what_it_owns() -> None:
    script = closing_sql(POSTGRES, "old", "owner", owns=True)
    assert 'ALTER ROLE "old" NOLOGIN PASSWORD NULL;\nREASSIGN OWNED BY "old" TO "owner";' in script
    assert "usename IN ('old', 'owner')" in script
    assert "REASSIGN" not in closing_sql(POSTGRES, "old", "owner", owns=False)
