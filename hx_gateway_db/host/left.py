"""What we left on the host, so that a later edit by an administrator can be told from our own.

Only salted digests are kept: whoever reads them learns no value, nor which two values are equal.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Left:
    """The digests, by key; with no salt nothing is known, and nothing counts as edited."""

    salt: str = ""
    digests: tuple[tuple[str, str], ...] = ()

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
        return Left(known.salt, tuple((key, digests[key]) for key in left if key in digests))

    def _digest(self, key: str, value: str) -> str:
        text = f"{key}={value}".encode()
        return hashlib.blake2b(text, digest_size=16, key=self.salt.encode()).hexdigest()
