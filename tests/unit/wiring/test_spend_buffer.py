"""The buffer in which several gateways gather their spend, in every file that it touches."""

from pathlib import Path

import pytest

from tests.unit.tree import (
    ANSWERS,
    BASE,
    CACHE_ON,
    CONFIG,
    ENV,
    ORIGINAL,
    Run,
    edit,
    snapshot,
    what_the_host_has,
)

SEVERAL = CACHE_ON + "REDIS_TRANSACTION_BUFFER=true\n"


SHARED = "EXPERIMENTAL_MULTI_INSTANCE_RATE_LIMITING=true\n"


BUFFER = "use_redis_transaction_buffer: true\n"


def test_several_gateways_gather_their_spend_and_count_a_keys_requests_together(
    root: Path, run: Run
) -> None:
    run("apply", answers=CACHE_ON)
    one_gateway = snapshot(root)
    assert SHARED not in (root / ENV).read_text()
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "false"
    assert run("apply", answers="REDIS_TRANSACTION_BUFFER=true\n")[0] == 0
    assert f"\n  {BUFFER}" in (root / CONFIG).read_text()
    assert f"newer ones always do)\n{SHARED}" in (root / ENV).read_text()
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "true"
    assert "EDITED" not in what_the_host_has(run)
    assert run("apply")[1].startswith("Nothing to change")
    run("apply", answers="REDIS_TRANSACTION_BUFFER=false\n")
    assert snapshot(root) == one_gateway


def test_the_spend_buffer_goes_with_redis(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS + "REDIS=false\n")
    without = snapshot(root)
    run("apply", answers=ANSWERS + "REDIS=true\nREDIS_TRANSACTION_BUFFER=true\n")
    assert snapshot(root) != without
    run("apply", answers="REDIS=false\n")
    assert snapshot(root) == without


def test_a_rollback_takes_the_spend_buffer_back_and_it_has_to_be_answered_anew(
    root: Path, run: Run
) -> None:
    run("apply", answers=SEVERAL)
    run("rollback")
    text = (root / CONFIG).read_text()
    assert "redis" not in text and "litellm_settings" not in text
    answers = what_the_host_has(run)
    assert "EDITED" not in answers
    assert answers["REDIS_TRANSACTION_BUFFER"] == answers["CACHE"] == "false"
    run("apply")
    assert SHARED not in (root / ENV).read_text()


def test_todays_spend_buffer_is_the_one_in_force(root: Path, run: Run) -> None:
    run("apply", answers=SEVERAL)
    edit(root / CONFIG, (BUFFER, BUFFER.replace("true", "false")))
    answers = what_the_host_has(run)
    assert (answers["REDIS_TRANSACTION_BUFFER"], answers["EDITED"]) == (
        "false",
        "REDIS_TRANSACTION_BUFFER",
    )
    run("apply")
    assert "buffer" not in (root / CONFIG).read_text()
    assert SHARED not in (root / ENV).read_text()
    assert "cache: true\n" in (root / CONFIG).read_text()


def test_a_spend_buffer_that_an_administrator_added_is_todays_value(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / CONFIG, ("general_settings:\n", f"general_settings:\n  {BUFFER}"))
    answers = what_the_host_has(run)
    assert (answers["REDIS_TRANSACTION_BUFFER"], answers["EDITED"]) == (
        "true",
        "REDIS_TRANSACTION_BUFFER",
    )
    run("apply")
    assert "mode: default_off\n" in (root / CONFIG).read_text()
    edit(root / CONFIG, (f"  {BUFFER}", ""))
    run("apply")
    assert "default_off" not in (root / CONFIG).read_text()


def test_a_spend_buffer_from_before_us_is_no_answer(root: Path, run: Run) -> None:
    edit(root / CONFIG, ("general_settings:\n", f"general_settings:\n  {BUFFER}"))
    run("apply", answers=ANSWERS)
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "false"
    assert BUFFER in (root / CONFIG).read_text()
    run("apply", answers="REDIS_TRANSACTION_BUFFER=true\n")
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "true"
    run("rollback")
    assert BUFFER in (root / CONFIG).read_text()
    assert what_the_host_has(run)["REDIS_TRANSACTION_BUFFER"] == "false"


def test_an_answered_spend_buffer_waits_for_config_yaml(root: Path, run: Run) -> None:
    config = (root / CONFIG).read_bytes()
    (root / CONFIG).unlink()
    run("apply", answers=SEVERAL)
    (root / CONFIG).write_bytes(config)
    run("apply")
    assert BUFFER in (root / CONFIG).read_text()


def test_with_another_base_the_spend_buffer_moves_along(root: Path, run: Run) -> None:
    run("apply", answers=SEVERAL)
    config = root / CONFIG.replace(BASE, "srv/gw")
    config.parent.mkdir(parents=True)
    config.write_text(ORIGINAL)
    run("apply", answers="BASE=/srv/gw\n")
    assert BUFFER in config.read_text() and "default_off" not in config.read_text()
    assert (root / CONFIG).read_text() == ORIGINAL
    assert SHARED in (root / ENV.replace(BASE, "srv/gw")).read_text()


@pytest.mark.parametrize("line", [SHARED, SHARED.replace("true", "false"), "LITELLM_REDIS_URL=x\n"])
def test_a_line_of_ones_own_from_before_us_stays_while_ours_is_off(
    root: Path, run: Run, line: str
) -> None:
    (root / ENV).write_text(line)
    for answers in (ANSWERS, "PG_HOST=db2\n", "PG_HOST=db3\n"):
        assert "edited since" not in run("apply", answers=answers)[2]
        assert (root / ENV).read_text().startswith(line)


def test_edited_shared_limits_stay_and_go_with_the_spend_buffer(root: Path, run: Run) -> None:
    run("apply", answers=SEVERAL)
    edit(root / ENV, (SHARED, SHARED.replace("true", "false")))
    for answers in ("", "PG_HOST=db2\n"):
        _, _, err = run("apply", answers=answers)
        assert f"{SHARED.partition('=')[0]} was edited since: left as it is." in err
    assert SHARED.replace("true", "false") in (root / ENV).read_text()
    _, _, err = run("apply", answers="REDIS_TRANSACTION_BUFFER=false\n")
    assert f"{SHARED.partition('=')[0]} was edited since: it goes with the spend buffer." in err
    assert SHARED.partition("=")[0] not in (root / ENV).read_text()
