"""The running gateway as it is asked: what is known of it before the first question."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hx_gateway_db.findings import Finding
from hx_gateway_db.gateway.proof import find_master_key
from hx_gateway_db.host.gateway_env import SALT
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import UNITS
from hx_gateway_db.redaction import beginning, printable, redact, said, without_secrets
from hx_gateway_db.settings.urls import password_in
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import ServiceFailed

_WRAPPER_KEYS = ("HX_MASTER_KEY", "MASTER_KEY", "HX_UPSTREAM_KEY")
# What a finding says is ours; what it quotes is not.
_LONGEST = 1000


@dataclass(frozen=True)
class Chain:
    """The gateway of a live host: `litellm` and `wrapper` are its processes' environments.

    `config` is LiteLLM's config.yaml, `master` its master key, None if there is none to be found.
    """

    host: Host
    litellm: Mapping[str, str] = field(repr=False)
    wrapper: Mapping[str, str] = field(repr=False)
    config: bytes = field(repr=False)
    master: str | None = field(repr=False)

    @property
    def cache_on(self) -> bool:
        return bool(self.host.settings and self.host.settings.cache)

    @property
    def secrets(self) -> list[str]:
        """The gateway's passwords and keys, for redaction."""
        theirs = (self.wrapper.get(name) for name in _WRAPPER_KEYS)
        own = password_in(self.wrapper.get("PG_URL", ""))
        keys = (self.master, self.litellm.get(SALT), *theirs, own)
        return [*self.host.secrets, *(key for key in keys if key)]

    def cleaned(self, finding: Finding) -> Finding:
        """`finding` without secrets and control characters, its texts cut."""
        what, why = (said(text, self.secrets, _LONGEST) for text in (finding.what, finding.why))
        # A command is there to be copied, as it is.
        cure = beginning(without_secrets(finding.cure, self.secrets), _LONGEST)
        return replace(finding, what=what, why=why, cure=printable(redact(cure)))


def read_chain(host: Host) -> Chain:
    """The chain of the live host, for one look at it."""
    litellm, wrapper = (_environment(name) for name in UNITS)
    image = host.files[host.layout.config_yaml]
    config = image.content if image else b""
    return Chain(host, litellm, wrapper, config, find_master_key(config, litellm))


def _environment(name: str) -> dict[str, str]:
    with suppress(ServiceFailed):
        return units.environment(units.unit(name))
    return {}
