"""The source package and what is built from it."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hx_gateway_db.host.gateway_env import OWNED_KEYS
from hx_gateway_db.settings.catalogue import ANSWERS, Kind

PROJECT = Path(__file__).resolve().parents[2]
DEBIAN = PROJECT / "debian"
PROVIDED_BY = {
    "yaml": "python3-yaml",
    "jinja2": "python3-jinja2",
    "dotenv": "python3-dotenv",
    "psycopg": "python3-psycopg",
    "redis": "python3-redis",
}
ROWS = {answer.question: answer for answer in ANSWERS}
# Decisions of one run: no answers, or only the run's own.
DECISIONS = {"edited": "keep", "check-failed": "abort", "prepare-prisma": "false", "drop": "false"}
# What the package calls of others that it does not import.
USED_BY_NAME = {"debconf": "/usr/share/debconf/confmodule", "passwd": "groupadd"}
# Programs that the gateway's own Python runs, with its own libraries.
GATEWAY_S_PROGRAMS = ("guest_probe.py", "guest_generator.py")
QUESTIONS = [name for name, answer in ROWS.items() if not answer.once]


def output(*command: str | Path) -> str:
    """What the command prints; an AssertionError with all of it when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def field(deb: Path, name: str) -> str:
    return output("dpkg-deb", "--field", deb, name).strip()


def test_the_committed_control_and_rules_are_what_stdeb_writes(tmp_path: Path) -> None:
    output(DEBIAN / "debianize", sys.executable, tmp_path)
    for name in ("control", "rules"):
        assert (tmp_path / name).read_text() == (DEBIAN / name).read_text(), "run make debianize"


def test_the_package_holds_the_library_the_command_the_templates_and_the_manual(deb: Path) -> None:
    listing = output("dpkg-deb", "--contents", deb).splitlines()
    files = {
        line.split()[5].removeprefix("."): line.split()[0]
        for line in listing
        if not line.startswith("d") and ".egg-info/" not in line
    }
    library = {f"/usr/lib/python3/dist-packages/{path.relative_to(PROJECT)}" for path in modules()}
    templates = {
        f"/usr/share/hx-gateway-db/templates/{path.name}"
        for path in (PROJECT / "templates").iterdir()
    }
    documentation = {"NEWS.Debian.gz", "changelog.gz", "copyright"}
    assert set(files) == {
        "/usr/sbin/hx-gateway-db",
        "/usr/lib/systemd/system/hx-gateway-db.service",
        "/usr/lib/systemd/system/hx-gateway-db.timer",
        "/usr/lib/systemd/system/hx-gateway-db-watch.service",
        "/usr/lib/systemd/system/multi-user.target.d/hx-gateway-db.conf",
        "/usr/share/bash-completion/completions/hx-gateway-db",
        "/usr/share/zsh/vendor-completions/_hx-gateway-db",
        "/usr/share/fish/vendor_completions.d/hx-gateway-db.fish",
        "/usr/share/man/man5/hx-gateway-db-files.5.gz",
        "/usr/share/man/man8/hx-gateway-db.8.gz",
        "/usr/share/lintian/overrides/hx-gateway-db",
        *(f"/usr/share/doc/hx-gateway-db/{name}" for name in documentation),
        *library,
        *templates,
    }
    assert files["/usr/sbin/hx-gateway-db"] == "-rwxr-xr-x"


def modules() -> list[Path]:
    return sorted((PROJECT / "hx_gateway_db").rglob("*.py"))


def test_the_command_ignores_the_callers_python_environment(deb: Path, tmp_path: Path) -> None:
    output("dpkg-deb", "--extract", deb, tmp_path)
    first_line = (tmp_path / "usr/sbin/hx-gateway-db").read_text().splitlines()[0]
    assert first_line == "#!/usr/bin/python3 -I"


def test_the_dependencies_are_the_libraries_that_the_code_imports_and_no_others(deb: Path) -> None:
    imported = {
        name.partition(".")[0]
        for path in modules()
        if path.name not in GATEWAY_S_PROGRAMS
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imports(node)
    }
    foreign = imported - sys.stdlib_module_names - {"hx_gateway_db"}
    depends = {re.split(r"[ (|:]", entry)[0] for entry in field(deb, "Depends").split(", ")}
    libraries = {PROVIDED_BY[name] for name in foreign}
    assert depends == libraries | {"python3"} | set(USED_BY_NAME)


def test_every_other_dependency_is_used() -> None:
    maintainer_scripts = [
        DEBIAN / f"hx-gateway-db.{name}" for name in ("config", "postinst", "prerm", "postrm")
    ]
    text = "".join(path.read_text() for path in [*modules(), *maintainer_scripts])
    for package, word in USED_BY_NAME.items():
        assert word in text, package


def imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_the_scripts_themselves_start_and_stop_no_unit(deb: Path, tmp_path: Path) -> None:
    output("dpkg-deb", "--control", str(deb), str(tmp_path))
    scripts = "".join((tmp_path / name).read_text() for name in ("postinst", "prerm", "postrm"))
    program = r"^[^#\n]*\b(systemctl|service|invoke-rc\.d|deb-systemd-invoke)[ \t]+([^>\n]*)"
    called = {f"{name} {rest.strip()}" for name, rest in re.findall(program, scripts, re.M)}
    # debhelper's; the gateway's own units are for the command, which asks policy-rc.d itself.
    assert called == {"systemctl --system daemon-reload"}


def test_the_questions_and_their_defaults_are_the_documented_ones() -> None:
    templates = stanzas()
    questions = {
        name.removeprefix("hx-gateway-db/"): fields.get("Default", "")
        for name, fields in templates.items()
        if fields["Type"] != "error"
    }
    assert questions == {name: answer.default for name, answer in ROWS.items()} | DECISIONS
    types = {name: templates[f"hx-gateway-db/{name}"]["Type"] for name in ROWS}
    assert types == {name: answer.debconf_type for name, answer in ROWS.items()}
    choices = {name: templates[f"hx-gateway-db/{name}"].get("Choices", "") for name in ROWS}
    assert choices == {name: ", ".join(answer.choices) for name, answer in ROWS.items()}


@pytest.mark.parametrize("script", ["config", "postinst"])
def test_both_scripts_know_every_question(script: str) -> None:
    text = (DEBIAN / f"hx-gateway-db.{script}").read_text()
    listed = re.search(r"""^(?:questions="|rows=')(.*?)["']""", text, re.M | re.S)
    assert listed
    lines = listed[1].split() if script == "postinst" else listed[1].strip().split("\n")
    assert [line.split()[0] for line in lines] == QUESTIONS


def test_config_puts_up_every_question_and_has_an_error_for_every_kind_of_answer() -> None:
    text = (DEBIAN / "hx-gateway-db.config").read_text()
    checked = text.partition("\nvalid() {\n")[2].partition("\n}\n")[0]
    kinds = set(re.findall(r"^    ([a-z]+)\)$", checked, re.M))
    errors = {name for name, fields in stanzas().items() if fields["Type"] == "error"}
    wrong = {name for name in errors if name.startswith("hx-gateway-db/bad-")}
    assert {f"hx-gateway-db/bad-{kind}" for kind in kinds} == wrong
    assert kinds <= {kind.value for kind in Kind}
    # What debconf lets nobody answer wrongly, and what may be anything.
    unchecked = {Kind.CHOICE, Kind.BOOLEAN, Kind.PASSWORD, Kind.TEXT}
    assert {answer.kind.value for answer in ANSWERS if answer.kind not in unchecked} <= kinds


def stanzas() -> dict[str, dict[str, str]]:
    """The debconf templates by name, with the first line of each field."""
    text = (DEBIAN / "hx-gateway-db.templates").read_text()
    parsed = [
        dict(re.findall(r"^_*([A-Z][a-z]+): *(.*)$", stanza, re.M))
        for stanza in text.split("\n\n")
        if "Template:" in stanza
    ]
    return {fields["Template"]: fields for fields in parsed}


def test_the_translators_template_is_up_to_date(tmp_path: Path) -> None:
    copy = tmp_path / "debian"
    shutil.copytree(DEBIAN, copy)
    output("debconf-updatepo", f"--podir={copy}/po")
    assert messages(copy) == messages(DEBIAN), "run debconf-updatepo"


def messages(debian: Path) -> list[str]:
    return re.findall(r'^(?:msgid )?".*"$', (debian / "po/templates.pot").read_text(), re.M)[12:]


def test_the_manual_page_is_well_formed_and_names_every_command_and_exit_status() -> None:
    page = DEBIAN / "hx-gateway-db.8"
    assert output("man", "--warnings", "--local-file", "--troff-device=utf8", page)
    text = output("man", "--local-file", "--ascii", page)
    help_text = output(sys.executable, "-m", "hx_gateway_db", "--help")
    commands = re.findall(r"^    ([a-z]+)(?: |$)", help_text, re.M)
    assert commands
    described = re.findall(r"^       ([a-z]+)(?: \[.*)?$", text, re.M)
    assert sorted(commands) == sorted(described)
    statuses = re.findall(r"^  (\d)  ", help_text, re.M)
    assert statuses == re.findall(r"^       (\d) ", text, re.M)


def test_the_manual_page_of_the_files_is_well_formed_and_names_every_line_that_is_kept() -> None:
    page = DEBIAN / "hx-gateway-db-files.5"
    assert output("man", "--warnings", "--local-file", "--troff-device=utf8", page)
    text = output("man", "--local-file", "--ascii", page)
    for key in OWNED_KEYS:
        assert re.search(rf"^       {key}(?: |$)", text, re.M), key
    for name in ("30-db.conf", "40-cache.conf", "config.yaml", "gateway.env"):
        assert name in text


def test_the_changelog_the_library_and_the_package_have_one_version(deb: Path) -> None:
    setup = re.search(r'version="(.*)"', (PROJECT / "setup.py").read_text())
    assert setup
    assert (
        setup[1] == output("dpkg-parsechangelog", "-l", DEBIAN / "changelog", "-SVersion").strip()
    )
    assert field(deb, "Version") == setup[1]
