"""Releases that were published to steal credentials: they are given none.

Not even with `--anyway`: what they send away can't be put back.
"""

from collections.abc import Iterator
from typing import NamedTuple

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.host import python_packages
from hx_gateway_db.layout import LITELLM_UNIT, Layout

NAME = "gateway.litellm"


class Theft(NamedTuple):
    """A distribution, those of its versions that steal, a file that one of them leaves beside it.

    Python runs such a file at each of its starts, also when the distribution is gone again.
    """

    distribution: str
    versions: tuple[str, ...]
    file: str
    source: str


# https://github.com/BerriAI/litellm/issues/24512 and 24518, 24 March 2026.
THEFTS = (
    Theft("litellm", ("1.82.7", "1.82.8"), "litellm_init.pth", "LiteLLM's issues 24512 and 24518"),
)
_WHY = "it sends the keys and passwords that it finds to strangers ({})"
_CURE = (
    "take this machine as broken into: make the gateway's Python environment anew with another"
    " version, and change every key and password that was on this machine"
)


def findings(layout: Layout) -> Iterator[Finding]:
    """A failure for each that is found; else what LiteLLM is there."""
    found = list(_thefts(layout))
    yield from found
    if found:
        return
    versions = {
        version: folder.path
        for folder in python_packages.of_litellm(layout)
        for version in folder.versions("litellm")
    }
    about = Subject(NAME, LITELLM_UNIT)
    if versions:
        yield about.ok(f"{LITELLM_UNIT} runs LiteLLM {' or '.join(versions)}")
    else:
        yield about.skipped(f"the version of LiteLLM that {LITELLM_UNIT} runs can't be told")


def refuse(layout: Layout) -> None:
    """Raise Refused where the gateway would hand its credentials on."""
    for finding in _thefts(layout):
        raise Refused(f"{finding.what} ({finding.why})", finding.cure)


def _thefts(layout: Layout) -> Iterator[Finding]:
    for folder in python_packages.of_gateway(layout):
        about = Subject(NAME, str(folder.path))
        for theft in THEFTS:
            why = _WHY.format(theft.source)
            for version in folder.versions(theft.distribution):
                if version in theft.versions:
                    what = f"{theft.distribution} {version} is in {folder.path}"
                    yield about.failed(what, why, _CURE)
            if theft.file in folder.names:
                what = f"{folder.path} has {theft.file}, which came with {theft.distribution}"
                yield about.failed(f"{what} {theft.versions[-1]}", why, _CURE)
