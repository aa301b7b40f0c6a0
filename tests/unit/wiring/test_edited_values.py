"""What an administrator has edited in a wired gateway: kept, taken over, or said."""

import json
from pathlib import Path

import pytest

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


def state(root: Path) -> bytes:
    return (root / "var/lib/hx-gateway-db/state").read_bytes()


def test_what_others_edited_since_stays_and_the_pristine_text_follows(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS + "CACHE=true\n")
    config = root / CONFIG
    config.write_text(config.read_text() + "# a later note\n")
    run("rollback")
    assert config.read_text().endswith("# a later note\n")
    pristine = (root / "var/lib/hx-gateway-db/config.yaml.pristine").read_text()
    assert pristine == ORIGINAL + "# a later note\n"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("general_settings: [1\n", "config.yaml"),
        ("general_settings:\n  database_url: postgresql://x\n", "general_settings.database_url"),
    ],
)
def test_a_config_that_cannot_be_edited_is_refused_and_nothing_changed(
    root: Path, run: Run, spoil: str, reason: str
) -> None:
    (root / CONFIG).write_text(spoil)
    before = snapshot(root)
    status, _, err = run("apply", answers=ANSWERS)
    assert status == 3
    assert reason in err and len(err.splitlines()) == 1
    assert snapshot(root) == before


def test_recovering_undoes_an_interrupted_run_and_keeps_what_was_edited_since(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("recover")[:2] == (0, "No run was interrupted: nothing to recover.\n")
    with monkeypatch.context() as context:
        context.setattr("hx_gateway_db.transaction.journal.Journal.close", lambda journal: None)
        run("apply", answers=ANSWERS)
    config = root / CONFIG
    config.write_text(config.read_text() + "# a later note\n")
    status, out, err = run("recover")
    assert (status, out) == (0, "Everything is as it was before the interrupted run.\n")
    assert f"/{CONFIG} was edited by somebody else since: only our part" in err
    assert config.read_text() == ORIGINAL + "# a later note\n"
    assert not (root / ENV).exists()
    assert not (root / "etc/systemd").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (CONFIG, "disable_spend_logs: false", "disable_spend_logs: true", "disable_spend_logs"),
        (CONFIG, "disable_error_logs: false", "disable_error_logs: true", "disable_error_logs"),
        (CONFIG, "type: redis", "type: redis-semantic", "cache_params.type"),
        (CONFIG, "namespace: litellm", "namespace: mine", "cache_params.namespace"),
        (CONFIG, "cache: true", "cache: false", "litellm_settings.cache"),
        (CONFIG, "rpm_limit: 60", "rpm_limit: 5", ""),
        (ENV, "LITELLM_REDIS_URL=redis://:rot@r1", "LITELLM_REDIS_URL=redis://:rot@r2", "LITELLM"),
        (ENV, "DATABASE_URL=postgresql://", "DATABASE_URL=postgres://", ""),
        (
            ENV,
            "\nDATABASE_URL=postgresql://hx_gateway:geh%40im%20%25@db1:5432/",
            "\nDATABASE_URL=postgresql://hx_gateway:geh%40im%20%25@db1/",
            "",
        ),
        (ENV, "\nREDIS_URL=redis://:rot@r1:6379/0", "\nREDIS_URL=redis://:rot@r1", ""),
        (ENV, "DISABLE_ADMIN_UI=true", "DISABLE_ADMIN_UI=no", ""),
        (ENV, "DISABLE_ADMIN_UI=true", "# on\nDISABLE_ADMIN_UI='true'\nLITELLM_SALT_KEY=s", ""),
        (f"{UNIT_FOLDERS[1]}/30-db.conf", "File=/opt", "File = -/opt", "EnvironmentFile = -/opt"),
        (f"{UNIT_FOLDERS[1]}/30-db.conf", "[Service]", "# mine\n[Service]\nNice=5", ""),
        (CACHE_CONF, "LITELLM_CACHE=1", "LITELLM_CACHE=0", "LITELLM_CACHE"),
        (CACHE_CONF, "RATE_LIMIT_ENABLED=1", "RATE_LIMIT_ENABLED=0", "RATE_LIMIT_ENABLED"),
        (CACHE_CONF, "PER_MINUTE=60", "PER_MINUTE=9", "LITELLM_RATE_LIMIT_TOKENS_PER_MINUTE"),
    ],
)
def test_an_edit_survives_and_nothing_is_written(
    root: Path, run: Run, file: str, old: str, new: str, said: str
) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / file, (old, new))
    before, remembered = snapshot(root), state(root)
    answers = what_the_host_has(run)
    answers.pop("EDITED", None)
    for given in ("", "".join(f"{key}={value}\n" for key, value in answers.items())):
        assert run("apply", answers=given)[1].startswith("Nothing to change")
        assert (snapshot(root), state(root)) == (before, remembered)
    notes = [line for line in run("plan")[1].splitlines() if "edited since" in line]
    assert len(notes) == bool(said)
    assert all(f"/{file}: " in note and said in note for note in notes)
    assert "rot" not in "".join(notes)


def test_edits_survive_a_change_of_something_else(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / ENV, ("LITELLM_REDIS_URL=redis://:rot@r1", "LITELLM_REDIS_URL=redis://:rot@r2"))
    edit(root / CONFIG, ("type: redis", "type: s3"), ("spend_logs: false", "spend_logs: true"))
    edit(root / CACHE_CONF, ("LITELLM_CACHE=1", "LITELLM_CACHE=0"))
    status, _, err = run("apply", answers="PG_HOST=db2\nRATE_LIMIT=7\n")
    assert status == 0
    assert err.count("was edited since") == 4
    assert "@db2:5432" in (root / ENV).read_text()
    assert "LITELLM_REDIS_URL=redis://:rot@r2" in (root / ENV).read_text()
    text = (root / CONFIG).read_text()
    assert all(value in text for value in ("type: s3", "spend_logs: true", "rpm_limit: 7"))
    drop_in = (root / CACHE_CONF).read_text()
    assert "LITELLM_CACHE=0\n" in drop_in
    assert "PER_MINUTE=7\n" in drop_in and "limit: 7 req/min" in drop_in


def test_what_was_lost_is_written_again(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    complete = snapshot(root)
    (root / UNIT_FOLDERS[1] / "30-db.conf").unlink()
    edit(root / CONFIG, ("  disable_spend_logs: false\n", ""), ("    namespace: litellm\n", ""))
    edit(root / CACHE_CONF, ("Environment=LITELLM_CACHE=1\n", ""))
    run("apply")
    lines = {name: sorted(content.splitlines()) for name, content in snapshot(root).items()}
    assert lines == {name: sorted(content.splitlines()) for name, content in complete.items()}


def test_a_rollback_undoes_edited_values_and_keeps_the_others_edits(root: Path, run: Run) -> None:
    run("apply", answers=CACHE_ON)
    edit(
        root / CONFIG,
        ("type: redis", "type: s3"),
        ("spend_logs: false", "spend_logs: 0"),
        ("# chat", "# chat, edited"),
    )
    edit(root / CACHE_CONF, ("LITELLM_CACHE=1", "LITELLM_CACHE=0"))
    run("apply", answers="PG_HOST=db2\n")
    run("rollback")
    pristine = root / "var/lib/hx-gateway-db/config.yaml.pristine"
    assert pristine.read_text() == ORIGINAL.replace("# chat", "# chat, edited")
    assert not (root / CACHE_CONF).exists()
    text = (root / CONFIG).read_text()
    assert "s3" not in text and "disable_spend_logs: true\n" in text


def test_a_move_keeps_the_form_of_an_edited_drop_in(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / UNIT_FOLDERS[1] / "30-db.conf", ("=/opt", "=-/opt"))
    assert run("apply", answers="BASE=/srv/gateway\n")[0] == 0
    for folder, dash in zip(UNIT_FOLDERS, ("", "-"), strict=True):
        assert (root / folder / "30-db.conf").read_text() == (
            f"[Service]\nEnvironmentFile={dash}/srv/gateway/config/api-gateway/gateway.env\n"
        )


@pytest.mark.parametrize(
    ("old", "new", "edited"),
    [
        ("@db1:", "@db2:", "PG_HOST"),
        (":geh%40im%20%25@", ":other@", "PG_PASS"),
        ("hx_gateway:geh%40im%20%25@db1:5432/", "me:x@db2/", "PG_HOST PG_USER PG_PASS"),
        (":5432/hx_gateway", "/hx_gateway?sslmode=require", "PG_SSLMODE"),
        (":rot@r1:6379/0", "u:p@r1:1/2", "REDIS_PORT REDIS_USER REDIS_PASS REDIS_DB"),
        ("\nREDIS_URL=redis://:rot@r1:6379/0\n", "\n", "REDIS"),
        ("DISABLE_ADMIN_UI=true", "DISABLE_ADMIN_UI=false", "DISABLE_ADMIN_UI"),
        ("DISABLE_ADMIN_UI=true", "X=1\nDISABLE_ADMIN_UI='true'", None),
        ("5432/hx_gateway", "5432/hx_gateway?connection_limit=5", None),
    ],
)
def test_the_answers_say_which_of_them_were_edited(
    root: Path, run: Run, old: str, new: str, edited: str | None
) -> None:
    run("apply", answers=ANSWERS)
    assert "EDITED" not in what_the_host_has(run)
    edit(root / ENV, (old, new))
    assert set((what_the_host_has(run).get("EDITED") or "").split()) == set((edited or "").split())
    report = json.loads(run("answers", "--json")[1])
    assert "PG_HOST" in report and "PG_PASS" not in report
    assert " ".join(report.get("EDITED", ())) == what_the_host_has(run).get("EDITED", "")


def test_an_edit_stays_one_until_an_answer_replaces_it(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / ENV, ("@db1:", "@db2:"))
    run("apply", answers="PG_HOST=db2\nPG_PORT=6543\n")
    assert what_the_host_has(run)["EDITED"] == "PG_HOST"
    run("rollback")
    assert what_the_host_has(run)["EDITED"] == "PG_HOST"
    run("apply", answers="PG_HOST=db1\n")
    assert "EDITED" not in what_the_host_has(run)


def test_what_was_edited_is_no_answer(root: Path, run: Run) -> None:
    assert run("apply", answers=ANSWERS + "EDITED=PG_HOST\n")[0] == 2


def test_an_edited_host_is_no_local_database_any_more(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS.replace("db1", "127.0.0.1"))
    path = root / "var/lib/hx-gateway-db/state"
    path.write_text(path.read_text() + "local-database hx_gateway\n")
    assert what_the_host_has(run)["DATABASE"] == "local"
    edit(root / ENV, ("@127.0.0.1:", "@db2:"))
    assert what_the_host_has(run)["DATABASE"] == "existing"


def test_an_earlier_versions_state_knows_of_no_edit_and_is_not_rewritten(
    root: Path, run: Run
) -> None:
    run("apply", answers=ANSWERS)
    path = root / "var/lib/hx-gateway-db/state"
    lines = path.read_text().splitlines(keepends=True)
    earlier = "".join(line for line in lines if not line.startswith(("left ", "salt ")))
    path.write_text(earlier)
    edit(root / ENV, ("@db1:", "@db2:"))
    assert "EDITED" not in what_the_host_has(run)
    assert run("apply")[1].startswith("Nothing to change")
    assert path.read_text() == earlier
    run("apply", answers="PG_PORT=6543\n")
    edit(root / ENV, ("@db2:", "@db3:"))
    assert what_the_host_has(run)["EDITED"] == "PG_HOST"


def test_no_value_is_in_the_state_file(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    assert b"geh" not in state(root) and b"rot" not in state(root)
    left = [line.split()[1:] for line in state(root).decode().splitlines() if "left" in line]
    digests = dict(left)
    assert {"PG_PASS", "REDIS_PASS", "PG_HOST"} <= set(digests)
    assert "BASE" not in digests


def test_a_file_of_ones_own_that_a_first_run_left_is_known_from_then_on(
    root: Path, run: Run
) -> None:
    (root / ENV).write_text("DATABASE_URL=postgres://u:p@db1/d\n")
    run("apply")
    assert (root / ENV).read_text().startswith("DATABASE_URL=postgres://u:p@db1/d\n")
    assert "EDITED" not in what_the_host_has(run)
    edit(root / ENV, ("@db1/", "@db2/"))
    assert what_the_host_has(run)["EDITED"] == "PG_HOST"


def test_a_line_that_systemd_ignores_is_mended_and_that_is_said(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    before = snapshot(root)
    edit(root / UNIT_FOLDERS[0] / "30-db.conf", (f"=/{ENV}", f'="/{ENV}"'))
    _, _, err = run("apply")
    assert f'30-db.conf: EnvironmentFile="/{ENV}" is ignored by systemd: written anew.' in err
    assert snapshot(root) == before


MINE = 'Environment="PATH=/site/bin:/usr/bin"\n'


@pytest.mark.parametrize("file", [f"{UNIT_FOLDERS[1]}/30-db.conf", CACHE_CONF])
def test_where_no_client_is_prepared_a_path_is_the_administrators_and_outlives_a_rollback(
    root: Path, run: Run, file: str
) -> None:
    run("apply", answers=CACHE_ON)
    edit(root / file, ("[Service]\n", f"[Service]\n{MINE}"))
    run("rollback")
    assert MINE in (root / file).read_text()


def test_a_prepared_clients_path_goes_with_the_drop_in(root: Path, run: Run) -> None:
    run("apply", answers=ANSWERS)
    edit(root / UNIT_FOLDERS[0] / "30-db.conf", ("[Service]\n", f"[Service]\n{MINE}"))
    run("rollback")
    assert not (root / UNIT_FOLDERS[0] / "30-db.conf").exists()
