"""The table of every question in docs: that it is complete and right, and that each line works."""

import os
import re
from dataclasses import dataclass

import pytest

from hx_gateway_db.findings import Cure, Subject
from hx_gateway_db.settings.catalogue import ANSWERS
from hx_gateway_db.settings.debconf import finding_lines
from tests.package.debconf import PROJECT, Debconf, another

# Of these the table has no default, but what one might want to preseed.
EXAMPLES = {"database", "pg-host", "check-failed"}
VALUES = {
    "database": "existing",
    "pg-host": "db9",
    "pg-port": "6543",
    "pg-db": "ours",
    "pg-user": r"a \ b",
    "pg-pass": r"p \n w",
    "pg-sslmode": "verify-full",
    "pg-sslrootcert": "/etc/ssl/our ca.crt",
    "pg-bouncer": "true",
    "redis": "true",
    "redis-host": "cache9",
    "redis-port": "6380",
    "redis-tls": "true",
    "redis-cacert": "/etc/ssl/ca.crt",
    "redis-user": "hx",
    "redis-pass": "r w",
    "redis-db": "3",
    "redis-transaction-buffer": "true",
    "cache": "true",
    "rate-limit": "7",
    "disable-admin-ui": "false",
    "trial": "true",
    "base": "/srv/gateway",
    "edited": "replace",
    "check-failed": "administrator",
    "pg-admin-user": "dba",
    "pg-admin-pass": "d w",
    "redis-admin-user": "default",
    "redis-admin-pass": "e w",
    "prepare-prisma": "true",
    "drop": "true",
}
VALUES = {answer.question: another(answer) for answer in ANSWERS} | VALUES
# What these decide shows in something else than in an answer that the command is given.
DECISIONS = {"edited", "check-failed", "prepare-prisma", "drop"}
ALL = [Cure.PRISMA_PREPARATION, Cure.POSTGRES_ADMINISTRATOR, Cure.REDIS_ADMINISTRATOR]
FOUND = "\n".join(finding_lines(Subject("name", "where").failed("It is", by=by) for by in ALL))
MADE = """\
# Kept by hx-gateway-db(8); read by its purge.
gateway-env /nowhere/gateway.env
local-database hx_gateway
local-port 5432
redis-user hxgateway 6379
"""


@dataclass(frozen=True)
class Question:
    """A question as the table or the template has it."""

    name: str
    kind: str
    value: str
    priority: str = ""


def documented() -> list[Question]:
    section = (PROJECT / "docs/questions.md").read_text()
    row = re.compile(r"^\| .+ \| (\w+) \| `(\S+) (\w+) ?([^`]*)` \|$", re.M)
    rows = [Question(name, kind, value, by) for by, name, kind, value in row.findall(section)]
    assert len(rows) == section.count("\n| ") - 1, "a row that is not one question"
    return rows


def in_the_templates() -> list[Question]:
    text = (PROJECT / "debian/hx-gateway-db.templates").read_text()
    found = []
    for template in text.split("\n\n"):
        fields = dict(re.findall(r"^(Template|Type|Default): (.*)$", template, re.M))
        if fields.get("Type", "error") != "error":
            name = fields["Template"].removeprefix("hx-gateway-db/")
            found.append(Question(name, fields["Type"], fields.get("Default", "")))
    return found


def test_the_table_has_every_question_once_with_its_type() -> None:
    table = [(question.name, question.kind) for question in documented()]
    templates = [(question.name, question.kind) for question in in_the_templates()]
    assert sorted(table) == sorted(templates)
    assert sorted(VALUES) == sorted(name for name, _ in templates)


def test_the_table_has_the_defaults_and_examples_only_where_there_is_none_to_rely_on() -> None:
    defaults = {question.name: question.value for question in in_the_templates()}
    for question in documented():
        if question.name in EXAMPLES:
            assert question.priority in ("high", "critical")
        elif question.kind == "password":
            assert (question.value, defaults[question.name]) == ("...", "")
        else:
            assert question.value == defaults[question.name], question.name


def test_the_values_preseeded_here_are_no_defaults() -> None:
    # But for the one without which another is not asked.
    assert [q.name for q in in_the_templates() if VALUES[q.name] == q.value] == ["trial"]


def preseeded(debconf: Debconf) -> str:
    """Configure with every line of the table, against a host that has the defaults and edits.

    The first attempt lacks the database client, the second fails otherwise. Returns what debconf
    says of its questions.
    """
    debconf.install_command()
    answers = [q for q in in_the_templates() if q.name not in DECISIONS and "admin-" not in q.name]
    host = {key(question.name): question.value for question in answers}
    host |= {"DATABASE": "existing", "PG_HOST": "db1", "EDITED": " ".join(host)}
    debconf.host_has(**host)
    debconf.command_ends_with(3, 3, 0, found=FOUND)
    for question in documented():
        name = f"hx-gateway-db/{question.name}"
        debconf.select_line(f"{name} {question.kind} {VALUES[question.name]}")
    done = debconf.configure(DEBCONF_DEBUG="developer")
    assert done.returncode == 0
    return done.stderr


def key(name: str) -> str:
    return name.upper().replace("-", "_")


def test_each_preseeded_value_reaches_the_command(debconf: Debconf) -> None:
    preseeded(debconf)
    expected = {key(name): value for name, value in VALUES.items() if name not in DECISIONS}
    # "edited" decided for the answers, and "check-failed" for the administrators' logins.
    assert debconf.given == expected
    assert debconf.attempts == [
        "--debconf",
        "--debconf --prepare-prisma",
        "--debconf --prepare-prisma",
    ]
    assert debconf.seen() <= {"drop"}, "what was preseeded is good for one run"


def test_each_question_is_asked_with_the_documented_priority(debconf: Debconf) -> None:
    asked = re.findall(r"<-- INPUT (\w+) hx-gateway-db/(\S+)", preseeded(debconf))
    documented_priorities = {question.name: question.priority for question in documented()}
    assert {name for _, name in asked} == set(VALUES) - {"drop"}
    for priority, name in asked:
        assert priority == documented_priorities[name], name


AS_POSTGRES = "setpriv --reuid=postgres --regid=postgres --clear-groups -- psql"
DROPPED = [AS_POSTGRES, "redis-cli -p 6379 ACL DELUSER hxgateway"]


@pytest.mark.parametrize(("value", "dropped"), [("false", []), ("true", DROPPED)])
def test_dropping_at_purge_can_be_preseeded(
    debconf: Debconf, value: str, dropped: list[str]
) -> None:
    if os.geteuid() != 0:
        pytest.fail("Purging mounts: run this test as root.")
    debconf.install_command()
    debconf.configure()
    debconf.select_line(f"hx-gateway-db/drop boolean {value}")
    ran = debconf.purge(MADE)
    assert [command.partition(" -XAtq")[0] for command in ran] == dropped
