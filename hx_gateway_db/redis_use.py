"""What LiteLLM uses Redis for."""

from dataclasses import dataclass

from hx_gateway_db.settings import Cache, Settings


@dataclass(frozen=True)
class RedisUse:
    """The response cache with its default limit, and the buffer in which gateways gather spend."""

    cache: Cache | None = None
    transaction_buffer: bool = False

    @property
    def any(self) -> bool:
        return self.cache is not None or self.transaction_buffer

    @property
    def shared_limits(self) -> bool:
        """Whether gateways count a key's requests together.

        Only where there are several: LiteLLM 1.74 then answers no request while Redis is down.
        """
        return self.cache is not None and self.transaction_buffer


def redis_use(settings: Settings) -> RedisUse:
    """What `settings` want LiteLLM to use Redis for."""
    return RedisUse(settings.cache, settings.transaction_buffer)
