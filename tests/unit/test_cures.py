"""A cure is for root to copy: nothing that a stranger decides is part of one."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from hx_gateway_db.findings import to_run
from hx_gateway_db.prisma import check
from hx_gateway_db.prisma.check import Report, findings
from tests.unit.worst_cases import modules

UNIT = "hx-litellm-gateway.service"
_IN_A_FINDING, _IN_A_SENTENCE = 5, 3

# What a cure may be made of besides constants and what is quoted there: values that were answered
# or that we have made up, which `settings` checks, and names that root alone decides. What a server
# has said may be advised as an answer, never as a part of a command.
KNOWN = {
    "gateway.answerer": {"short"},
    "settings.answers": {"', '.join(DATABASE_CHOICES)"},
    "findings": {"self.cure"},
    "checks.configuration": {"edited"},
    "checks.host_checks": {"copy", "answer", "env", "path", "-(-needed // 2 ** 20)"},
    "checks.files_left": {"path", "name"},
    "checks.running": {"short", "listed"},
    "checks.master_key": {"path"},
    "checks.overrides": {
        *("key", "path", "section", "names", "by", "defeat.by", "defeat.file", "cure"),
    },
    "checks.ports": {"unit", "port", "by.ending"},
    "postgres.sentences": {"target.address", "file", "trust_it"},
    "postgres.explanations": {
        *("role", "quoted_database", "user_answer", "password_answer", "encrypt_or"),
    },
    "postgres.facts": {
        *("cure", "role", "quoted", "identifier(user)", "identifier(postgres.database)"),
        *("each", "max(1, room // gateways)", "_reset(postgres, facts)"),
    },
    "prisma.check": {"short"},
    "redis.sentences": {"answers", "its_address", "no_password"},
    "redis.peer": {"print_it", "redis.port"},
    "redis.check": {"redis.port"},
    "gateway.sentences": {"entry"},
    "settings.values": {"', '.join(SSL_MODES)"},
    "settings.kinds": {"', '.join(answer.choices)", "answer.least"},
    "checks.wrapper_dependencies": {"name", "tables.name", "at"},
    "checks.spend": {"LITELLM_UNIT.removesuffix('.service')"},
    "checks.units": {"short", "read_log", "unit.name"},
    "wiring.salt": {"env", "anew"},
    # A name that is letters, digits and underscores and no more.
    "checks.migrations": {"name"},
    "checks.growth": {"also", "key", "example"},
    "checks.redis_client": {"addition"},
    "redis.denials": {"granting"},
}


def cures() -> Iterator[tuple[str, ast.expr]]:
    """Each expression that becomes a cure: by its name, or by its place in a call."""
    trees = {name: ast.parse(file.read_text()) for name, file in modules()}
    places = {"Finding": _IN_A_FINDING, "Sentence": _IN_A_SENTENCE}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in node.args.args if argument.arg != "self"]
                if "cure" in names:
                    places[node.name] = names.index("cure")
    for module, tree in trees.items():
        for node in ast.walk(tree):
            yield from ((module, value) for value in _in(node, places))


def _in(node: ast.AST, places: dict[str, int]) -> Iterator[ast.expr]:
    if isinstance(node, ast.Assign):
        yield from _bound(node.targets[0], node.value)
    elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
        for item in node.iter.elts:
            yield from _bound(node.target, item)
    elif isinstance(node, ast.Call):
        yield from (word.value for word in node.keywords if word.arg == "cure")
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        if len(node.args) > places.get(name, 99):
            yield node.args[places[name]]


def _bound(target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Name) and target.id == "cure":
        yield value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for inner, part in zip(target.elts, value.elts, strict=True):
            yield from _bound(inner, part)


def _foreign(expression: ast.expr) -> Iterator[str]:
    """The parts of a text that are neither constants nor quoted, those filled in later included."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (name for _, name, _, _ in string.Formatter().parse(node.value) if name)
        if isinstance(node, ast.FormattedValue):
            said = ast.unparse(node.value)
            if not said.strip("_").isupper() and not said.startswith(("to_run(", "shlex.")):
                yield said


def test_every_cure_is_made_of_what_we_know_or_have_quoted() -> None:
    found = list(cures())
    assert len(found) > 100
    foreign = {(module, part) for module, cure in found for part in _foreign(cure)}
    unknown = {(module, part) for module, part in foreign if part not in KNOWN.get(module, ())}
    assert unknown == set(), "say in KNOWN who decides that value, or quote it"


def report(**found: str) -> Report:
    texts = dict.fromkeys(("path", "pythonpath", "requirement", "package", "schema", "cache"), "")
    texts |= {"python": "/v/python", "client": "", "engine": "", "cli": ""}
    known = {"user": "hx-gateway", "interpreter": "/nowhere/venv/bin/python"}
    return Report(
        **{**texts, **known, **found},
        dead_variables=(),
        engine_named=False,
        installed=False,
        versions=(),
    )


def cure(**found: str) -> str:
    return findings(report(**found), UNIT)[0].cure


def test_what_the_gateway_s_python_prints_is_no_part_of_a_command() -> None:
    evil = "bash -c 'touch /tmp/rooted' #"
    assert cure(python=evil, requirement="prisma; id") == (
        "run 'runuser -u hx-gateway --pty -- /nowhere/venv/bin/python -m pip install prisma'"
    )
    assert cure(requirement="prisma==0.11.0").endswith(" -m pip install prisma==0.11.0'")
    assert cure(requirement="prisma==0.11.0 --index-url=http://evil").endswith(" install prisma'")


@pytest.mark.parametrize(
    "interpreter",
    ["python3", "/v/$(id)/python", "/v/python\nid", "/v/a b/python", "/v/'/python", ""],
)
def test_an_interpreter_that_only_a_script_names_is_harmless_or_left_out(interpreter: str) -> None:
    assert cure(interpreter=interpreter) == (
        f"install prisma for the Python of {UNIT}, as the user that it runs as"
    )


def test_a_python_that_is_root_s_alone_is_run_by_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "venv/bin/python"
    packages = tmp_path / "venv/lib/python3.11/site-packages"
    (packages / "pip").mkdir(parents=True)
    python.parent.mkdir()
    python.symlink_to("/usr/bin/python3")
    owners: dict[Path, int] = {}
    monkeypatch.setattr(check, "_only_root_writes", lambda place: owners.get(place, 0) == 0)
    assert cure(interpreter=str(python)) == f"run '{python} -m pip install prisma'"
    for place in (python.parent, packages, packages / "pip", tmp_path, python):
        owners[place] = 999
        assert cure(interpreter=str(python)).startswith("run 'runuser -u hx-gateway --pty -- ")
        del owners[place]


def test_root_s_alone_is_what_nobody_else_can_write(tmp_path: Path) -> None:
    assert check._only_root_writes(Path("/usr/bin"))
    assert not check._only_root_writes(Path("/tmp"))


def test_a_command_is_quoted_for_a_shell() -> None:
    assert to_run("mount", "-o", "remount,rw", "/") == "run 'mount -o remount,rw /'"
    assert to_run("install", "/a b;id", "/c") == "run \"install '/a b;id' /c\""
