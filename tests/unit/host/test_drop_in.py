"""Drop-ins in which an administrator's lines stay."""

from pathlib import Path

import pytest

from hx_gateway_db.host.drop_in import Settled, merge, moved, named, path, settle, strip, value
from hx_gateway_db.host.drop_ins import CACHE, CACHE_LINES, DATABASE_LINES
from hx_gateway_db.host.render import drop_in
from hx_gateway_db.layout import Layout
from hx_gateway_db.settings.values import Cache, Postgres, Redis, Settings

OURS = "[Service]\nEnvironmentFile=/b/config/api-gateway/gateway.env\n"
EDITED = "# site\n[Service]\nEnvironmentFile=/b/config/api-gateway/gateway.env\nNice=5\n"


def test_a_missing_drop_in_is_written_as_rendered() -> None:
    assert merge(None, OURS, DATABASE_LINES) == OURS


def test_an_edited_drop_in_with_our_line_is_left_as_it_is() -> None:
    assert merge(EDITED, OURS, DATABASE_LINES) == EDITED


def test_our_line_is_replaced_in_its_place() -> None:
    old = EDITED.replace("/b/", "/old/")
    assert merge(old, OURS, DATABASE_LINES) == EDITED


def test_our_line_is_added_below_the_section_that_is_there() -> None:
    assert merge("[Unit]\nA=1\n[Service]\nNice=5\n", OURS, DATABASE_LINES) == (
        "[Unit]\nA=1\n[Service]\nEnvironmentFile=/b/config/api-gateway/gateway.env\nNice=5\n"
    )


def test_a_drop_in_without_the_section_gets_one() -> None:
    assert merge("[Unit]\nA=1\n", OURS, DATABASE_LINES) == "[Unit]\nA=1\n" + OURS


def test_stripping_what_is_only_ours_leaves_no_file() -> None:
    assert strip(OURS, DATABASE_LINES, OURS) is None


def test_stripping_leaves_what_the_administrator_wrote() -> None:
    assert strip(EDITED, DATABASE_LINES, OURS) == "# site\n[Service]\nNice=5\n"


def test_another_environment_file_is_not_ours() -> None:
    text = "[Service]\nEnvironmentFile=/etc/hx-gateway/ml.env\n"
    assert strip(text, DATABASE_LINES, OURS) == text


def settled(existing: str | None) -> Settled:
    file = "/b/config/api-gateway/gateway.env"
    return settle(existing, OURS, DATABASE_LINES, lambda line: path(line) == file)


@pytest.mark.parametrize("edit", ["EnvironmentFile=-/b", "EnvironmentFile = /b"])
def test_a_line_that_still_reads_our_file_stays_as_it_was_edited(edit: str) -> None:
    text = EDITED.replace("EnvironmentFile=/b", edit)
    line = f"{edit}/config/api-gateway/gateway.env"
    assert settled(text) == Settled(text, (line,))


@pytest.mark.parametrize("edit", ['"/b/config/api-gateway/gateway.env"', "- /b/x/gateway.env"])
def test_systemd_ignores_quotes_and_a_blank_after_the_dash(edit: str) -> None:
    assert path(f"EnvironmentFile={edit}") is None


def test_a_line_that_systemd_ignores_is_mended() -> None:
    quoted = EDITED.replace(
        "=/b/config/api-gateway/gateway.env", '="/b/config/api-gateway/gateway.env"'
    )
    assert quoted != EDITED
    assert settled(quoted) == Settled(EDITED)


def test_what_was_lost_is_written_again() -> None:
    assert settled(None) == Settled(OURS)
    lost = EDITED.replace("EnvironmentFile=/b/config/api-gateway/gateway.env\n", "")
    assert settled(lost) == Settled(EDITED)


def test_a_line_that_reads_another_gateway_env_stays_and_goes_last() -> None:
    other = "EnvironmentFile=/site/gateway.env"
    outcome = settled(f"[Service]\n{other}\n")
    assert outcome == Settled(f"{OURS}{other}\n", (other,))
    assert strip(outcome.text, DATABASE_LINES, OURS) == f"[Service]\n{other}\n"


def test_a_move_changes_the_path_and_nothing_else_in_the_line() -> None:
    text = EDITED.replace("=/b", "=-/b") + "EnvironmentFile=/site/gateway.env\n"
    old, new = "/b/config/api-gateway/gateway.env", "/c/config/api-gateway/gateway.env"
    assert moved(text, DATABASE_LINES, old, new) == text.replace("=-/b/", "=-/c/")


def cache_drop_in(cache: Cache) -> str:
    settings = Settings(Postgres("h", "d", "u", "p"), Redis("r"), cache)
    return drop_in(CACHE, settings, Layout(Path("/")))


CACHE_ON = cache_drop_in(Cache(60))


def test_edited_cache_lines_may_stay_and_lost_ones_come_back_but_no_comment() -> None:
    edited = CACHE_ON.replace("LITELLM_CACHE=1", "LITELLM_CACHE=0")
    lines = [line for line in edited.splitlines(keepends=True) if "#" not in line]
    text = "".join(line for line in lines if "ENABLED" not in line)
    outcome = settle(text, CACHE_ON, CACHE_LINES, lambda line: True)
    assert outcome.edited == ("Environment=LITELLM_CACHE=0",)
    assert sorted(outcome.text.splitlines(True)) == sorted(lines)


def test_a_new_limit_changes_its_line_and_our_comment() -> None:
    limited = {"LITELLM_RATE_LIMIT_TOKENS_PER_MINUTE", "Example simple rate limit"}
    stay = named(CACHE_ON, CACHE_LINES).keys() - limited
    edited = CACHE_ON.replace("LITELLM_CACHE=1", "LITELLM_CACHE=0")
    outcome = settle(
        edited, cache_drop_in(Cache(7)), CACHE_LINES, lambda line: CACHE_LINES.name(line) in stay
    )
    assert outcome.text == cache_drop_in(Cache(7)).replace("LITELLM_CACHE=1", "LITELLM_CACHE=0")


def test_stripping_knows_our_comment_with_any_limit() -> None:
    assert strip(cache_drop_in(Cache(7)), CACHE_LINES, CACHE_ON) is None


@pytest.mark.parametrize("line", ['Environment="LITELLM_CACHE=1"', "Environment = LITELLM_CACHE=1"])
def test_the_value_of_a_variable_is_read(line: str) -> None:
    assert value(line) == "1"
