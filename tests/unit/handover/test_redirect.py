"""What of other people's rules is in the way of a redirect."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from hx_gateway_db.handover import redirect
from hx_gateway_db.systemd.units import ServiceFailed

PORTS = (4000, 4010)


def chain(table: str, kind: str, hook: str, policy: str = "accept") -> dict[str, Any]:
    of = {"family": "inet", "table": table, "name": "c"}
    return {"chain": {**of, "type": kind, "hook": hook, "policy": policy}}


def rule(table: str, *expressions: dict[str, Any]) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": table, "chain": "c", "expr": list(expressions)}}


def about(port: int) -> dict[str, Any]:
    return {"match": {"left": {"payload": {"field": "dport"}}, "right": port}}


def listing(monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any]) -> None:
    text = json.dumps({"nftables": [{"metainfo": {}}, *entries]})
    monkeypatch.setattr(redirect, "_nft", lambda *_: text)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/sbin/nft")
    monkeypatch.setattr(redirect, "_LEGACY", ())


@pytest.mark.parametrize(
    ("entries", "elsewhere", "says"),
    [
        ([], True, ""),
        ([chain("mine", "nat", "prerouting"), rule("mine", about(80))], True, ""),
        ([chain("mine", "nat", "prerouting"), rule("mine", about(4010))], False, "redirects one"),
        (
            [
                chain("mine", "nat", "output"),
                rule("mine", {"match": {"right": {"range": [3999, 4005]}}}),
            ],
            *(False, "redirects one"),
        ),
        ([chain("mine", "nat", "postrouting"), rule("mine", about(4000))], False, ""),
        ([chain("hx_gateway_db", "nat", "output"), rule("hx_gateway_db", about(4000))], True, ""),
        ([chain("ufw", "filter", "input", "drop")], True, "might keep other machines"),
        ([chain("ufw", "filter", "input", "drop")], False, ""),
        ([chain("f2b", "filter", "input"), rule("f2b", {"reject": None})], True, "might keep"),
        ([chain("f2b", "filter", "input"), rule("f2b", {"counter": None})], True, ""),
        ([chain("fw", "filter", "forward", "drop")], True, ""),
    ],
)
def test_tables_of_others_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, entries: list[dict[str, Any]], elsewhere: bool, says: str
) -> None:
    listing(monkeypatch, *entries)
    found = redirect.obstacle(PORTS, elsewhere)
    assert says in found if says else found == ""


def test_without_nft_it_says_which_package_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "install the package nftables" in redirect.obstacle(PORTS, False)


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"nftables": 7}', "[" * 100_000])
def test_an_nft_that_does_not_list_its_rules_is_no_licence(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    listing(monkeypatch)
    monkeypatch.setattr(redirect, "_nft", lambda *_: said)
    assert redirect.obstacle(PORTS, False) == "nft does not list its rules"


def test_a_kernel_without_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    listing(monkeypatch)

    def fail(*_: object) -> str:
        raise ServiceFailed("nft fails: Operation not permitted.")

    monkeypatch.setattr(redirect, "_nft", fail)
    assert redirect.obstacle(PORTS, False) == "nft fails: Operation not permitted"


def test_iptables_of_old_is_no_licence_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    listing(monkeypatch)
    names = tmp_path / "ip_tables_names"
    names.write_text("filter\n")
    monkeypatch.setattr(redirect, "_LEGACY", (names,))
    assert "iptables" in redirect.obstacle(PORTS, True)
    assert redirect.obstacle(PORTS, False) == ""
