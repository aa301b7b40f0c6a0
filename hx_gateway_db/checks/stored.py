"""What LiteLLM has stored, against what the installed LiteLLM wants and its configuration says."""

from collections.abc import Iterator
from contextlib import suppress

from hx_gateway_db.checks import growth, migrations
from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Finding
from hx_gateway_db.host import config_yaml, python_packages
from hx_gateway_db.host.host import Host
from hx_gateway_db.host.included import last_with, parts
from hx_gateway_db.host.python_packages import PackageFolder
from hx_gateway_db.postgres import stored as postgres_stored
from hx_gateway_db.prisma import migration_sql, schema
from hx_gateway_db.settings.values import Settings, address
from hx_gateway_db.yaml_edit.edit import YamlRefusal, lookup

_SCHEMA = ("litellm", "proxy/schema.prisma")
_MIGRATIONS = ("litellm_proxy_extras", "migrations")
_MOST_MIGRATIONS = 2000
_LARGEST = 512 * 1024
_LARGEST_WHOLE = 16 * 1024 * 1024


def findings(host: Host, settings: Settings) -> Iterator[Finding]:
    """What there is to say of LiteLLM's tables; nothing where there are none, or nobody answers."""
    postgres = settings.postgres
    stored = postgres_stored.stored(postgres)
    if stored is None or not stored.sizes:
        return
    where = f"{postgres.database} on {address(postgres.host, postgres.port)}"
    yield from migrations.findings(where, stored, _installed(host))
    yield from growth.findings(where, stored, _tending(host, settings))


def _installed(host: Host) -> migrations.Installed:
    folders = python_packages.of_litellm(host.layout)
    texts = _migrations(folders)
    return migrations.Installed(
        tables=next(
            (
                schema.tables(text)
                for folder in folders
                if (text := folder.text(f"{_SCHEMA[0]}/{_SCHEMA[1]}", _LARGEST))
            ),
            [],
        ),
        migrations=texts,
        works={name: migration_sql.works(text) for name, text in texts.items()},
    )


def _migrations(folders: list[PackageFolder]) -> dict[str, str]:
    """Their SQL, by name; none if that is more than they ever have."""
    for folder in folders:
        place = "/".join(_MIGRATIONS)
        names = folder.below(place, _MOST_MIGRATIONS)
        texts: dict[str, str] = {}
        for name in sorted(names):
            text = folder.text(f"{place}/{name}/migration.sql", _LARGEST)
            if text is not None:
                texts[name] = text
            if sum(map(len, texts.values())) > _LARGEST_WHOLE:
                return {}
        if texts:
            return texts
    return {}


def _tending(host: Host, settings: Settings) -> growth.Tending:
    part = last_with(parts(host), growth.PERIOD[0])
    period = interval = None
    buffer = False
    with suppress(YamlRefusal):
        period, interval = lookup(part.text, growth.PERIOD), lookup(part.text, growth.INTERVAL)
    with suppress(Refused, YamlRefusal):
        buffer = config_yaml.transaction_buffer(part.text)
    return growth.Tending(period, interval, buffer, settings.redis is not None)
