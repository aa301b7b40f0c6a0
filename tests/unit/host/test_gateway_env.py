"""gateway.env as systemd reads it, and changes by key."""

import pytest

from hx_gateway_db.host import gateway_env, render
from hx_gateway_db.host.gateway_env import EnvFileRefusal
from hx_gateway_db.settings.values import Cache, Postgres, Redis, Settings
from hx_gateway_db.systemd.environment_files import values

FRESH = (
    "# ours\n\n# Postgres\nDATABASE_URL=postgresql://u:p@h:5432/d\n\n# UI\nDISABLE_ADMIN_UI=true\n"
)
WITH_REDIS = FRESH.replace("# UI", "# Redis\nREDIS_URL=redis://r:6379/0\n\n# UI")


def merge(existing: str | None, rendered: str) -> str:
    return gateway_env.merge(existing, rendered, WITH_REDIS)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=pa$$word ${HOME}", "pa$$word ${HOME}"),
        ("A=postgresql://u:a%40b%25@h:5432/d", "postgresql://u:a%40b%25@h:5432/d"),
        (r'A="quo\"ted \$x"', 'quo"ted $x'),
        (r"A=a\b\\c", r"ab\c"),
        ("A=a#b ;c", "a#b ;c"),
        ("A=a   \t", "a"),
        ("A=a #b", "a #b"),
        ("""A='a'"'"'b'""", "a'b"),
        ("A= a", "a"),
        ("A=", ""),
        ("A=a\\\nb", "ab"),
        ("A='a\nb'", "a\nb"),
        ("; A=x\n# A=y\nA=z", "z"),
        ("A=1\nA=2", "2"),
        ("A=a\r\n", "a"),
    ],
)
def test_values_are_read_as_systemd_reads_them(line: str, value: str) -> None:
    assert values(line) == {"A": value}


def test_export_belongs_to_the_key_for_systemd() -> None:
    assert values("export K=a") == {"export K": "a"}


def test_a_new_file_is_the_rendered_one() -> None:
    assert merge(None, FRESH) == FRESH


def test_merging_twice_changes_nothing_more() -> None:
    assert merge(FRESH, FRESH) == FRESH
    once = merge("LITELLM_SALT_KEY=s\n", WITH_REDIS)
    assert merge(once, WITH_REDIS) == once


def test_lines_of_the_administrator_their_order_and_line_ends_stay() -> None:
    mine = "LITELLM_SALT_KEY='my salt'\r\nDATABASE_URL=old\r\n# note\nZ=1"
    merged = merge(mine, FRESH)
    assert merged.startswith(
        "LITELLM_SALT_KEY='my salt'\r\nDATABASE_URL=postgresql://u:p@h:5432/d\r\n# note\nZ=1\n"
    )
    assert merged.endswith("\n# UI\nDISABLE_ADMIN_UI=true\n")


def test_a_key_that_is_not_wanted_goes_with_its_comment() -> None:
    assert merge(WITH_REDIS, FRESH) == FRESH
    assert merge(merge(FRESH, WITH_REDIS), FRESH) == FRESH


def test_a_comment_that_the_administrator_changed_stays() -> None:
    noted = WITH_REDIS.replace("# Redis", "# Redis, ask Eva")
    assert merge(noted, FRESH) == FRESH.replace("# UI", "# Redis, ask Eva\n\n# UI")


def test_a_value_that_is_quoted_but_the_same_is_not_touched() -> None:
    quoted = FRESH.replace("DISABLE_ADMIN_UI=true", 'DISABLE_ADMIN_UI="true"')
    assert merge(quoted, FRESH) == quoted


def test_a_text_in_which_our_keys_would_be_misread_is_refused() -> None:
    with pytest.raises(EnvFileRefusal):
        merge("SALT='never closed\n", FRESH)


def test_a_key_that_only_one_of_the_readers_would_see_is_refused_with_its_line() -> None:
    with pytest.raises(EnvFileRefusal, match="line 2: .*REDIS_URL"):
        merge("A=1\nexport REDIS_URL=redis://elsewhere\n", FRESH)


def test_kept_keys_stay_as_they_are_written_or_missing() -> None:
    mine = "DATABASE_URL='postgres://u:p@h/d'\nLITELLM_REDIS_URL=redis://mine\n"
    kept = ("DATABASE_URL", "LITELLM_REDIS_URL", "REDIS_URL")
    merged = gateway_env.merge(mine, FRESH, WITH_REDIS, kept)
    assert merged == f"{mine}\n# UI\nDISABLE_ADMIN_UI=true\n"


def test_a_kept_value_that_the_two_readers_read_differently_is_written_anew() -> None:
    mine = "DATABASE_URL=postgres://u:p\\@h:5432/d\nDISABLE_ADMIN_UI=true\n"
    merged = gateway_env.merge(mine, FRESH, WITH_REDIS, ("DATABASE_URL",))
    assert values(merged)["DATABASE_URL"] == "postgresql://u:p@h:5432/d"
    assert "\\" not in merged


def test_of_a_line_that_python_dotenv_can_not_read_it_says_nothing_by_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    merge("no assignment at all, (\n", FRESH)
    assert caplog.messages == []


SETTINGS = [
    Settings(
        Postgres("db1", "d", "u", "p", pgbouncer=pgbouncer),
        redis,
        cache,
        buffer,
        variables=variables,
    )
    for pgbouncer in (None, True, False)
    for redis, cache, buffer in (
        (None, None, False),
        (Redis("r1"), None, False),
        (Redis("r1", password="r"), None, True),
        (Redis("r1"), Cache(), False),
        (Redis("r1"), Cache(), True),
    )
    for variables in ((), (("DISABLE_ADMIN_UI", "true"),), (("DISABLE_ADMIN_UI", "false"),))
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_fresh_file_has_the_lines_of_the_records_and_no_other(settings: Settings) -> None:
    lines = gateway_env.lines_for(settings)
    assert values(render.gateway_env(settings)) == lines
    assert list(lines) == [key for key in gateway_env.OWNED_KEYS if key in lines]


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_answer_reads_back_from_its_line(settings: Settings) -> None:
    read = gateway_env.answered(gateway_env.lines_for(settings))
    assert read == {name: getattr(settings, name) for name in read}
    assert read.keys() == {"postgres", "variables"} | ({"redis"} if settings.redis else set())


def test_every_line_has_its_paragraph_with_a_comment_in_the_template() -> None:
    paragraphs = render.gateway_env_with_all_keys().split("\n\n")[1:]
    keys = [paragraph.splitlines()[-1].partition("=")[0] for paragraph in paragraphs]
    assert sorted(keys) == sorted(gateway_env.OWNED_KEYS)
    assert all(paragraph.startswith("# ") for paragraph in paragraphs)
