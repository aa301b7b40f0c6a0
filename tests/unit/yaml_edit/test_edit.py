"""The YAML editor changes the asked keys, nothing else, and can put every byte back."""

import random
import tracemalloc
from collections.abc import Sequence

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hx_gateway_db.yaml_edit import outline as yaml_events
from hx_gateway_db.yaml_edit import proof, reading, splice
from hx_gateway_db.yaml_edit.edit import (
    Operation,
    Path,
    RemoveKey,
    SetKey,
    YamlRefusal,
    edit,
    lookup,
    restore,
)
from tests.yaml_corpus import (
    CACHE,
    CURED,
    ERRORS,
    EXAMPLES,
    REFUSALS,
    SPEND,
    SPEND_ON,
    TYPE,
    expected,
    models,
    reads,
    same,
)

NAMESPACE = ("litellm_settings", "cache_params", "namespace")
LIMIT = ("litellm_settings", "default_key_generate_params", "rpm_limit")
ALL = (
    SPEND_ON,
    SetKey(ERRORS, False),
    SetKey(CACHE, True),
    SetKey(TYPE, "redis"),
    SetKey(NAMESPACE, "litellm"),
    SetKey(LIMIT, 60),
)
PATHS = tuple(operation.path for operation in ALL)
CACHE_SECTION = """\
litellm_settings:
  cache: true
  cache_params:
    type: redis
    namespace: litellm
  default_key_generate_params:
    rpm_limit: 60
"""


def check_edit(text: bytes, operations: Sequence[Operation]) -> bytes:
    """Edit `text`; see that it reads as asked, that a second edit is idle and undo exact."""
    edited = edit(text, operations)
    assert same(reads(edited), expected(reads(text), operations))
    assert edit(edited, operations) == edited
    assert restore(edited, text, [operation.path for operation in operations]) == text
    return edited


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_edit_gives_exactly_this_text(name: str) -> None:
    before, after = EXAMPLES[name]
    assert check_edit(before.encode(), [SPEND_ON]).decode() == after


@pytest.mark.parametrize(
    "text",
    [
        "general_settings:\n  disable_spend_logs: false\n",
        "general_settings: {disable_spend_logs: off}\n",
        "general_settings:\n  disable_spend_logs: !!bool 'no'",
        "x: &x false\ngeneral_settings:\n  disable_spend_logs: *x\n",
        "x: &x {disable_spend_logs: false}\ngeneral_settings:\n  <<: *x\n",
    ],
)
def test_a_key_that_reads_as_wanted_is_left_as_it_is_written(text: str) -> None:
    assert edit(text.encode(), [SPEND_ON]) == text.encode()


def test_all_keys_together_leave_the_gateways_configuration_as_it_was_around_them() -> None:
    before = (
        "# gateway\ngeneral_settings:\n  master_key: sk-1  # secret\n\nmodel_list:\n"
        "- model_name: a\n  litellm_params: {model: ollama/a, api_base: 'http://x'}\n"
    )
    after = before.replace(
        "  master_key",
        "  disable_spend_logs: false\n  disable_error_logs: false\n  master_key",
    )
    assert check_edit(before.encode(), ALL).decode() == after + CACHE_SECTION


def test_an_existing_cache_params_keeps_its_other_keys() -> None:
    before = b"litellm_settings:\n  cache_params:\n    type: local # c\n    ttl: 6\n"
    after = before.replace(b"    type: local", b"    namespace: litellm\n    type: redis")
    assert check_edit(before, [SetKey(TYPE, "redis"), SetKey(NAMESPACE, "litellm")]) == after


@pytest.mark.parametrize("value", ["redis", "true", "1", "", "a: b", "é\n\U0001f600", "x # y", "~"])
def test_a_text_reads_as_that_text(value: str) -> None:
    assert check_edit(b"a: 1\n", [SetKey(("b", value or "c"), value)])
    assert check_edit(b'{"a": 1}', [SetKey(("b", value or "c"), value)])


@pytest.mark.parametrize("text", REFUSALS)
def test_a_text_that_cannot_be_edited_safely_is_refused_with_its_line(text: str) -> None:
    reason, line = REFUSALS[text]
    with pytest.raises(YamlRefusal) as refusal:
        edit(text.encode(), [SPEND_ON])
    assert any(part in refusal.value.reason for part in reason.split("|"))
    if line is not None:
        assert refusal.value.line == line
        assert str(refusal.value).startswith(f"line {line}: ")
    assert str(refusal.value).count("\n") == 0
    assert str(refusal.value).endswith(f": {refusal.value.cure}.")


@pytest.mark.parametrize("text", CURED)
def test_the_cure_of_a_refusal_cures(text: str) -> None:
    assert text in REFUSALS
    assert check_edit(CURED[text].encode(), [SPEND_ON])


@pytest.mark.parametrize("text", [b"a: \xe9\n", b"\xff\xfea\0", b"\0", b"a: \xed\xa0\x80\n"])
def test_bytes_that_are_not_utf8_text_are_refused(text: bytes) -> None:
    with pytest.raises(YamlRefusal):
        edit(text, [SPEND_ON])


def test_a_section_that_comes_from_a_merge_key_is_not_hidden_by_a_new_one() -> None:
    text = b"x: &x {cache_params: {ttl: 1}}\nlitellm_settings:\n  <<: *x\n"
    with pytest.raises(YamlRefusal, match=r"line 3: .*merge key"):
        edit(text, [SetKey(TYPE, "redis")])


def test_a_key_behind_which_a_merge_key_may_stand_is_not_removed() -> None:
    text = b"x: &x {cache: true}\nlitellm_settings:\n  <<: *x\n  cache: false\n"
    with pytest.raises(YamlRefusal, match=r"line 3: "):
        edit(text, [RemoveKey(CACHE)])


REMOVALS: dict[str, tuple[str, str]] = {
    "a line goes with its comment": (
        "litellm_settings:\n  a: 1\n  cache: true # c\n  # d\n  b: 2\n",
        "litellm_settings:\n  a: 1\n  # d\n  b: 2\n",
    ),
    "a collection goes, the comments after it stay": (
        "litellm_settings:\n  cache:\n    - a # x\n    # y\n  # z\n  b: 2\n",
        "litellm_settings:\n    # y\n  # z\n  b: 2\n",
    ),
    "a block scalar goes": (
        "litellm_settings:\n  cache: |\n    # no comment\n\n  b: 2\n",
        "litellm_settings:\n\n  b: 2\n",
    ),
    "the only key leaves an empty mapping": (
        "litellm_settings:\n  cache: true\nb: 2\n",
        "litellm_settings: {}\nb: 2\n",
    ),
    "the first in flow style": ("litellm_settings: {cache: 1, b: 2}", "litellm_settings: {b: 2}"),
    "the last in flow style": ("litellm_settings: {b: 2, cache: 1}", "litellm_settings: {b: 2}"),
    "the only in flow style": ("litellm_settings: {cache: 1,}", "litellm_settings: {}"),
    "an explicit key": (
        "litellm_settings:\n  ? cache\n  : 1\n  b: 2\n",
        "litellm_settings:\n  b: 2\n",
    ),
    "nothing to remove": ("litellm_settings: null\n", "litellm_settings: null\n"),
}


@pytest.mark.parametrize("name", REMOVALS)
def test_a_removal_gives_exactly_this_text(name: str) -> None:
    before, after = REMOVALS[name]
    assert check_edit(before.encode(), [RemoveKey(CACHE)]).decode() == after


def test_removing_a_section_keeps_the_others() -> None:
    text = b"a: 1\nlitellm_settings:\n  cache: true\nb: 2\n"
    assert check_edit(text, [RemoveKey(("litellm_settings",))]) == b"a: 1\nb: 2\n"


def test_operations_that_contradict_each_other_are_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="contradict"):
        edit(b"", [SetKey(("a",), 1), SetKey(("a", "b"), 1)])


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("a: {b: 'false'}", ("a", "b"), "false"),
        ("a: {b: no}", ("a", "b"), False),
        ("a: {b: 0x10}", ("a", "b"), 16),
        ("a: {b: [1, {c: ~}]}", ("a", "b"), [1, {"c": None}]),
        ("a: {b: ~}", ("a", "b"), None),
        ("a: {b: 1}", ("a", "c"), None),
        ("a: {b: 1}", ("a", "b", "c"), None),
        ("a: text", ("a", "b"), None),
        ("", ("a", "b"), None),
        ("x: &x {b: 1}\na: *x", ("a", "b"), 1),
        ("x: &x {b: 1}\na: {<<: *x}", ("a", "b"), 1),
        ("x: &x {b: 1}\na: {<<: *x, b: 2}", ("a", "b"), 2),
    ],
)
def test_a_lookup_reads_what_litellm_reads(text: str, path: Path, value: object) -> None:
    assert same(lookup(text.encode(), path), value)


# --- Undo after somebody else has edited the file too.


FOREIGN_BASE = "# head\ngeneral_settings:\n  master_key: x\n\nmodel_list:\n  - a: 1\n# tail"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# head", "# other head"),
        ("master_key: x", "master_key: y"),
        ("master_key: x", "master_key: y\n  more: 1"),
        ("- a: 1", "- a: 1\n  - b: 2"),
        ("# head\n", ""),
        ("# tail", "# tail of a sort"),
    ],
)
def test_undo_keeps_what_others_have_edited_since(old: str, new: str) -> None:
    edited = edit(FOREIGN_BASE.encode(), ALL).decode()
    restored = restore(edited.replace(old, new).encode(), FOREIGN_BASE.encode(), PATHS)
    assert restored.decode() == FOREIGN_BASE.replace(old, new)


def test_undo_keeps_edits_above_and_below_our_keys_at_once() -> None:
    edited = edit(FOREIGN_BASE.encode(), ALL)
    foreign = edited.replace(b"# head", b"# HEAD").replace(b"a: 1", b"a: 2").replace(b"il", b"IL")
    assert restore(foreign, FOREIGN_BASE.encode(), PATHS).decode() == FOREIGN_BASE.replace(
        "# head", "# HEAD"
    ).replace("a: 1", "a: 2").replace("il", "IL")


def test_undo_keeps_a_section_of_ours_into_which_others_have_written() -> None:
    edited = edit(b"a: 1\n", ALL)
    foreign = edited.replace(b"  cache: true\n", b"  cache: true # good\n  drop_params: true\n")
    restored = restore(foreign, b"a: 1\n", PATHS)
    assert restored == b"a: 1\nlitellm_settings:\n  drop_params: true\n"


def test_undo_of_some_keys_leaves_our_other_keys() -> None:
    edited = edit(FOREIGN_BASE.encode(), ALL)
    cache = [path for path in PATHS if path[0] == "litellm_settings"]
    flags = [operation for operation in ALL if operation.path not in cache]
    assert restore(edited, FOREIGN_BASE.encode(), cache) == edit(FOREIGN_BASE.encode(), flags)


def test_undo_puts_the_original_wording_back() -> None:
    original = b"general_settings:\n  disable_spend_logs: 'false'   # c\n  a: 1\n"
    edited = edit(original, [SPEND_ON])
    changed = edited.replace(b"a: 1", b"a: 2").replace(b"false ", b"True ")
    assert restore(changed, original, [SPEND]) == original.replace(b"a: 1", b"a: 2")


def test_undo_of_a_removal_puts_the_line_back_in_its_place() -> None:
    original = b"litellm_settings:\n  a: 1\n  cache: on # c\n  b: 2\n"
    removed = edit(original, [RemoveKey(CACHE)])
    assert restore(removed, original, [CACHE]) == original
    changed = removed.replace(b"b: 2", b"b: 3")
    assert restore(changed, original, [CACHE]) == original.replace(b"b: 2", b"b: 3")


# --- Properties, over documents generated around the sections.


NAMES = st.sampled_from(
    ["a", "b", "zz", "<", "disable_spend_logs", "general_settings", "cache", "type", "é", "- x"]
)
SCALARS = st.sampled_from(
    ["1", "true", "'false'", '"x # y"', "~", "", ".nan", "-.inf", "1e3", "2024-01-31", "a b",
     "http://x:1/?q=a#b", "'it''s: {x}'", '"\\u00e9\\n"', "\U0001f600", "0o7", "010", "1_0", "a,b",
     "yes", "[]", "{}", "{a: 1, 'b': [x, {c: d}]}", "[1, 2]", "!!str 1", "&N v", "|-\n  X"]
)  # fmt: skip
COMMENTS = st.sampled_from(["", "", "", " # c", "  # general_settings:", " # it's\tx"])
BREAKS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\x85"])


INNER_NAMES = st.one_of(NAMES, st.sampled_from(["disable_spend_logs", "cache_params", "cache"]))


@st.composite
def block_mappings(draw: st.DrawFn, names: st.SearchStrategy[list[str]], depth: int) -> list[str]:
    """The lines of a block mapping at column 0."""
    lines: list[str] = []
    step = draw(st.sampled_from(["  ", "  ", "    ", " "]))
    for name in draw(names):
        if draw(st.integers(0, 5)) == 0:
            lines.append(draw(st.sampled_from(["", "# note", f"# {name}: 1", "   # deep", " "])))
        key = draw(st.sampled_from([name, name, f'"{name}"', f"'{name}'"]))
        comment = draw(COMMENTS)
        kind = draw(st.integers(0, 9))
        inner_names = st.lists(INNER_NAMES, min_size=1, max_size=4, unique=True)
        if kind <= 4 and depth:
            inner = draw(block_mappings(inner_names, depth - 1))
            lines += [
                f"{key}:{comment}",
                *(step + line if line.strip() else line for line in inner),
            ]
        elif kind == 5:
            lines += [f"{key}:{comment}", "- x: 1", "  y: [a,", "   b]", f"- {name}"]
        elif kind == 6:
            chomp = draw(st.sampled_from(["|", ">-", "|+", ">", "|2"]))
            lines += [
                f"{key}: {chomp}",
                f"  {name}: true",
                "",
                "    # x",
                *draw(st.sampled_from([[], [""]])),
            ]
        elif kind == 7:
            pairs = ", ".join(f"{each}: {draw(FLOW_SCALARS)}" for each in draw(inner_names))
            lines.append(f"{key}: {{{pairs}}}{comment}")
        elif kind == 8:
            lines += [f"? {key}", f": {draw(st.sampled_from(['', 'x', 'a: 1']))}{comment}"]
        else:
            value = draw(SCALARS).replace("N", f"n{len(lines)}{depth}{abs(hash(name)) % 997}")
            lines.append(f"{key}: {value}{comment if 'X' not in value else ''}")
    return lines


FLOW_SCALARS = st.sampled_from(["1", "true", "'false'", '"x"', "", "~", "[a, b]", "{c: d}", "x y"])


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Texts around the sections; most can be edited, some are broken in one of many ways."""
    names = st.lists(
        st.one_of(NAMES, st.sampled_from(["general_settings", "litellm_settings"])),
        max_size=5, unique=True,
    )  # fmt: skip
    if draw(st.integers(0, 9)) == 0:
        pairs = ", ".join(f"{name}: {draw(FLOW_SCALARS)}" for name in draw(names))
        lines = [f"{{{pairs}}}"]
    else:
        lines = draw(block_mappings(names, 2))
    lines = (
        draw(st.sampled_from([[], [], [], ["---"], ["# head", ""], ["%YAML 1.1", "---"]])) + lines
    )
    lines += draw(st.sampled_from([[], [], [], ["..."], ["# tail"], ["", ""]]))
    text = draw(BREAKS).join(lines) + draw(st.sampled_from(["", "\n"]))
    return draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"])) + text.encode()


OPERATIONS = st.lists(
    st.one_of(
        st.sampled_from(ALL),
        st.builds(SetKey, st.sampled_from(PATHS), st.sampled_from([True, False, 1, "x", "é: 1"])),
        st.builds(RemoveKey, st.sampled_from([*PATHS, TYPE[:2], LIMIT[:2]])),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda operation: operation.path,
).filter(
    lambda operations: (
        not any(
            one.path == other.path[: len(one.path)]
            for one in operations
            for other in operations
            if one is not other
        )
    )
)
PROPERTY = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@PROPERTY
@given(documents(), OPERATIONS)
def test_an_edit_reads_as_the_original_plus_the_asked_keys_and_undo_is_exact(
    text: bytes, operations: list[Operation]
) -> None:
    try:
        edit(text, operations)
    except YamlRefusal:
        assume(False)
    check_edit(text, operations)


@PROPERTY
@given(documents(), OPERATIONS)
def test_undo_is_exact_under_a_line_that_somebody_has_put_on_top(
    text: bytes, operations: list[Operation]
) -> None:
    assume(not text.startswith(b"\xef\xbb\xbf"))
    try:
        edited = edit(text, operations)
    except YamlRefusal:
        assume(False)
    top = b"# by hand\n"
    assert restore(top + edited, text, [each.path for each in operations]) == top + text


@PROPERTY
@given(documents(), st.data())
def test_broken_texts_are_refused_or_edited_right_and_never_crash(
    text: bytes, data: st.DataObject
) -> None:
    characters = list(text.decode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(characters)))
        with_what = data.draw(st.sampled_from([*" \t\n\r:-?,[]{}&*#|>'\"%!<~\x85\ufeff\0é", ""]))
        characters[place : place + data.draw(st.integers(0, 2))] = with_what
    broken = "".join(characters).encode()
    try:
        edited = edit(broken, ALL)
    except YamlRefusal:
        with pytest.raises(YamlRefusal):
            edit(broken, ALL)
        return
    assert same(reads(edited), expected(reads(broken), ALL))
    assert restore(edited, broken, PATHS) == broken


@PROPERTY
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_edited_and_never_crash(junk: bytes) -> None:
    try:
        edited = edit(junk, ALL)
    except YamlRefusal:
        return
    assert restore(edited, junk, PATHS) == junk


# --- Size and hostility.


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The texts that PyYAML is made to read, as the parser's name and the length."""
    texts: list[tuple[str, int]] = []
    for name in ("CSafeLoader", "SafeLoader"):
        loader = getattr(yaml, name)

        class Noted(loader):  # type: ignore[misc, valid-type]
            label = name

            def __init__(self, stream: bytes) -> None:
                texts.extend([(self.label, len(stream))] if stream else [])
                super().__init__(stream)

        monkeypatch.setattr(yaml, name, Noted)
    return texts


def test_of_a_large_file_with_plain_lines_only_the_sections_are_read_and_proven(
    read: list[tuple[str, int]],
) -> None:
    text = models(10_000)
    section = text[text.index(b"general_settings") :]
    edited = edit(text, [SPEND_ON, SetKey(CACHE, True)])
    assert read == [
        ("CSafeLoader", len(text)),
        ("CSafeLoader", len(section)),
        ("CSafeLoader", len(section) + len(edited) - len(text)),
    ]
    assert restore(edited, text, [SPEND, CACHE]) == text


def test_another_large_file_costs_two_passes_of_libyaml_and_none_of_the_pure_parser(
    read: list[tuple[str, int]],
) -> None:
    text = b"a: &a 1\nb: *a\n" + models(10_000)
    edited = edit(text, [SPEND_ON, SetKey(CACHE, True)])
    assert read == [("CSafeLoader", len(text)), ("CSafeLoader", len(edited))]


@pytest.mark.parametrize("above", [b"", b"a: &a 1\n"])
def test_an_edit_takes_little_memory(above: bytes) -> None:
    text = above + models(1_000)
    tracemalloc.start()
    try:
        edit(text, ALL)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suspect", [b"x:\t1\n", b"x: {y: a?b}\n", b"x: !!int 1\n", b"x: |#\n"])
def test_a_large_file_about_which_the_parsers_may_disagree_is_refused(suspect: bytes) -> None:
    text = models(6_000)
    assert len(text) > reading.LARGEST_PURE_TEXT
    with pytest.raises(YamlRefusal, match="too large") as refusal:
        edit(text + suspect, [SPEND_ON])
    assert refusal.value.line == text.count(b"\n") + 1


def test_a_middling_file_about_which_the_parsers_disagree_is_read_by_the_one_that_counts() -> None:
    text = models(600)
    assert yaml_events.ALWAYS_READ_PURELY < len(text) < reading.LARGEST_PURE_TEXT
    with pytest.raises(YamlRefusal, match="cannot start any token"):
        edit(text + b"x:\t1\n", [SPEND_ON])
    assert lookup(edit(text + b"x: !!int 1\n", [SPEND_ON]), SPEND) is False


BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: 1}}\n" for n in range(1, 9)
)
HOSTILE = {
    "an alias bomb": BOMB.encode(),
    "10,000 nested flow sequences": b"a: " + b"[" * 10_000 + b"]" * 10_000,
    "10,000 nested block sequences": b"a:\n  " + b"- " * 10_000 + b"x",
    "10,000 nested block mappings": b"".join(b" " * n + b"a:\n" for n in range(2_000)),
    "100,000 open braces": b"{" * 100_000,
    "a gigabyte, nearly": bytes(yaml_events.LARGEST_TEXT + 1),
    "random bytes": random.Random(1).randbytes(1 << 20),
    "random text": bytes(32 + byte % 95 for byte in random.Random(1).randbytes(1 << 20)),
    "a quote without an end": b'"' + b"a\n" * 500_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(YamlRefusal):
            edit(HOSTILE[name], [SPEND_ON])
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        b"general_settings:\n" + b"  # note\n" * 100_000 + b"  a: 1\n",
        b"general_settings:\n" + b"\n" * 100_000 + b"a: 1\n",
        b"litellm_settings:\n  cache:\n    - 1\n" + b"    # note\n" * 100_000 + b"  b: 1\n",
    ],
    ids=["comments before a key", "blank lines", "comments in a removed block"],
)
def test_long_runs_of_comments_and_blank_lines_are_kept(text: bytes) -> None:
    # Work that grew with the square of their length would take hours here.
    edited = edit(text, [SPEND_ON, RemoveKey(CACHE)])
    assert lookup(edited, SPEND) is False
    assert restore(edited, text, [SPEND, CACHE]) == text


# --- The proof itself: an edit that went wrong must not pass.


def test_a_splice_that_also_changes_something_else_is_never_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def clumsy(outline: yaml_events.Outline, *_: object) -> splice.Change:
        size = len(outline.text)
        harm = [b"disable_spend_logs: false\n  a: 2\n", b"disable_spend_logs: false\n  a: '1'\n"]
        harm += [b"disable_spend_logs: true\n  a: 1\n", b"a: 1\nb: {disable_spend_logs: false}\n"]
        return tuple((splice.Splice(20, size, each),) for each in harm)

    monkeypatch.setattr(proof, "insert_keys", clumsy)
    with pytest.raises(YamlRefusal, match="without changing something else"):
        edit(b"general_settings:\n  a: 1\n", [SPEND_ON])
