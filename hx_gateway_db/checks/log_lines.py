"""Which lines of a service's log tell what went wrong: errors before access lines and frames."""

import re
from collections.abc import Iterable

from hx_gateway_db.redaction import beginning

_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_ACCESS = re.compile(r'"[A-Z]+ \S+ HTTP/[\d.]+" (\d{3})')
# Python indents the frames of a traceback; the exception itself stands at the margin. LiteLLM
# frames its greeting with #.
_FRAME = re.compile(
    r"[\s#]|Traceback \(most recent call last\)|During handling of the above exception"
    r"|The above exception was the direct cause"
)
_TROUBLE = re.compile(
    r"\b(error|critical|fatal|exception|failed|failure|denied|refused|killed|panic)\b"
    r"|\b\w+(Error|Exception|Refused)\b|timed out|can't|cannot|does not exist|status=[1-9]",
    re.IGNORECASE,
)
_LONGEST = 300
_LONGEST_RAW = 2 * _LONGEST  # colours and the like among them


def relevant(log: str, count: int) -> list[str]:
    """The last `count` lines of `log` that tell of trouble; if none does, the last ones at all.

    Each is cut before anything is looked for in it: known secrets must be out of `log` by then.

    Of lines that differ in their digits only, such as times, the last one stands for all.
    """
    lines = list(_worth_reading(log.splitlines()))
    trouble = [line for line in lines if _tells_of_trouble(line)]
    chosen: dict[str, str] = {}
    for line in reversed(trouble or lines):
        chosen.setdefault(re.sub(r"\d+", "0", line), line)
    return list(chosen.values())[:count][::-1]


def _worth_reading(lines: Iterable[str]) -> Iterable[str]:
    for raw in lines:
        line = _CONTROL_SEQUENCE.sub("", beginning(raw, _LONGEST_RAW)).rstrip()
        if line and not _FRAME.match(line):
            yield beginning(line, _LONGEST)


def _tells_of_trouble(line: str) -> bool:
    access = _ACCESS.search(line)
    return int(access[1]) >= 400 if access else bool(_TROUBLE.search(line))
