"""The running gateway as it is asked: what is known of it before the first question."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hx_gateway_db import services
from hx_gateway_db.findings import Finding
from hx_gateway_db.host import Host
from hx_gateway_db.layout import UNITS
from hx_gateway_db.proof import find_master_key
from hx_gateway_db.redaction import printable, redact
from hx_gateway_db.services import ServiceFailed

_WRAPPER_KEYS = ("HX_MASTER_KEY", "MASTER_KEY", "HX_UPSTREAM_KEY")


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

    def redacted(self, text: str) -> str:
        """`text` without the gateway's secrets."""
        settings = self.host.settings
        keys = (self.master, *(self.wrapper.get(name) for name in _WRAPPER_KEYS))
        secrets = [*(settings.secrets if settings else ()), *(key for key in keys if key)]
        return redact(text, secrets)

    def cleaned(self, finding: Finding) -> Finding:
        """`finding` without secrets and control characters."""
        texts = (finding.what, finding.why, finding.cure)
        what, why, cure = (printable(self.redacted(text)) for text in texts)
        return replace(finding, what=what, why=why, cure=cure)


def read_chain(host: Host) -> Chain:
    """The chain of the live host, for one look at it."""
    litellm, wrapper = (_environment(name) for name in UNITS)
    image = host.files[host.layout.config_yaml]
    config = image.content if image else b""
    return Chain(host, litellm, wrapper, config, find_master_key(config, litellm))


def _environment(name: str) -> dict[str, str]:
    with suppress(ServiceFailed):
        return services.environment(services.unit(name))
    return {}
