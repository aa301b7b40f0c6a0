"""Settings to the text of the files that the package writes, through Jinja2 templates."""

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hx_gateway_db.layout import TEMPLATES, Layout
from hx_gateway_db.postgres_target import identifier, schema_of, target_of
from hx_gateway_db.settings import Cache, Postgres, Settings, redis_use
from hx_gateway_db.urls import database_url, redis_url


def gateway_env(settings: Settings) -> str:
    """A fresh gateway.env (specification, step 1)."""
    return _render(
        "gateway.env.j2",
        database_url=database_url(settings.postgres),
        redis_url=redis_url(settings.redis) if settings.redis else "",
        cache=settings.cache is not None,
        shared_limits=redis_use(settings).shared_limits,
        pgbouncer=settings.postgres.pgbouncer is True,
        disable_admin_ui="true" if settings.disable_admin_ui else "false",
    )


def gateway_env_with_all_keys() -> str:
    """gateway.env with every key that it may have, for the comments above them."""
    return _render(
        "gateway.env.j2",
        database_url="-",
        redis_url="-",
        cache=True,
        shared_limits=True,
        pgbouncer=True,
        disable_admin_ui="true",
    )


def database_drop_in(layout: Layout) -> str:
    """30-db.conf (specification, step 2)."""
    return _render("30-db.conf.j2", gateway_env=str(layout.gateway_env))


def cache_drop_in(cache: Cache) -> str:
    """40-cache.conf (specification, step 4)."""
    return _render("40-cache.conf.j2", rate_limit=cache.rate_limit)


def provisioning_sql(postgres: Postgres, server_version: int | None) -> str:
    """The script for psql that makes a role and a database (see `postgres_administration.sql`)."""
    # A conninfo string (libpq, "Connection Strings"), quoted as psql(1) quotes an argument.
    conninfo = postgres.database.replace("\\", "\\\\").replace("'", "\\'")
    release = f", version {server_version // 10000}" if server_version else ""
    return _render(
        "provision.sql.j2",
        place=target_of(postgres).place,
        version=release,
        host=postgres.host,
        port=postgres.port,
        user=_names(postgres.user),
        database=_names(postgres.database),
        schema=_names(schema_of(postgres)),
        connect=identifier(f"dbname='{conninfo}'"),
        membership=_membership(server_version),
    )


def _membership(server_version: int | None) -> str:
    """The privilege of a member that may act as the role: told from being one since release 16."""
    if server_version is None:
        since = "current_setting('server_version_num')::int >= 160000"
        return f"CASE WHEN {since} THEN 'SET' ELSE 'MEMBER' END"
    return "'SET'" if server_version >= 160000 else "'MEMBER'"


def _names(name: str) -> dict[str, str]:
    return {"identifier": identifier(name), "literal": "'" + name.replace("'", "''") + "'"}


def redis_user_drop_in(command: str) -> str:
    """A drop-in for the unit of a Redis on this machine; `command` makes the gateway's user."""
    return _render("redis-user.conf.j2", command=command)


def _render(name: str, **values: object) -> str:
    return _templates().get_template(name).render(**values)


@cache
def _templates() -> Environment:
    """One for all renderings, as it keeps what it has compiled."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
