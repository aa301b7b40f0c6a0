"""What a stranger has said reaches no terminal through debconf but as text."""

import pytest

from tests.package.debconf import Debconf, failed
from tests.package.test_debconf import (
    DATABASE,
    HOST,
    WIRED,
    existing_database,
)

TITLE, CSI, BELL = "\x1b]0;owned", "\x9b31m", "\x07"
HOSTILE = f"a{TITLE}{BELL}b{CSI}c"
FRONTENDS = ["readline", "dialog", "teletype"]


def harmless(shown: str) -> bool:
    """Whether a terminal got the words alone; a dialog of whiptail's has sequences of its own."""
    return TITLE not in shown and CSI not in shown and "owned" in shown


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_value_on_the_host_does_nothing_to_the_terminal(debconf: Debconf, frontend: str) -> None:
    debconf.install_command()
    debconf.host_has(**{**WIRED, "PG_USER": HOSTILE}, EDITED="PG_USER")
    debconf.select(PG_USER="me")
    dialog = debconf.dialog(old_version="0.1.0", frontend=frontend, PERL_RL="Stub")
    dialog.expect("-> me")
    assert harmless(dialog.before or "")
    dialog.close(force=True)


def test_nor_does_it_where_nobody_is_asked(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**{**WIRED, "PG_USER": HOSTILE}, EDITED="PG_USER")
    debconf.select(PG_USER="me")
    said = debconf.configure(old_version="0.1.0").stderr
    assert "-> me" in said and harmless(said)


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_finding_does_nothing_to_the_terminal(debconf: Debconf, frontend: str) -> None:
    existing_database(debconf)
    debconf.command_ends_with(3, found=failed(f"db1 says {HOSTILE}, THE END."))
    dialog = debconf.dialog(frontend=frontend, PERL_RL="Stub")
    dialog.expect("THE END")
    assert harmless(dialog.before or "")
    dialog.close(force=True)


def test_an_answer_that_is_refused_does_nothing_to_the_terminal(debconf: Debconf) -> None:
    debconf.install_command()
    debconf.host_has(**{**WIRED, "PG_HOST": HOSTILE})
    dialog = debconf.questions("reconfigure", "0.1.0")
    dialog.expect("Database for the gateway")
    dialog.send("\r")
    dialog.expect("host name or address")
    dialog.send("\r")
    dialog.expect("neither a host name")
    assert harmless(dialog.before or "")
    dialog.close(force=True)


@pytest.mark.parametrize(
    "bad", ["postgresql://u:geheim@db1/d", "u:geheim@db1", "password=geheim", "geheim-" * 20 + "-"]
)
def test_an_answer_that_can_hold_a_password_is_not_repeated(debconf: Debconf, bad: str) -> None:
    debconf.install_command()
    dialog = debconf.dialog(frontend="readline", PERL_RL="Stub")
    for question, reply in ((DATABASE, "existing"), (HOST, bad)):
        dialog.expect(question)
        dialog.sendline(reply)
    dialog.expect(HOST)
    shown = dialog.before or ""
    assert "(not shown)" in shown and "geheim" not in shown.replace(bad, "", 1)
    dialog.close(force=True)
