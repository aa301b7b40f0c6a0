"""What we left on the host, so that a later edit by an administrator can be told from our own.

Only salted digests are kept: whoever reads them learns no value, nor which two values are equal.
Those of lines are such as purge can make, which has nothing but sha256sum(1).
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Left:
    """The digests, by key; with no salt nothing is known, and nothing counts as edited.

    `lines` are those of the lines of gateway.env that are ours only as long as they are as we wrote
    them.
    """

    salt: str = ""
    digests: tuple[tuple[str, str], ...] = ()
    lines: tuple[tuple[str, str], ...] = ()

    def edited(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The keys of `values` that do not read as we left them."""
        digests = dict(self.digests)
        return tuple(
            key
            for key, value in values.items()
            if self.salt and digests.get(key) != self._digest(key, value)
        )

    def has(self, key: str, value: str) -> bool:
        """Whether `value` is known to be what we left."""
        return bool(self.salt) and dict(self.digests).get(key) == self._digest(key, value)

    def after(self, present: Mapping[str, str], left: Mapping[str, str]) -> "Left":
        """What is left by a run that finds the values `present` and leaves `left`.

        A value that it finds and leaves was not written by it: if it was edited, it stays so.
        """
        if present == left:
            return self
        known = Left(self.salt or secrets.token_hex(16))
        digests = dict(self.digests)
        for key, value in left.items():
            if present.get(key) != value or not self.salt:
                digests[key] = known._digest(key, value)
        kept = tuple((key, digests[key]) for key in left if key in digests)
        return Left(known.salt, kept, self.lines)

    def with_lines(self, values: Mapping[str, str]) -> "Left":
        """The same with these lines as the ones that are ours; none where there is no salt."""
        if not self.salt:
            return self
        lines = tuple((key, self._line_digest(key, value)) for key, value in values.items())
        return replace(self, lines=lines)

    def has_line(self, key: str, value: str) -> bool:
        """Whether the line is ours and as we wrote it."""
        return dict(self.lines).get(key) == self._line_digest(key, value)

    def _line_digest(self, key: str, value: str) -> str:
        return hashlib.sha256(f"{self.salt}{key}={value}".encode()).hexdigest()

    def _digest(self, key: str, value: str) -> str:
        text = f"{key}={value}".encode()
        return hashlib.blake2b(text, digest_size=16, key=self.salt.encode()).hexdigest()
