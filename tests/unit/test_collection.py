"""What of the collection of Ansible follows from the code is written, and its numbers agree."""

import importlib.util
import re
import sys
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


def test_what_tasks_remember_has_no_name_of_a_variable() -> None:
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
    variables = {*options["main"]["options"], *options["remove"]["options"]}
    text = "".join(path.read_text() for path in (ROLE / "tasks").rglob("*.yml"))
    remembered = set(re.findall(r"register: (\w+)|^ +(gateway_db_\w+): ", text, re.M))
    names = {name for found in remembered for name in found if name}
    assert names and not names & variables


def test_the_collection_has_the_version_of_the_package() -> None:
    described = yaml.safe_load((PROJECT / "ansible/galaxy.yml").read_text())
    changelog = (PROJECT / "debian/changelog").read_text()
    assert changelog.startswith(f"hx-gateway-db ({described['version']}) ")


def test_the_keyring_is_looked_for_where_its_package_puts_it() -> None:
    installed = (PROJECT / "repository/keyring-package/debian/install").read_text().splitlines()
    name, folder = next(line.split() for line in installed if "keyrings" in line)
    assert f"path: /{folder}/{name}\n" in (ROLE / "tasks/package.yml").read_text()


def test_an_upstream_of_nginx_is_marked_and_comes_back_as_it_was() -> None:
    before = "upstream gateways {\n    server 192.0.2.1:4000;\n    server 192.0.2.11:4000;\n}\n"
    texts = [before]
    for name in ("nginx_out", "nginx_out", "nginx_in", "nginx_in"):
        tasks = yaml.safe_load((ROLE / f"tasks/balancer/{name}.yml").read_text())
        change = tasks[0]["ansible.builtin.replace"]
        server = "{{ gateway_db_nginx_server | regex_escape }}"
        pattern = change["regexp"].replace(server, re.escape("192.0.2.1:4000"))
        texts.append(re.sub(pattern, change["replace"], texts[-1], flags=re.M))
    assert "server 192.0.2.1:4000 down;" in texts[1] and "server 192.0.2.11:4000;" in texts[1]
    assert texts == [before, texts[1], texts[1], before, before]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the modules of Ansible share; the tools of the tests have no Ansible."""
    for name in ("ansible", "ansible.module_utils", "ansible.module_utils.basic"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    basic = sys.modules["ansible.module_utils.basic"]
    monkeypatch.setattr(basic, "AnsibleModule", object, raising=False)
    loader = SourceFileLoader("command", str(PROJECT / "ansible/plugins/module_utils/command.py"))
    spec = importlib.util.spec_from_loader("command", loader)
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
