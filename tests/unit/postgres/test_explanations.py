"""What a server, libpq or a PgBouncer says of a login, and what we make of it.

The commonest are caused for real in tests/machine/test_postgres.py; these are the others.
"""

import pytest

from hx_gateway_db.findings import Cure, Level, Sentence
from hx_gateway_db.postgres import explanations
from hx_gateway_db.postgres import sentences as errors
from hx_gateway_db.postgres.explanations import explain, explain_query
from hx_gateway_db.postgres.sentences import ConnectionFailure
from hx_gateway_db.postgres.target import administrator_target, target_of
from hx_gateway_db.settings.values import Login, Postgres

POSTGRES = Postgres("db1", "hx", "hx", "secret")
TARGET = target_of(POSTGRES)


def said(sqlstate: str, text: str, *, encrypted: bool = True) -> ConnectionFailure:
    return ConnectionFailure(sqlstate, text, encrypted, tls_offered=True)


@pytest.mark.parametrize(
    ("sqlstate", "text", "step", "sentence"),
    [
        ("28000", "peer authentication failed", errors.LOGIN, "another way than by password"),
        ("28000", 'Peer authentication failed for user "hx"', errors.LOGIN, "another way than"),
        ("28000", "connection requires a valid client certificate", errors.LOGIN, "wants a client"),
        ("28000", "Benutzer darf nicht einloggen", errors.LOGIN, "does not let the user hx log in"),
        ("", "none of the server's SASL authentication mechanisms are supported", "", "libpq does"),
        ("", "authentication method 10 not supported", errors.LOGIN, "libpq does not know"),
        ("", "fe_sendauth: no password supplied", errors.LOGIN, "asks for the password of"),
        ("0A000", "unsupported frontend protocol 3.0", errors.LOGIN, "does not know the protocol"),
        ("", "expected authentication request from server, but received H", errors.PORT, "is not"),
        ("", "server closed the connection unexpectedly", errors.LOGIN, "breaks off the login"),
        ("55000", 'cannot connect to invalid database "hx"', errors.DATABASE, "is invalid"),
        ("53300", "sorry, too many clients already", errors.LOGIN, "max_connections is used up"),
        ("53300", "tut mir leid, schon zu viele Verbindungen", errors.LOGIN, "no connection left"),
        ("57P03", "the database system is starting up", errors.LOGIN, "is still starting"),
        ("57P03", "the database system is not yet accepting connections", "", "still starting"),
        ("57P03", "das Datenbanksystem startet", errors.LOGIN, "accepts no connections just now"),
        ("57P03", "the database system is in recovery mode", errors.LOGIN, "while it recovers"),
        ("08P01", "no such user: hx", errors.LOGIN, "the PgBouncer at db1:5432 has no user hx"),
        ("08P01", "unsupported startup parameter: options", "", "ignore_startup_parameters"),
        ("08P01", "server login has been failing (server_login_retry)", "", "does not reach its"),
        ("08P01", "no more connections allowed (max_client_conn)", "", "takes no more clients"),
        ("08P01", "query_wait_timeout", errors.LOGIN, "had no server connection to give"),
    ],
)
def test_what_was_said_becomes_a_sentence_of_ours(
    sqlstate: str, text: str, step: str, sentence: str
) -> None:
    finding = explain(TARGET, said(sqlstate, text))
    assert finding.level is Level.FAILED
    assert step in ("", finding.name)
    assert sentence in finding.sentence
    assert text not in finding.sentence
    assert finding.cure and "{" not in finding.sentence


def test_the_unknown_is_quoted_as_it_came_without_a_secret_or_a_control_character() -> None:
    text = 'FATAL:  no "secret" \x1b[31m here\nLOCATION: somewhere'
    assert explain(TARGET, said("XX000", text)).sentence == (
        "PostgreSQL at db1:5432 can't be used as hx on hx (SQLSTATE XX000; detail, as it came:"
        " \"no '***' \ufffd[31m here\"): look at the server's log."
    )


def test_after_the_login_a_missing_privilege_is_not_that_of_connecting() -> None:
    refused = said("42501", "permission denied for view pg_stat_activity")
    assert explain(TARGET, refused).name == errors.DATABASE
    assert "can't be used as hx on hx (SQLSTATE 42501" in explain_query(TARGET, refused).sentence
    assert "is shutting down" in explain_query(TARGET, said("57P01", "terminating")).sentence
    assert "within 2 s" in explain_query(TARGET, said("57014", "canceling")).sentence


def test_pg_hba_conf_is_recognized_in_any_language() -> None:
    text = "kein pg_hba.conf-Eintrag für Host »10.0.0.1«, Benutzer »hx«"
    finding = explain(TARGET, said("28000", text, encrypted=False))
    assert "does not let hx reach hx from this host (its pg_hba.conf says so" in finding.sentence
    assert "PG_SSLMODE=require" in finding.cure and finding.by is Cure.BY_HAND


def test_an_administrator_is_told_of_the_administrator_s_answers() -> None:
    target = administrator_target(POSTGRES, Login("dba", "geheim"), "postgres")
    finding = explain(target, said("28P01", "password authentication failed"))
    assert finding.cure == "check PG_ADMIN_USER and PG_ADMIN_PASS"


@pytest.mark.parametrize(("recognized", "row"), explanations.ROWS, ids=lambda part: str(part)[:40])
def test_a_row_names_nothing_that_is_not_known(recognized: str, row: Sentence) -> None:
    assert recognized
    found = row.finding(TARGET.place, explanations._names(TARGET, said("", "anything")))
    assert "{" not in found.sentence
