"""Setting both flags in config.yaml: the time beside peers, and how often the result is right."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench import installation
from bench.measure import Sample, figure, take_turns
from bench.table import Count, Row
from bench.yaml_cases import cases
from bench.yaml_contenders import SIZES, Contender, floors, ours, peers, run
from tests.progress import Progress
from tests.yaml_corpus import models

_SLOW_SECONDS = 1.5
"""Peers that take longer are measured once, but for ruamel.yaml with up to 10,000 models."""
_PATIENCE_SECONDS = 20.0
"""Peers that take longer, or would, judged by the time with fewer models, are left out."""
_NAMED = "ruamel.yaml"
"""The peer whose times the targets are about: it is left out nowhere."""
_ANCHORED = 10_000
"""Models in the text that is also measured with an anchor in it."""
_LONGEST_SECONDS = 60.0
"""For all small documents together: who is at work on one then has an endless loop."""


@dataclass(frozen=True)
class _Probe:
    """The first run of a contender with some number of models."""

    contender: Contender
    sample: Sample
    edited: bytes


def rows(progress: Progress) -> Iterator[Row | Count]:
    """For each number of models a row for each peer, then how often each peer is right."""
    installation.debian_packages()
    mine, others = ours(), [*floors(), *peers()]
    before: dict[str, Row] = {}
    for fewer, size in zip((0, *SIZES), SIZES, strict=False):
        taking_part = [each for each in others if size in each.sizes]
        if fewer:
            taking_part = [each for each in taking_part if each.label in before]
        progress.say(f"who can edit {size:,} models")
        probes, missing = _probed(taking_part, models(size), size / max(fewer, 1), before)
        # Not before: only now it is known who gives up with more models, and why.
        yield from _with_remarks(before.values(), size, missing)
        before = {
            row.peer: row
            for row in _measured(progress, mine, probes, models(size), size, fewer, before)
        }
    yield from before.values()
    yield from _with_an_anchor(progress, mine, others)
    progress.say("how often each is right")
    yield from _counts(mine, peers())


def _with_remarks(rows: Iterable[Row], size: int, missing: Mapping[str, str]) -> Iterator[Row]:
    for row in rows:
        why = f"with {size:,}: {missing[row.peer]}" if row.peer in missing else ""
        yield replace(row, remark=_joined(row.remark, why))


def _with_an_anchor(
    progress: Progress, mine: Contender, others: Sequence[Contender]
) -> Iterator[Row]:
    """What the edit takes where not every line stands for itself: the whole text is proven then."""
    text = b"a: &a 1\nb: *a\n" + models(_ANCHORED)
    taking_part = [each for each in others if not each.edits or each.label == _NAMED]
    probes, _ = _probed([each for each in taking_part if _ANCHORED in each.sizes], text, 1, {})
    for row in _measured(progress, mine, probes, text, _ANCHORED, 0, {}):
        yield replace(row, name=f"{row.name} with an anchor", target="")


def _probed(
    contenders: Sequence[Contender], text: bytes, growth: float, before: Mapping[str, Row]
) -> tuple[list[_Probe], dict[str, str]]:
    """Who can edit `text` in bearable time, and why the others, by their labels, can't."""
    probes: list[_Probe] = []
    missing: dict[str, str] = {}
    for contender in contenders:
        row = before.get(contender.label)
        is_slow = row is not None and row.peers.seconds * growth > _PATIENCE_SECONDS
        if is_slow and contender.label != _NAMED:
            missing[contender.label] = "not run, it would take too long"
            continue
        patience = {} if contender.label == _NAMED else {"seconds": _PATIENCE_SECONDS}
        outcome = run(contender, [text], **patience)[0]
        if outcome.sample is None or outcome.edited is None:
            missing[contender.label] = f"fails ({' '.join(outcome.refusal.split())[:70]})"
        else:
            probes.append(_Probe(contender, outcome.sample, outcome.edited))
    return probes, missing


def _measured(
    progress: Progress,
    mine: Contender,
    probes: Sequence[_Probe],
    text: bytes,
    size: int,
    fewer: int,
    before: Mapping[str, Row],
) -> Iterator[Row]:
    our_edited = run(mine, [text])[0].edited
    if our_edited is None or _changes(text, our_edited):
        raise RuntimeError("our edit of the measured file is wrong")
    slow = {probe.contender.label for probe in probes if _is_slow(probe, size)}
    quick = [mine, *(each.contender for each in probes if each.contender.label not in slow)]
    figures = take_turns(progress, {each.label: partial(_sample, each, text) for each in quick})
    for probe in probes:
        peer = probe.contender
        remarks = [peer.remark]
        if peer.label in slow:
            remarks.append("one run")
        if peer.edits:
            remarks.append(_changes(text, probe.edited))
        elif peer.label in before:
            growth = figures[mine.label].seconds / before[peer.label].ours.seconds
            remarks.append(f"ours took {growth:.1f} times as long as with {fewer:,}")
        yield Row(
            "both flags in config.yaml",
            f"{size:,} models",
            figures[mine.label],
            peer.label,
            figure([probe.sample]) if peer.label in slow else figures[peer.label],
            peer.targets.get(size, ""),
            _joined(*remarks),
        )


def _is_slow(probe: _Probe, size: int) -> bool:
    is_exempt = not probe.contender.edits or (probe.contender.label == _NAMED and size <= 10_000)
    return probe.sample.seconds > _SLOW_SECONDS and not is_exempt


def _sample(contender: Contender, text: bytes) -> Sample:
    sample = run(contender, [text])[0].sample
    assert sample is not None, "it could edit this text a moment ago"
    return sample


def _changes(text: bytes, edited: bytes) -> str:
    """What is wrong with the edit of one of the measured files; nothing if all is well."""
    *kept, _ = text.splitlines()
    lines = edited.splitlines()
    flags = {b"  disable_spend_logs: false", b"  disable_error_logs: false"}
    if not flags <= {*lines}:
        return "the flags are not set"
    rest = [line for line in lines if line not in flags]
    changed = sum(one != other for one, other in zip(kept, rest, strict=False))
    changed += abs(len(kept) - len(rest))
    return f"changes {changed:,} of {len(kept):,} other lines" if changed else ""


def _counts(mine: Contender, others: Sequence[Contender]) -> Iterator[Count]:
    documents = list(cases())
    texts = [case.text for case in documents]
    right = {
        contender.label: sum(
            outcome.finished and case.is_right(outcome.edited)
            for case, outcome in zip(
                documents, run(contender, texts, _LONGEST_SECONDS), strict=True
            )
        )
        for contender in (mine, *others)
    }
    for peer in others:
        yield Count(
            "right, of the documents that the editor is tested on",
            right[mine.label],
            peer.label,
            right[peer.label],
            len(documents),
            "all by ours",
        )


def _joined(*remarks: str) -> str:
    return "; ".join(filter(None, remarks))
