"""Settings to the text of the files that the package writes."""

from hx_gateway_db.host.drop_ins import DropIn
from hx_gateway_db.host.gateway_env import LINES, OWNED_KEYS
from hx_gateway_db.layout import Layout
from hx_gateway_db.settings.templates import rendered
from hx_gateway_db.settings.values import Settings


def gateway_env(settings: Settings) -> str:
    """A fresh gateway.env (specification, step 1)."""
    lines = {line.key: line.value(settings) for line in LINES}
    return rendered("gateway.env.j2", **lines)


def gateway_env_with_all_keys() -> str:
    """gateway.env with every key that it may have, for the comments above them."""
    return rendered("gateway.env.j2", **dict.fromkeys(OWNED_KEYS, "-"))


def drop_in(record: DropIn, settings: Settings | None, layout: Layout) -> str:
    """A fresh drop-in, with defaults for what `settings` do not say."""
    return rendered(record.template, **record.values(settings, layout))
