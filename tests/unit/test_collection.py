"""What of the collection of Ansible follows from the code is written, and its numbers agree."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from hx_gateway_db.settings.answers import parse_answers
from hx_gateway_db.settings.catalogue import ANSWERS
from tests.unit.written import PROJECT, differences

ROLE = PROJECT / "ansible/roles/gateway_db"
WRITTEN = tuple(
    f"ansible/roles/gateway_db/{name}"
    for name in ("meta/argument_specs.yml", "defaults/main.yml", "vars/main.yml", "README.md")
)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_follows_from_the_table_of_answers_is_written(name: str, tmp_path: Path) -> None:
    for other in WRITTEN:
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    assert differences("ansible/write-role", WRITTEN, name, tmp_path) == "", "make tables"


def test_every_answer_is_a_variable_and_every_password_stays_among_the_secrets() -> None:
    values = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    secrets = {answer.key for answer in ANSWERS if answer.secret}
    assert set(values["gateway_db_secrets"]) == secrets
    assert set(values["gateway_db_answers"]) == {answer.key for answer in ANSWERS} - secrets
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
    hidden = {name for name, option in options["main"]["options"].items() if "no_log" in option}
    assert hidden == {f"gateway_db_{key.lower()}" for key in secrets}


def test_the_collection_has_the_version_of_the_package() -> None:
    described = yaml.safe_load((PROJECT / "ansible/galaxy.yml").read_text())
    changelog = (PROJECT / "debian/changelog").read_text()
    assert changelog.startswith(f"hx-gateway-db ({described['version']}) ")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of Ansible, which the tools of the tests don't have."""
    for name in ("ansible", "ansible.module_utils", "ansible.module_utils.basic"):
        monkeypatch.setitem(__import__("sys").modules, name, ModuleType(name))
    basic = __import__("sys").modules["ansible.module_utils.basic"]
    monkeypatch.setattr(basic, "AnsibleModule", object, raising=False)
    loader = SourceFileLoader("apply", str(PROJECT / "ansible/plugins/modules/apply.py"))
    spec = importlib.util.spec_from_loader("apply", loader)
    assert spec is not None
    loaded = importlib.util.module_from_spec(spec)
    loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize("password", ["plain", "'quoted'", '"', "a=b c#", "''", " x ", "'\"'"])
def test_an_answer_reaches_the_command_as_it_is(module: ModuleType, password: str) -> None:
    text = module.lines({"PG_HOST": "db1", "PG_PORT": "", "REDIS_PASS": None, "PG_PASS": password})
    assert parse_answers(text, "stdin") == {"PG_HOST": "db1", "PG_PASS": password}


@pytest.mark.parametrize("value", ["a\nPG_USER=root", "a\0b"])
def test_no_answer_can_smuggle_in_another(module: ModuleType, value: str) -> None:
    with pytest.raises(ValueError, match="PG_PASS"):
        module.lines({"PG_PASS": value})
