"""The sections that matter are read, changed and proven as if the others were not there."""

from collections.abc import Sequence

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hx_gateway_db.yaml_edit import edit as yaml_edit
from hx_gateway_db.yaml_edit.edit import Operation, SetKey, YamlRefusal, edit, lookup
from hx_gateway_db.yaml_edit.excerpt import Excerpt, excerpt
from hx_gateway_db.yaml_edit.outline import Outline
from hx_gateway_db.yaml_edit.proof import value_at
from hx_gateway_db.yaml_edit.splice import Splice, apply_splices
from tests.yaml_corpus import CACHE, ERRORS, SPEND, SPEND_ON, TYPE, models, reads

NAMES = {"general_settings", "litellm_settings"}
FLAGS = (SPEND_ON, SetKey(ERRORS, False))
REDIS = (SetKey(CACHE, True), SetKey(TYPE, "redis"))
TEXT = b"""\
# the gateway
model_list: # all
  # the first
  - model_name: a
general_settings:
  a: 1
guardrails:

- b: 2
router_settings: # a mapping
   c: 3
litellm_settings: [d]
"""


def part_of(text: bytes) -> Excerpt:
    part = excerpt(text, NAMES)
    assert part is not None
    return part


def test_lists_that_nobody_asks_about_are_left_out() -> None:
    assert part_of(TEXT).text == (
        b"general_settings:\n  a: 1\nrouter_settings: # a mapping\n   c: 3\nlitellm_settings: [d]\n"
    )


def test_a_list_that_somebody_asks_about_stays() -> None:
    part = excerpt(TEXT, {"model_list"})
    assert part is not None
    assert part.text.startswith(TEXT[: TEXT.index(b"guardrails")])


def test_comments_above_the_first_section_belong_to_it() -> None:
    assert part_of(b"# c\n\nx:\n- y\na: 1\n").text == b"a: 1\n"
    assert part_of(b"# c\n\na: 1\nx:\n- y\n").text == b"# c\n\na: 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "- a\n",
        "  a: 1\n",
        "general_settings:\n  a: 1\nx:\n- y\ngeneral_settings:\n  b: 1\n",
        "general_settings:\n  a: &a 1\n",
        "x:\n- y\n z\ngeneral_settings:\n  a: 1\n",
        "x:\n  - y\n - z\ngeneral_settings:\n  a: 1\n",
    ],
)
def test_a_text_whose_sections_cannot_be_told_apart_has_to_be_read_as_a_whole(text: str) -> None:
    assert excerpt(text.encode(), NAMES) is None


def test_a_change_is_made_at_its_place_in_the_whole() -> None:
    part = part_of(TEXT)
    for inner in (b"a: 1", b"c: 3", b"[d]"):
        start = part.text.index(inner)
        splice = Splice(start, start + len(inner), b"new")
        assert part.apply([splice]) == TEXT.replace(inner, b"new")
    end = len(part.text)
    assert part.apply([Splice(end, end, b"e: 5\n")]) == TEXT + b"e: 5\n"


def test_a_change_where_something_was_left_out_is_not_made() -> None:
    part = part_of(TEXT)
    edge = part.text.index(b"router_settings")
    for start, stop in ((0, 0), (edge, edge), (edge - 1, edge), (edge - 2, edge + 2)):
        with pytest.raises(YamlRefusal):
            part.apply([Splice(start, stop, b"new")])


def test_lines_that_are_plain_no_more_prove_nothing() -> None:
    before = Outline(b"a: 1\n", [("a",)], plain_lines=True)
    assert before.after(b"a: 2\n").find(("a",))
    with pytest.raises(YamlRefusal):
        before.after(b"a: &x 2\n")


def test_a_section_that_is_missing_comes_last_whatever_stands_there() -> None:
    text = TEXT[: TEXT.index(b"router_settings")]
    edited = edit(text, REDIS)
    assert edited.startswith(text)
    assert reads(edited) == reads(text) | {
        "litellm_settings": {"cache": True, "cache_params": {"type": "redis"}}
    }


def test_what_is_wrong_is_said_with_its_line_in_the_whole_text() -> None:
    text = models(16) + b"  disable_spend_logs: false\n"
    with pytest.raises(YamlRefusal, match=f"^line {text.count(10)}: .*set twice"):
        edit(text, [SPEND_ON])
    text = models(16) + b"litellm_settings:\n  cache: {a: 1}\n"
    with pytest.raises(YamlRefusal, match=f"^line {text.count(10)}: .*holds a collection"):
        edit(text, REDIS)


def test_the_pure_parser_is_not_needed_for_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: object) -> None:
        raise AssertionError(text)

    monkeypatch.setattr(yaml.SafeLoader, "__init__", fail)
    assert b"disable_spend_logs: false" in edit(models(16), FLAGS)


LINES = st.sampled_from(
    [
        *("a:", "  b: 1", "  - c: d", "- e", "# c", "", "  # d", '  q: "x y"', "  l: [a, {b: c}]"),
        *("general_settings:", "general_settings: {}", "general_settings: null"),
        "general_settings: x",
        *("  disable_spend_logs: true", '  disable_error_logs: "false"  # why', "  master_key: x"),
        *("litellm_settings:", "litellm_settings: # c", "  cache_params:", "    type: local"),
        *("model_list:", "  - model_name: a", "    litellm_params: {model: x}", "guardrails:"),
        *("x: 1", "   odd: 1", "    deeper:", " z: 9", "  'k k': v", "router_settings: {a: 1}"),
        *("- - x", "  ~", "    - k", "k: - v", "  cache: {ttl: 1}", "  a: &a 1", "  t:\tb"),
        "  <<: {}",
    ]
)
TEXTS = st.builds(
    lambda top, lines, end: (top + "\n".join(lines) + end).encode(),
    st.sampled_from(["", "", "model_list:\n  - model_name: a\n", "# c\nmodel_list:\n- a\n"]),
    st.lists(LINES, max_size=12),
    st.sampled_from(["", "\n", "\n", "\nguardrails: # x\n\n- b: 1\n"]),
)


def as_a_whole(text: bytes, operations: Sequence[Operation]) -> bytes:
    outline = Outline(text, [operation.path for operation in operations])
    return apply_splices(text, yaml_edit._edit_splices(outline, operations))


def outcome(call: object, *arguments: object) -> object:
    try:
        return call(*arguments)  # type: ignore[operator]
    except YamlRefusal as refusal:
        return str(refusal)


@settings(max_examples=1500, deadline=None)
@given(TEXTS, st.sampled_from([FLAGS, REDIS, (*FLAGS, *REDIS)]))
def test_an_edit_is_the_same_as_if_the_whole_text_had_been_read(
    text: bytes, operations: Sequence[Operation]
) -> None:
    assert outcome(edit, text, operations) == outcome(as_a_whole, text, operations)


@settings(max_examples=500, deadline=None)
@given(TEXTS, st.sampled_from([SPEND, CACHE, ("litellm_settings",), ("general_settings",)]))
def test_a_lookup_is_the_same_as_if_the_whole_text_had_been_read(
    text: bytes, path: tuple[str, ...]
) -> None:
    whole = outcome(lambda: value_at(Outline(text, [path]), path))
    assert repr(outcome(lookup, text, path)) == repr(whole)
