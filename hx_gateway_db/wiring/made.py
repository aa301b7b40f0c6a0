"""What was made on this machine's own servers: remembered from the moment it is made.

Whatever fails afterwards, a later run may use it again, and a purge offers to take it away.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hx_gateway_db.host.host import Host
from hx_gateway_db.host.state import State, dump
from hx_gateway_db.layout import STATE_FILE
from hx_gateway_db.transaction.changes import Changes, FileChange
from hx_gateway_db.transaction.snapshot import FileImage, Metadata
from hx_gateway_db.transaction.transaction import Transaction
from hx_gateway_db.wiring.interruption import held_back
from hx_gateway_db.wiring.take_back import take_back


@dataclass(frozen=True)
class Made:
    """What was made, as the state file remembers it.

    `port` is the database's. `redis_user` is a name and its server's port; `redis_unit` is the unit
    of a Redis that forgets it when it ends.
    """

    database: str = ""
    port: str = ""
    redis_user: str = ""
    redis_unit: str = ""


Remember = Callable[[Made], None]


def written(root: Path, changes: Changes) -> None:
    """Change files, all or none, beside no run; they are on disk when this returns."""
    with held_back():
        transaction = Transaction.begin(root, changes)
        try:
            transaction.write()
        except BaseException:
            transaction.undo(take_back)
            transaction.close()
            raise
        transaction.close()


class Memory:
    """The state file of `host`, which is then the host with all that it remembers."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def keep(self, made: Made) -> None:
        """Remember `made` as well; it is on disk when this returns. Raises Refused.

        Not the unit of a Redis: its drop-in comes with the wiring.
        """
        state = self.host.state or State(gateway_env=self.host.layout.gateway_env)
        after = replace(
            state,
            local_database=made.database or state.local_database,
            local_port=made.port or state.local_port,
            redis_user=made.redis_user or state.redis_user,
        )
        if made != Made():
            self.remember(after)

    def remember(self, after: State) -> None:
        """Have the state file say this; it is on disk when this returns. Raises Refused."""
        if after == self.host.state:
            return
        image = FileImage(dump(after).encode(), Metadata(os.geteuid(), os.getegid(), 0o600))
        change = FileChange(STATE_FILE, self.host.files[STATE_FILE], image)
        written(self.host.layout.root, Changes((change,)))
        files = {**self.host.files, STATE_FILE: image}
        self.host = replace(self.host, files=files, state=after)
