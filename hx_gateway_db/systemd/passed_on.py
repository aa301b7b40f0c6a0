"""What root's environment says about where to download from, without the logins in it.

It goes to the gateway's user, who must not learn how root logs in anywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_URLS = (*PROXIES, "npm_config_registry", "PRISMA_ENGINES_MIRROR", "NODEJS_MIRROR")
_OTHERS = (
    *("no_proxy", "NO_PROXY", "npm_config_cafile", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"),
    "PRISMA_ENGINES_CHECKSUM_IGNORE_MISSING",
)
NAMES = (*_URLS, *_OTHERS)
_PLACE = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)?(?P<login>[^/?#]*@)?"
    r"(?P<server>(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?)(?P<path>/[^?#@]*)?"
    r"(?P<rest>[?#].*)?"
)


@dataclass(frozen=True)
class PassedOn:
    """The variables as they may be passed on; what was left out of them is in `said`."""

    variables: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()


def passed_on(environment: Mapping[str, str]) -> PassedOn:
    """Of root's `environment`, what the tools that download need to know."""
    variables: dict[str, str] = {}
    without, dropped = [], []
    for name in NAMES:
        value = environment.get(name, "")
        if not value:
            continue
        harmless = value if name in _OTHERS else _without_login(value)
        if harmless is None:
            dropped.append(name)
            continue
        variables[name] = harmless
        if harmless != value:
            without.append(name)
    why = "its user must not learn how root logs in"
    cure = "if that is refused, set it to one that needs no login"
    sentences = [f"{name} is passed on without the login in it, since {why}" for name in without]
    sentences += [f"{name} is not passed on, since there may be a login in it" for name in dropped]
    return PassedOn(variables, tuple(f"{sentence}: {cure}." for sentence in sentences))


def _without_login(url: str) -> str | None:
    """A URL, or a server's bare name, without user, password and query; None if that is neither."""
    found = _PLACE.fullmatch(url)
    if found is None:
        return None
    return (found["scheme"] or "") + found["server"] + (found["path"] or "")
