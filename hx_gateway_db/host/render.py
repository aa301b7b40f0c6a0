"""Settings to the text of the files that the package writes."""

from hx_gateway_db.layout import Layout
from hx_gateway_db.settings.templates import rendered
from hx_gateway_db.settings.urls import database_url, redis_url
from hx_gateway_db.settings.values import Cache, Settings, redis_use


def gateway_env(settings: Settings) -> str:
    """A fresh gateway.env (specification, step 1)."""
    return rendered(
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
    return rendered(
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
    return rendered("30-db.conf.j2", gateway_env=str(layout.gateway_env))


def cache_drop_in(cache: Cache) -> str:
    """40-cache.conf (specification, step 4)."""
    return rendered("40-cache.conf.j2", rate_limit=cache.rate_limit)


def redis_user_drop_in(command: str) -> str:
    """A drop-in for the unit of a Redis on this machine; `command` makes the gateway's user."""
    return rendered("redis-user.conf.j2", command=command)
