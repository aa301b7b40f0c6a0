"""What debconf asks, where an answer comes from, and what is left of it afterwards."""

import re
import string
from pathlib import Path

import pexpect
import pytest

from hx_gateway_db.findings import Cure
from hx_gateway_db.settings.catalogue import ANSWERS, Answer, Kind
from tests.package.debconf import Debconf, another, failed, prompt

EVERYTHING = string.punctuation + string.ascii_letters + string.digits
WIRED = {
    "DATABASE": "existing",
    "PG_HOST": "db1",
    "PG_PORT": "6543",
    "PG_DB": "ours",
    "PG_USER": r"a \ b  c",
    "PG_SSLMODE": "verify-full",
    "PG_SSLROOTCERT": "/etc/ssl/our ca.crt",
    "PG_BOUNCER": "true",
    "REDIS": "true",
    "REDIS_HOST": "cache1",
    "REDIS_PORT": "6380",
    "REDIS_TLS": "true",
    "REDIS_CACERT": "/etc/ssl/ca.crt",
    "REDIS_USER": "hx",
    "REDIS_DB": "3",
    "REDIS_TRANSACTION_BUFFER": "true",
    "DISABLE_ADMIN_UI": "false",
    "CACHE": "true",
    "RATE_LIMIT": "7",
    # Else HANDOVER is not asked for.
    "TRIAL": "true",
    "BASE": "/srv/gateway",
}
KEPT = [answer for answer in ANSWERS if not answer.once]
WIRED |= {a.key: another(a) for a in KEPT if a.key not in WIRED and not a.secret}
NO_SECRETS = {answer.key: "" for answer in ANSWERS if answer.secret or answer.once}
DATABASE = "Database for the gateway:"
HOST = "PostgreSQL server's host name or address:"
PORT = "PostgreSQL server's TCP port:"
PASSWORD = "Database user's password:"
TYPED = {**WIRED, "PG_USER": "me", "PG_PASS": "secret", "REDIS_PASS": "other"}


def typed(answer: Answer) -> str:
    """What a person types at a teletype to give the answer that TYPED has."""
    value = TYPED.get(answer.key, another(answer))
    if answer.choices:
        return str(answer.choices.index(value) + 1)
    return {"true": "yes", "false": "no"}[value] if answer.kind is Kind.BOOLEAN else value


EVERY_QUESTION = tuple((prompt(answer), typed(answer)) for answer in KEPT)
DECISION = "Edited values that the answers contradict:"
UP, DOWN, ENTER = "\x1b[A", "\x1b[B", "\r"
TO_BACK_BUTTON, ERASE_LINE = "\t\t", "\x15"


@pytest.mark.parametrize(
    "password",
    [
        EVERYTHING,
        " leading and trailing ",
        "two  spaces",
        r"\n is not a new line, nor at the end: \n",
        "\\\\n \\\\\\n \\\\",
        "tab\there",
        "pässwörd ☃",
        "$(id) `id` ${HOME} %s %d",
        "''\"\"",
    ],
)
def test_a_password_reaches_the_command_byte_for_byte(debconf: Debconf, password: str) -> None:
    debconf.install_command()
    # debconf-set-selections joins a line that ends in a backslash with the next.
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS=password, REDIS_PASS=password)
    assert debconf.configure().returncode == 0
    assert debconf.given["PG_PASS"] == password
    assert debconf.given["REDIS_PASS"] == password


def test_nothing_that_was_answered_is_in_the_commands_arguments(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS="secret")
    debconf.configure()
    assert debconf.arguments == "--debconf"


def test_without_a_terminal_and_answers_the_command_is_told_to_do_it_later(
    debconf: Debconf,
) -> None:
    debconf.install_command()
    assert debconf.configure().returncode == 0
    assert debconf.given["DATABASE"] == "later"
    assert debconf.given["PG_PASS"] == ""


def test_what_the_host_has_wins_over_what_debconf_remembers(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.select(**{key: value for key, value in WIRED.items() if key != "PG_HOST"})
    debconf.select(PG_HOST="db0")
    debconf.configure()
    debconf.host_has(**WIRED)
    debconf.configure(old_version="0.1.0")
    assert debconf.given == {**WIRED, **NO_SECRETS}


def test_a_new_selection_wins_over_what_the_host_has(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**WIRED)
    debconf.select(PG_HOST="db2", PG_PASS="new")
    debconf.configure(old_version="0.1.0")
    assert debconf.given == {**WIRED, **NO_SECRETS, "PG_HOST": "db2", "PG_PASS": "new"}


def test_without_redis_the_cache_that_the_host_has_is_switched_off(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**WIRED)
    debconf.select(REDIS="false")
    debconf.configure()
    assert debconf.given["CACHE"] == "false"
    assert debconf.given["REDIS_TRANSACTION_BUFFER"] == "false"


def test_without_checked_certificates_the_authorities_that_the_host_has_go(
    debconf: Debconf,
) -> None:
    debconf.install_command()
    debconf.host_has(**WIRED)
    debconf.select(PG_SSLMODE="require", REDIS_TLS="false")
    debconf.configure()
    assert (debconf.given["PG_SSLROOTCERT"], debconf.given["REDIS_CACERT"]) == ("none", "none")


def test_an_emptied_field_takes_the_value_of_the_host_away_and_an_empty_password_does_not(
    debconf: Debconf,
) -> None:
    debconf.install_command()
    debconf.host_has(**WIRED)
    debconf.edit(("Redis user:", ""), ("Redis password:", ""))
    assert (debconf.given["REDIS_USER"], debconf.given["REDIS_PASS"]) == ("none", "")
    assert debconf.given["REDIS_HOST"] == WIRED["REDIS_HOST"]


def test_a_contradiction_in_the_selections_is_left_for_the_command_to_refuse(
    debconf: Debconf,
) -> None:
    debconf.install_command()
    debconf.select(DATABASE="existing", REDIS="false", CACHE="true")
    debconf.configure()
    assert (debconf.given["REDIS"], debconf.given["CACHE"]) == ("false", "true")


def test_no_answer_outlives_a_postinst_that_succeeded(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS="pg-secret", REDIS_PASS="r-secret")
    assert "passwords.dat" in debconf.occurrences("pg-secret")
    debconf.configure()
    assert debconf.seen() == set()
    assert debconf.occurrences("pg-secret") == []
    assert debconf.occurrences("r-secret") == []


def test_a_password_that_was_preseeded_as_a_string_is_gone_after_the_trigger(
    debconf: Debconf,
) -> None:
    debconf.install_command()
    debconf.select_line("hx-gateway-db/pg-pass string secret")
    debconf.select(DATABASE="existing", PG_HOST="db1")
    debconf.configure()
    assert debconf.occurrences("secret") == ["config.dat-old"]
    debconf.run_trigger()
    assert debconf.occurrences("secret") == []


def test_a_password_is_not_in_debconfs_backups_after_the_trigger(debconf: Debconf) -> None:
    debconf.keep_password_backups()
    debconf.install_command()
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS="secret")
    debconf.configure()
    assert debconf.occurrences("secret") == ["passwords.dat-old"]
    debconf.run_trigger()
    assert debconf.occurrences("secret") == []


def test_where_nothing_was_ever_wired_the_command_is_not_asked(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.configure()
    assert debconf.asked == 0
    debconf.host_has(PG_HOST="db1")
    debconf.configure()
    assert debconf.asked == 1
    assert debconf.given["PG_HOST"] == "db1"


def test_the_trigger_reads_nothing_of_the_host(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(PG_HOST="db1")
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS="secret")
    debconf.configure()
    before = debconf.asked
    assert before
    debconf.run_trigger()
    assert debconf.asked == before


@pytest.mark.parametrize("failed", [False, True])
def test_a_password_that_waits_for_the_next_run_outlives_the_trigger(
    debconf: Debconf, failed: bool
) -> None:
    debconf.install_command()
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS="first-pass")
    debconf.configure()
    debconf.select(PG_PASS="second-pass")
    if failed:
        debconf.command_ends_with(3)
        debconf.configure()
    debconf.run_trigger()
    assert debconf.occurrences("second-pass")


def test_a_removal_after_a_run_that_failed_forgets_the_passwords(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS="first-pass")
    debconf.command_ends_with(3)
    assert debconf.configure().returncode != 0
    assert debconf.occurrences("first-pass")
    debconf.remove()
    assert not debconf.occurrences("first-pass")
    debconf.host_has(PG_HOST="db2")
    debconf.command_ends_with(0)
    debconf.configure()
    assert debconf.given["PG_HOST"] == "db2"


def test_a_run_without_passwords_activates_no_trigger(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.configure()
    with pytest.raises(FileNotFoundError):
        debconf.run_trigger()


def test_when_the_command_fails_so_does_postinst_and_the_answers_stay(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**WIRED)
    debconf.command_ends_with(3)
    debconf.select(DATABASE="existing", PG_HOST="db2", PG_PASS="secret")
    assert debconf.configure().returncode == 3
    debconf.command_ends_with(0)
    assert debconf.configure().returncode == 0
    assert debconf.given["PG_HOST"] == "db2"
    assert debconf.given["PG_PASS"] == "secret"
    assert debconf.occurrences("secret") == []


def test_after_a_failure_the_answers_are_asked_again_and_can_be_mended(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.command_ends_with(3)
    answer(debconf.dialog(), (DATABASE, "2"), (HOST, "wrong"), (PASSWORD, "secret"))
    debconf.command_ends_with(0)
    answer(debconf.dialog(), (DATABASE, "2"), (HOST, "right"), (PASSWORD, ""))
    assert debconf.given["DATABASE"] == "existing"
    assert debconf.given["PG_HOST"] == "right"
    assert debconf.given["PG_PASS"] == "secret"


def test_a_normal_installation_asks_only_what_has_no_sane_default(debconf: Debconf) -> None:
    debconf.install_command()
    answer(debconf.dialog(), (DATABASE, "2"), (HOST, "db1"), (PASSWORD, "secret"))
    assert debconf.given["PG_HOST"] == "db1"
    assert debconf.given["PG_PASS"] == "secret"
    assert debconf.given["REDIS"] == "false"


def test_a_local_database_needs_one_answer(debconf: Debconf) -> None:
    debconf.install_command()
    answer(debconf.dialog(), (DATABASE, "1"))
    assert debconf.given["DATABASE"] == "local"
    assert debconf.given["PG_PASS"] == ""


def test_later_asks_nothing_more_even_at_low_priority(debconf: Debconf) -> None:
    debconf.install_command()
    answer(debconf.dialog(priority="low"), (DATABASE, "3"))
    assert debconf.given["DATABASE"] == "later"


def test_an_upgrade_asks_nothing(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**WIRED)
    answer(debconf.dialog(old_version="0.0.9", priority="low"))
    assert debconf.given["PG_HOST"] == "db1"


def test_everything_is_asked_at_low_priority_in_this_order(debconf: Debconf) -> None:
    debconf.install_command()
    answer(debconf.dialog(priority="low"), *EVERY_QUESTION)
    passwords = {"PG_PASS": "secret", "REDIS_PASS": "other"}
    expected = {**WIRED, **NO_SECRETS, "PG_USER": "me", **passwords}
    assert debconf.given == expected


@pytest.mark.parametrize(
    ("question", "bad", "message"),
    [
        (HOST, "two words", "neither a host name nor an IP address"),
        (HOST, "-db", "neither a host name nor an IP address"),
        (HOST, "::g", "neither a host name nor an IP address"),
        (HOST, "http://db1", "neither a host name nor an IP address"),
        (PORT, "0", "not a whole number from 1 to 65535"),
        (PORT, "65536", "not a whole number from 1 to 65535"),
        (PORT, "five", "not a whole number from 1 to 65535"),
        ("Database name:", "x" * 64, "1 to 63 characters"),
        ("Database user:", "", "1 to 63 characters"),
        ("Redis server's host name or address:", "a..b", "neither a host name"),
        ("Redis server's TCP port:", "70000", "not a whole number from 1 to 65535"),
        (
            "File of the certificate authorities to trust for PostgreSQL:",
            "ca.crt",
            "not start with",
        ),
        ("File of the certificate authorities to trust for Redis:", "ca.crt", "not start with"),
        ("Redis database number:", "-1", "not a whole number of 0 or more"),
        ("Requests per minute for each new key:", "0", "not a whole number of 1 or more"),
        ("Folder of the gateway:", "srv/gateway", "not a path"),
        ("Folder of the gateway:", "/srv/../gateway", "not a path"),
        ("Folder of the gateway:", "/", "not a path"),
        ("Folder of the gateway:", "/a b", "not a path"),
    ],
)
def test_a_bad_answer_is_explained_and_asked_again(
    debconf: Debconf, question: str, bad: str, message: str
) -> None:
    debconf.install_command()
    at = [text for text, _ in EVERY_QUESTION].index(question)
    conversation = (
        *EVERY_QUESTION[:at],
        (question, bad),
        (f"{message}(?s:.)*{question}", EVERY_QUESTION[at][1]),
        *EVERY_QUESTION[at + 1 :],
    )
    answer(debconf.dialog(priority="low"), *conversation)
    assert {**debconf.given, **NO_SECRETS} == {**WIRED, **NO_SECRETS, "PG_USER": "me"}


@pytest.mark.parametrize("host", ["db-1.example.org", "192.0.2.1", "2001:db8::1", "::1", "db_1"])
def test_names_and_both_kinds_of_address_are_hosts(debconf: Debconf, host: str) -> None:
    debconf.install_command()
    answer(debconf.dialog(), (DATABASE, "2"), (HOST, host), (PASSWORD, "secret"))
    assert debconf.given["PG_HOST"] == host


def test_back_goes_back_one_question(debconf: Debconf) -> None:
    debconf.install_command()
    dialog = debconf.dialog(frontend="dialog")
    dialog.expect("Database for the gateway:")
    dialog.send(UP + ENTER)  # from "later" to "existing"
    dialog.expect("PostgreSQL server's host name")
    dialog.send("wrong" + ENTER)
    dialog.expect("Database user's password")
    dialog.send(TO_BACK_BUTTON + ENTER)
    dialog.expect("PostgreSQL server's host name")
    dialog.send(ERASE_LINE + "right" + ENTER)
    dialog.expect("Database user's password")
    dialog.send("secret" + ENTER)
    dialog.expect(pexpect.EOF)
    assert debconf.given["PG_HOST"] == "right"
    assert debconf.given["PG_PASS"] == "secret"


def test_back_skips_questions_that_were_not_asked(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.select(DATABASE="existing", PG_HOST="db1")
    dialog = debconf.dialog(frontend="dialog", priority="medium")
    dialog.expect("PostgreSQL server's TCP port:")
    dialog.send(ENTER)
    dialog.expect("Database name:")
    dialog.send(TO_BACK_BUTTON + ENTER)
    dialog.expect("PostgreSQL server's TCP port:")
    dialog.send(TO_BACK_BUTTON + ENTER)  # nothing lies before it: that ends the questions
    dialog.expect(pexpect.EOF)
    assert debconf.given["PG_PORT"] == "5432"


@pytest.mark.parametrize(("action", "status"), [("reconfigure", 1), ("configure", 0)])
def test_back_from_the_first_question_cancels_a_reconfiguration(
    debconf: Debconf, action: str, status: int
) -> None:
    dialog = debconf.questions(action)
    dialog.expect("Database for the gateway:")
    dialog.send(TO_BACK_BUTTON + ENTER)
    dialog.expect(pexpect.EOF)
    dialog.close()
    assert dialog.exitstatus == status


EDITED = {**WIRED, "EDITED": "PG_HOST PG_USER PG_PASS RATE_LIMIT"}
CHANGES = (
    "PG_HOST: db1 -> db0\n"
    r" PG_USER: a \ b  c -> a \ b c" + "\n"
    " PG_PASS: (not shown)\n"
)


def select_stale_answers(debconf: Debconf) -> None:
    """Preseed as configuration management does that knows nothing of the edits on the host."""
    debconf.select(PG_HOST="db0", PG_PORT="99", PG_USER=r"a \ b c", PG_PASS="stale")
    debconf.select(RATE_LIMIT="7")  # as the host has it


def test_edited_values_win_over_answers_given_in_advance_and_that_is_said_each_time(
    debconf: Debconf,
) -> None:
    debconf.install_command()
    debconf.host_has(**EDITED)
    for version in ("", "0.1.0"):
        select_stale_answers(debconf)
        done = debconf.configure(old_version=version)
        assert debconf.given == {**WIRED, **NO_SECRETS, "PG_PORT": "99"}
        assert CHANGES + "The edited values are kept" in done.stderr
        assert done.stderr.count("preseed 'hx-gateway-db/edited select replace'") == 1
        assert "stale" not in done.stdout + done.stderr
        assert debconf.seen() == set()
        assert debconf.occurrences("stale") == []


def test_the_decision_can_be_preseeded_and_holds_for_one_run(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**EDITED)
    select_stale_answers(debconf)
    debconf.select_line("hx-gateway-db/edited select replace")
    done = debconf.configure(old_version="0.1.0")
    assert debconf.given["PG_HOST"] == "db0"
    assert debconf.given["PG_USER"] == r"a \ b c"
    assert debconf.given["PG_PASS"] == "stale"
    assert CHANGES + "The edited values are replaced by the answers" in done.stderr
    assert debconf.seen() == set()
    debconf.select(PG_HOST="db0")
    debconf.configure(old_version="0.1.0")
    assert debconf.given["PG_HOST"] == "db1"


@pytest.mark.parametrize(("reply", "host", "password"), [("1", "db1", ""), ("2", "db0", "stale")])
def test_on_a_terminal_the_edits_are_shown_and_decided_once(
    debconf: Debconf, reply: str, host: str, password: str
) -> None:
    debconf.install_command()
    debconf.host_has(**EDITED)
    select_stale_answers(debconf)
    dialog = debconf.dialog(old_version="0.1.0")
    dialog.expect(DECISION)
    shown = (dialog.before or "").replace("\r", "")
    assert CHANGES in shown and "stale" not in shown and "RATE_LIMIT" not in shown
    dialog.sendline(reply)
    dialog.expect(pexpect.EOF)
    assert DECISION not in (dialog.before or "") and "edited" not in (dialog.before or "")
    assert debconf.given["PG_HOST"] == host
    assert debconf.given["PG_PORT"] == "99"
    assert debconf.given["PG_PASS"] == password
    assert debconf.occurrences("stale") == []


@pytest.mark.parametrize("decision", ["keep", "replace"])
def test_config_run_by_apt_and_again_by_postinst_asks_once(debconf: Debconf, decision: str) -> None:
    debconf.install_command()
    debconf.host_has(**EDITED)
    select_stale_answers(debconf)
    early = debconf.questions("configure", "0.1.0")
    early.expect(DECISION)
    early.send(ENTER if decision == "keep" else DOWN + ENTER)
    early.expect(pexpect.EOF)
    answer(debconf.dialog(old_version="0.1.0"))
    assert debconf.given["PG_HOST"] == ("db1" if decision == "keep" else "db0")


def test_what_was_edited_is_decided_after_the_unpack_when_the_version_before_can_not_tell(
    debconf: Debconf,
) -> None:
    debconf.install_earlier_command()
    debconf.host_has(**EDITED)
    select_stale_answers(debconf)
    early = debconf.questions("configure", "0.1.0")
    early.expect(pexpect.EOF)
    early.close()
    assert early.exitstatus == 0 and DECISION not in (early.before or "")
    debconf.install_command()
    dialog = debconf.dialog(old_version="0.1.0")
    dialog.expect(DECISION)
    dialog.sendline("1")
    dialog.expect(pexpect.EOF)
    assert debconf.given["PG_HOST"] == "db1"


def test_an_edit_of_the_file_survives_configuration_management(
    debconf: Debconf, tmp_path: Path
) -> None:
    config = tmp_path / "tree/opt/HX-Infrastructure-/api-gateway/config/api-gateway/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("general_settings: {master_key: sk-1}\n")
    env = config.with_name("gateway.env")
    debconf.install_real_command(tmp_path / "tree")

    def manage(*decision: str) -> str:
        debconf.select(DATABASE="existing", PG_HOST="db0", PG_PASS="managed")
        for line in decision:
            debconf.select_line(line)
        done = debconf.configure(old_version="0.1.0")
        assert done.returncode == 0
        return done.stderr

    assert "edited" not in manage()
    managed = env.read_text()
    edited = managed.replace("managed@db0:", "by-hand@db1:") + "LITELLM_SALT_KEY=s\n"
    env.write_text(edited)
    for _ in range(2):
        said = manage()
        assert "PG_HOST: db1 -> db0\n PG_PASS: (not shown)\n" in said
        assert "by-hand" not in said and "managed" not in said
        assert env.read_text() == edited
    manage("hx-gateway-db/edited select replace")
    assert env.read_text() == managed + "LITELLM_SALT_KEY=s\n"
    assert "edited" not in manage()


def test_answers_that_change_nothing_contradict_no_edit(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**{**WIRED, "EDITED": "DATABASE PG_HOST PG_PASS REDIS"})
    debconf.select(DATABASE="later", PG_HOST="db1", PG_PASS="")
    answer(debconf.dialog(old_version="0.1.0"))
    assert debconf.given["DATABASE"] == "later"


def test_after_a_failure_the_decision_stands(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**EDITED)
    debconf.command_ends_with(3)
    select_stale_answers(debconf)
    debconf.select_line("hx-gateway-db/edited select replace")
    assert debconf.configure(old_version="0.1.0").returncode == 3
    assert debconf.seen() == set()
    debconf.command_ends_with(0)
    assert debconf.configure(old_version="0.1.0").stderr == ""
    assert debconf.given["PG_HOST"] == "db0"


# A check that fails

NO_ROLE = r"PostgreSQL at db1:5432 has no role hx \n."
MISSING = failed(NO_ROLE, Cure.POSTGRES_ADMINISTRATOR, "PG_USER", "PG_PASS")
FAILED_CHECK = "Next step after the failed checks:"
NO_CLIENT = failed("There is no client.", Cure.PRISMA_PREPARATION)
RETRY, CHANGE, ADMINISTRATOR, CONTINUE, LATER, ABORT = "1", "2", "3", "4", "5", "6"


def existing_database(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS="secret")


def test_without_a_terminal_a_failed_check_leaves_the_package_unconfigured(
    debconf: Debconf,
) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, found=MISSING)
    assert debconf.configure().returncode == 3
    assert len(debconf.attempts) == 1
    assert debconf.occurrences("secret") == ["passwords.dat"]


@pytest.mark.parametrize("answer", ["retry", "change"])
def test_without_a_terminal_nothing_is_tried_for_ever(debconf: Debconf, answer: str) -> None:
    existing_database(debconf)
    debconf.select_line(f"hx-gateway-db/check-failed select {answer}")
    debconf.command_ends_with(3, found=MISSING)
    assert debconf.configure().returncode == 3
    assert len(debconf.attempts) == 1


def test_going_on_in_spite_of_it_can_be_preseeded(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.select_line("hx-gateway-db/check-failed select continue")
    debconf.command_ends_with(3, 0, found=MISSING)
    assert debconf.configure().returncode == 0
    assert debconf.attempts == ["--debconf", "--debconf --anyway"]


def test_going_on_that_fails_as_well_ends_it(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.select_line("hx-gateway-db/check-failed select continue")
    debconf.command_ends_with(3, found=MISSING)
    assert debconf.configure().returncode == 3
    assert len(debconf.attempts) == 2


def test_installing_without_configuring_can_be_preseeded(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.select_line("hx-gateway-db/check-failed select later")
    debconf.command_ends_with(3, 0, found=MISSING)
    assert debconf.configure().returncode == 0
    assert debconf.given["DATABASE"] == "later"
    assert debconf.occurrences("secret") == []


def test_an_administrators_login_can_be_preseeded_and_is_forgotten(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.select_line("hx-gateway-db/check-failed select administrator")
    debconf.select_line("hx-gateway-db/pg-admin-user string postgres")
    debconf.select_line("hx-gateway-db/pg-admin-pass password admin-secret")
    debconf.command_ends_with(3, 0, found=MISSING)
    assert debconf.configure().returncode == 0
    assert debconf.given["PG_ADMIN_USER"] == "postgres"
    assert debconf.given["PG_ADMIN_PASS"] == "admin-secret"
    assert debconf.occurrences("admin-secret") == []


def test_on_a_terminal_what_was_found_is_shown_and_tried_again(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 3, 0, found=MISSING)
    dialog = debconf.dialog()
    for _ in range(2):
        dialog.expect(FAILED_CHECK)
        assert NO_ROLE in (dialog.before or "")
        dialog.sendline(RETRY)
    dialog.expect(pexpect.EOF)
    assert len(debconf.attempts) == 3


def test_the_answers_can_be_changed_after_a_failed_check(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=failed("It is wrong."))
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(CHANGE)
    answer(dialog, (DATABASE, "2"), (HOST, "db2"), (PASSWORD, ""))
    assert debconf.given["PG_HOST"] == "db2"
    assert debconf.given["PG_PASS"] == "secret"


@pytest.mark.parametrize("key", [answer.key for answer in KEPT if answer.question != "database"])
def test_what_is_at_fault_is_asked_first_whatever_its_priority(debconf: Debconf, key: str) -> None:
    debconf.install_command()
    with_everything = {"PG_SSLMODE": "verify-full", "REDIS": "true", "REDIS_TLS": "true"}
    debconf.select(DATABASE="existing", PG_HOST="db1", PG_PASS="p", CACHE="true", **with_everything)
    debconf.command_ends_with(3, 0, found=failed("It is wrong.", Cure.BY_HAND, key))
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(CHANGE)
    order = [other.key for other in KEPT]
    asked = [key]
    asked += [other for other in ("PG_HOST", "PG_PASS") if order.index(other) > order.index(key)]
    rows = {other.key: (prompt(other), typed(other)) for other in KEPT}
    answer(dialog, *(rows[other] for other in asked))
    assert debconf.given[key] == TYPED.get(key, debconf.given[key])


def test_all_that_may_be_at_fault_is_asked(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=MISSING)
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(CHANGE)
    answer(dialog, ("Database user:", "me"), (PASSWORD, "new"))
    assert (debconf.given["PG_USER"], debconf.given["PG_PASS"]) == ("me", "new")


def test_with_other_answers_a_refused_administrator_is_not_tried_again(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 3, 0, found=MISSING)
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(ADMINISTRATOR)
    for part, reply in (("name", "boss"), ("password", "mistyped")):
        dialog.expect(f"PostgreSQL administrator's {part}:")
        dialog.sendline(reply)
    dialog.expect(FAILED_CHECK)
    dialog.sendline(CHANGE)
    answer(dialog, ("Database user:", "me"), (PASSWORD, "new"))
    assert debconf.given["PG_USER"] == "me"
    assert (debconf.given["PG_ADMIN_USER"], debconf.given["PG_ADMIN_PASS"]) == ("", "")


def test_from_what_is_at_fault_back_leads_to_the_questions_before(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=MISSING)
    dialog = debconf.dialog(frontend="dialog")
    dialog.expect(FAILED_CHECK)
    dialog.send(DOWN + ENTER)  # from "Try again" to "Change the answers"
    dialog.expect("Database user:")
    dialog.send(TO_BACK_BUTTON + ENTER)
    dialog.expect("PostgreSQL server's host name")
    dialog.send(ERASE_LINE + "db2" + ENTER)
    dialog.expect("Database user:")
    dialog.send(ENTER)
    dialog.expect("Database user's password")
    dialog.send("secret" + ENTER)
    dialog.expect(pexpect.EOF)
    assert debconf.given["PG_HOST"] == "db2"


def test_what_was_asked_again_is_no_answer_for_the_next_run(debconf: Debconf) -> None:
    """debconf marks it as seen after postinst; what somebody has edited since has to win."""
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=failed("It is wrong."))
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(CHANGE)
    answer(dialog, (DATABASE, "2"), (HOST, "db2"), (PASSWORD, "another-secret"))
    debconf.run_trigger()
    assert debconf.occurrences("another-secret") == []
    debconf.host_has(DATABASE="existing", PG_HOST="db3", EDITED="PG_HOST")
    assert debconf.configure(old_version="0.1.0").returncode == 0
    assert debconf.given["PG_HOST"] == "db3"


def test_a_failed_check_is_shown_again_in_the_next_run(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, found=MISSING)
    for _ in range(2):
        dialog = debconf.dialog()
        if dialog.expect([FAILED_CHECK, DATABASE]) == 1:
            dialog.sendline("2")
            for question, reply in ((HOST, "db1"), (PASSWORD, "")):
                dialog.expect(question)
                dialog.sendline(reply)
            dialog.expect(FAILED_CHECK)
        dialog.sendline(ABORT)
        dialog.expect(pexpect.EOF)
        dialog.close()
        assert dialog.exitstatus == 3


def test_at_the_end_of_the_input_it_is_tried_once_and_every_answer_kept(debconf: Debconf) -> None:
    """As with Ansible or cron, where debconf falls back to a teletype without anybody at it."""
    existing_database(debconf)
    debconf.command_ends_with(3, found=MISSING)
    for attempts in (1, 2):
        assert debconf.configure(DEBIAN_FRONTEND="teletype").returncode == 3
        assert len(debconf.attempts) == attempts
    debconf.command_ends_with(0)
    assert debconf.configure(DEBIAN_FRONTEND="teletype").returncode == 0
    assert debconf.given["DATABASE"] == "existing"
    assert debconf.given["PG_HOST"] == "db1"
    assert debconf.given["PG_PASS"] == "secret"


def test_at_the_end_of_the_input_a_first_installation_changes_nothing(debconf: Debconf) -> None:
    debconf.install_command()
    assert debconf.configure(DEBIAN_FRONTEND="teletype").returncode == 0
    assert debconf.given["DATABASE"] == "later"


def test_an_administrator_can_log_in_once(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=MISSING)
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(ADMINISTRATOR)
    dialog.expect("PostgreSQL administrator's name:")
    dialog.sendline("postgres")
    dialog.expect("PostgreSQL administrator's password:")
    dialog.sendline("admin-secret")
    dialog.expect(pexpect.EOF)
    assert "Redis" not in (dialog.before or "")
    assert debconf.given["PG_ADMIN_PASS"] == "admin-secret"
    assert debconf.given["REDIS_ADMIN_USER"] == ""
    assert debconf.occurrences("admin-secret") == []


def test_only_the_administrator_who_can_cure_it_is_asked_for(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=failed("No user.", Cure.REDIS_ADMINISTRATOR))
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(ADMINISTRATOR)
    dialog.expect("Redis administrator's name:")
    assert "PostgreSQL administrator" not in (dialog.before or "")
    dialog.sendline("default")
    dialog.expect("Redis administrator's password:")
    dialog.sendline("admin-secret")
    dialog.expect(pexpect.EOF)
    assert debconf.given["REDIS_ADMIN_PASS"] == "admin-secret"
    assert debconf.given["PG_ADMIN_USER"] == ""


def test_where_no_administrator_can_cure_it_that_is_said(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 3, 0, found=failed("The disk is full."))
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(ADMINISTRATOR)
    dialog.expect("No administrator's login to a server would cure what was found.")
    dialog.sendline("")
    dialog.expect(FAILED_CHECK)
    assert "administrator's name" not in (dialog.before or "")
    dialog.sendline(RETRY)
    dialog.expect(pexpect.EOF)
    assert len(debconf.attempts) == 3


@pytest.mark.parametrize("preseeded", [False, True])
def test_a_refused_administrator_is_asked_for_again_and_nothing_else(
    debconf: Debconf, preseeded: bool
) -> None:
    existing_database(debconf)
    if preseeded:
        debconf.select_line("hx-gateway-db/pg-admin-user string postgres")
        debconf.select_line("hx-gateway-db/pg-admin-pass password mistyped")
    refused = failed("No.", Cure.POSTGRES_ADMINISTRATOR, "PG_ADMIN_USER", "PG_ADMIN_PASS")
    debconf.command_ends_with(3, 3, 0, found=refused)
    dialog = debconf.dialog(frontend="dialog")
    dialog.expect(FAILED_CHECK)
    dialog.send(ENTER)  # an administrator's login is proposed
    if not preseeded:
        dialog.expect("PostgreSQL administrator's name:")
        dialog.send("postgres" + ENTER)
        dialog.expect("PostgreSQL administrator's password:")
        dialog.send("mistyped" + ENTER)
    dialog.expect(FAILED_CHECK)
    assert not preseeded or "administrator's name" not in (dialog.before or "")
    dialog.send(ENTER)  # an administrator's login is proposed
    dialog.expect("PostgreSQL administrator's name:")
    dialog.send(ENTER)  # the one of before
    dialog.expect("PostgreSQL administrator's password:")
    dialog.send("right" + ENTER)
    dialog.expect(pexpect.EOF)
    assert (debconf.given["PG_ADMIN_USER"], debconf.given["PG_ADMIN_PASS"]) == ("postgres", "right")
    assert debconf.occurrences("right") == []


@pytest.mark.parametrize(("reply", "status"), [(ABORT, 3), (LATER, 0)])
def test_the_gateway_can_be_left_as_it_is(debconf: Debconf, reply: str, status: int) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=MISSING)
    dialog = debconf.dialog()
    dialog.expect(FAILED_CHECK)
    dialog.sendline(reply)
    dialog.expect(pexpect.EOF)
    dialog.close()
    assert dialog.exitstatus == status


@pytest.mark.parametrize(("reply", "more"), [("yes", " --prepare-prisma"), ("no", None)])
def test_a_missing_database_client_is_generated_on_request(
    debconf: Debconf, reply: str, more: str | None
) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, 0, found=NO_CLIENT)
    dialog = debconf.dialog()
    dialog.expect("Generate the gateway's database client")
    dialog.sendline(reply)
    if more is None:
        dialog.expect(FAILED_CHECK)
        dialog.sendline(ABORT)
    dialog.expect(pexpect.EOF)
    assert debconf.attempts[1:] == ([f"--debconf{more}"] if more else [])


def test_what_no_check_found_needs_no_dialog(debconf: Debconf) -> None:
    existing_database(debconf)
    debconf.command_ends_with(4)
    dialog = debconf.dialog()
    dialog.expect(pexpect.EOF)
    assert FAILED_CHECK not in (dialog.before or "")


def answer(dialog: "pexpect.spawn[str]", *expected: tuple[str, str]) -> None:
    """Answer the questions in this order; an error when another is asked, or one more."""
    for question, reply in expected:
        dialog.expect(f"{question}[^\n]*$")
        for other, _ in EVERY_QUESTION:
            assert not re.search(f"{other}[^\n]*$", dialog.before or "", re.M), f"asked {other}"
        dialog.sendline(reply)
    dialog.expect(pexpect.EOF)
    dialog.close()
    assert dialog.exitstatus is not None, "it waits for one more answer"
