"""Redis: the check before the change, and what went wrong in words. The only user of redis-py."""

import redis

from hx_gateway_db.errors import Refused
from hx_gateway_db.settings import Redis
from hx_gateway_db.urls import redis_url

_SECONDS = 5.0


def check(settings: Redis) -> None:
    """Log in as LiteLLM will and ping. Raises Refused with the cause and its cure."""
    where = f"Redis at {settings.host}:{settings.port}"
    user = settings.user or "default"
    client = redis.Redis.from_url(
        redis_url(settings), socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS
    )
    try:
        client.ping()
    except redis.AuthenticationError:
        raise Refused(
            f"{where} refuses the login of the user {user}: check REDIS_USER and REDIS_PASS."
        ) from None
    except redis.BusyLoadingError:
        raise Refused(f"{where} is still loading its data: try again in a moment.") from None
    except redis.TimeoutError:
        raise Refused(f"{where} does not answer: check REDIS_HOST and the firewall.") from None
    except redis.ConnectionError as error:
        raise Refused(_explain(settings, where, str(error))) from None
    except redis.ResponseError as error:
        raise Refused(_explain_response(settings, where, user, str(error))) from None
    finally:
        client.close()


def _explain(settings: Redis, where: str, message: str) -> str:
    if "Name or service not known" in message or "name resolution" in message:
        return f"the host name {settings.host} does not resolve: check REDIS_HOST and the DNS."
    if "refused" in message:
        return f"{where} refuses connections: check REDIS_PORT and that the server runs."
    return f"{where} can't be reached: check REDIS_HOST, REDIS_PORT and the network."


def _explain_response(settings: Redis, where: str, user: str, message: str) -> str:
    if message.startswith("NOAUTH") or "Authentication required" in message:
        return f"{where} asks for a password: answer REDIS_PASS."
    if message.startswith("NOPERM") or "no permissions" in message:
        return f"{where} does not let the user {user} do PING: give it LiteLLM's commands."
    if "DB index" in message:
        return f"{where} has no database number {settings.database}: check REDIS_DB."
    return f"{where} can't be used: {message}"
