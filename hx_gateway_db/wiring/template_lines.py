"""What a wired gateway has in its files, as lines for the template that a program makes them of."""

from collections.abc import Callable
from dataclasses import replace

from hx_gateway_db.host import config_yaml, gateway_env
from hx_gateway_db.host.config_yaml import Present
from hx_gateway_db.layout import Layout
from hx_gateway_db.settings.litellm import LiteLLM
from hx_gateway_db.settings.values import Settings, redis_use

_POSTGRES, _REDIS = "PG_PASS", "REDIS_PASS"


def template_lines(settings: Settings, layout: Layout, litellm: Callable[[], LiteLLM]) -> str:
    """Both files' lines. In the place of each password stands the name of its answer.

    `litellm` finds out which LiteLLM is to read them.
    """
    without = _without_passwords(settings)
    names = [_POSTGRES, *([_REDIS] if without.redis and without.redis.password else [])]
    passwords = f"{' and '.join(names)}: the password{'s' if names[1:] else ''}, percent-encoded"
    lines = [f"# For the template of {layout.config_yaml}, in the sections that are there already:"]
    lines += config_yaml.wired(b"", redis_use(settings), Present()).text.decode().splitlines()
    lines += ["", f"# For the template of {layout.gateway_env} ({passwords}):"]
    dead = gateway_env.dead(settings, litellm)
    said = gateway_env.lines_for(without).items()
    lines += [f"{key}={value}" for key, value in said if key not in dead]
    return "\n".join(lines) + "\n"


def _without_passwords(settings: Settings) -> Settings:
    redis = settings.redis
    if redis and redis.password:
        redis = replace(redis, password=_REDIS)
    return replace(settings, postgres=replace(settings.postgres, password=_POSTGRES), redis=redis)
