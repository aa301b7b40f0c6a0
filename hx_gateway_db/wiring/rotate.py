"""New credentials for a running gateway, and the old ones closed when nobody uses them any more.

The new login is opened beside the one in use, the gateway is led to it as by any `apply`, and then
the old one is closed, by looking who uses it. The state file has each turn from before the server
is changed until the old login is closed, so that whatever ends a run, the next goes on from there:
which of the two logins the gateway has is to be read in gateway.env. What is in gateway.env works
at any time, as the login that it names is never touched.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hx_gateway_db.errors import HxError, Refused, UsageError
from hx_gateway_db.host.host import Host, read_host
from hx_gateway_db.host.pending import pending
from hx_gateway_db.host.state import State
from hx_gateway_db.host.turn import Turn
from hx_gateway_db.layout import UNITS
from hx_gateway_db.progress import Progress
from hx_gateway_db.transaction.lock import lock
from hx_gateway_db.wiring.apply import Request, apply, generate_password
from hx_gateway_db.wiring.made import Memory
from hx_gateway_db.wiring.outside import REAL, Outside
from hx_gateway_db.wiring.recover import undo_interrupted
from hx_gateway_db.wiring.turns import ByHand, Rotation, rotations

SERVERS = ("postgres", "redis")
ANSWERS = (
    *("PG_PASS", "PG_ADMIN_USER", "PG_ADMIN_PASS"),
    *("REDIS_PASS", "REDIS_ADMIN_USER", "REDIS_ADMIN_PASS"),
)
# How long sessions of an old login are waited for, and how often it is looked.
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_LEFT_OPEN = (
    "The gateway uses its new credentials; the old ones are let in until 'hx-gateway-db rotate'"
    " closes them."
)

Find = Callable[[Host, Mapping[str, str], Callable[[], str]], Mapping[str, Rotation]]


@dataclass(frozen=True)
class Rotated:
    """How a run ended, in a sentence; `done`: nothing is left to do.

    Otherwise the next run goes on, after `script` has been run by an administrator if there is one.
    """

    sentence: str
    done: bool = True
    script: str = ""


@dataclass(frozen=True)
class _Run:
    """What a rotation is made of; `asked` are the servers that it is for."""

    root: Path
    asked: tuple[str, ...]
    given: Mapping[str, str]
    progress: Progress
    outside: Outside
    find: Find


def rotate(
    root: Path,
    asked: Sequence[str],
    given: Mapping[str, str],
    progress: Progress,
    outside: Outside = REAL,
    find: Find = rotations,
    leave_open: bool = False,
) -> Rotated:
    """Give the gateway at `root` new credentials on the servers `asked` for, and close the old.

    `leave_open`: not yet, since other gateways have them. Goes on with what an earlier run has
    begun, if it has. `given` may have the new passwords and administrators' logins. Raises
    UsageError, Refused, and as `apply`.
    """
    for key in given:
        if key not in ANSWERS:
            raise UsageError(f"{key} is not for rotate, which takes {', '.join(ANSWERS)}.")
    run = _Run(root, tuple(asked), given, progress, outside, find)
    try:
        with lock(root, "rotate"):
            undo_interrupted(root, progress, outside)
            begun, answers = _begin(run)
    except ByHand as by_hand:
        return _by_hand([by_hand])
    if answers:
        try:
            apply(root, Request(answers), progress, outside)
        except (HxError, KeyboardInterrupt):
            _go_back(run, begun)
            raise
    if leave_open:
        return Rotated(_LEFT_OPEN, done=False)
    with lock(root, "rotate"):
        return _finish(run, begun)


def _begin(run: _Run) -> tuple[tuple[str, ...], dict[str, str]]:
    """Open what is to be opened; the servers that it is about, and what leads the gateway there."""
    host = _wired(run)
    found = _found(run, host)
    turns = {name: _turn(host, one) for name, one in found.items()}
    under_way = [name for name, turn in turns.items() if turn.old]
    chosen = tuple(under_way or found)
    opening = [
        found[name]
        for name in chosen
        if not _only_to_close(turns[name], found[name]) or found[name].starts_anew(turns[name])
    ]
    if not opening:
        return chosen, {}
    memory = Memory(host)
    assert host.state
    now = int(time.time())
    new = {one.server: Turn(one.next(), one.present, now) for one in opening}
    known = {
        one.server: turns[one.server].new if turns[one.server].old == one.present else ""
        for one in opening
    }
    for one in opening:
        if known[one.server] not in ("", new[one.server].new):
            # Others see to it themselves: whether they have is not to be seen here.
            with suppress(ByHand):
                one.close(known[one.server], 0)
    # Before the servers change: a new login that nobody remembers would stay open.
    memory.remember(_with(host.state, new))
    opened: list[str] = []
    try:
        for one in opening:
            for clause in one.open(new[one.server].new, known[one.server]):
                run.progress.say(f"{_sentence(clause)}.")
            opened.append(one.server)
    except (HxError, ByHand, KeyboardInterrupt):
        left = _still_open(run, found, {name: new[name] for name in opened})
        back = {name: turns[name] for name in new if name not in left}
        memory.remember(_with(host.state, {**new, **back}))
        raise
    answers: dict[str, str] = {}
    for one in opening:
        answers |= one.answers(new[one.server].new)
    return chosen, answers


def _only_to_close(turn: Turn, one: Rotation) -> bool:
    """Whether the gateway has been led to the new login already."""
    return bool(turn.old) and turn.new == one.present


def _found(run: _Run, host: Host) -> dict[str, Rotation]:
    """What is asked for and can be rotated. Raises Refused for what was asked for by its name."""
    every = run.find(host, run.given, generate_password)
    if run.asked == ("redis",) and "redis" not in every:
        raise Refused(
            "the gateway has no Redis user of its own, whose password could be rotated: answer"
            " REDIS_USER and REDIS_PASS to 'hx-gateway-db apply' first."
        )
    return {name: every[name] for name in run.asked if name in every}


def _turn(host: Host, one: Rotation) -> Turn:
    """The turn that is remembered, if it is about the login that the gateway has."""
    assert host.state
    turn: Turn = getattr(host.state, one.server)
    return turn if one.present in (turn.new, turn.old) else Turn()


def _with(state: State, turns: Mapping[str, Turn]) -> State:
    return replace(
        state,
        postgres=turns.get("postgres", state.postgres),
        redis=turns.get("redis", state.redis),
    )


def _still_open(run: _Run, found: Mapping[str, Rotation], turns: Mapping[str, Turn]) -> list[str]:
    """Close new logins that the gateway does not use; the servers where that was in vain."""
    still = []
    for name, turn in turns.items():
        try:
            left = found[name].close(turn.new, 0)
        except HxError as error:
            left = [str(error).rstrip(".")]
        except ByHand:
            left = ["an administrator of the server can close it"]
        if left:
            still.append(name)
            run.progress.say(
                f"{_sentence(found[name].shown(turn.new))} is still open ({', '.join(left)}):"
                f" 'hx-gateway-db rotate {name}' goes on with it."
            )
    return still


def _go_back(run: _Run, names: Iterable[str]) -> None:
    """After an apply that failed: the gateway has its old credentials, the new ones go."""
    with lock(run.root, "rotate"):
        host = read_host(run.root)
        if host.settings is None or host.state is None:
            return
        found = {name: one for name, one in _found(run, host).items() if name in names}
        turns = {name: _turn(host, one) for name, one in found.items()}
        unused = {name: turn for name, turn in turns.items() if turn.old == found[name].present}
        still = _still_open(run, found, unused)
        back = {name: Turn(turn.old) for name, turn in unused.items() if name not in still}
        Memory(host).remember(_with(host.state, back))


def _finish(run: _Run, names: Iterable[str]) -> Rotated:
    """Close the old logins, each when nobody uses it any more."""
    host = _wired(run)
    found = {name: one for name, one in _found(run, host).items() if name in names}
    memory, clock = Memory(host), run.outside.readiness.clock
    begun = clock.monotonic()
    waiting = {name: _turn(host, one) for name, one in found.items()}
    waiting = {name: turn for name, turn in waiting.items() if turn.old}
    by_hand: list[ByHand] = []
    held: dict[str, list[str]] = {}
    while waiting:
        for name, turn in tuple(waiting.items()):
            try:
                held[name] = _outdated(run, host) or found[name].close(turn.old, turn.since)
            except ByHand as printed:
                by_hand.append(printed)
                del waiting[name]
                continue
            if not held[name]:
                del waiting[name]
                assert memory.host.state
                memory.remember(_with(memory.host.state, {name: replace(turn, old="")}))
                run.progress.say(f"Closed {found[name].shown(turn.old)}: nobody used it any more.")
        waited = clock.monotonic() - begun
        if not waiting or waited > _PATIENCE_SECONDS:
            break
        try:
            run.progress.waiting("the last sessions of the old login", waited)
            clock.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:  # who has no patience
            break
    if by_hand:
        return _by_hand(by_hand)
    if waiting:
        return Rotated(
            " ".join(
                f"The gateway uses its new credentials, but {found[name].shown(turn.old)} is still"
                f" open, since {', '.join(held[name])} uses it: 'hx-gateway-db rotate {name}'"
                " closes it when that has ended."
                for name, turn in waiting.items()
            ),
            done=False,
        )
    return Rotated("The gateway uses its new credentials, and the old ones are closed.")


def _outdated(run: _Run, host: Host) -> list[str]:
    """The units that still run with the old credentials, whether they have a session or not."""
    return [name for name in UNITS if pending(host, name, run.outside.units)]


def _by_hand(found: Sequence[ByHand]) -> Rotated:
    why = " ".join(one.why for one in found if one.why)
    sentence = (
        f"An administrator of the server has to run what is printed. {why}".rstrip()
        + " 'hx-gateway-db rotate' goes on then."
    )
    return Rotated(sentence, done=False, script="\n".join(one.script for one in found))


def _wired(run: _Run) -> Host:
    host = read_host(run.root)
    if host.distrusted or host.settings is None:
        raise Refused(host.problem or "nothing is wired: run 'hx-gateway-db apply' first.")
    if not host.wired or host.state is None:
        raise Refused("nothing is wired: run 'hx-gateway-db apply' first.")
    if not run.outside.live(run.root):
        raise Refused("systemd does not run here: credentials are rotated on the live host.")
    return host


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}"
