"""Texts that the YAML editor is tested on and measured on, and how a reading is judged."""

import io
import math
from collections.abc import Sequence
from typing import Any

import yaml

from hx_gateway_db.yaml_edit.edit import Operation, RemoveKey, SetKey

SPEND = ("general_settings", "disable_spend_logs")
ERRORS = ("general_settings", "disable_error_logs")
CACHE = ("litellm_settings", "cache")
TYPE = ("litellm_settings", "cache_params", "type")
SPEND_ON = SetKey(SPEND, False)

EXAMPLES: dict[str, tuple[str, str]] = {
    "a new key stands above the others and the comments that belong to them": (
        "general_settings: # main\n  # the key\n  master_key: x\n\nb: 1\n",
        "general_settings: # main\n  disable_spend_logs: false\n"
        "  # the key\n  master_key: x\n\nb: 1\n",
    ),
    "a new key is indented as its siblings are": (
        "general_settings:\n     a: 1\n",
        "general_settings:\n     disable_spend_logs: false\n     a: 1\n",
    ),
    "a value is replaced and its comment stays": (
        "general_settings:\n  disable_spend_logs:   true   # why\n  a: 1\n",
        "general_settings:\n  disable_spend_logs:   false   # why\n  a: 1\n",
    ),
    "a quoted 'false' is text and becomes a boolean": (
        'general_settings:\n  "disable_spend_logs": "false"\n',
        'general_settings:\n  "disable_spend_logs": false\n',
    ),
    "a missing section comes last": (
        "a: 1\n# end\n",
        "a: 1\n# end\ngeneral_settings:\n  disable_spend_logs: false\n",
    ),
    "without a final newline none is added": (
        "a: 1",
        "a: 1\ngeneral_settings:\n  disable_spend_logs: false",
    ),
    "an empty file gets the section": ("", "general_settings:\n  disable_spend_logs: false\n"),
    "a file of comments gets the section": (
        "# none yet\n",
        "# none yet\ngeneral_settings:\n  disable_spend_logs: false\n",
    ),
    "an empty document gets the section": (
        "---\n",
        "---\ngeneral_settings:\n  disable_spend_logs: false\n",
    ),
    "before the mark that ends the document": (
        "--- # start\na: 1\n... # end\n",
        "--- # start\na: 1\ngeneral_settings:\n  disable_spend_logs: false\n... # end\n",
    ),
    "a final block scalar without a newline keeps its value": (
        "b: 1\na: |\n  x",
        "general_settings:\n  disable_spend_logs: false\nb: 1\na: |\n  x",
    ),
    "an empty section is filled": (
        "general_settings:   # c\na: 1\n",
        "general_settings:   # c\n  disable_spend_logs: false\na: 1\n",
    ),
    "a section of comments is filled at their indentation": (
        "general_settings:\n\n    # master_key: x\na: 1\n",
        "general_settings:\n    disable_spend_logs: false\n\n    # master_key: x\na: 1\n",
    ),
    "an empty section at the very end is filled": (
        "a: 1\ngeneral_settings:",
        "a: 1\ngeneral_settings:\n  disable_spend_logs: false",
    ),
    "a null section is filled in its line": (
        "general_settings: ~ # c\n",
        "general_settings: {disable_spend_logs: false} # c\n",
    ),
    "an empty flow section is filled": (
        "general_settings: {}\n",
        "general_settings: {disable_spend_logs: false}\n",
    ),
    "a flow section keeps its line": (
        "general_settings: { a: 1 }  # c\n",
        "general_settings: { disable_spend_logs: false, a: 1 }  # c\n",
    ),
    "a flow section over several lines gets a line": (
        "general_settings: { # c\n    a: 1, # d\n    b: 2,\n}\n",
        "general_settings: { # c\n    disable_spend_logs: false,\n    a: 1, # d\n    b: 2,\n}\n",
    ),
    "a value in flow style is replaced": (
        'general_settings: {a: 1, disable_spend_logs: "false", b: 2}\n',
        "general_settings: {a: 1, disable_spend_logs: false, b: 2}\n",
    ),
    "a key without a value in flow style gets one": (
        "general_settings: {disable_spend_logs, a: 1}\n",
        "general_settings: {disable_spend_logs: false, a: 1}\n",
    ),
    "a key with an empty value in flow style gets one": (
        "general_settings: {disable_spend_logs: , a: 1}\n",
        "general_settings: {disable_spend_logs: false , a: 1}\n",
    ),
    "a flow file stays one": (
        "{a: 1}\n",
        "{general_settings: {disable_spend_logs: false}, a: 1}\n",
    ),
    "JSON stays JSON": (
        '{\n  "general_settings": {\n    "a": 1\n  }\n}\n',
        '{\n  "general_settings": {\n    "disable_spend_logs": false,\n    "a": 1\n  }\n}\n',
    ),
    "an empty value is filled": (
        "general_settings:\n  disable_spend_logs: # none\n  a: 1\n",
        "general_settings:\n  disable_spend_logs: false # none\n  a: 1\n",
    ),
    "a quoted section is the section": (
        "'general_settings':\n  a: 1\n",
        "'general_settings':\n  disable_spend_logs: false\n  a: 1\n",
    ),
    "an explicit key is the section": (
        "? general_settings\n: a: 1\nb: 2\n",
        "? general_settings\n: disable_spend_logs: false\n  a: 1\nb: 2\n",
    ),
    "an explicit key with an empty value is filled": (
        "? general_settings\n:\nb: 2\n",
        "? general_settings\n:\n    disable_spend_logs: false\nb: 2\n",
    ),
    "an explicit key without a value is filled": (
        "? general_settings\nb: 2\n",
        "? general_settings\n: {disable_spend_logs: false}\nb: 2\n",
    ),
    "an explicit key among the section's": (
        "general_settings:\n  ? a\n  : 1\n",
        "general_settings:\n  disable_spend_logs: false\n  ? a\n  : 1\n",
    ),
    "an indented file": (
        "  general_settings:\n     a: 1\n",
        "  general_settings:\n     disable_spend_logs: false\n     a: 1\n",
    ),
    "a missing section is indented as the file is": (
        "  x:\n     a: 1\n",
        "  x:\n     a: 1\n  general_settings:\n     disable_spend_logs: false\n",
    ),
    "CRLF": (
        "general_settings:\r\n  a: 1\r\n",
        "general_settings:\r\n  disable_spend_logs: false\r\n  a: 1\r\n",
    ),
    "CRLF without a final one": (
        "a: 1\r\nb: 2",
        "a: 1\r\nb: 2\r\ngeneral_settings:\r\n  disable_spend_logs: false",
    ),
    "a lone CR": (
        "general_settings:\r  a: 1\r",
        "general_settings:\r  disable_spend_logs: false\r  a: 1\r",
    ),
    "a byte order mark stays first": (
        "\ufeffgeneral_settings:\n  disable_spend_logs: true\n",
        "\ufeffgeneral_settings:\n  disable_spend_logs: false\n",
    ),
    "a byte order mark before a final block scalar": (
        "\ufeffa: |\n  x",
        "\ufeffgeneral_settings:\n  disable_spend_logs: false\na: |\n  x",
    ),
    "next line and line separator break lines": (
        "a: 1\x85general_settings:\u2028  b: 1\x85",
        "a: 1\x85general_settings:\u2028  disable_spend_logs: false\n  b: 1\x85",
    ),
    "characters of two, three and four bytes": (
        "é: \u20ac\n'\U0001f600': x\ngeneral_settings: {ü: 1, disable_spend_logs: on, z: \u20ac}\n",
        "é: \u20ac\n'\U0001f600': x\n"
        "general_settings: {ü: 1, disable_spend_logs: false, z: \u20ac}\n",
    ),
    "look-alikes in block scalars, comments, quotes and other sections stay": (
        "a: |\n  general_settings:\n    disable_spend_logs: true\n"
        "# general_settings:\nb: 'general_settings:\n  disable_spend_logs: true'\n"
        "c:\n  general_settings:\n    disable_spend_logs: true\n  disable_spend_logs: true\n"
        "general_settings:\n  d:\n    disable_spend_logs: true\n",
        "a: |\n  general_settings:\n    disable_spend_logs: true\n"
        "# general_settings:\nb: 'general_settings:\n  disable_spend_logs: true'\n"
        "c:\n  general_settings:\n    disable_spend_logs: true\n  disable_spend_logs: true\n"
        "general_settings:\n  disable_spend_logs: false\n  d:\n    disable_spend_logs: true\n",
    ),
    "a block scalar value is replaced": (
        "general_settings:\n  disable_spend_logs: | # c\n    false\n\n  # d\n  a: 1\n",
        "general_settings:\n  disable_spend_logs: false\n\n  # d\n  a: 1\n",
    ),
    "a value over several lines is replaced": (
        'general_settings:\n  disable_spend_logs: "fal\\\n    se" # c\n',
        "general_settings:\n  disable_spend_logs: false # c\n",
    ),
    "a tagged value is replaced": (
        "general_settings:\n  disable_spend_logs: !!str false\n",
        "general_settings:\n  disable_spend_logs: false\n",
    ),
    "an alias as the value gives way, its anchor does not": (
        "x: &x true\ngeneral_settings:\n  disable_spend_logs: *x\n",
        "x: &x true\ngeneral_settings:\n  disable_spend_logs: false\n",
    ),
    "an anchored section that nothing refers to": (
        "general_settings: &g # c\n  a: 1\n",
        "general_settings: &g # c\n  disable_spend_logs: false\n  a: 1\n",
    ),
    "an own key wins over a merge key": (
        "x: &x {disable_spend_logs: true, a: 1}\ngeneral_settings:\n  <<: *x\n",
        "x: &x {disable_spend_logs: true, a: 1}\n"
        "general_settings:\n  disable_spend_logs: false\n  <<: *x\n",
    ),
    "a tab in a comment or in quotes is no matter": (
        "# a\tb\ngeneral_settings: {a: 'x\ty'} #\t\n",
        "# a\tb\ngeneral_settings: {disable_spend_logs: false, a: 'x\ty'} #\t\n",
    ),
    "a directive": (
        "%YAML 1.1\n---\ngeneral_settings: {}\n",
        "%YAML 1.1\n---\ngeneral_settings: {disable_spend_logs: false}\n",
    ),
}
"""What is special about a text: the text, and what `SPEND_ON` makes of it."""

REFUSALS: dict[str, tuple[str, int | None]] = {
    "general_settings:\n  a: 1\nb: 2\n'general_settings':\n  a: 2\n": ("first in line 1", 4),
    "general_settings:\n  disable_spend_logs: true\n  disable_spend_logs: true\n": ("line 2", 3),
    "a: &x {b: 1}\ngeneral_settings: *x\n": ("is an alias", 2),
    "general_settings: &x\n  a: 1\nb: *x\n": ("*x is used", 1),
    "general_settings: &x\n  a: 1\nb:\n  <<: *x\n": ("*x is used", 1),
    "general_settings:\n  disable_spend_logs: &x true\nb: *x\n": ("*x is used", 2),
    "a: &x general_settings\n*x : {}\n": ("alias *x stands for a key", 2),
    "general_settings: text\n": ("holds no mapping", 1),
    "general_settings: [a]\n": ("holds no mapping", 1),
    "general_settings: !!map\n": ("'!!map'|mapping|read|read the file", None),
    "general_settings:\n  disable_spend_logs:\n    a: 1\n": ("holds a collection", 2),
    "- a\n": ("the document holds no mapping", 1),
    "text\n": ("the document holds no mapping", 1),
    "a: 1\n---\nb: 1\n": ("second document", 2),
    "a: *x\n": ("no anchor", 1),
    "a: &x 1\nb: &x 2\n": ("defined twice", 2),
    "a: &x [*x]\n": ("within its own anchor", 1),
    "a: 1\nb: !unknown 1\n": ("!unknown", 2),
    "a: 1\nb:\t1\n": ("\\t", 2),
    "a: {b: x?y}\n": ("'?'", 1),
    "a: >#\n": ("", 1),
    "# c\n\ufeffa: 1\n": ("differently", 2),
    "a: 2024-02-31\n": ("day is out of range", None),
    "? [a]\n: 1\n": ("unhashable", 1),
    "a: =\n": ("could not determine", 1),
    "a: [\n": ("", 2),
    "a: \x01\n": ("control characters", 1),
}
"""Texts that are refused: a part of the reason (or one of several), and the line."""

CURED = {
    "general_settings:\n  a: 1\nb: 2\n'general_settings':\n  a: 2\n": "b: 2\n'general_settings':\n"
    "  a: 2\n",
    "a: &x {b: 1}\ngeneral_settings: *x\n": "a: &x {b: 1}\ngeneral_settings: {b: 1}\n",
    "general_settings: &x\n  a: 1\nb: *x\n": "general_settings: &x\n  a: 1\nb: {a: 1}\n",
    "general_settings: &x\n  a: 1\nb:\n  <<: *x\n": "general_settings: &x\n  a: 1\nb:\n  a: 1\n",
    "a: &x general_settings\n*x : {}\n": "a: &x general_settings\ngeneral_settings: {}\n",
    "general_settings: text\n": "a: text\n",
    "general_settings: [a]\n": "general_settings: {a: 1}\n",
    "general_settings:\n  disable_spend_logs:\n    a: 1\n": "general_settings:\n",
    "- a\n": "general_settings:\n  a: 1\n",
    "text\n": "",
    "a: 1\n---\nb: 1\n": "a: 1\nb: 1\n",
    "a: *x\n": "a: 1\n",
    "a: &x 1\nb: &x 2\n": "a: &x 1\nb: &y 2\n",
    "a: &x [*x]\n": "a: &x []\n",
    "a: 1\nb: !unknown 1\n": "a: 1\nb: 1\n",
    "a: 1\nb:\t1\n": "a: 1\nb: 1\n",
    "a: {b: x?y}\n": "a: {b: 'x?y'}\n",
    "a: >#\n": "a: > #\n",
    "# c\n\ufeffa: 1\n": "# c\na: 1\n",
}
"""What becomes of such a text when its cure is followed."""


def reads(text: bytes) -> Any:
    """What LiteLLM reads: it opens the file in text mode and calls the pure `safe_load`."""
    return yaml.safe_load(io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))


def same(first: object, second: object) -> bool:
    """Whether two readings are equal, types and NaN minded (no recursive data here)."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict) and isinstance(second, dict):
        keys = {(type(key), repr(key)) for key in first}
        return keys == {(type(key), repr(key)) for key in second} and all(
            same(value, second.get(key, math.nan)) for key, value in first.items()
        )
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second or (first != first and second != second)


def expected(data: Any, operations: Sequence[Operation]) -> Any:
    """The reading `data` with the operations carried out on it."""
    only_removals = all(isinstance(operation, RemoveKey) for operation in operations)
    if only_removals and not isinstance(data, dict):
        return data
    data = dict(data or {})
    for operation in operations:
        here = data
        *branches, name = operation.path
        for branch in branches:
            inner = here.get(branch)
            if isinstance(operation, RemoveKey) and not isinstance(inner, dict):
                break
            here[branch] = dict(inner or {})
            here = here[branch]
        else:
            if isinstance(operation, SetKey):
                here[name] = operation.value
            else:
                here.pop(name, None)
    return data


def models(count: int) -> bytes:
    """A configuration with `count` models and its sections last."""
    lines = (
        f"  - model_name: model-{number}\n    litellm_params: "
        f'{{model: ollama/model-{number}, api_base: "http://10.0.0.{number % 250}:1/v1?q=1"}}\n'
        for number in range(count)
    )
    return ("# all\tmodels\nmodel_list:\n" + "".join(lines)).encode() + (
        b"general_settings:\n  master_key: x\n  disable_spend_logs: true\n"
    )
