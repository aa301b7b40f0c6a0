"""Today's values as debconf is to have them, and where answers given ahead contradict an edit."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from hx_gateway_db.findings import Cure, Finding, failures
from hx_gateway_db.settings.answers import to_answer
from hx_gateway_db.settings.catalogue import ANSWERS

# A terminal would obey them, those of Latin-1 as well; a tab is but wide.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_KEPT = [answer for answer in ANSWERS if not answer.once]


def given_answers(text: str) -> dict[str, str]:
    """The answers, by key, in lines `QUESTION=VALUE` with debconf's escapes in the values."""
    keys = {answer.question: answer.key for answer in ANSWERS}
    parts = (line.partition("=") for line in text.split("\n"))
    return {keys[name]: _unescaped(value) for name, _, value in parts if name in keys}


def answers_to_apply(text: str) -> dict[str, str]:
    """The same with what they ask for: debconf has the value of every question.

    A field that is empty is meant to be so. What was answered for a database elsewhere, before one
    here was chosen, is not.
    """
    given = to_answer(given_answers(text))
    if given.get("DATABASE") == "local":
        given.pop("PG_HOST", None)
    return given


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """What postinst has to know of checks that failed.

    `findings TEXT`: what to show, with debconf's escapes. `cure WHO` for each who can cure one.
    `ask QUESTION...` names those whose answers may be at fault. `propose CHOICE` is what to do
    next: an administrator whose login was refused can give it again.
    """
    failed = failures(findings)
    text = "\n".join(f"- {_CONTROLS.sub('', finding.sentence)}" for finding in failed)
    yield f"findings {_escaped(text)}"
    cures = dict.fromkeys(finding.by for finding in failed if finding.by is not Cure.BY_HAND)
    yield from (f"cure {cure.value}" for cure in cures)
    at_fault = {answer for finding in failed for answer in finding.answers}
    refused = any(answer.key in at_fault for answer in ANSWERS if answer.once)
    yield f"propose {'administrator' if refused else 'retry'}"
    yield " ".join(["ask", *(answer.question for answer in _KEPT if answer.key in at_fault)])


def debconf_lines(
    today: Mapping[str, str], edited: Collection[str], given: Mapping[str, str]
) -> Iterator[str]:
    """What debconf is to be told, for config to pass on; every value with debconf's escapes.

    `set QUESTION VALUE` for a value of `today` that no answer in `given` is for. An answer wins
    over a value, unless that is one of those that were `edited`: for these, `keep QUESTION VALUE`
    has the edited value, and one last line `changes TEXT` says what the answers would change.
    A password is in none of them: an empty answer keeps it.
    """
    changes = []
    for answer in _KEPT:
        value = "" if answer.secret else _CONTROLS.sub("", today.get(answer.key, ""))
        if answer.key not in given:
            if answer.key in today and not answer.secret:
                yield f"set {answer.question} {_escaped(value)}"
            continue
        wanted = given[answer.key]
        changes_nothing = wanted == value or (answer.key, wanted) == ("DATABASE", "later")
        if answer.key in edited and not changes_nothing:
            yield f"keep {answer.question} {_escaped(value)}"
            change = "(not shown)" if answer.secret else f"{value} -> {_CONTROLS.sub('', wanted)}"
            changes.append(f" {answer.key}: {change}")
    if changes:
        text = "\n".join(changes)
        yield f"changes {_escaped(text)}"


def _escaped(text: str) -> str:
    return re.sub(r"[\\ \t]", r"\\\g<0>", text).replace("\n", "\\n")


def _unescaped(text: str) -> str:
    # A line break is none that was answered: debconf's files give a backslash and an n back so.
    return re.sub(r"\\(.)", lambda sign: r"\n" if sign[1] == "n" else sign[1], text)
