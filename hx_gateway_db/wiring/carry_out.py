"""A plan being carried out: files, services and proof in their order, or everything put back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from hx_gateway_db.errors import CheckFailed, HxError, NotRolledBack, Refused, RolledBack
from hx_gateway_db.gateway.http import ProofFailed
from hx_gateway_db.host.host import Host, read_host
from hx_gateway_db.host.pending import pending
from hx_gateway_db.layout import LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.progress import Progress
from hx_gateway_db.redaction import said_lines
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd.units import ServiceFailed, Unit
from hx_gateway_db.transaction.transaction import Transaction, Undone
from hx_gateway_db.wiring.beside import Beside, DoesNotWork
from hx_gateway_db.wiring.interruption import held_back, let_through, only_note_signals
from hx_gateway_db.wiring.outside import Outside
from hx_gateway_db.wiring.plan import Plan, affected_units, in_order, remembering
from hx_gateway_db.wiring.take_back import take_back
from hx_gateway_db.wiring.watch_timer import follow

# What a failure says is ours; what it quotes is not.
_LONGEST = 1000


@dataclass
class Run:
    """A plan being carried out; `settings` is None for a rollback.

    `anyway`: the servers have failed a check, and are not asked again before the restart.
    `served` are the units that answered before, `pending` those that policy-rc.d forbids to
    restart, `spared` those that would not come up again, and why. `restarted` are those restarted
    so far, `up` those of them that answered again, the first of them at `up_since`. `written`:
    the files are as planned.
    """

    host: Host
    plan: Plan
    settings: Settings | None
    progress: Progress
    around: Outside
    online: bool
    served: tuple[str, ...]
    pending: tuple[str, ...]
    anyway: bool = False
    spared: Mapping[str, str] = field(default_factory=dict)
    written: bool = False
    restarted: list[str] = field(default_factory=list)
    up: list[Unit] = field(default_factory=list)
    up_since: float = 0.0

    def __post_init__(self) -> None:
        self.beside = Beside(self.host.layout.root, self.progress, self.around)

    @property
    def outside(self) -> Outside:
        """What it meets outside of files, where the units themselves answer."""
        return self.beside.outside

    def carry_out(self) -> None:
        """Try the change, change the files, restart, prove; or put all back, and raise why."""
        with held_back(), closing(self.beside):
            with let_through():
                self._try_out()
            transaction = Transaction.begin(self.host.layout.root, self.plan.changes)
            try:
                with let_through():
                    self._change(transaction)
                # Closed, it is done, whatever comes then.
                only_note_signals()
                transaction.close()
            except BaseException as error:
                self._put_back(transaction, error)
                raise
            if self.outside.live(self.host.layout.root):
                root, units = self.host.layout.root, self.outside.units
                follow(root, self.plan.changes.files, units, self.progress)

    def has_served(self, name: str) -> bool:
        """Whether a unit, or a second one of it, has answered with the files of this run."""
        answered = name == LITELLM_UNIT and self.beside.answered
        return answered or any(unit.name == name for unit in self.up)

    def _try_out(self) -> None:
        """Raises Refused when the change does not work on a second gateway."""
        asked = self.settings or self.host
        if not (self.online and asked.trial) or self.anyway:
            return
        if LITELLM_UNIT not in self._restarting():
            return
        handed = asked.handover and WRAPPER_UNIT not in self.pending
        changes = self.plan.changes.files
        try:
            self.beside.try_out(self.host, changes, self.served, handed, self.settings)
        except DoesNotWork as failure:
            reason = "\n".join(said_lines(str(failure), self._secrets(), most=_LONGEST))
            words = f"{reason}{self._last_words(failure.unit)}"
            if self.settings:
                raise Refused(
                    "The change does not work on a second LiteLLM, on which it was tried; the"
                    f" gateway was left alone.\n{words}\nIf the gateway itself could, answer"
                    " TRIAL=false: then it is not tried."
                ) from None
            # Nobody who can make one fail may keep us from being removed.
            self.progress.say(f"Not handed over, since a second LiteLLM does not work: {words}")
            self.beside.close()

    def _restarting(self) -> tuple[str, ...]:
        """The units that are to be restarted and can be."""
        left = (*self.pending, *self.spared)
        names = (name for name in self.plan.restart if name not in left)
        return tuple(name for name in names if self.outside.units.unit(name).wanted)

    def _change(self, transaction: Transaction) -> None:
        transaction.write()
        self.written = True
        if self.online:
            transaction.services_begin(self.served)
            self._restart()
            self._prove()
            if self.up:
                self.outside.readiness.watch(self.up, self.up_since, self.progress)

    def _restart(self) -> None:
        self.outside.units.daemon_reload()
        if self.settings and not self.anyway:
            # A running LiteLLM survives a database that has gone by now, a restarted one doesn't.
            self.outside.check_servers(self.settings)
        self.beside.take_over()
        stopped = self.beside.stopped
        for name in in_order({*self.plan.restart, *stopped}):
            unit = self.outside.units.unit(name)
            if not unit.wanted and name not in stopped:
                self.progress.say(unit.why_left_alone())
            elif name in self.pending:
                self.progress.say(
                    f"policy-rc.d forbids restarting {name}: it runs with the old files."
                )
            elif name in self.spared:
                self.progress.say(
                    f"{name} is not restarted, since {self.spared[name]}: it goes on with its"
                    " database until somebody restarts it."
                )
            else:
                self.restarted.append(name)
                self._restart_unit(name)

    def _restart_unit(self, name: str) -> None:
        clock = self.outside.readiness.clock
        started = clock.monotonic()
        if self.settings is None and name not in self.served:
            # A gateway that is broken already must not keep the package from being removed.
            _restart_broken(name, self.progress, self.outside)
            return
        unit = self.outside.units.restart(name)
        self.outside.readiness.wait_until_ready(unit, self.progress)
        self.up_since = self.up_since or clock.monotonic()
        self.up.append(unit)
        self.progress.say(f"{name} is up again ({clock.monotonic() - started:.1f} s).")

    def _prove(self) -> None:
        if self.settings is None or LITELLM_UNIT in self.pending:
            return
        if not self.outside.units.unit(LITELLM_UNIT).running:
            self.progress.say(f"{LITELLM_UNIT} does not run: the proof was skipped.")
            return
        layout = self.host.layout
        config = read_host(layout.root, layout.base).files[layout.config_yaml]
        for line in self.outside.prove(self.settings, config.content if config else b""):
            self.progress.say(line)

    def _put_back(self, transaction: Transaction, error: BaseException) -> None:
        """Undo, and raise what has happened; returns only for an error that is no HxError."""
        self.progress.say("That did not work: putting everything back.")
        undone = transaction.undo(take_back)
        reason = "\n".join(said_lines(str(error), self._secrets(), most=_LONGEST))
        culprit = _culprit(error)
        if culprit in self.restarted:
            reason += self._last_words(culprit)
        trouble = ""
        if self.online:
            names = in_order({*self.restarted, *self.beside.stopped})
            trouble = restart_as_before(names, self.served, self.progress, self.outside)
        down = [name for name in self.served if not self.outside.readiness.answers(name)]
        way_out = self._way_out(down or [culprit])
        if down:
            raise NotRolledBack(
                f"{reason}\nThe files are as before, but {' and '.join(down)} does not answer."
                f" {trouble}".rstrip()
                + way_out
            ) from None
        transaction.close()
        others = "".join(f"\n{sentence}" for sentence in on_edits(undone))
        if not isinstance(error, HxError | ProofFailed):
            return
        if self.restarted:
            raise RolledBack(f"{reason}\nEverything was put back.{others}{way_out}") from None
        if isinstance(error, CheckFailed):
            raise CheckFailed(f"{reason} Everything is as it was.{others}", error.findings)
        raise Refused(f"{reason} Everything is as it was.{others}") from None

    def _way_out(self, units: list[str]) -> str:
        """How the package is removed all the same when these do not come up again."""
        if self.settings is not None or not self.restarted:
            return ""
        units = [unit for unit in units if unit] or self.restarted
        names = " ".join(unit.removesuffix(".service") for unit in units)
        return (
            f"\nTo go on without them, run 'systemctl stop {names}', then this again: what is"
            " stopped on purpose is left alone."
        )

    def _last_words(self, name: str) -> str:
        try:
            lines = said_lines(self.outside.units.journal(name), self._secrets())
            return "\n".join([f"\n{name} said last:", *(f"  {line}" for line in lines)])
        except ServiceFailed:
            return ""

    def _secrets(self) -> tuple[str, ...]:
        return (*self.host.secrets, *(self.settings.secrets if self.settings else ()))


def new_run(
    host: Host,
    plan: Plan,
    settings: Settings | None,
    progress: Progress,
    outside: Outside,
    anyway: bool = False,
) -> Run:
    """The run of a plan on the host as it is now; `settings` is None for a rollback.

    Raises Refused when systemd does not say what the units do.
    """
    units = outside.units
    online = outside.live(host.layout.root) and bool(plan.restart)
    served = outside.readiness.answering() if online else ()
    try:
        if online:
            plan = replace(plan, restart=_outdated(host, plan, served, outside))
        forbidden = tuple(
            name
            for name in plan.restart
            if online and units.unit(name).wanted and units.policy_forbids(name)
        )
        spared = _spared(plan, served, outside) if online and settings is None else {}
    except ServiceFailed as failure:
        raise Refused(f"{failure} Nothing was changed.") from None
    left = (*forbidden, *(name for name in spared if name not in forbidden))
    # Without systemd, it is remembered that the units have to be restarted, and the wiring proven.
    plan = remembering(plan, host, left if online or settings is None else plan.restart)
    return Run(host, plan, settings, progress, outside, online, served, forbidden, anyway, spared)


def restart_as_before(
    names: Sequence[str], served: tuple[str, ...], progress: Progress, outside: Outside
) -> str:
    """Restart units whose files are back, each whatever becomes of the others.

    Waits for those that `served`. Returns what went wrong, in sentences.
    """
    trouble: list[str] = []
    steps: list[Callable[[], None]] = [outside.units.daemon_reload]
    steps += [partial(_revive, name, served, progress, outside) for name in names]
    for step in steps:
        try:
            step()
        except ServiceFailed as failure:
            trouble.append(str(failure))
    return " ".join(trouble)


def _revive(name: str, served: tuple[str, ...], progress: Progress, outside: Outside) -> None:
    if name in served:
        outside.readiness.wait_until_ready(outside.units.restart(name), progress)
    else:
        _restart_broken(name, progress, outside)


def _restart_broken(name: str, progress: Progress, outside: Outside) -> None:
    try:
        outside.units.restart(name)
        progress.say(f"{name} is restarted; it did not answer before.")
    except ServiceFailed as error:
        progress.say(f"{error} It did not answer before either.")


def _outdated(host: Host, plan: Plan, served: tuple[str, ...], outside: Outside) -> tuple[str, ...]:
    """The units of a plan that don't serve with its files yet."""
    changing = (*affected_units(plan.changes.files), *plan.outdated)
    return tuple(
        name
        for name in plan.restart
        if name in changing or name not in served or pending(host, name, outside.units)
    )


def _spared(plan: Plan, served: tuple[str, ...], outside: Outside) -> dict[str, str]:
    """The units that serve and would not come up again as a rollback leaves them, and why.

    Left running, they go on serving; and who can make one fail can't keep us from being removed.
    """
    spared = {}
    for name in plan.restart:
        if name not in served or not outside.units.unit(name).wanted:
            continue
        why = outside.obstacle(name)
        if not why and plan.config_left and name == LITELLM_UNIT:
            why = f"it might not start with {plan.layout.config_yaml} as that is"
        if why:
            spared[name] = why
    return spared


def on_edits(undone: Undone) -> Iterator[str]:
    """What is to be said of the edits that an undo came across."""
    for path in undone.edited:
        yield f"{path} was edited by somebody else since: only our part of it was taken back."
    for path in undone.foreign:
        yield f"{path} was changed by somebody else since: left as it is now."


def _culprit(error: BaseException) -> str:
    """The unit whose log tells more of an error; empty when none does."""
    if isinstance(error, ProofFailed):
        return WRAPPER_UNIT if error.port == WRAPPER_PORT else LITELLM_UNIT
    return error.unit if isinstance(error, ServiceFailed) else ""
