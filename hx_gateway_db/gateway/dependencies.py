"""What the wrapper says of the servers that it depends on: its /healthz/deps, where it has one.

Wrappers in use answer with a name for each and whether it is up: as a truth value, as a word, or in
an object of its own, and some put all of them under a name. What is none of that says nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

PATH = "/healthz/deps"
_MOST = 20
_UP = {"ok", "up", "healthy", "connected", "available", "ready", "reachable", "pass", "true"}
_DOWN = {
    *("down", "error", "failed", "fail", "failure", "unhealthy", "disconnected", "unavailable"),
    *("unreachable", "timeout", "refused", "false", "degraded", "exception"),
}
# Under which all of them stand, and what an object says of its own state.
_UNDER = ("deps", "dependencies", "checks", "services", "components")
_STATE = ("ok", "healthy", "up", "connected", "reachable", "available", "status", "state")
_WORDS = ("error", "message", "detail", "reason")


@dataclass(frozen=True)
class Dependency:
    """One of them, by the wrapper's name for it; `why` are its words where it is not up."""

    name: str
    up: bool
    why: str = ""

    @property
    def postgres(self) -> bool:
        name = self.name.lower()
        return "postgres" in name or name in ("pg", "db", "database")

    @property
    def redis(self) -> bool:
        return "redis" in self.name.lower()


def dependencies(body: object) -> list[Dependency]:
    """Those that the decoded JSON `body` names; of a stranger's answer a bounded number."""
    return list(islice(_read(body), _MOST))


def _read(body: object) -> Iterator[Dependency]:
    for name, value in _named(body):
        up = _state(value)
        if up is not None:
            yield Dependency(name, up, "" if up else _why(value))


def _named(body: object) -> Iterable[tuple[str, object]]:
    if not isinstance(body, Mapping):
        return ()
    under = next((body[name] for name in _UNDER if isinstance(body.get(name), dict | list)), None)
    if isinstance(under, list):
        entries = (entry for entry in under if isinstance(entry, dict))
        return [(str(entry["name"]), entry) for entry in entries if "name" in entry]
    if isinstance(under, dict):
        return under.items()
    # What is said of all of them together is no dependency.
    return [(name, value) for name, value in body.items() if name not in (*_STATE, *_WORDS)]


def _state(value: object) -> bool | None:
    """Whether it is up; None: it does not say."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.lower().split(":")[0].strip()
        return True if word in _UP else False if word in _DOWN else None
    if isinstance(value, Mapping):
        states = (_state(value[key]) for key in _STATE if isinstance(value.get(key), bool | str))
        return next((state for state in states if state is not None), None)
    return None


def _why(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return next((value[key] for key in _WORDS if isinstance(value.get(key), str)), "")
    return ""
