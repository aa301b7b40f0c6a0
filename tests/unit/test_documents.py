"""What README, CONTRIBUTING and docs say of the code is so, and every link leads somewhere."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from hx_gateway_db import errors
from hx_gateway_db.cli.parser import EXIT_STATUSES
from hx_gateway_db.host import config_yaml
from hx_gateway_db.host.drop_ins import DROP_INS, redis_user
from hx_gateway_db.host.gateway_env import OWNED_KEYS
from tests.unit.written import PROJECT, differences

README = PROJECT / "README.md"
PICTURES = [PROJECT / "docs/pictures" / name for name in ("failed-check.svg", "verify.svg")]
PAGES = [README, PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
TABLES = (
    *("docs/command.md", "docs/files.md", "docs/design.md", "docs/litellm.md"),
    "debian/hx-gateway-db.8",
)
_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"(?ms)^```.*?^```$")
# Folders of a machine that pictures were drawn on, and what would be a secret.
_OF_A_MACHINE = re.compile(
    r"/(home|root|tmp|work|srv)/|sk-[A-Za-z0-9]|(?i:password=|://[^/\s]*:[^/\s]*@)"
)


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    text = _FENCED.sub("", page.read_text())
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-")
        for heading in headings
    }


def links(page: Path) -> Iterator[str]:
    for target in _LINK.findall(_FENCED.sub("", page.read_text())):
        if "://" not in target:
            yield target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        there = target.is_relative_to(PROJECT) and target.exists()
        if not there or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_readme() -> None:
    reached, new = set(), {README}
    while new:
        page = new.pop()
        reached.add(page)
        linked = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        new |= {target for target in linked if target.suffix == ".md"} - reached
    assert [name(page) for page in PAGES if page not in reached] == []


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_run_with_make_is_there(page: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z]+):", makefile))
    lines = re.findall(r"(?m)^sudo (?:[A-Z_]+=\S+ )*make ([a-z ]+?)(?:  .*)?$", page.read_text())
    lines += re.findall(r"`(?:sudo )?make\s([a-z]+)`", page.read_text())
    assert {target for line in lines for target in line.split()} <= targets


def test_continuous_integration_calls_what_readme_says_and_nothing_cleverer() -> None:
    assert "\nsudo make test " in README.read_text()
    assert (PROJECT / ".ci/run").read_text().rstrip().endswith("exec make test")


@pytest.mark.parametrize("table", TABLES)
def test_what_follows_from_the_code_is_written(table: str, tmp_path: Path) -> None:
    assert differences("docs/write-tables", TABLES, table, tmp_path) == "", "make tables"


def test_every_error_ends_with_a_status_that_is_told() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    statuses = {kind.exit_status for kind in kinds if issubclass(kind, errors.HxError)}
    assert statuses <= set(EXIT_STATUSES)


def test_readme_names_all_that_is_changed_on_the_host() -> None:
    text = README.read_text().partition("\n## What it changes on the host\n")[2]
    rows = text.partition("\n## ")[0]
    for key in OWNED_KEYS:
        assert f"`{key}`" in rows
    for record in (*DROP_INS, redis_user("redis-server.service")):
        assert f"| `{record.path}` |" in rows
    paths = (*config_yaml.FLAGS, config_yaml.BUFFER, config_yaml.CACHE, config_yaml.TYPE)
    for path in (*paths, config_yaml.NAMESPACE, config_yaml.RATE_LIMIT):
        dotted = ".".join(path)
        assert f"`{dotted}`" in rows or f"`.{dotted.partition('.')[2]}`" in rows


def test_there_are_two_pictures_in_readme_each_with_words_for_who_cannot_see_it() -> None:
    shown = re.findall(r"!\[([^]]{20,})\]\((docs/pictures/\S+)\)", README.read_text())
    assert [path for _, path in shown] == [name(picture) for picture in PICTURES]


@pytest.mark.parametrize("picture", PICTURES, ids=name)
def test_a_picture_is_well_formed_and_fetches_and_tells_nothing(picture: Path) -> None:
    text = picture.read_text()
    root = ET.fromstring(text)
    assert root.tag.endswith("svg") and root.find("{*}title") is not None
    assert not re.search(r"<script|@import|@font-face|\burl\((?!#)|href=", text)
    words = "".join(root.itertext()).replace("\xa0", " ")
    assert not _OF_A_MACHINE.search(words)


def test_the_pictures_show_a_failed_check_with_its_cure_and_a_gateway_that_is_well() -> None:
    failed, verify = (
        "".join(ET.parse(picture).getroot().itertext()).replace("\xa0", " ") for picture in PICTURES
    )
    assert "refuses the password" in failed and "check PG_USER and PG_PASS" in failed
    assert "litellm.key" in verify and "All well" in verify
