"""Texts of others, as a whole: what reads them takes time in proportion to their length."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from hx_gateway_db.checks.log_lines import relevant
from hx_gateway_db.errors import HxError
from hx_gateway_db.host import config_yaml, gateway_env
from hx_gateway_db.host.config_yaml import Origin, Present
from hx_gateway_db.host.gateway_env import EnvFileRefusal
from hx_gateway_db.redaction import printable, redact, said, said_lines, without_secrets
from hx_gateway_db.redis import conf
from hx_gateway_db.settings.values import Cache, RedisUse
from hx_gateway_db.systemd import environment_files
from hx_gateway_db.systemd.started_program import shown
from hx_gateway_db.yaml_edit.reading import YamlRefusal, read_purely
from tests.unit.growth import grows_too_fast

SECRETS = ["aaaaaaab", "://:", "p\\\"'w"]
READERS: dict[str, Callable[[str], object]] = {
    "redact": lambda text: redact(text, SECRETS),
    "said": lambda text: said(text, SECRETS, len(text)),
    "said_lines": lambda text: said_lines(text, SECRETS, len(text), len(text)),
    "without_secrets": lambda text: without_secrets(text, SECRETS),
    "printable": printable,
    "relevant": lambda text: relevant(text, 8),
    "env_file.assignments": lambda text: list(environment_files.assignments(text)),
    "env_file.merge": lambda text: merged(text),
    "redis_conf.split": conf.split,
    "started_program.shown": shown,
}
PIECES = (
    *("://:", "://", ":", "@", "://u:p@", "sk-", "sk-a", "a://:b ", "aaaaaaa", "\\", "\\\\", '"'),
    *("'", " ", "\t", "\n", "\r\n", "x\n", "#", "=", "a=", "a='\n", 'a="\n', "a=\\\n", "export "),
    *("a= # b", "\x1b[", "\x1b[0m", "\x1b", "\ufffd", "\u202e", "\U0001f600", "Traceback", "error"),
    *('"GET / HTTP/1.', "9", "status=", " ; argv[]=", "{ path= ; argv[]=", "DATABASE_URL=x\n"),
)
SIZES = (128, 1024, 4096)
# Smaller ones are what a text costs at all, and where PyYAML reads it in pieces.
YAML_SIZES = (4096, 32768)


def merged(text: str) -> object:
    try:
        return gateway_env.merge(text, "DATABASE_URL=x\n", "DATABASE_URL=x\n")
    except EnvFileRefusal:
        return None


@pytest.mark.parametrize("name", READERS)
def test_no_text_makes_a_reader_slow(name: str) -> None:
    for piece in PIECES:
        for end in ("", "x", '"'):
            text = repeated("a=x", piece, end)
            assert not grows_too_fast(READERS[name], text, SIZES), (piece, end)


def repeated(beginning: str, again: str, end: str) -> Callable[[int], str]:
    return lambda size: beginning + again * (size // len(again)) + end


@pytest.mark.parametrize("text", ["A=x" + " " * 300_000 + "y\n", "A='" + "x\n" * 200_000])
def test_an_environment_file_that_python_dotenv_takes_hours_for_is_refused(text: str) -> None:
    with pytest.raises(EnvFileRefusal, match="too many blanks|more than 256 KiB"):
        gateway_env.merge(text, "DATABASE_URL=x\n", "DATABASE_URL=x\n")


KEYS = b"general_settings:\n  master_key: sk-1\n"
# A text is a beginning, something again and again, an end.
YAML: dict[str, tuple[bytes, bytes, bytes]] = {
    "aliases": (b"a: &a 1\nb: [", b"*a, ", b"*a]\n"),
    "merge keys": (b"x: &x {a: 1}\ngeneral_settings:\n", b"  <<: *x\n", b""),
    "open brackets": (b"a: ", b"[", b""),
    "mappings in mappings": (b"a: ", b"{a: ", b""),
    "sequences in sequences": (b"a:\n  ", b"- ", b""),
    "open brackets in lines": (b"a: [\n", b"[\n", b""),
    "question marks": (b"", b"? ", b""),
    "keys without values": (b"", b"? a\n", b""),
    "an endless line": (b"a: ", b"x", b""),
    "an endless text": (b"a: ", b"x ", b""),
    "colons": (b"a: ", b"a: ", b""),
    "double quotes": (b"a: ", b'"', b""),
    "single quotes": (b"a: '", b"''", b""),
    "an open quote": (b'a: "', b"x\n ", b""),
    "backslashes": (b'a: "', b"\\\\", b'"'),
    "hashes": (b"? general_settings\n", b"#", b"\n"),
    "hashes in lines": (b"? general_settings\n", b"#\n", b""),
    "a commented key": (b"? general_settings\n", b"# a\r\n", b": {a: 1}\n"),
    "line breaks": (b"general_settings:", b"\r\n", b"#"),
    "comments": (b"general_settings:\n", b"  #\n", b""),
    "blanks": (b"general_settings:", b" ", b"x"),
    "blank lines": (b"general_settings:", b" \r\n", b""),
    "other line breaks": (b"general_settings:", b"\xc2\x85", b""),
    "tabs": (b"a: x", b"\t", b""),
    "a block": (b"a: |\n", b"  x\n", b""),
    "block headers": (b"a: ", b"|#", b""),
    "tags": (b"a: [", b"!x 1, ", b"]"),
    "documents": (b"", b"---\n", b""),
    "a key twice": (b"", b"general_settings: 1\n", b""),
    "a flow mapping": (b"general_settings: {", b"a: 1, ", b"}"),
    "a list": (KEYS + b"l:\n", b"  - a: [1, {b: 2}]\n", b""),
    "digits": (b"general_settings: {disable_spend_logs: ", b"1", b"}"),
    "a number to the base of 60": (
        b"litellm_settings: {default_key_generate_params: {rpm_limit: 1",
        b":1",
        b"}}",
    ),
    "letters of four bytes": (b"a: ", "\U0001f600".encode(), b""),
    "byte order marks": (b"", b"\xef\xbb\xbf", b""),
    "no text": (b"", b"\xff", b""),
}
PRESENT = Present(Origin(KEYS, ""), wired=True, use=RedisUse())
# Between them they look up, edit and restore, as the others do.
FUNCTIONS: dict[str, Callable[[bytes], object]] = {
    "wired": lambda text: config_yaml.wired(text, RedisUse(Cache(), True), Present()),
    "unwired": lambda text: config_yaml.unwired(text, PRESENT),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", YAML)
def test_no_config_yaml_makes_its_readers_slow(kind: str, name: str) -> None:
    beginning, again, end = YAML[kind]

    def read(text: bytes) -> None:
        config_yaml._read.cache_clear()
        config_yaml._found.cache_clear()
        with suppress(HxError):
            FUNCTIONS[name](text)

    def text(size: int) -> bytes:
        return beginning + again * (size // len(again)) + end

    assert not grows_too_fast(read, text, YAML_SIZES)


def test_a_number_that_takes_hours_is_not_read_by_the_slow_parser_either() -> None:
    with pytest.raises(YamlRefusal, match="line 2: a number or date of this length"):
        read_purely(b"a: 1\nb: 1" + b":1" * 100_000, (), None)
