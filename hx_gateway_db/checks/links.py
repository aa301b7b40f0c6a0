"""The links of the chain, each as one check; some also return what the next ones need."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace

from hx_gateway_db.checks import config_table as config_table_checks
from hx_gateway_db.checks import models as model_checks
from hx_gateway_db.checks.chain import Chain
from hx_gateway_db.checks.differences import NAME as WIRING
from hx_gateway_db.checks.differences import compare
from hx_gateway_db.checks.spend import GATHERING_SECONDS, NAME, Request, SpendRows
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.gateway import http, proof, sentences
from hx_gateway_db.gateway.answerer import LITELLM
from hx_gateway_db.gateway.http import Entry, HeldByAnother, NotAnswering, ProofFailed, VirtualKey
from hx_gateway_db.host.config_yaml import CACHE, FLAGS, RATE_LIMIT
from hx_gateway_db.host.included import last_with, parts
from hx_gateway_db.layout import LITELLM_PORT, WRAPPER_PORT
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.values import address
from hx_gateway_db.systemd import units
from hx_gateway_db.yaml_edit.edit import YamlRefusal, lookup

SPEND = NAME
LIMIT = "litellm.limit"
UI = "litellm.ui"
_CACHE, _RATE_LIMIT = ".".join(CACHE), ".".join(RATE_LIMIT)
_SPEND_LOGS_OFF = FLAGS[0]
_BATCH = ("general_settings", "proxy_batch_write_at")


def wiring(chain: Chain) -> list[Finding]:
    """What is otherwise than it was wired; one finding that says so where nothing is.

    A unit that is not there has its row already.
    """
    found = compare(chain.host, units.available())
    return [finding for finding in found if not finding.name.endswith(".unit")]


def tables(chain: Chain) -> Finding:
    """LiteLLM's tables in the database that gateway.env names."""
    settings = chain.host.settings
    if settings:
        return proof.tables(settings.postgres)
    where = str(chain.host.layout.gateway_env)
    cure = "run 'dpkg-reconfigure hx-gateway-db'"
    for distrust in chain.host.distrusted.values():
        return Subject(sentences.TABLES, where).failed(distrust.what, cure=distrust.cure)
    if chain.host.problem:
        what = chain.host.problem.rstrip(".")
        return Subject(sentences.TABLES, where).failed(what, cure=cure)
    return Subject(sentences.TABLES, where).skipped("no database is wired", cure=cure)


def config_table(chain: Chain) -> list[Finding]:
    """What LiteLLM takes from its database in the place of what we set; nothing else is told."""
    if chain.host.settings is None:
        return []
    found = config_table_checks.findings(chain.host, chain.host.settings, chain.litellm)
    return [finding for finding in found if finding.level is not Level.OK]


def virtual_key(chain: Chain, stack: ExitStack) -> tuple[Finding, VirtualKey | None]:
    """A new virtual key on LiteLLM's own port; it lives as long as `stack`."""
    if chain.master is None:
        return proof.no_master_key(), None
    try:
        made = stack.enter_context(http.virtual_key(chain.master))
        count = len(http.models(LITELLM, made.key))
    except ProofFailed as error:
        return replace(error.finding, name=sentences.KEY), None
    where = f"port {LITELLM_PORT}"
    what = f"a new virtual key sees {count} models on {where}"
    return Subject(sentences.KEY, where).ok(what), made


def wrapper(chain: Chain, key: str) -> tuple[Finding, Entry | None]:
    """Which key the wrapper takes, given one that LiteLLM takes."""
    try:
        found = http.wrapper_entry(key, chain.wrapper)
    except ProofFailed as error:
        return replace(error.finding, name=sentences.WRAPPER), None
    where = f"port {WRAPPER_PORT}"
    if found.forwarded:
        what, why = "the wrapper hands a virtual key on", ""
    else:
        what = "the wrapper takes its own key, HX_MASTER_KEY"
        why = f"virtual keys work on port {LITELLM_PORT} only"
    return Subject(sentences.WRAPPER, where).ok(what, why), found


def models(entry: Entry) -> tuple[Finding, list[str] | None]:
    """The models that a client sees."""
    try:
        found = http.models(entry.service, entry.key)
    except ProofFailed as error:
        return error.finding, None
    where = f"port {entry.port}"
    return Subject(sentences.MODELS, where).ok(f"{len(found)} models on {where}"), found


def cache(chain: Chain, entry: Entry, reply: str) -> Finding:
    """Whether the chat whose reply has the id `reply` comes from the cache a second time."""
    settings = chain.host.settings
    if settings is None or settings.cache is None or settings.redis is None:
        return Subject(sentences.CACHE, "").skipped("the cache is off")
    assert chain.master is not None, "it made the key"
    if lost := _lost(chain, sentences.CACHE, _CACHE):
        return lost
    where = f"Redis at {address(settings.redis.host, settings.redis.port)}"
    try:
        http.check_cache(chain.master, settings.redis)
    except ProofFailed as error:
        return error.finding
    if not reply:
        return Subject(sentences.CACHE, where).skipped("there is no reply to ask for again")
    if model_checks.cached_again(entry, reply):
        return Subject(sentences.CACHE, where).ok("the same chat again came from Redis")
    return Subject(sentences.CACHE, where).failed(
        "the same chat again did not come from the cache",
        f"LiteLLM reaches {where}, but keeps no reply of {model_checks.CHAT_MODEL} there",
        "look at litellm_settings.cache_params in config.yaml",
    )


def _lost(chain: Chain, name: str, beginning: str) -> Finding | None:
    """That a row says nothing of its own, as config.yaml has lost keys that begin so."""
    keys = [key.key for key in chain.host.lost if key.key.startswith(beginning)]
    if not keys:
        return None
    what = f"config.yaml has lost {keys[0]}: this follows from {WIRING}"
    return Subject(name, "config.yaml").skipped(what)


def rate_limit(chain: Chain, made: VirtualKey) -> Finding:
    """The default limit that LiteLLM gives a new key, and whether it is the one that was asked."""
    settings = chain.host.settings
    limit = made.rpm_limit
    requests = {None: "any number of requests", 1: "1 request"}.get(limit, f"{limit} requests")
    what = f"a new key may make {requests} a minute"
    if settings is None or settings.cache is None:
        return Subject(LIMIT, "").found(Level.SKIPPED if limit is None else Level.OK, what)
    if lost := _lost(chain, LIMIT, _RATE_LIMIT):
        return lost
    if limit == settings.cache.rate_limit:
        return Subject(LIMIT, "").ok(what)
    return Subject(LIMIT, "config.yaml").warning(
        f"{what}, not {settings.cache.rate_limit}",
        "LiteLLM runs with another litellm_settings.default_key_generate_params.rpm_limit",
        "run 'systemctl restart hx-litellm-gateway'",
    )


def admin_ui(chain: Chain) -> Finding:
    """What is to be had of LiteLLM's admin console, whatever was asked for."""
    where = f"port {LITELLM_PORT}"
    try:
        status = http.status(LITELLM, "/ui/")
    except HeldByAnother as error:
        return http.unanswered(UI, LITELLM_PORT, error)
    except NotAnswering as error:
        return Subject(UI, where).warning(str(error))
    if status >= 400:
        return Subject(UI, where).ok(f"/ui/ is not there (HTTP {status})")
    state = f"/ui/ answers (HTTP {status})"
    if chain.litellm.get("DISABLE_ADMIN_UI") == "true":
        state += " although DISABLE_ADMIN_UI=true"
        return Subject(UI, where).ok(state, "only a proxy in front takes it away")
    return Subject(UI, where).ok(state)


def spend_row(chain: Chain, rows: SpendRows, asked: Request | None, until: float) -> Finding:
    """Whether the row of a chat is written, of `asked` or an earlier one."""
    settings = chain.host.settings
    assert settings is not None, "the tables were looked at"
    with suppress(YamlRefusal):
        part = last_with(parts(chain.host), _SPEND_LOGS_OFF[0])
        if lookup(part.text, _SPEND_LOGS_OFF) is True:
            about = Subject(SPEND, "config.yaml")
            what = f"general_settings.disable_spend_logs is true in {said(part.path.name)}"
            why = "LiteLLM then writes no rows"
            if chain.host.wired:
                return about.skipped(f"{what}: this follows from {WIRING}", why)
            return about.warning(what, why, "set it to false and restart LiteLLM")
    if asked:
        rows.awaited.append(asked)
    elif not rows.awaited:
        return Subject(SPEND, "").skipped("there is no chat whose row could come")
    rows.gathering = _gathering(chain.config, chain.litellm)
    return rows.look(settings.postgres, until)


def _gathering(config: bytes, environment: Mapping[str, str]) -> float:
    """For how many seconds LiteLLM gathers rows (proxy_server.py of 1.74.15)."""
    value: object = None
    with suppress(YamlRefusal):
        value = lookup(config, _BATCH)
    try:
        return float(str(value or environment.get("PROXY_BATCH_WRITE_AT") or GATHERING_SECONDS))
    except ValueError:
        return GATHERING_SECONDS
