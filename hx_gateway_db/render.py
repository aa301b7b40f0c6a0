"""Settings to the text of the files that the package writes, through Jinja2 templates."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hx_gateway_db.layout import Layout
from hx_gateway_db.settings import Cache, Settings
from hx_gateway_db.urls import database_url, redis_url

_PARENT = Path(__file__).resolve().parent.parent
_IN_CHECKOUT = (_PARENT / "setup.py").is_file()
_TEMPLATES = _PARENT / "templates" if _IN_CHECKOUT else Path("/usr/share/hx-gateway-db/templates")


def gateway_env(settings: Settings) -> str:
    """A fresh gateway.env (specification, step 1)."""
    return _render(
        "gateway.env.j2",
        database_url=database_url(settings.postgres),
        redis_url=redis_url(settings.redis) if settings.redis else "",
        cache=settings.cache is not None,
        disable_admin_ui="true" if settings.disable_admin_ui else "false",
    )


def gateway_env_with_all_keys() -> str:
    """gateway.env with every key that it may have, for the comments above them."""
    return _render(
        "gateway.env.j2", database_url="-", redis_url="-", cache=True, disable_admin_ui="true"
    )


def database_drop_in(layout: Layout) -> str:
    """30-db.conf (specification, step 2)."""
    return _render("30-db.conf.j2", gateway_env=str(layout.gateway_env))


def cache_drop_in(cache: Cache) -> str:
    """40-cache.conf (specification, step 4)."""
    return _render("40-cache.conf.j2", rate_limit=cache.rate_limit)


def _render(name: str, **values: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    return environment.get_template(name).render(**values)
