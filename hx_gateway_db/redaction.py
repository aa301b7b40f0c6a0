"""Secrets taken out of text that people or logs will see."""

import json
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
_URL_PASSWORD = re.compile(r"(://[^:@/\s]*:)[^@\s]+@")
_KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{4,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets` (raw, encoded or quoted), passwords in URLs and LiteLLM keys."""
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
    return _KEY.sub(MASK, _URL_PASSWORD.sub(rf"\1{MASK}@", text))


def printable(text: str) -> str:
    """`text` without control characters: a broken-into gateway must not write to our terminal."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character)[0] != "C" else "\ufffd"
        for character in text
    )
