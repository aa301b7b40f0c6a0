"""Today's values as debconf is to have them, and where answers given ahead contradict an edit."""

import re
from collections.abc import Collection, Iterator, Mapping

from hx_gateway_db.settings.catalogue import ANSWERS

# A terminal would obey them, those of Latin-1 as well; a tab is but wide.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_KEPT = [answer for answer in ANSWERS if not answer.once]


def given_answers(text: str) -> dict[str, str]:
    """The answers, by key, in lines `QUESTION=VALUE` with debconf's escapes in the values."""
    keys = {answer.question: answer.key for answer in _KEPT}
    parts = (line.partition("=") for line in text.split("\n"))
    return {keys[name]: _unescaped(value) for name, _, value in parts if name in keys}


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
    return re.sub(r"\\(.)", lambda sign: "\n" if sign[1] == "n" else sign[1], text)
