"""A text is plain when each of its lines can be understood by itself, by both parsers alike."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hx_gateway_db.yaml_edit.edit import YamlRefusal
from hx_gateway_db.yaml_edit.outline import Outline
from hx_gateway_db.yaml_edit.plain import is_plain, is_yaml
from tests.yaml_corpus import models

PLAIN = [
    "",
    "\n",
    "# all\tkinds of comments\n  # and one more\n",
    "a:\n  b: 1 # c\n",
    "a:\n- b: c\n  d: e\n- f\n-  - g: h\n",
    "a: os.environ/KEY\nb: https://example.com/v1?q=1&r=a#b\n",
    "a: \"x # 'y': {\" # c\nb: 'it''s'\nc: \"say \\\"so\\\"\"\n",
    "a:\n  \"b c\": 1\n  - 'd': e\n",
    'a: [{"b": ["c", d]}, {e: [f g]}]\nh: {i: http://j:1/k, l: "m"} # n\no: []\np: {}\n',
    "a: 0\nb: -1\nc: 1.5e+3\nd: .5\ne: ~\nf: no\ng: 4o-mini\nh: 10.0.0.1\ni: -x\n",
    "a: größer\nb: 日本\n",
]
NOT_PLAIN = [
    *("a: &x 1\n", "a: *x\n", "<<: {a: 1}\n", "a:\n  <<: {b: 1}\n", "a: {<<: b}\n", "a: <<\n"),
    *("a: !!str b\n", "a: !b\n", "a: {b: !c d}\n", "%YAML 1.1\n", "---\na: 1\n", "a: 1\n...\n"),
    *("a: |\n  b\n", "a: >-\n  b\n", "? a\n: b\n", "a: 'b\n  c'\n", 'a: "b\n', "a: [b,\n  c]\n"),
    *("a: {b\n", "- [a]: b\n", "a: {[b]: c}\n", "a: {{b: c}: d}\n", "a\n", "a: b: c\n", "a:b\n"),
    *("'a': 1\n", '"a": 1\n', "a:\t1\n", "a: 1\t# b\n", "a: 1\r\n", "a: 1\x85b: 1\n"),
    "\ufeffa: 1\n",
    *("a: =\n", "a: {b: =}\n", "a: 2024-02-31\n", "a: [2024-02-31]\n", "a: 0x_\n", "a: 0b_\n"),
    *("a: {b: c?d}\n", "a: {? b}\n", "a: @b\n", "a: `b`\n", "a:# b\n", "- - - - a\n"),
    'a: {"b":c}\n',
    # A template that nobody has rendered: a mapping as a key.
    *("a: {{ b }}\n", "a: {{b}}\n", "a: {[b]}\n", "a: {b, [c]}\n", "a: {b: c, {d}}\n"),
    *("a: [{{ b }}]\n", "a: [{[b]}]\n", "a: {b: {{ c }}}\n"),
    *(f"a: {'1' * 5000}\n", f"a: '{'x' * 5000}'\n", f"a:\n{' ' * 41}b: 1\n", "a: [[[[b]]]]\n"),
]


@pytest.mark.parametrize("text", PLAIN)
def test_lines_that_stand_for_themselves_are_plain(text: str) -> None:
    assert is_plain(text.encode())


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_needs_other_lines_or_is_read_differently_is_not_plain(text: str) -> None:
    assert not is_plain(text.encode())
    assert not is_plain(b"a: 1\n" + text.encode() + b"z: 1\n")


def test_what_is_wrong_in_itself_is_found_by_the_parser() -> None:
    assert is_yaml(models(3))
    for text in (b"a: 1\n b: 1\n", b"a: [b]]\n", b"a: \xff\n", b"a: 1\n- b\n", b'a: "\\q"\n'):
        assert not is_yaml(text)


TOKENS = st.sampled_from(
    [
        *("a", "b:", "c: ", ": ", ":", " ", "  ", "- ", "\n", "\n", "\n  ", "\n- ", "#", " #", '"'),
        *("'", "''", '\\"', "[", "]", "{", "}", ", ", ",", "1", "0x", "0b_", "-", "2024-02-31"),
        "=",
        *("<<", "~", ".", "?", "&a", "*a", "!", "|", ">", "%", "@", "é", "\t", "/", "null"),
        *("$", "`"),
        *("x y", "---", '"a"', "'b'", "[a, b]", '{"a": [b]}', "1_", "99:99", "\nkey: ", "\x7f"),
        "\\",
    ]
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(TOKENS, max_size=14).map("".join))
def test_both_parsers_read_a_plain_text_alike_and_litellm_can_load_it(text: str) -> None:
    if not is_plain(text.encode()) or not is_yaml(text.encode()):
        return
    try:
        Outline(text.encode(), []).reading()
    except YamlRefusal as refusal:
        raise AssertionError(text) from refusal


@pytest.mark.parametrize("opening", ["a: [", "a: {", "a: [[", "a: [{[", "- - - ", "a: ", '  "k": '])
@pytest.mark.parametrize("unit", ["ab, ", "a b ", "'a''b'", '"a""b"', "[a],", "{a: [b]}, ", "a:b "])
def test_a_long_line_that_is_not_plain_is_found_to_be_so_before_the_end_of_the_universe(
    opening: str, unit: str
) -> None:
    """As it would not be if there were many ways to match a part of it."""
    assert not is_plain((opening + unit * (3_900 // len(unit)) + "\t&\n").encode())
