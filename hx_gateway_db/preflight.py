"""What must hold before anything is changed, and once more before anything is restarted."""

from hx_gateway_db import cache, postgres
from hx_gateway_db.settings import Settings


def check(settings: Settings) -> None:
    """Log in to the servers as LiteLLM will. Raises Refused with what is wrong and its cure."""
    postgres.check(settings.postgres)
    if settings.redis:
        cache.check(settings.redis)
