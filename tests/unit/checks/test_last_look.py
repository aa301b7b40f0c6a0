"""How looks follow each other in the file, and what verify says of them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hx_gateway_db.checks import last_look
from hx_gateway_db.checks.last_look import LastLook, after, finding, present, read, text
from hx_gateway_db.checks.look import Look, State
from hx_gateway_db.findings import Level, Subject
from hx_gateway_db.gateway.sentences import KEY
from hx_gateway_db.layout import LAST_LOOK

SCHEMA = Path(__file__).resolve().parents[3] / "docs/schema/look.schema.json"
NOON = 1_795_867_200.0  # 2026-11-28 12:00 UTC
MINUTES = 60.0
WELL = Look(State.SERVING, (Subject(KEY, "").ok("keys are looked up"),), 0.25)
ILL = Look(State.FAILING, (Subject(KEY, "").failed("the engine ended", "so", "start it"),), 5.5)
STOPPED = Look(State.STOPPED, ())


@pytest.fixture(autouse=True)
def greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def seen(*looks: Look, every: float = 5 * MINUTES) -> LastLook:
    """What is known when these looks have followed each other, the first at noon."""
    last = None
    for number, look in enumerate(looks):
        last = after(last, look, NOON + number * every)
    assert last
    return last


def valid(last: LastLook) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text(last))
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
    return found


def test_a_state_has_been_so_since_the_first_look_that_saw_it() -> None:
    last = seen(WELL, ILL, ILL, WELL, STOPPED)
    assert valid(last)["since"] == "2026-11-28T12:20:00Z"
    assert valid(last)["history"] == [
        {
            "state": "serving",
            "since": "2026-11-28T12:00:00Z",
            "until": "2026-11-28T12:05:00Z",
            "reason": "",
        },
        {
            "state": "failing",
            "since": "2026-11-28T12:05:00Z",
            "until": "2026-11-28T12:15:00Z",
            "reason": "the engine ended (so)",
        },
        {
            "state": "serving",
            "since": "2026-11-28T12:15:00Z",
            "until": "2026-11-28T12:20:00Z",
            "reason": "",
        },
    ]


def test_what_fails_is_told_with_its_cure() -> None:
    found = valid(seen(WELL, ILL))
    assert (found["state"], found["reason"], found["cure"]) == (
        *("failing", "the engine ended (so)", "start it"),
    )
    assert found["checks"] == [
        {
            "name": "litellm.key",
            "result": "failed",
            "detail": "the engine ended (so)",
            "cure": "start it",
        }
    ]


def test_the_history_has_an_end() -> None:
    last = seen(*[WELL, ILL] * 500)
    assert len(valid(last)["history"]) == 20
    assert len(text(last)) < last_look._LARGEST


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / LAST_LOOK.relative_to("/")
    file.parent.mkdir(parents=True)
    assert present(tmp_path) is None
    last = seen(WELL, ILL, WELL)
    file.write_text(text(last))
    assert present(tmp_path) == last


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"schema": 2}',
        b'{"schema": 1}',
        text(seen(WELL)).replace("serving", "dancing").encode(),
        text(seen(WELL)).replace("2026-", "x-").encode(),
        text(seen(WELL)).replace('"history": []', '"history": 7').encode(),
    ],
)
def test_what_is_no_such_file_counts_for_nothing(content: bytes) -> None:
    assert read(content) is None


def test_a_file_without_end_counts_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / LAST_LOOK.relative_to("/")
    file.parent.mkdir(parents=True)
    file.write_text(text(seen(WELL)) + " " * last_look._LARGEST)
    assert present(tmp_path) is None


@pytest.mark.parametrize(
    ("looks", "level", "said"),
    [
        ((WELL, WELL), Level.OK, "the last look, 12:05, found the gateway serving (since 12:00)."),
        ((STOPPED,), Level.OK, "the last look, 12:00, found the gateway stopped (since 12:00)."),
        (
            (WELL, ILL, ILL),
            Level.WARNING,
            "virtual keys have failed since 12:05 (the engine ended (so)): start it.",
        ),
        (
            (WELL, ILL, WELL),
            Level.WARNING,
            "virtual keys failed from 12:05 to 12:10 (the engine ended (so));"
            " the last look, 12:10, found the gateway serving.",
        ),
        (
            (ILL, WELL, ILL),
            Level.WARNING,
            "virtual keys failed from 12:00 to 12:05 (the engine ended (so));"
            " virtual keys have failed since 12:10 (the engine ended (so)): start it.",
        ),
    ],
)
def test_verify_says_what_the_last_looks_saw(
    looks: tuple[Look, ...], level: Level, said: str
) -> None:
    last = seen(*looks)
    found = finding(last, last.looked_at + MINUTES)
    assert (found.level, found.sentence) == (level, said)


def test_what_is_more_than_a_day_ago_is_over() -> None:
    last = seen(ILL, WELL, every=10 * MINUTES)
    later = after(last, WELL, NOON + 26 * 60 * MINUTES)
    assert finding(later, later.looked_at).level is Level.OK
    assert "since 2026-11-28 12:10" in finding(later, later.looked_at).why


def test_a_timer_that_does_not_look_any_more_is_told() -> None:
    found = finding(seen(WELL), NOON + 16 * MINUTES)
    assert found.level is Level.WARNING
    assert found.what == "nobody has looked since 12:00"
    assert found.cure == "see 'systemctl status hx-gateway-db.timer'"


def test_what_others_said_is_but_text_without_secrets() -> None:
    hostile = f"\x1b]0;owned\x07 postgresql://u:geheim@h/d sk-abcdef123 {'x' * 10_000}"
    look = Look(State.FAILING, (Subject(KEY, hostile).failed(hostile, hostile, "mend it"),))
    written = text(seen(look))
    assert "\x1b" not in written and "\\u001b" not in written
    assert "geheim" not in written and "sk-abcdef123" not in written and len(written) < 3000
