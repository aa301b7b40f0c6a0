"""A file as it has to be, given what it is and what an administrator has edited in it.

Ours is three-way: what we left, what stands there now, what is wanted. An edited value stays for
as long as what we want has not changed; where that has, ours is written, and it is said.
"""

from dataclasses import dataclass

from hx_gateway_db.transaction.changes import FileChange


@dataclass(frozen=True)
class Edit:
    """The change of one file, and what there is to say about values edited in it."""

    change: FileChange
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> list[str]:
        return [f"{self.change.path}: {note}" for note in self.notes]
