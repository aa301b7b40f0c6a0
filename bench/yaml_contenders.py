"""Who edits config.yaml in the benchmark, and how one of them is run on some texts.

Every run is a process of its own; bench/peers/edit.py says what is measured in it.
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import installation
from bench.measure import Sample

SIZES = (16, 1_000, 10_000, 100_000)
_HERE = Path(__file__).parent
_PROGRAM = "the whole program's time"


@dataclass(frozen=True)
class Contender:
    """One that sets both flags; with `edits` false, one that only shows what a part of it costs.

    `command` is to be given a folder of texts, and what of `arguments` there is. `targets` says,
    by the number of models, what the ratio to it shall be.
    """

    label: str
    command: tuple[str, ...]
    targets: dict[int, str]
    arguments: tuple[str, ...] = ()
    remark: str = ""
    edits: bool = True
    sizes: tuple[int, ...] = SIZES


@dataclass(frozen=True)
class Outcome:
    """The text as edited, with its measurement; or why there is none.

    `finished` is false when the time was over.
    """

    edited: bytes | None
    sample: Sample | None
    refusal: str = ""
    finished: bool = True


def ours() -> Contender:
    """What `apply` calls."""
    return _in_python("ours", "wired")


def floors() -> list[Contender]:
    """What parts of the edit cost: they edit nothing, or not all that `apply` does."""
    two_targets = {10_000: "0.33x or more", 100_000: "0.25x or more, ours below 100 MiB"}
    bare_pass = _in_python("bare libyaml event pass", "bare_pass", "it edits nothing")
    editor = _in_python("ours, yaml_edit.edit alone", "edit_alone", "no questions asked")
    reading = _in_python("PyYAML's safe_load, twice", "read_twice", "it edits nothing")
    return [
        replace(bare_pass, targets=two_targets, edits=False),
        replace(editor, targets={}, edits=False),
        replace(reading, targets={}, edits=False, sizes=(16, 1_000)),
    ]


def peers() -> list[Contender]:
    """Those from Debian, PyPI and npm, the ones that the targets name first."""
    ruamel = _in_python("ruamel.yaml", "ruamel_yaml")
    no_go_yq = "mikefarah's yq is no package of Debian, PyPI or npm"
    return [
        replace(ruamel, targets=ruamel.targets | {10_000: "40x or more"}),
        _in_node("yaml (npm)", "yaml"),
        _in_python("yq -Y (Debian)", "debians_yq", f"{_PROGRAM}; {no_go_yq}"),
        _in_python("sed and awk, as specified", "specification", f"{_PROGRAM}; no parser"),
        _in_python("yamltrip (PyPI)", "yamltrip"),
        _in_python("yaml-edit (PyPI)", "yaml_edit", "Rust; proves nothing"),
        _in_python("lossless-yaml (PyPI)", "lossless_yaml"),
        _in_python("pyrs-yaml (PyPI)", "pyrs_yaml", "Rust; proves nothing"),
        _in_python("yamluna (PyPI)", "yamluna"),
        _in_python("pythonizeyaml (PyPI)", "pythonizeyaml"),
        _in_python("yamlsmith (PyPI)", "yamlsmith"),
        _in_python("yamlium (PyPI)", "yamlium"),
        _in_node("yaml-diff-patch (npm)", "yaml-diff-patch"),
        _in_node("yawn-yaml (npm)", "yawn-yaml"),
    ]


def run(contender: Contender, texts: Sequence[bytes], seconds: float = 300) -> list[Outcome]:
    """Let one process edit the texts, one after the other.

    A text on which the process dies has that as its refusal; one that it is at work on when
    `seconds` are over is not finished. Another process does the rest.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number:04}.yaml") for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text)
        left = paths
        while left:
            status = _run_process([*contender.command, folder, *contender.arguments], seconds)
            left = [path for path in left if not _is_done(path)]
            if left and status is None:
                left[0].with_suffix(".unfinished").write_text(f"no end in {seconds:.0f} seconds")
            elif left:
                left[0].with_suffix(".refused").write_text(f"exit status {status}")
            for path in paths:
                if _is_done(path):
                    path.unlink(missing_ok=True)
        return [_outcome(path) for path in paths]


def _run_process(command: Sequence[str], seconds: float) -> int | None:
    """The exit status; None when the process was at work for longer than `seconds`."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=_HERE.parent, stdout=quiet, stderr=quiet)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def _is_done(path: Path) -> bool:
    return any(path.with_suffix(end).exists() for end in (".out", ".refused", ".unfinished"))


def _outcome(path: Path) -> Outcome:
    refusal, unfinished = path.with_suffix(".refused"), path.with_suffix(".unfinished")
    if refusal.exists():
        return Outcome(None, None, refusal.read_text())
    if unfinished.exists():
        return Outcome(None, None, unfinished.read_text(), finished=False)
    edited = path.with_suffix(".out")
    sample = Sample(**json.loads(path.with_suffix(".json").read_text()))
    return Outcome(edited.read_bytes(), sample)


def _in_python(label: str, function: str, remark: str = "") -> Contender:
    command = (str(installation.python()), "-m", "bench.peers.edit", function)
    return Contender(label, command, dict.fromkeys(SIZES, "above 1x"), remark=remark)


def _in_node(label: str, peer: str) -> Contender:
    command = ("node", str(_HERE / "peers" / "edit.mjs"), peer)
    modules = str(installation.node_modules())
    return Contender(label, command, dict.fromkeys(SIZES, "above 1x"), (modules,))
