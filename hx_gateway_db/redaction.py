"""Secrets taken out of text that people or logs will see, and text of others made fit for that.

Every step takes time in proportion to the text's length, whoever wrote it.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
CUT = " ..."
_LONGEST = 300
_MOST_LINES = 100
_DEEPEST = 20
_WORD = re.compile(r"\S+")
_END_OF_USER = re.compile(r"[:@/]")
_KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{4,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets` (raw, encoded or quoted), passwords in URLs and LiteLLM keys."""
    without = without_secrets(text, secrets)
    return _KEY.sub(MASK, _WORD.sub(lambda word: _without_passwords(word[0]), without))


def said(text: str, secrets: Iterable[str] = (), most: int = _LONGEST) -> str:
    """What somebody else said, as one line that can be shown.

    Without `secrets`, passwords and keys as `redact` does it, without control characters, and cut
    to `most` characters. Cut only when the known secrets are out: a part of one is not recognized.
    """
    line = " ".join(without_secrets(text, secrets).split())
    return printable(redact(beginning(line, most)))


def said_lines(
    text: str, secrets: Iterable[str] = (), most_lines: int = _MOST_LINES, most: int = _LONGEST
) -> list[str]:
    """The same of a text of several lines: the last `most_lines`, each as `said` has it.

    A line keeps its indentation, which says what belongs together.
    """
    lines = without_secrets(text, secrets).split("\n")[-most_lines:]
    return [" " * _indentation(line) + said(line, (), most) for line in lines]


def beginning(line: str, most: int) -> str:
    """A line without secrets that are known, cut to `most` characters."""
    if len(line) <= most:
        return line
    # Of a URL that is cut within its password, nobody sees where that would have ended.
    whole, blank, last = line[:most].rpartition(" ")
    return (whole + blank if "://" in last or "sk-" in last else line[:most]) + CUT


def printable(text: str, exact: bool = False) -> str:
    """`text` without what does more to a terminal than to appear on it.

    Those are control characters, and for a person also what is not seen or turns the direction of
    what follows; with `exact` that stays, since a program reads the text.
    """
    if text.isprintable():
        return text
    kinds = ("Cc", "Cs") if exact else ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in kinds
        else "\ufffd"
        for character in text
    )


def _indentation(line: str) -> int:
    return min(len(line) - len(line.lstrip()), _DEEPEST)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` without `secrets`, whether raw, encoded or quoted, whatever else is in it."""
    forms = {
        form
        for secret in secrets
        if secret
        for form in (
            *(secret, quote(secret, safe=""), quote(secret), quote_plus(secret)),
            *(repr(secret)[1:-1], json.dumps(secret)[1:-1]),  # as programs log their settings
        )
    }
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _without_passwords(word: str) -> str:
    """A word of no blanks without what stands between `://user:` and the next `@`.

    By hand, since a pattern would look for the `@` anew from each `://`.
    """
    kept: list[str] = []
    done, at = 0, word.find("://")
    while at >= 0:
        user_ends = _END_OF_USER.search(word, at + 3)
        if user_ends is None:
            break
        begins = user_ends.end()
        if user_ends[0] != ":":
            at = word.find("://", user_ends.start())
            continue
        ends = word.find("@", begins)
        if ends < 0:
            break
        if ends > begins:
            kept += [word[done:begins], MASK]
            done = ends
        at = word.find("://", max(ends, begins - 1))
    return "".join([*kept, word[done:]])
