"""Files that are made anew by somebody's program: what we set in them is gone after that."""

from collections.abc import Iterator
from contextlib import suppress

from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.host import config_yaml, gateway_env
from hx_gateway_db.host.generated import says_generated
from hx_gateway_db.host.host import Host
from hx_gateway_db.settings.values import Settings, redis_use
from hx_gateway_db.systemd import environment_files
from hx_gateway_db.yaml_edit.edit import YamlRefusal

NAME = "gateway.generated"


def findings(host: Host, settings: Settings) -> Iterator[Finding]:
    """A warning for each such file that does not have what we set; once wired, it is but told."""
    for path, complete in (
        (host.layout.config_yaml, _config_complete(host, settings)),
        (host.layout.gateway_env, _env_complete(host, settings)),
    ):
        image = host.files[path]
        line = says_generated(image.content) if image else None
        if line is None or (complete and not host.wired):
            continue
        level = Level.OK if host.wired else Level.WARNING
        yield Subject(NAME, str(path)).found(
            level,
            f'{path} says of itself that a program makes it ("{line}")',
            "what is set there now is gone when it does so the next time",
            "put the lines that 'hx-gateway-db plan --lines' prints into its template, or run"
            " 'hx-gateway-db apply' after each time (docs/generated-configuration.md)",
        )


def _config_complete(host: Host, settings: Settings) -> bool:
    image = host.files[host.layout.config_yaml]
    with suppress(YamlRefusal):
        if image:
            wired = config_yaml.wired(image.content, redis_use(settings), host.config_present)
            return wired.text == image.content
    return False


def _env_complete(host: Host, settings: Settings) -> bool:
    image = host.files[host.layout.gateway_env]
    if image is None:
        return False
    there = environment_files.values(image.content.decode(errors="replace"))
    return all(there.get(key) == value for key, value in gateway_env.lines_for(settings).items())
