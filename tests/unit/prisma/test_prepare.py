"""The parts of Prisma's preparation that need no gateway."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hx_gateway_db.findings import Cure, Level
from hx_gateway_db.prisma.check import _TEXTS, Report, _text, findings
from hx_gateway_db.prisma.guest_generator import with_output
from hx_gateway_db.prisma.guest_probe import models
from hx_gateway_db.prisma.prepare import VARIABLES, _explained, drop_in_lines, recorded, tidy

SCHEMA = """datasource client {
  provider = "postgresql"
}

generator client {
  provider = "prisma-client-py"
  output   = "../elsewhere"
}

model A {
  id String @id
}
"""
VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=40)


@given(st.dictionaries(st.sampled_from(VARIABLES), VALUES))
def test_what_a_drop_in_says_is_read_back(environment: dict[str, str]) -> None:
    text = "\n".join(["[Service]", *drop_in_lines(environment), "Environment=OTHER=1"])
    assert recorded(text) == environment


def test_a_percent_sign_is_no_specifier_and_a_quote_no_end() -> None:
    assert drop_in_lines({"PATH": '/a b%h"\\'}) == ['Environment="PATH=/a b%%h\\"\\\\"']


def test_a_schema_gets_our_output_and_no_other() -> None:
    changed = with_output(SCHEMA, "/ours/prisma")
    assert '\ngenerator client {\n  output = "/ours/prisma"\n  provider' in changed
    assert "elsewhere" not in changed


def test_schemas_are_compared_without_their_generators(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    (tmp_path / "site").write_text(SCHEMA)
    ours.write_text(with_output(SCHEMA, "/ours"))
    other.write_text(SCHEMA.replace("model A", "model B"))
    assert models(tmp_path / "site") == models(ours)
    assert models(ours) != models(other)


def test_a_user_without_a_home_is_no_case_for_a_preparation() -> None:
    texts = dict.fromkeys(_TEXTS, "")
    texts["client"] = "no home"
    report = Report(
        **texts, dead_variables=(), engine_named=False, installed=True, versions=(), user="1"
    )
    client, *others = findings(report, "hx-litellm-gateway.service")
    assert (client.level, client.by) == (Level.FAILED, Cure.BY_HAND)
    assert client.cure.endswith("Environment=HOME=/")
    assert {finding.level for finding in others} == {Level.SKIPPED}


MIRROR = "https://binaries.prisma.sh"


@pytest.mark.parametrize(
    ("said", "environment", "sentence"),
    [
        (
            "npm ERR! code ENOTFOUND",
            {"npm_config_registry": "https://u:geheim@registry.example:8443/npm/"},
            "registry.example:8443 can't be reached (ENOTFOUND): set https_proxy, or name a mirror"
            " in npm_config_registry.",
        ),
        (
            f"Error: request to {MIRROR}/all_commits/a/b/c.gz failed, reason: read ECONNRESET",
            {},
            "binaries.prisma.sh can't be reached (ECONNRESET): set https_proxy, or name a mirror in"
            " PRISMA_ENGINES_MIRROR.",
        ),
        (
            "npm ERR! code ETIMEDOUT\nnpm ERR! request to https://npm.example/prisma failed",
            {},
            "npm.example can't be reached (ETIMEDOUT): set https_proxy, or name a mirror in"
            " npm_config_registry.",
        ),
        (
            "npm error code SELF_SIGNED_CERT_IN_CHAIN",
            {},
            "the certificate of registry.npmjs.org is not trusted: name the file with its authority"
            " in NODE_EXTRA_CA_CERTS.",
        ),
        (
            f"Failed to fetch sha256 checksum at {MIRROR}/all_commits/a/b/c.gz.sha256. 404 Not",
            {},
            "binaries.prisma.sh does not have it: name another in PRISMA_ENGINES_MIRROR.",
        ),
        ("npm ERR! code ENOSPC", {}, "/var/lib/hx-gateway-db is full: make room for 300 MB there."),
        (
            "nodeenv installation failed; You may",
            {},
            "Node.js is not installed and could not be downloaded: run 'apt install nodejs npm'.",
        ),
    ],
)
def test_what_the_tools_say_becomes_one_sentence(
    said: str, environment: dict[str, str], sentence: str
) -> None:
    explained = _explained(said, "1", environment)
    assert explained == f"Prisma's client could not be generated: {sentence}"


def test_what_nobody_has_seen_yet_is_quoted_without_control_characters() -> None:
    explained = _explained("one\n\x1b[31mtwo\n", "7", {})
    assert explained == (
        "Prisma's client could not be generated (exit status 7). It said last:\n  one\n  [31mtwo"
    )


def test_a_text_of_the_gateway_s_can_add_no_line_to_a_drop_in() -> None:
    assert _text({"python": "/v/python\nUser=root\x1b"}, "python") == "/v/pythonUser=root"
    assert _text({"python": ["/v"]}, "python") == ""
    assert len(_text({"python": "x" * 100_000}, "python")) == 4096


def report(**found: str) -> Report:
    texts = dict.fromkeys(("path", "pythonpath", "requirement", "package", "schema"), "")
    texts |= {"python": "/v/python", "cache": "/c", "client": "", "engine": "", "cli": ""}
    return Report(
        **{**texts, **found},
        dead_variables=(),
        engine_named=False,
        installed=True,
        versions=("5.4.2", "abc"),
    )


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            {"engine": "no openssl"},
            "the command 'openssl' is not installed, by which Prisma's client chooses its engine"
            " (LiteLLM does not start with a database then): run 'apt install openssl'.",
        ),
        (
            {"engine": "MismatchedVersionsError"},
            "Prisma's query engine is of another version than its client (LiteLLM does not start"
            " with a database then): run 'hx-gateway-db apply --prepare-prisma'.",
        ),
        (
            {"cli": "hangs"},
            "Prisma's command line program does not end (LiteLLM makes its tables with it when it"
            " starts): run 'hx-gateway-db apply --prepare-prisma'.",
        ),
        (
            {"cli": "status -31"},
            "Prisma's command line program ends with exit status -31 (LiteLLM makes its tables with"
            " it when it starts): run 'hx-gateway-db apply --prepare-prisma'.",
        ),
    ],
)
def test_each_thing_that_is_wrong_has_its_sentence(found: dict[str, str], sentence: str) -> None:
    assert sentence in [finding.sentence for finding in findings(report(**found), "u.service")]


def test_of_the_preparations_only_a_named_one_stays(tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/hx-gateway-db-prisma"
    for name in ("0a", "0b", "0c"):
        (folder / name / "client").mkdir(parents=True)
    work = tmp_path / "var/lib/hx-gateway-db/prisma"
    work.mkdir(parents=True)
    drop_ins = tmp_path / "etc/systemd/system/hx-litellm-gateway.service.d"
    drop_ins.mkdir(parents=True)
    line = 'Environment="PYTHONPATH=/var/lib/hx-gateway-db-prisma/0b/client"\n'
    (drop_ins / "70-own.conf").write_text(line)
    tidy(tmp_path)
    assert [entry.name for entry in folder.iterdir()] == ["0b"]
    assert not work.exists()
    (drop_ins / "70-own.conf").unlink()
    tidy(tmp_path)
    assert not folder.exists()


def preparation(root: Path, *files: tuple[str, str]) -> Path:
    """A preparation that the files of LiteLLM's unit (their names and texts) may name."""
    client = root / "var/lib/hx-gateway-db-prisma/0b/client"
    client.mkdir(parents=True)
    drop_ins = root / "etc/systemd/system/hx-litellm-gateway.service.d"
    drop_ins.mkdir(parents=True)
    for name, text in files:
        (drop_ins / name).write_text(text)
    return client


def test_a_unit_that_is_masked_names_no_preparation(tmp_path: Path) -> None:
    client = preparation(tmp_path)
    (tmp_path / "etc/systemd/system/hx-litellm-gateway.service").symlink_to("/dev/null")
    assert tidy(tmp_path) == []
    assert not client.exists()


def test_while_a_file_of_the_unit_can_not_be_read_its_preparations_stay(tmp_path: Path) -> None:
    client = preparation(tmp_path, ("70-own.conf", "#" * (2**20 + 1)))
    assert len(tidy(tmp_path)) == 1
    assert client.exists()


def test_what_the_gateway_s_user_nested_is_removed_and_keeps_nothing_from_ending(
    tmp_path: Path,
) -> None:
    work = tmp_path / "var/lib/hx-gateway-db/prisma"
    work.mkdir(parents=True)
    nest(work, 1500)
    assert tidy(tmp_path) == []
    assert not work.exists()


def nest(folder: Path, depth: int) -> None:
    """Folders in each other, deeper than a path may be long."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("nested", dir_fd=here)
        inner = os.open("nested", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_what_a_tool_says_is_read_in_time_that_grows_with_its_length() -> None:
    def seconds(size: int) -> float:
        started = time.perf_counter()
        _explained("http://" * size, "1", {})
        return time.perf_counter() - started

    short = max(seconds(2_000), 0.001)
    assert seconds(100_000) < 100 * short


def test_what_a_tool_says_fills_no_screen() -> None:
    assert len(_explained("x" * 100_000, "1", {})) < 1000
