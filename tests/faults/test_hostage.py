"""Who owns config.yaml and gateway.env can keep nobody from removing the package.

Each removal takes the drop-ins away, says in a line what it leaves as it is, and changes nothing
there; then a purge and, when the file is mended, a new installation work.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from hx_gateway_db.transaction.replacement import replace_file
from tests.faults.hostile_base import (
    DROP_INS,
    ORIGINAL,
    SERVICE_USER,
    STATE,
    HostileBase,
    Look,
    as_service_user,
    hostile_base,
    remove,
)
from tests.faults.tally import Tally
from tests.faults.test_races import PLANNED, PLANTS, REFUSED, Plant, here, plant, purge, wire


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is on disk is of no interest here, and would take most of the time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def wired() -> Iterator[HostileBase]:
    with hostile_base() as base:
        wire(base)
        yield base


@dataclass(frozen=True)
class Content:
    """What the owner of a file can write into it so that nobody can use it."""

    name: str
    content: Callable[[], bytes]


def _bomb() -> bytes:
    """Ten to the tenth values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines).encode()


CONTENTS = (
    Content("no YAML", lambda: b"a: [\n"),
    Content("no mapping", lambda: b"- a\n"),
    Content("not UTF-8", lambda: b"general_settings: {a: \xff}\n"),
    Content("a bomb", _bomb),
    Content("a merge bomb", lambda: b"a: &a {<<: [*a, *a]}\n"),
    Content("64 MiB", lambda: b"a: 1\n" + b"#" * 2**26),
    Content("deep", lambda: b"[" * 100_000),
    Content("a tag", lambda: b"general_settings: !!python/object/apply:os.system [id]\n"),
    Content("two documents", lambda: b"a: 1\n---\nb: 2\n"),
    Content("nothing readable", lambda: b"\0\0\0"),
)


def removed(hostile: HostileBase, tally: Tally) -> str:
    """What a removal says, which has to succeed."""
    outcome = here(hostile, "rollback")
    tally.injected += 1
    assert (outcome.status, outcome.fault()) == (0, ""), outcome
    assert not any((hostile.root / path).exists() for path in DROP_INS)
    return outcome.said


def assert_purge_and_a_new_installation_work(hostile: HostileBase) -> None:
    assert purge(hostile).status == 0
    assert not (hostile.root / STATE).exists()
    remove(hostile.env)
    remove(hostile.config)
    hostile.config.write_bytes(ORIGINAL)
    assert here(hostile, "apply").status == 0
    assert here(hostile, "rollback").status == 0


@pytest.mark.parametrize("it", CONTENTS, ids=lambda it: str(it.name))
def test_a_config_yaml_that_nobody_can_use_stays_and_the_wiring_goes(
    wired: HostileBase, tally: Tally, it: Content
) -> None:
    content = it.content()
    with as_service_user():
        wired.config.write_bytes(content)
    assert here(wired, "apply").status == REFUSED
    said = removed(wired, tally)
    assert said.count("config.yaml is left as it is: ") == 1
    assert wired.config.read_bytes() == content
    assert_purge_and_a_new_installation_work(wired)


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("it", PLANTS, ids=lambda it: str(it.name))
def test_what_is_planted_stays_and_the_wiring_goes(
    wired: HostileBase, tally: Tally, it: Plant, name: str
) -> None:
    path = plant(wired, it, name)
    planted = Look.at(path)
    said = removed(wired, tally)
    assert said.count(f"{name} is left as it is: ") == 1
    assert Look.at(path) == planted
    assert_purge_and_a_new_installation_work(wired)


@pytest.mark.parametrize("content", [b"\xff", b"DATABASE_URL=nonsense\n", b'A="', b"\0"])
def test_a_gateway_env_that_says_nothing_sensible_stays(
    wired: HostileBase, tally: Tally, content: bytes
) -> None:
    wired.env.write_bytes(content)
    removed(wired, tally)
    assert wired.env.read_bytes() == content
    assert_purge_and_a_new_installation_work(wired)


def test_a_gateway_env_of_the_service_user_s_own_stays_and_is_named(
    wired: HostileBase, tally: Tally
) -> None:
    with as_service_user():
        remove(wired.env)
        wired.env.write_text("DATABASE_URL=postgresql://u:p@evil/d\n")
    said = removed(wired, tally)
    assert f"belongs to the user id {SERVICE_USER}" in said
    assert_purge_and_a_new_installation_work(wired)


FOLDERS = ("opt/HX-Infrastructure-/api-gateway/config", "opt/HX-Infrastructure-", "opt")


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("bait", ["link", "file", "pipe", "nothing"])
def test_whatever_stands_on_the_way_to_it_the_wiring_goes(
    wired: HostileBase, tally: Tally, folder: str, bait: str
) -> None:
    place = wired.root / folder
    aside = wired.root / "aside"
    place.rename(aside)
    if bait == "link":
        place.symlink_to(wired.folder_victim)
        os.chown(place, SERVICE_USER, SERVICE_USER, follow_symlinks=False)
    elif bait == "file":
        place.touch()
    elif bait == "pipe":
        os.mkfifo(place)
    before = wired.foreign()
    removed(wired, tally)
    assert wired.foreign() == before
    if bait != "nothing":
        place.unlink()
    aside.rename(place)
    assert_purge_and_a_new_installation_work(wired)


def test_who_changes_config_yaml_whenever_it_is_read_keeps_nothing_from_ending(
    wired: HostileBase, tally: Tally
) -> None:
    ended = threading.Event()

    def edit() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            with suppress(OSError):
                wired.config.write_bytes(ORIGINAL + f"# {number}\n".encode())

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        removed(wired, tally)
    finally:
        ended.set()
        editor.join()


def test_who_swaps_it_between_reading_and_writing_keeps_nothing_from_ending(
    wired: HostileBase, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = []

    def swap_first(root: Path, path: Path, *images: object) -> None:
        if path.name == "config.yaml" and images[1] is not None and not wired.config.is_symlink():
            swapped.append(wired.config.read_bytes())
            remove(wired.config)
            wired.config.symlink_to("/etc/shadow")
        replace_file(root, path, *images)  # type: ignore[arg-type]

    monkeypatch.setattr("hx_gateway_db.transaction.transaction.replace_file", swap_first)
    said = removed(wired, tally)
    assert swapped and "config.yaml is left as it is: " in said


@pytest.mark.parametrize("command", ["status", "answers", "plan", "apply"])
def test_a_gateway_env_that_others_can_write_is_believed_by_nobody(
    wired: HostileBase, tally: Tally, command: str
) -> None:
    evil = b"DATABASE_URL=postgresql://u:p@evil.example/d\n"
    for owner, group, mode in ((SERVICE_USER, 0, 0o640), (0, 4321, 0o660), (0, 0, 0o646)):
        wired.env.write_bytes(evil)
        os.chown(wired.env, owner, group)
        wired.env.chmod(mode)
        outcome = here(wired, command)
        tally.injected += 1
        assert outcome.fault() == "" and "evil.example" not in outcome.said
        assert "nothing in it is believed" in outcome.said and "chmod 640" in outcome.said
        assert outcome.status == (0 if command in ("status", "answers") else REFUSED)
        assert wired.env.read_bytes() == evil
    wired.env.chmod(0o640)
    assert here(wired, "status").said.count("evil.example") == 1


def test_a_drop_in_that_others_can_write_is_believed_by_nobody_and_can_be_removed(
    wired: HostileBase, tally: Tally
) -> None:
    drop_in = wired.root / DROP_INS[0]
    os.chown(drop_in, SERVICE_USER, SERVICE_USER)
    for command, status in (("status", 0), ("apply", REFUSED)):
        outcome = here(wired, command)
        assert outcome.status == status and "so nothing in it is believed" in outcome.said
    removed(wired, tally)


def test_a_first_wiring_takes_no_value_from_a_file_of_the_service_user_s_and_says_so() -> None:
    with hostile_base() as base:
        with as_service_user():
            lines = "LITELLM_SALT_KEY=salt\nDATABASE_URL=postgresql://u:p@evil/d\n"
            base.env.write_text(f"{lines}LITELLM_REDIS_URL=redis://evil\n")
        refused = here(base, "apply", PG_HOST="")
        assert refused.status == REFUSED and "nothing in it is believed" in refused.said
        wired = here(base, "apply")
        assert wired.status == 0 and "others than root could write it" in wired.said
        text = base.env.read_text()
        assert "LITELLM_SALT_KEY=salt\n" in text and "@db1:5432/" in text and "evil" not in text
        assert (base.env.stat().st_uid, base.env.stat().st_mode & 0o7777) == (0, 0o640)
