"""Whether the wrapper reaches its database and its Redis, where it says so itself."""

from collections.abc import Sequence

from hx_gateway_db.checks.chain import Chain
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.gateway import http
from hx_gateway_db.gateway.answerer import WRAPPER
from hx_gateway_db.gateway.dependencies import PATH, Dependency, dependencies
from hx_gateway_db.gateway.http import Answer, HeldByAnother, NotAnswering
from hx_gateway_db.layout import WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.urls import another_database
from hx_gateway_db.settings.values import address
from hx_gateway_db.systemd import environment_files, unit_variables

NAME = "wrapper.deps"
_ABOUT = Subject(NAME, f"port {WRAPPER_PORT}")
_THE_WRAPPER = f"the wrapper on port {WRAPPER_PORT}"
_SHORT = WRAPPER_UNIT.removesuffix(".service")
_RESTART = f"run 'systemctl restart {_SHORT}'"
_READ_LOG = f"read 'journalctl -u {_SHORT} -n 80 --no-pager'"
_LONGEST_NAME, _LONGEST_WORDS = 40, 120


def ask() -> Answer | NotAnswering:
    """What the wrapper answers. No key is sent."""
    try:
        return http.call(WRAPPER, "GET", PATH)
    except NotAnswering as error:
        return error


def finding(chain: Chain, answer: Answer | NotAnswering, tables: Finding) -> Finding | None:
    """What such an answer comes to; None: the wrapper has no such check.

    `tables` is what was found of LiteLLM's tables in the same database.
    """
    if isinstance(answer, HeldByAnother):
        return http.unanswered(NAME, WRAPPER_PORT, answer)
    if isinstance(answer, NotAnswering):
        return _ABOUT.skipped(f"the wrapper's {PATH} was asked in vain: {answer}")
    if answer.status == 404 or not isinstance(answer.body, dict):
        return None
    named = dependencies(answer.body)
    if not named:
        unknown = f"the wrapper's {PATH} names nothing that is up or down"
        return _ABOUT.skipped(unknown) if answer.status == 200 else None
    down = [one for one in named if not one.up and not _not_wired(chain, one)]
    if not down:
        up = _names([one for one in named if one.up])
        return _ABOUT.ok(f"{_THE_WRAPPER} reaches {up}" if up else f"{_THE_WRAPPER} misses nothing")
    what = f"{_THE_WRAPPER} does not reach {_names(down)}"
    why = "; ".join(said(one.why, chain.secrets, _LONGEST_WORDS) for one in down if one.why)
    why = f"in its words: {why}" if why else ""
    ours = next((one for one in down if one.postgres or one.redis), None)
    if ours is None:
        return _ABOUT.warning(what, why, "look at that server: it is none of this package's")
    return _ABOUT.failed(what, why, _cure(chain, ours, tables))


def _not_wired(chain: Chain, one: Dependency) -> bool:
    """A Redis that nobody has given to the wrapper."""
    settings = chain.host.settings
    given = "REDIS_URL" in chain.wrapper or bool(settings and settings.redis)
    return one.redis and not given


def _cure(chain: Chain, one: Dependency, tables: Finding) -> str:
    if one.postgres and tables.level is not Level.OK:
        return f"do first what {tables.name} says"
    name = "PG_URL" if one.postgres else "REDIS_URL"
    host = chain.host
    written = environment_files.values(host.text(host.layout.gateway_env) or "").get(name)
    runs_with = chain.wrapper.get(name)
    if not chain.wrapper:
        return _READ_LOG
    if written is None or runs_with != written:
        ours = (host.layout.gateway_env,)
        if runs_with and unit_variables.sets(host.layout.root, WRAPPER_UNIT, name, ours):
            return f"correct {name} where {_SHORT} has it from"
        return "run 'hx-gateway-db apply'" if written is None else _RESTART
    settings = host.settings
    if one.postgres and settings and another_database(written, settings.postgres):
        return f"correct {name} in gateway.env, or remove it there and run 'hx-gateway-db apply'"
    if one.redis and settings and settings.redis:
        at = address(settings.redis.host, settings.redis.port)
        return f"start Redis at {at}, or check REDIS_HOST and REDIS_PORT"
    return _READ_LOG


def _names(some: Sequence[Dependency]) -> str:
    names = [said(one.name, most=_LONGEST_NAME) for one in some]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
