"""The whole chain of the running gateway, from its units to the row that a request leaves."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from hx_gateway_db import in_thread
from hx_gateway_db.checks import last_look, links, models, wrapper_dependencies
from hx_gateway_db.checks.chain import Chain
from hx_gateway_db.checks.log_lines import relevant
from hx_gateway_db.checks.spend import Request, SpendRows
from hx_gateway_db.checks.units import check_service
from hx_gateway_db.findings import Finding, Level, Subject
from hx_gateway_db.gateway import sentences
from hx_gateway_db.gateway.answerer import LITELLM
from hx_gateway_db.gateway.http import Answer, Entry, NotAnswering, VirtualKey
from hx_gateway_db.gateway.proof import readiness
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.redaction import said, without_secrets
from hx_gateway_db.systemd import units
from hx_gateway_db.systemd.units import ServiceFailed

_WITH_A_KEY = (
    *(sentences.WRAPPER, sentences.MODELS, models.CHAT, models.EMBEDDING),
    *(sentences.CACHE, links.LIMIT),
)
_LOG_LINES = 400
_LOG_MINUTES = 2
_SHOWN_LINES = 8

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One link of the chain: what was found, free of secrets, and in how many seconds."""

    finding: Finding
    seconds: float

    def as_json(self) -> dict[str, object]:
        """As `--json` shows it; scripts rely on these names."""
        found = self.finding
        return {
            "name": found.name,
            "result": found.level.value,
            "seconds": round(self.seconds, 3),
            "detail": f"{found.what} ({found.why})" if found.why else found.what,
            "cure": found.cure,
        }


@dataclass(frozen=True)
class Words:
    """What a unit has logged of a failure, free of secrets."""

    unit: str
    lines: list[str]


def verify(chain: Chain, spend: SpendRows, until: float) -> Iterator[Row]:
    """Look at each link; independent ones at the same time, each with its time limit.

    `spend` are the rows in LiteLLM_SpendLogs that are looked for; if all else is well, they are
    waited for until the time (time.monotonic()) is `until`. Yields each row as soon as it and
    those before it are known.
    """
    known: list[Row] = []
    for row in _links(chain, spend, until, known):
        known.append(row)
        yield replace(row, finding=chain.cleaned(row.finding))


def last_words(chain: Chain, rows: list[Row]) -> list[Words]:
    """The last relevant lines that the units at fault have logged."""
    failed = [row.finding.name for row in rows if row.finding.level is Level.FAILED]
    # What stands in files is in no log.
    logged = [name for name in failed if not name.startswith("gateway.")]
    wrapper = any(name.startswith("wrapper.") for name in logged)
    litellm = any(not name.startswith("wrapper.") for name in logged)
    chosen = ((LITELLM_UNIT, litellm), (WRAPPER_UNIT, wrapper))
    words = [Words(unit, _log(chain, unit)) for unit, at_fault in chosen if at_fault]
    return [said for said in words if said.lines]


def _log(chain: Chain, name: str) -> list[str]:
    with suppress(ServiceFailed):
        unit = units.unit(name)
        if unit.present and unit.active_state != "inactive":
            # Older errors of a service that runs on are not the reason.
            minutes = _LOG_MINUTES if unit.running else 0
            log = units.journal(name, _LOG_LINES, minutes)
            # Known secrets first: one that a cut has shortened is not recognized.
            lines = relevant(without_secrets(log, chain.secrets), _SHOWN_LINES)
            return [said(line, most=len(line)) for line in lines]
    return []


def _links(chain: Chain, spend: SpendRows, until: float, known: list[Row]) -> Iterator[Row]:
    """The rows in their order; `known` are those that were taken so far."""
    litellm = in_thread.start(partial(_service, LITELLM_UNIT, LITELLM_PORT))
    wrapper = in_thread.start(partial(_service, WRAPPER_UNIT, WRAPPER_PORT))
    wiring = in_thread.start(partial(_rows, partial(links.wiring, chain)))
    ready = in_thread.start(partial(_row, partial(readiness, chain.litellm)))
    stored = in_thread.start(partial(_row, partial(links.tables, chain)))
    table = in_thread.start(partial(_rows, partial(links.config_table, chain)))
    admin_ui = in_thread.start(partial(_row, partial(links.admin_ui, chain)))
    asked_wrapper = in_thread.start(partial(_timed, wrapper_dependencies.ask))
    if last := last_look.present(chain.host.layout.root):
        yield _row(partial(last_look.finding, last, time.time()))
    yield litellm.result()[0]
    yield wrapper.result()[0]
    yield litellm.result()[1]
    yield wrapper.result()[1]
    yield from wiring.result()
    if litellm.result()[1].finding.level is not Level.OK:
        away = "LiteLLM does not answer" if units.available() else "LiteLLM is not asked"
        yield _skipped(sentences.READINESS, away)
        yield stored.result()
        yield from table.result()
        yield from _dependencies(chain, wrapper.result()[1], stored.result(), asked_wrapper)
        names = (sentences.KEY, *_WITH_A_KEY, links.UI, links.SPEND)
        yield from (_skipped(name, away) for name in names)
        return
    yield ready.result()
    yield stored.result()
    yield from table.result()
    yield from _dependencies(chain, wrapper.result()[1], stored.result(), asked_wrapper)
    with ExitStack() as stack:
        row, key = _row_and(partial(links.virtual_key, chain, stack))
        yield row
        if key is None:
            no_key = "there is no key to ask with"
            yield from (_skipped(name, no_key) for name in _WITH_A_KEY)
            yield admin_ui.result()
            yield _skipped(links.SPEND, no_key)
            return
        through_wrapper = wrapper.result()[1].finding.level is Level.OK
        asked = yield from _with_a_key(chain, key, through_wrapper)
        yield admin_ui.result()
    if stored.result().finding.level is not Level.OK:
        yield _skipped(links.SPEND, "the database can't be asked")
    else:
        failed = any(row.finding.level is Level.FAILED for row in known)
        wait = 0.0 if failed else until
        yield _row(partial(links.spend_row, chain, spend, asked, wait))


def _dependencies(
    chain: Chain, wrapper: Row, stored: Row, asked: Future[tuple[Answer | NotAnswering, float]]
) -> Iterator[Row]:
    """A row where the wrapper answers and has such a check."""
    if wrapper.finding.level is Level.OK:
        answer, seconds = asked.result()
        if finding := wrapper_dependencies.finding(chain, answer, stored.finding):
            yield Row(finding, seconds)


def _with_a_key(
    chain: Chain, made: VirtualKey, through_wrapper: bool
) -> Generator[Row, None, Request | None]:
    """The links that are asked as a client does; returns the chat whose row is to come."""
    entry = None
    if through_wrapper:
        row, entry = _row_and(partial(links.wrapper, chain, made.key))
        yield row
    else:
        yield _skipped(sentences.WRAPPER, f"it does not answer: port {LITELLM_PORT} is asked")
    entry = entry or Entry(LITELLM, made.key)
    row, names = _row_and(partial(links.models, entry))
    yield row
    reply = ""
    if names is None:
        for name in (models.CHAT, models.EMBEDDING):
            yield _skipped(name, "the gateway lists no models")
    else:
        chat = partial(models.chat, entry, names, chain.cache_on)
        embedding = partial(models.embedding, entry, names, chain.cache_on)
        chatting = in_thread.start(partial(_row_and, chat))
        embedded = in_thread.start(partial(_row, embedding))
        row, reply = chatting.result()
        yield row
        yield embedded.result()
    answered = time.monotonic()
    yield _row(partial(links.cache, chain, entry, reply))
    yield _row(partial(links.rate_limit, chain, made))
    digest = hashlib.sha256(made.key.encode()).hexdigest() if entry.forwarded else ""
    return Request(reply, digest, answered) if reply else None


def _service(name: str, port: int) -> tuple[Row, Row]:
    findings = check_service(name, port)
    return _row(partial(next, findings)), _row(partial(next, findings))


def _row(check: Callable[[], Finding]) -> Row:
    return Row(*_timed(check))


def _rows(check: Callable[[], list[Finding]]) -> list[Row]:
    """Rows of one check, which takes its time once."""
    started = time.monotonic()
    found = check()
    seconds = time.monotonic() - started
    return [Row(finding, 0.0 if number else seconds) for number, finding in enumerate(found)]


def _row_and(check: Callable[[], tuple[Finding, T]]) -> tuple[Row, T]:
    """A row, and what the check found besides, for those after it."""
    (finding, value), seconds = _timed(check)
    return Row(finding, seconds), value


def _timed(check: Callable[[], T]) -> tuple[T, float]:
    started = time.monotonic()
    return check(), time.monotonic() - started


def _skipped(name: str, why: str) -> Row:
    return Row(Subject(name, "").skipped(why), 0.0)
