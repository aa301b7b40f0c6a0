"""The cache, from the answer to the files and back."""

from pathlib import Path

from tests.unit.tree import (
    ANSWERS,
    CACHE_CONF,
    CACHE_ON,
    CONFIG,
    ENV,
    ORIGINAL,
    UNIT_FOLDERS,
    Run,
    edit,
    snapshot,
    what_the_host_has,
)


def test_the_cache_is_written_where_litellm_reads_it(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS + "CACHE=true\nRATE_LIMIT=30\n")
    import yaml

    settings = yaml.safe_load((root / CONFIG).read_text())["litellm_settings"]
    assert settings == {
        "cache": True,
        "cache_params": {"type": "redis", "namespace": "litellm"},
        "default_key_generate_params": {"rpm_limit": 30},
    }
    assert "LITELLM_REDIS_URL=redis://:rot@r1:6379/0\n" in (root / ENV).read_text()
    drop_in = (root / UNIT_FOLDERS[0] / "40-cache.conf").read_text()
    assert "Environment=LITELLM_RATE_LIMIT_TOKENS_PER_MINUTE=30\n" in drop_in


def test_switching_the_cache_off_takes_back_just_its_keys(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    run("apply", answers="CACHE=true\n")
    assert snapshot(root) != before
    run("apply", answers="CACHE=false\n")
    assert snapshot(root) == before


def test_todays_limit_is_the_one_in_force(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / CONFIG, ("rpm_limit: 60", "rpm_limit: 5"))
    assert what_the_host_has(run)["RATE_LIMIT"] == "5"
    assert what_the_host_has(run)["EDITED"] == "RATE_LIMIT"
    edit(root / CONFIG, ("rpm_limit: 5", "rpm_limit: os.environ/RPM"))
    assert what_the_host_has(run)["RATE_LIMIT"] == "60"


def test_a_new_redis_server_wins_over_an_edited_url_for_the_cache(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / ENV, ("LITELLM_REDIS_URL=redis://:rot@r1", "LITELLM_REDIS_URL=redis://:rot@r2"))
    _, _, err = run("apply", answers="REDIS_HOST=r3\n")
    assert "LITELLM_REDIS_URL was edited since: it is as REDIS_URL again." in err
    assert (root / ENV).read_text().count("redis://:rot@r3:6379/0\n") == 2


def test_the_url_for_the_cache_follows_an_edited_redis_url(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / ENV, ("\nREDIS_URL=redis://:rot@r1", "\nREDIS_URL=redis://:rot@r2"))
    run("apply")
    assert (root / ENV).read_text().count("redis://:rot@r2:6379/0\n") == 2


def test_a_url_for_the_cache_of_ones_own_stays_while_the_cache_is_off(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / ENV, ("DISABLE_ADMIN_UI", "LITELLM_REDIS_URL=redis://mine\nDISABLE_ADMIN_UI"))
    before = snapshot(root)
    run("apply")
    assert snapshot(root) == before
    run("apply", answers="PG_HOST=db2\n")
    assert "LITELLM_REDIS_URL=redis://mine\n" in (root / ENV).read_text()


def test_switching_the_cache_off_takes_edits_of_it_away_and_says_so(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    run("apply", answers="CACHE=true\nRATE_LIMIT=7\n")
    edit(root / CONFIG, ("type: redis", "type: s3"))
    edit(root / CACHE_CONF, ("LITELLM_CACHE=1", "LITELLM_CACHE=0"))
    edit(root / ENV, ("LITELLM_REDIS_URL=redis://:rot@r1", "LITELLM_REDIS_URL=redis://:rot@r2"))
    _, _, err = run("apply", answers="CACHE=false\n")
    assert err.count(" was edited since") == err.count(": it goes with the cache.") == 3
    assert snapshot(root) == before


def test_a_removed_40_cache_conf_switches_the_cache_off_entirely(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    run("apply", answers="CACHE=true\n")
    (root / CACHE_CONF).unlink()
    assert what_the_host_has(run)["CACHE"] == "false"
    assert what_the_host_has(run)["EDITED"] == "CACHE"
    run("apply")
    assert snapshot(root) == before


def test_a_rollback_of_a_cache_is_no_edit(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    run("rollback")
    assert "EDITED" not in what_the_host_has(run)


def test_a_cache_that_was_added_since_survives_a_purge_after_another_run(
    root: Path, run: Run
) -> None:
    run("apply", answers=ANSWERS)
    file = root / CONFIG
    file.write_text(file.read_text() + "litellm_settings:\n  cache: true\n")
    run("apply", answers="REDIS_HOST=r2\n")
    run("apply", answers="PG_HOST=db2\n")
    run("rollback")
    pristine = root / "var/lib/hx-gateway-db/config.yaml.pristine"
    assert pristine.read_text() == ORIGINAL + "litellm_settings:\n  cache: true\n"


def test_a_config_yaml_that_was_rendered_anew_is_no_cache_that_is_on(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    assert "lost" not in run("status")[1]
    (root / CONFIG).write_text(ORIGINAL)
    shown = " ".join(run("status")[1].split())
    assert "on, 60 requests/min, but config.yaml has lost what was set there" in shown
    assert "litellm_settings.cache, litellm_settings.cache_params.type" in shown
    assert shown.endswith("run 'hx-gateway-db apply'.")
    run("apply")
    assert "lost" not in run("status")[1]
    assert "  cache: true\n" in (root / CONFIG).read_text()


def test_keys_of_a_host_that_we_have_not_wired_are_not_lost(root: Path, run: Run) -> None:
    assert "lost" not in run("status")[1]
    run("apply", answers=CACHE_ON)
    run("rollback")
    (root / CONFIG).write_text(ORIGINAL)
    assert "lost" not in run("status")[1]
