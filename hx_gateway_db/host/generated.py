"""Whether a file says of itself that a program makes it: what is edited in it is lost then."""

import re
from itertools import takewhile

from hx_gateway_db.redaction import said

_HEAD = 8192
_LINES = 60
_MADE = (
    r"(?:auto(?:matically)?[- ]?)?"
    r"(?:generated|managed|rendered|written|created|maintained|controlled|produced)\b"
)
_TOOLS = "ansible|puppet|chef|salt|saltstack|cloud-init|cfengine|terraform|nixos|juju|helm"
# At the beginning of a comment, about the file itself: one about what a model generates is none.
_ITSELF = r"(?:(?:this|the) )?(?:file |configuration |config |config\.yaml )?"
_SAYS_SO = re.compile(
    rf"(?i){_ITSELF}(?:(?:is|was|has been) )?{_MADE} (?:automatically )?(?:by|from|with|using)\b"
    rf"|(?:this|the) (?:file|configuration) (?:is|was|has been) {_MADE}"
)
_UNMISTAKABLE = re.compile(
    rf"(?i)\b(?:managed|controlled|deployed|maintained) (?:by|with|through) (?:{_TOOLS})\b"
    r"|\bansible[_ -]managed\b|\bauto-?generated\b(?: file| by| from|[ .;:,!-]*\Z)"
    r"|\b(?:do not|don't|never) (?:edit|modify|change|touch)\b"
    r"(?: (?:this|it|by hand|manually|directly|here|the (?:rendered|generated) file)|\W*\Z)"
    r"|\b(?:changes|edits) (?:made )?(?:to this file |here )?will be (?:lost|overwritten)\b"
)


def says_generated(text: bytes) -> str | None:
    """The line of a file's head comment that says so, for a sentence; None if none does."""
    lines = text[:_HEAD].decode(errors="replace").removeprefix("\ufeff").splitlines()[:_LINES]
    for line in takewhile(_is_head, lines):
        comment = " ".join(line.strip().strip("#;*=-! ").split())[:300]
        if _SAYS_SO.match(comment) or _UNMISTAKABLE.search(comment):
            return said(comment, most=100)
    return None


def _is_head(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith(("#", ";", "---", "%"))
