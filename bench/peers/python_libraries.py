"""What sets both flags in config.yaml, in Python: ours, its floors, and the peers from PyPI.

Each function imports what it needs and returns the edit, so that only the edit is measured. Peers
are set as their documentation says is best for keeping a file as it is.
"""

import subprocess
import tempfile
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

Edit = Callable[[bytes], bytes]

SECTION = "general_settings"
FLAGS = ("disable_spend_logs", "disable_error_logs")

# The specification's third step without sudo. Its sed and awk are the shell's business.
_STEP_3 = r"""
sed -i '/^[[:space:]]*disable_spend_logs:/d' "$CFG"
sed -i '/^[[:space:]]*disable_error_logs:/d' "$CFG"
grep -q '^general_settings:' "$CFG" || \
  sed -i '1igeneral_settings:' "$CFG"
awk 'BEGIN{done=0}
  /^general_settings:/ && !done {print; print "  disable_spend_logs: false"; print "  disable_error_logs: false"; done=1; next}
  {print}' "$CFG" | tee "$CFG.tmp" >/dev/null && mv "$CFG.tmp" "$CFG"
"""  # noqa: E501 - word for word


def wired() -> Edit:
    """What `apply` calls."""
    from hx_gateway_db.host.config_yaml import Present, wired
    from hx_gateway_db.settings.values import RedisUse

    return lambda text: wired(text, RedisUse(), Present()).text


def edit_alone() -> Edit:
    """The editor that it calls, without its questions about the present values."""
    from hx_gateway_db.host.config_yaml import FLAGS
    from hx_gateway_db.yaml_edit.edit import SetKey, edit

    return lambda text: edit(text, [SetKey(path, False) for path in FLAGS])


def bare_pass() -> Edit:
    """libyaml's events, received and dropped: what one look at the text costs in Python."""

    def edit(text: bytes) -> bytes:
        for _ in yaml.parse(text, Loader=yaml.CSafeLoader):
            pass
        return text

    return edit


def read_twice() -> Edit:
    """LiteLLM's own reading before and after: the floor of a proof by the parser that counts."""

    def edit(text: bytes) -> bytes:
        for _ in range(2):
            yaml.safe_load(text.decode())
        return text

    return edit


def ruamel_yaml() -> Edit:
    """The round trip, with the indentation that the measured file has."""
    library = import_module("ruamel.yaml")

    def edit(text: bytes) -> bytes:
        round_trip = library.YAML()
        round_trip.preserve_quotes = True
        round_trip.width = 1 << 30
        round_trip.indent(mapping=2, sequence=4, offset=2)
        written = BytesIO()
        round_trip.dump(_flagged(round_trip.load(text)), written)
        return written.getvalue()

    return edit


def yamltrip() -> Edit:
    """tree-sitter's parse, patched by its Rust core."""
    library = import_module("yamltrip")

    def edit(text: bytes) -> bytes:
        document = library.loads(text.decode())
        for flag in FLAGS:
            document = document.upsert(SECTION, flag, value=False)
        return str(document.dumps()).encode()

    return edit


def yaml_edit() -> Edit:
    """A lossless syntax tree in Rust."""
    library = import_module("yaml_edit")

    def edit(text: bytes) -> bytes:
        document = library.Document.parse(text.decode())
        for flag in FLAGS:
            document.set_path(f"{SECTION}.{flag}", False)
        return str(document).encode()

    return edit


def lossless_yaml() -> Edit:
    """ruamel.yaml's positions, and splices at them."""
    loader: Any = import_module("ruamel.yaml").YAML
    library = import_module("yaya")

    def edit(text: bytes) -> bytes:
        document = library.YAYA(text, loader().load(BytesIO(text)))
        for flag in FLAGS:
            path = f"{SECTION}.{flag}"
            if not document.ensure_key(path, False):
                document.replace_key(path, False)
        with tempfile.NamedTemporaryFile() as file:
            return bytes(document.save(file.name))

    return edit


def pyrs_yaml() -> Edit:
    """A syntax tree in Rust."""
    library = import_module("pyrs_yaml")

    def edit(text: bytes) -> bytes:
        document = library.parse(text.decode())
        document.set_many({f"$.{SECTION}.{flag}": False for flag in FLAGS})
        document.flush_source()
        return str(document.source()).encode()

    return edit


def yamluna() -> Edit:
    """ruamel.yaml's interface over a Rust core."""
    library = import_module("yamluna")

    def edit(text: bytes) -> bytes:
        round_trip = library.YAML()
        round_trip.preserve_quotes = True
        return str(round_trip.dump(_flagged(round_trip.load(text.decode())))).encode()

    return edit


def pythonizeyaml() -> Edit:
    """Pure Python."""
    library = import_module("pythonizeyaml")
    return lambda text: str(library.dump(_flagged(library.load(text.decode())))).encode()


def yamlsmith() -> Edit:
    """Pure Python."""
    library = import_module("yamlsmith")
    return lambda text: str(library.dump(_flagged(library.load(text.decode())))).encode()


def yamlium() -> Edit:
    """Pure Python."""
    library = import_module("yamlium")
    return lambda text: str(_flagged(library.parse(text.decode())).to_yaml()).encode()


def debians_yq() -> Edit:
    """jq over PyYAML, as a program; -Y keeps what it can of the styles."""
    keys = " | ".join(f".{SECTION}.{flag} = false" for flag in FLAGS)
    command = ["/usr/bin/yq", "--yaml-roundtrip", "--width", "100000", keys]

    def edit(text: bytes) -> bytes:
        return subprocess.run(command, input=text, capture_output=True, check=True).stdout

    return edit


def specification() -> Edit:
    """The specification's sed and awk, on a file."""

    def edit(text: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "config.yaml")
            path.write_bytes(text)
            environment = {"CFG": str(path), "PATH": "/usr/bin:/bin"}
            subprocess.run(
                ["/bin/bash", "-c", _STEP_3], env=environment, check=True, capture_output=True
            )
            return path.read_bytes()

    return edit


def _flagged(document: Any) -> Any:
    if SECTION not in document:
        document[SECTION] = {}
    for flag in FLAGS:
        document[SECTION][flag] = False
    return document
