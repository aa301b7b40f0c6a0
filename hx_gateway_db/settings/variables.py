"""Answers that are lines of gateway.env and nothing else: from answer to line and back."""

from collections.abc import Iterable, Iterator, Mapping

from hx_gateway_db.settings.catalogue import ANSWERS, VARIABLES, Answer, Kind
from hx_gateway_db.settings.kinds import boolean, plain, word

Pairs = tuple[tuple[str, str], ...]
_ROWS = {answer.key: answer for answer in ANSWERS}


def asked(values: Mapping[str, str], present: Iterable[tuple[str, str]]) -> Pairs:
    """Variable and value of each line that the answers `values` ask for.

    What is `present` in gateway.env and is not answered otherwise stays, whoever wrote it. Raises
    InvalidSettings.
    """
    return tuple(_asked(values, dict(present)))


def _asked(values: Mapping[str, str], present: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for answer in VARIABLES:
        text = values.get(answer.key, "")
        if not _applies(answer, values):
            continue
        if text != present.get(answer.variable):
            text = plain(answer, values)
        if text:
            yield answer.variable, text


def _applies(answer: Answer, values: Mapping[str, str]) -> bool:
    """Whether what the answer is about is so: see `Answer.needs`."""
    if not answer.needs:
        return True
    key, equals, choices = answer.needs.partition("=")
    holds = values.get(key, "") in choices.split("|") if equals else boolean(values, key)
    return holds and _applies(_ROWS[key], values)


def read(lines: Mapping[str, str]) -> Pairs:
    """Variable and value of each line among the `lines` of gateway.env that is such an answer."""
    return tuple(
        (answer.variable, _read(answer, lines[answer.variable]))
        for answer in VARIABLES
        if lines.get(answer.variable)
    )


def _read(answer: Answer, text: str) -> str:
    # LiteLLM takes no other word for true.
    return word(text == "true") if answer.kind is Kind.BOOLEAN else text


def answers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The answers that would lead to these lines."""
    said = dict(pairs)
    return {a.key: said[a.variable] for a in VARIABLES if a.variable in said}
