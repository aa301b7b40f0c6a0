"""Reading redis.conf as Redis does, for an administrator's access on this machine."""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FOLDERS = (Path("/etc/redis"), Path("/etc/valkey"))
_DEFAULT_PORT = 6379
_LARGEST = 1 << 20
_INCLUDED_AT_MOST = 20

# sdssplitargs() of Redis: blanks between words, C escapes in "...", only \' in '...'.
_WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+))(?=\s|$)""", re.ASCII)
_BLANKS = " \t\r\n\v\f"
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}


@dataclass(frozen=True)
class ServerConfiguration:
    """What a configuration file says of how its server is reached and logged in to."""

    ports: tuple[int, ...]
    unix_socket: str
    passwords: tuple[str, ...]


def configurations(folders: tuple[Path, ...] = _FOLDERS) -> list[ServerConfiguration]:
    """Those of the servers of this machine. A file that can't be read is left out."""
    paths = [path for folder in folders for path in sorted(folder.glob("*.conf"))]
    return [_configuration(directives(path)) for path in paths]


def directives(path: Path) -> list[tuple[str, ...]]:
    """The directives of a file and of those that it includes, each as its words."""
    return list(_directives(path, [_INCLUDED_AT_MOST]))


def split(line: str) -> tuple[str, ...]:
    """The words of a line; none when its quotes are not balanced, as Redis would refuse it."""
    words: list[str] = []
    at, letters = 0, line.strip(_BLANKS).encode().decode("latin-1")  # \xHH is a byte, not a letter
    while at < len(letters):
        match = _WORD.match(letters, at)
        if match is None:
            return ()
        double, single, bare = match.groups()
        if bare is not None and bare[0] in "\"'":
            return ()
        word = _unescaped(double) if double is not None else _plain(single, bare)
        words.append(word.encode("latin-1").decode(errors="replace"))
        at = match.end()
    return tuple(words)


def _plain(single: str | None, bare: str | None) -> str:
    return (bare or "") if single is None else single.replace("\\'", "'")


def _unescaped(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        hexadecimal, letter = match.groups()
        if hexadecimal:
            return bytes.fromhex(hexadecimal).decode("latin-1")
        return _CONTROL.get(letter, letter)

    return _ESCAPE.sub(character, text)


def _directives(path: Path, left: list[int]) -> Iterator[tuple[str, ...]]:
    for line in _lines(path):
        words = split(line)
        if not words or words[0].startswith("#"):
            continue
        if words[0].lower() != "include" or len(words) < 2:
            yield (words[0].lower(), *words[1:])
            continue
        pattern = Path(words[1])
        for included in sorted(pattern.parent.glob(pattern.name)):
            if left[0] > 0:  # files may include one another in a circle
                left[0] -= 1
                yield from _directives(included, left)


def _lines(path: Path) -> list[str]:
    # The folder is the server's: what it puts there must not make us wait or fill our memory.
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            return []
        return path.read_text(errors="replace").split("\n")
    except OSError:
        return []


def _configuration(found: list[tuple[str, ...]]) -> ServerConfiguration:
    last = {words[0]: words[1] for words in found if len(words) > 1}
    port = last.get("port", str(_DEFAULT_PORT))
    ports = [port, last.get("tls-port", "0")]
    passwords = [last.get("requirepass", ""), last.get("masterauth", "")]
    return ServerConfiguration(
        ports=tuple(int(number) for number in ports if number.isdecimal() and number != "0"),
        unix_socket=last.get("unixsocket", ""),
        passwords=tuple(dict.fromkeys(password for password in passwords if password)),
    )
