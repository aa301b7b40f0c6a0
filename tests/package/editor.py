"""An editor for debconf's editor frontend, which answers as a person would.

`editor.py FOLDER FILE` reads FOLDER/conversation, a JSON list of pairs: the prompt of a question
as a regular expression, and the reply. The questions have to come in that order. A number chooses
from a list, as in the other frontends. What it has been shown is kept in FOLDER/pages.
"""

import json
import re
import sys
from pathlib import Path

_ITEM = re.compile(r'^(?P<name>[^#"\n]+)="(?P<value>.*)"$', re.M)
_RULER = re.compile(r"^#+$", re.M)
_CHOICES = re.compile(r"\(Choices: (.*)\) \S")


def main(folder: Path, file: Path) -> None:
    """Answer what `file` asks, if it asks anything; an error is only read."""
    text = file.read_text()
    explanation = comments(_RULER.split(text)[1])
    kept = folder / "pages"
    pages = json.loads(kept.read_text()) if kept.exists() else []
    kept.write_text(json.dumps([*pages, explanation]))
    item = _ITEM.search(text)
    conversation = folder / "conversation"
    expected = json.loads(conversation.read_text())
    if item is None or not expected:
        return
    question, reply = expected[0]
    if not re.search(f"{question}$", explanation):
        return
    conversation.write_text(json.dumps(expected[1:]))
    choices = _CHOICES.search(explanation)
    if choices and reply.isdigit():
        reply = choices[1].split(", ")[int(reply) - 1]
    at = item.span("value")
    file.write_text(text[: at[0]] + reply + text[at[1] :])


def comments(part: str) -> str:
    """The comment before an item as one line, wherever it was wrapped."""
    lines = [line.removeprefix("#").strip() for line in part.splitlines() if line.startswith("#")]
    return " ".join(line for line in lines if line)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
