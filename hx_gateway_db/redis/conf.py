"""Reading redis.conf as Redis does, for an administrator's access on this machine.

The folders are the server's: what it puts there must not make us wait, or read without an end.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from hx_gateway_db.errors import Refused
from hx_gateway_db.transaction import foreign_file
from hx_gateway_db.transaction.folders import names
from hx_gateway_db.transaction.foreign_file import Unreadable

_FOLDERS = (Path("/etc/redis"), Path("/etc/valkey"))
_DEFAULT_PORT = 6379
_LARGEST = 1 << 20
_INCLUDED_AT_MOST = 20
# Of all servers together: files, bytes, and names in one folder.
_FILES_AT_MOST, _BYTES_AT_MOST, _NAMES_AT_MOST = 50, 2 << 20, 1000
_PORT = re.compile(r"[1-9][0-9]{0,4}")

# sdssplitargs() of Redis: blanks between words, C escapes in "...", only \' in '...'.
_WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+))(?=\s|$)""", re.ASCII)
_BLANKS = " \t\r\n\v\f"
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}


@dataclass(frozen=True)
class Secret:
    """A password, and who may read it where it was found.

    `ways` are the folders to its file from the root on, and then the file, each with its owner,
    group and mode.
    """

    password: str = field(repr=False)
    file: Path
    ways: tuple[tuple[int, int, int], ...]

    def readable_by(self, user: int, groups: frozenset[int]) -> bool:
        """Whether a process of this user in these groups could read the password by itself."""
        *folders, file = self.ways
        return user == 0 or (
            all(_allows(folder, user, groups, stat.S_IXOTH) for folder in folders)
            and _allows(file, user, groups, stat.S_IROTH)
        )


@dataclass(frozen=True)
class ServerConfiguration:
    """What a configuration file says of how its server is reached and logged in to."""

    ports: tuple[int, ...]
    unix_socket: str
    secrets: tuple[Secret, ...]

    @property
    def passwords(self) -> tuple[str, ...]:
        return tuple(secret.password for secret in self.secrets)


@dataclass(frozen=True)
class _Directive:
    words: tuple[str, ...]
    file: Path
    ways: tuple[tuple[int, int, int], ...]


@dataclass
class _Left:
    """How much may still be read, of all files and of those that the present one includes."""

    files: int = _FILES_AT_MOST
    size: int = _BYTES_AT_MOST
    included: int = _INCLUDED_AT_MOST


def configurations(folders: tuple[Path, ...] = _FOLDERS) -> list[ServerConfiguration]:
    """Those of the servers of this machine. A file that can't be read is left out."""
    left = _Left()
    found = []
    for path in (path for folder in folders for path in _matching(folder, "*.conf")):
        left.included = _INCLUDED_AT_MOST
        found.append(_configuration(_directives(path, left)))
    return found


def directives(path: Path) -> list[tuple[str, ...]]:
    """The directives of a file and of those that it includes, each as its words."""
    return [directive.words for directive in _directives(path, _Left())]


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


def _directives(path: Path, left: _Left) -> Iterator[_Directive]:
    if left.files <= 0 or left.size <= 0:
        return
    left.files -= 1
    try:
        with foreign_file.opened(str(path)) as file:
            content = file.read(min(_LARGEST, left.size) + 1)
            ways = _ways(file.fileno())
    except Unreadable:
        return
    left.size -= len(content)
    if len(content) > _LARGEST or left.size < 0:
        return
    for line in content.decode(errors="replace").split("\n"):
        if line.lstrip(_BLANKS).startswith("#") or not (words := split(line)):
            continue
        if words[0].lower() != "include" or len(words) < 2:
            yield _Directive((words[0].lower(), *words[1:]), path, ways)
            continue
        for included in _matching(Path(words[1]).parent, Path(words[1]).name):
            if left.included > 0:  # files may include one another in a circle
                left.included -= 1
                yield from _directives(included, left)


def _matching(folder: Path, pattern: str) -> list[Path]:
    """The paths of a folder's files with such a name (glob(7)), in order."""
    if not folder.is_absolute():
        return []
    with suppress(OSError, Refused, ValueError):
        found = names(PurePosixPath(folder), _NAMES_AT_MOST)
        return sorted(folder / name for name in found if fnmatchcase(name, pattern))
    return []


def _ways(descriptor: int) -> tuple[tuple[int, int, int], ...]:
    """What an open file and the folders to it are to be read by. Raises OSError."""
    path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    found = [*(folder.stat() for folder in reversed(path.parents)), os.fstat(descriptor)]
    return tuple((each.st_uid, each.st_gid, each.st_mode) for each in found)


def _allows(way: tuple[int, int, int], user: int, groups: frozenset[int], right: int) -> bool:
    owner, group, mode = way
    # An owner who has not the right can take it.
    return user == owner or bool(mode >> (3 if group in groups else 0) & right)


def _configuration(found: Iterable[_Directive]) -> ServerConfiguration:
    last = {each.words[0]: each for each in found if len(each.words) > 1}
    values = {name: each.words[1] for name, each in last.items()}
    ports = [values.get("port", str(_DEFAULT_PORT)), values.get("tls-port", "0")]
    secrets = {
        values[name]: Secret(values[name], last[name].file, last[name].ways)
        for name in ("masterauth", "requirepass")
        if values.get(name)
    }
    return ServerConfiguration(
        ports=tuple(int(number) for number in ports if _PORT.fullmatch(number)),
        unix_socket=values.get("unixsocket", ""),
        secrets=tuple(reversed(secrets.values())),
    )
