"""Settings to the text of the files that the package writes."""

from collections.abc import Collection, Mapping

from hx_gateway_db.host.drop_ins import DropIn
from hx_gateway_db.host.gateway_env import LINES, OWNED_KEYS, SAID
from hx_gateway_db.layout import Layout
from hx_gateway_db.settings.templates import rendered
from hx_gateway_db.settings.values import Settings


def gateway_env(settings: Settings, without: Collection[str] = ()) -> str:
    """A fresh gateway.env (specification, step 1), `without` some of its lines."""
    return _gateway_env(
        {line.key: None if line.key in without else line.value(settings) for line in LINES}
    )


def gateway_env_with_all_keys() -> str:
    """gateway.env with every key that it may have, for the comments above them."""
    return _gateway_env(dict.fromkeys(OWNED_KEYS, "-"))


def _gateway_env(lines: Mapping[str, str | None]) -> str:
    said = [(line.answer.comment, line.key, lines[line.key]) for line in SAID if lines[line.key]]
    return rendered("gateway.env.j2", said=said, **lines)


def drop_in(record: DropIn, settings: Settings | None, layout: Layout) -> str:
    """A fresh drop-in, with defaults for what `settings` do not say."""
    return rendered(record.template, **record.values(settings, layout))
