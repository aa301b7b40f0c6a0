"""Answers that are lines of gateway.env and nothing else, of every kind that a row can have."""

import pytest

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.host import gateway_env, render
from hx_gateway_db.host.gateway_env import Said
from hx_gateway_db.settings import answers, kinds, values, variables
from hx_gateway_db.settings.catalogue import ANSWERS, VARIABLES, Answer, Kind
from hx_gateway_db.settings.values import Postgres, Settings
from hx_gateway_db.systemd import environment_files

DATABASE = {"PG_HOST": "db1", "PG_PASS": "p"}


def row(kind: Kind, **more: object) -> Answer:
    return Answer("NEW", "a new one", kind, "low", variable="NEW_VARIABLE", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "text", "said"),
    [
        (row(Kind.BOOLEAN), "Yes", "true"),
        (row(Kind.BOOLEAN), "", "false"),
        (row(Kind.NUMBER, least=2), " 007 ", "7"),
        (row(Kind.PORT), "80", "80"),
        (row(Kind.CHOICE, choices=("a", "b")), "b", "b"),
        (row(Kind.HOST), "h1.example.org", "h1.example.org"),
        (row(Kind.FILE), "/etc/x", "/etc/x"),
        (row(Kind.TEXT), "https://h:1/p?a=b".replace("?", "@"), "https://h:1/p@a=b"),
        (row(Kind.TEXT), "", ""),
        (row(Kind.PASSWORD), "sk-x_y", "sk-x_y"),
    ],
)
def test_an_answer_is_written_in_one_way(answer: Answer, text: str, said: str) -> None:
    assert kinds.plain(answer, {"NEW": text}) == said


@pytest.mark.parametrize(
    ("answer", "text", "says"),
    [
        (row(Kind.BOOLEAN), "maybe", "use true or false"),
        (row(Kind.NUMBER, least=2), "1", "use 2 or more"),
        (row(Kind.NUMBER), "many", "use a whole number"),
        (row(Kind.PORT), "99999", "use a port from 1 to 65535"),
        (row(Kind.CHOICE, choices=("a", "b")), "c", "use one of a, b"),
        (row(Kind.HOST), "a b", "use a host name"),
        (row(Kind.FILE), "x", "use an absolute path"),
        (row(Kind.TEXT), "a b", "NEW has a character that a line of gateway.env can't hold"),
        (row(Kind.PASSWORD), "geheim'", "NEW has a character that a line of gateway.env"),
        (row(Kind.TEXT), "a\nB=1", "NEW has a character"),
    ],
)
def test_what_is_not_of_its_kind_or_would_need_quotes_is_refused(
    answer: Answer, text: str, says: str
) -> None:
    with pytest.raises(InvalidSettings, match=says) as refusal:
        kinds.plain(answer, {"NEW": text})
    assert "geheim" not in str(refusal.value)


@pytest.fixture
def new_row(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """A row that is only in the catalogue, seen by whoever has read that when it was loaded."""
    answer = row(Kind.PASSWORD, needs="REDIS", comment="A new line")
    rows = (*VARIABLES, answer)
    said = (*gateway_env.SAID, Said(answer))
    lines = (*gateway_env.LINES, Said(answer))
    for module in (variables, values):
        monkeypatch.setattr(module, "VARIABLES", rows)
    for module in (gateway_env, render):
        monkeypatch.setattr(module, "SAID", said)
        monkeypatch.setattr(module, "LINES", lines)
        monkeypatch.setattr(module, "OWNED_KEYS", tuple(line.key for line in lines))
    monkeypatch.setattr(answers, "PASSWORD_KEYS", (*answers.PASSWORD_KEYS, "NEW"))
    monkeypatch.setattr(variables, "_ROWS", {a.key: a for a in (*ANSWERS, answer)})
    return answer


def settings_of(present: Settings | None = None, **given: str) -> Settings:
    return answers.to_settings(DATABASE | given, present, lambda: "made")


def test_a_row_is_a_line_with_its_comment_and_reads_back(new_row: Answer) -> None:
    settings = settings_of(REDIS_HOST="r1", NEW="sk-secret")
    text = render.gateway_env(settings)
    assert text.endswith("\n\n# A new line\nNEW_VARIABLE=sk-secret\n")
    assert settings.secrets == ("p", "sk-secret")
    assert "sk-secret" not in repr(settings)
    read = gateway_env.answered(environment_files.values(text))
    assert Settings(**read) == settings
    assert answers.from_settings(settings)["NEW"] == "sk-secret"
    assert settings_of(settings, REDIS="true", NEW="") == settings


def test_a_row_without_an_answer_or_without_what_it_is_about_is_no_line(new_row: Answer) -> None:
    assert "NEW_VARIABLE" not in render.gateway_env(settings_of(REDIS_HOST="r1"))
    assert "NEW_VARIABLE" not in render.gateway_env(settings_of(NEW="x"))
    with_line = settings_of(REDIS_HOST="r1", NEW="x")
    assert "NEW_VARIABLE" not in render.gateway_env(settings_of(with_line, REDIS="false"))


def test_what_an_administrator_has_written_in_its_place_is_no_answer_to_be_refused(
    new_row: Answer,
) -> None:
    read = variables.read({"NEW_VARIABLE": "two words"})
    present = Settings(Postgres("db1", "d", "u", "p"), variables=read)
    kept = settings_of(present, REDIS="true")
    assert dict(kept.variables)["NEW_VARIABLE"] == "two words"
