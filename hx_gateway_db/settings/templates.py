"""Values to text, through the Jinja2 templates of the package."""

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hx_gateway_db.layout import TEMPLATES


def rendered(name: str, **values: object) -> str:
    """The template `name` with these values; one that it needs and does not get is our bug."""
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
