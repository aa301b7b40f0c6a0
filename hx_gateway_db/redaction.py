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
_WORD = re.compile(r"\S+")
_END_OF_USER = re.compile(r"[:@/]")
_KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{4,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets` (raw, encoded or quoted), passwords in URLs and LiteLLM keys."""
    without = _without(text, secrets)
    return _KEY.sub(MASK, _WORD.sub(lambda word: _without_passwords(word[0]), without))


def said(text: str, secrets: Iterable[str] = (), most: int = _LONGEST) -> str:
    """What somebody else said, as one line that can be shown.

    Without `secrets`, passwords and keys as `redact` does it, without control characters, and cut
    to `most` characters. Cut only when the known secrets are out: a part of one is not recognized.
    """
    line = " ".join(_without(text, secrets).split())
    if len(line) > most:
        line = line[:most]
        # Of a URL that is cut within its password, nobody sees where that would have ended.
        whole, blank, last = line.rpartition(" ")
        line = (whole + blank if "://" in last or "sk-" in last else line) + CUT
    return printable(redact(line))


def printable(text: str) -> str:
    """`text` without control characters: a broken-into gateway must not write to our terminal."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character)[0] != "C" else "\ufffd"
        for character in text
    )


def _without(text: str, secrets: Iterable[str]) -> str:
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
