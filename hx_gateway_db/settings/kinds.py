"""What an answer of each kind may say, and the one way in which that is written."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from hx_gateway_db.errors import InvalidSettings
from hx_gateway_db.settings.catalogue import Answer, Kind
from hx_gateway_db.settings.values import check_host, check_port, wrong

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
# What needs no quotes, for systemd, python-dotenv, a shell and LiteLLM.
_PLAIN = re.compile(r"[A-Za-z0-9._~:/@%+=,-]*")


def word(value: bool) -> str:
    return "true" if value else "false"


def boolean(values: Mapping[str, str], key: str, default: bool = False) -> bool:
    """The answer `key` as true or false. Raises InvalidSettings."""
    text = values.get(key) or word(default)
    if text.lower() not in _BOOLEANS:
        raise wrong(key, text, "use true or false")
    return _BOOLEANS[text.lower()]


def whole_number(values: Mapping[str, str], key: str) -> int:
    """The answer `key` as a number, 0 or more. Raises InvalidSettings."""
    text = values[key].strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise wrong(key, text, "use a whole number")
    return int(text)


def plain(answer: Answer, values: Mapping[str, str]) -> str:
    """What `answer` says among `values`, written so that it reads the same wherever it stands.

    Raises InvalidSettings for what is not of its kind, or would need quotes.
    """
    key, text = answer.key, values.get(answer.key, "")
    match answer.kind:
        case Kind.BOOLEAN:
            return word(boolean(values, key))
        case _ if not text:
            return ""
        case Kind.NUMBER:
            if (found := whole_number(values, key)) < answer.least:
                raise wrong(key, text, f"use {answer.least} or more")
            return str(found)
        case Kind.PORT:
            check_port(key, whole_number(values, key))
            return text.strip()
        case Kind.CHOICE if text not in answer.choices:
            raise wrong(key, text, f"use one of {', '.join(answer.choices)}")
        case Kind.HOST:
            check_host(key, text)
        case Kind.FILE | Kind.FOLDER if not PurePosixPath(text).is_absolute():
            raise wrong(key, text, "use an absolute path")
    if not _PLAIN.fullmatch(text):
        raise InvalidSettings(
            f"{key} has a character that a line of gateway.env can't hold without quotes: use"
            " letters, digits and . _ ~ : / @ % + = , - in it."
        )
    return text
