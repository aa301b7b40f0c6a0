"""What others wrote takes time in proportion to its length, whatever they wrote."""

from typing import Any

import pytest

from hx_gateway_db.postgres import explanations, sentences
from tests.unit.growth import grows_too_fast
from tests.unit.worst_cases import Use, attacks, uses

# What reads nothing but our own texts.
OUR_OWN = ("cli.help_text",)
# Of a pattern that the code makes up or hands on: what it can be, and how it reads.
LOCAL: dict[tuple[str, str], list[Any]] = {
    ("postgres.explanations", "recognized"): [pattern for pattern, _ in explanations.ROWS],
    ("postgres.sentences", "recognized"): [pattern for pattern, _ in sentences.GREETINGS],
}
METHODS = dict.fromkeys(("DATABASE_LINES", "CACHE_LINES", "PRISMA_LINES"), "fullmatch")
USES = [use for use in uses(LOCAL, METHODS) if use.module not in OUR_OWN]


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.module}-{use.name}-{use.method}"[:60])
def test_no_text_makes_a_pattern_slow(use: Use) -> None:
    for attack in attacks(use.pattern):
        assert not grows_too_fast(use.read, attack), f"{use.pattern.pattern!r}: {attack}"
