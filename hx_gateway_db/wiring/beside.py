"""A change tried on a second gateway beside the first, which serves then while that restarts.

What does not work there is never tried on the gateway itself. All that there is of the second one
is in a journal of its own, in /run, or in the kernel's memory: the next run takes it away, and a
machine that dies has none of it.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hx_gateway_db.gateway.answerer import LITELLM, WRAPPER, Service
from hx_gateway_db.gateway.http import ProofFailed
from hx_gateway_db.gateway.readiness import PortTaken
from hx_gateway_db.handover.redirect import SOURCE
from hx_gateway_db.handover.second_unit import NotPossible
from hx_gateway_db.host.host import Host
from hx_gateway_db.layout import LITELLM_UNIT, SECOND_JOURNAL, SECOND_UNITS, WRAPPER_UNIT
from hx_gateway_db.progress import Progress
from hx_gateway_db.settings.values import Settings
from hx_gateway_db.systemd.units import ServiceFailed
from hx_gateway_db.transaction.changes import Changes, FileChange
from hx_gateway_db.transaction.snapshot import FileImage
from hx_gateway_db.transaction.transaction import Transaction, interrupted
from hx_gateway_db.wiring.outside import Outside
from hx_gateway_db.wiring.second_pair import Pair, planned_pair

# For a client that has connected a moment before it is led elsewhere to be served where it is.
_LAST_SECONDS = 1.0


class DoesNotWork(Exception):
    """The change does not work on a second gateway; `unit` is its."""

    def __init__(self, reason: str, unit: str) -> None:
        super().__init__(reason)
        self.unit = unit


@dataclass
class Beside:
    """The second gateway of one run, of which nothing is left once it is closed.

    `around` is what that meets outside of files. `answered`: the second LiteLLM has been ready.
    `redirected`: the second pair serves. `stopped` are units that have to be started again.
    """

    root: Path
    progress: Progress
    around: Outside
    pair: Pair | None = None
    answered: bool = False
    redirected: bool = False
    stopped: tuple[str, ...] = ()
    _transaction: Transaction | None = None

    @property
    def outside(self) -> Outside:
        """The same for the units themselves, also while requests go to the second gateway."""
        return asked_directly(self.around) if self.redirected else self.around

    def adopt(self, transaction: Transaction) -> None:
        """Take over what an interrupted run has left of its second gateway.

        It goes on serving where it does; else it is taken away at once.
        """
        self._transaction = transaction
        self.redirected = self.around.live(self.root) and self.around.redirect.present()
        if self.redirected:
            self.stopped = (WRAPPER_UNIT,)
        else:
            self.close()

    def try_out(
        self,
        host: Host,
        changes: tuple[FileChange, ...],
        served: tuple[str, ...],
        handed: bool,
        settings: Settings | None,
    ) -> None:
        """Start a LiteLLM with what is planned, and see that it works.

        Where there can't be one, says why. `settings` is None for a rollback, after which there is
        no database to be proven. Raises DoesNotWork.
        """
        clock = self.around.readiness.clock
        started = clock.monotonic()
        try:
            pair = planned_pair(host, changes, served, handed, self.around)
            transaction = Transaction.begin(self.root, Changes(pair.staged), SECOND_JOURNAL)
            self._transaction = transaction
            transaction.write()
            self.around.units.daemon_reload()
            self._start(pair.litellm, pair)
            self.answered = True
            if settings:
                self.around.prove(settings, _config(host, changes), pair.litellm, None)
        except (NotPossible, PortTaken) as why:
            self.close()
            self.progress.say(f"Not tried on a second gateway: {str(why).rstrip('.')}.")
            return
        except (ServiceFailed, ProofFailed) as failure:
            reason = failure.finding.what if isinstance(failure, ProofFailed) else str(failure)
            raise DoesNotWork(reason, SECOND_UNITS[LITELLM_UNIT]) from None
        self.pair = pair
        seconds = clock.monotonic() - started
        self.progress.say(
            f"A second LiteLLM works with it, on port {pair.litellm.port} ({seconds:.1f} s)."
        )

    def take_over(self) -> None:
        """Lead new requests to the second gateway; where that can't be done, says why.

        The wrapper is stopped then: it would ask the LiteLLM that is about to restart.
        """
        pair = self.pair
        if pair is None:
            return
        kept = pair.kept
        try:
            if pair.ports:
                if pair.wrapper:
                    self._start(pair.wrapper, pair)
                self.around.redirect.put(pair.ports, pair.exempt)
                self.redirected = True
        except ServiceFailed as failure:
            kept = str(failure).rstrip(".")
        if kept:
            self.progress.say(f"Requests are not handed over: {kept}.")
        if self.redirected:
            self.progress.say("New requests go to the second gateway now.")
            self.around.readiness.clock.sleep(_LAST_SECONDS)
            if pair.wrapper:
                self.stopped = (WRAPPER_UNIT,)
                self.around.units.stop(WRAPPER_UNIT)

    def close(self) -> None:
        """Lead new requests to the units again, stop the second gateway when it has answered what
        it has begun, and take its files away.
        """
        if self._transaction is None:
            return
        transaction, self._transaction, self.pair = self._transaction, None, None
        if self.around.live(self.root) and not self._stop():
            return  # its journal stays open: the next run tries again
        transaction.undo(_whatever_it_is)
        transaction.close()
        if self.around.live(self.root):
            with suppress(ServiceFailed):
                self.around.units.daemon_reload()

    def _stop(self) -> bool:
        """Whether it has ended."""
        units, redirect = self.around.units, self.around.redirect
        try:
            if redirect.present():
                redirect.empty()
                self.around.readiness.clock.sleep(_LAST_SECONDS)
            self.redirected = False
            # The wrapper first: what it has begun it asks of the other.
            for name in reversed(SECOND_UNITS.values()):
                if units.unit(name).present:
                    units.stop(name)
            redirect.remove()
        except ServiceFailed as failure:
            self.progress.say(
                f"The second gateway could not be stopped: {failure} 'hx-gateway-db recover' tries"
                " again."
            )
            return False
        return True

    def _start(self, service: Service, pair: Pair) -> None:
        readiness = self.around.readiness
        wrapper = pair.wrapper or WRAPPER
        second = partial(readiness.health, litellm=pair.litellm, wrapper=wrapper)
        readiness = replace(readiness, health=second)
        readiness.wait_until_ready(self.around.units.restart(service.unit), self.progress)


def asked_directly(outside: Outside) -> Outside:
    """The same, asking the units from where nobody is led elsewhere."""
    litellm, wrapper = (replace(service, source=SOURCE) for service in (LITELLM, WRAPPER))
    health = partial(outside.readiness.health, litellm=litellm, wrapper=wrapper)
    prove = partial(outside.prove, litellm=litellm, wrapper=wrapper)
    return replace(outside, readiness=replace(outside.readiness, health=health), prove=prove)


def second_left(root: Path) -> Transaction | None:
    """What an interrupted run has left of a second gateway. Raises NotRolledBack."""
    left = interrupted(root, SECOND_JOURNAL)
    return left.transaction if left else None


def _whatever_it_is(change: FileChange, now: FileImage) -> FileImage | None:
    """Nobody else has a part in a file that is staged."""
    return change.before


def _config(host: Host, changes: tuple[FileChange, ...]) -> bytes:
    path = host.layout.config_yaml
    planned = next((change.after for change in changes if change.path == path), host.files[path])
    return planned.content if planned else b""
