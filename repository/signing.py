"""The keys that sign, in the GnuPG home where they are and stay.

Only public keys are ever exported. What is asked of a key is what every apt of the suites takes:
sqv, which verifies on Debian 13, has believed no SHA-1 since 2026-02-01.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from repository.errors import Refused
from repository.programs import run

# RFC 4880, section 9.1 and 9.4; RFC 9580, section 9.1. As gpg's --with-colons shows them
# (doc/DETAILS in its sources).
_RSA = "1"
_EDDSA = "22"
_LEAST_RSA_BITS = 3072
_WEAK_DIGESTS = {"1", "2", "3"}
_THROWAWAY = "hx-gateway-db, a throwaway key"
_MAKE_ONE = "'gpg --quick-generate-key NAME ed25519 sign 2y' makes a fitting one"


@dataclass(frozen=True)
class Signers:
    """Keys that sign together: their fingerprints, the first day on which one of them ends."""

    fingerprints: tuple[str, ...]
    expiry: datetime | None = None
    home: Path | None = None

    def public(self) -> bytes:
        """The public keys, as few bytes as do, in OpenPGP's binary form."""
        options = ["--export", "--export-options=export-minimal"]
        return run([*self._gpg(), *options, *self.fingerprints])

    def public_as_text(self) -> str:
        """As `public`, in ASCII armor."""
        options = ["--armor", "--export", "--export-options=export-minimal"]
        return run([*self._gpg(), *options, *self.fingerprints]).decode("ascii")

    def sign(self, release: Path, inline: Path, detached: Path) -> None:
        """Sign the file `release`: with its text into `inline`, without it into `detached`."""
        users = [f"--local-user={fingerprint}" for fingerprint in self.fingerprints]
        sign = [*self._gpg(), "--yes", "--digest-algo=SHA512", *users]
        run([*sign, f"--output={inline}", "--clear-sign", release])
        run([*sign, f"--output={detached}", "--armor", "--detach-sign", release])

    def _gpg(self) -> list[str]:
        return _gpg(self.home)


def chosen(names: Sequence[str]) -> Signers:
    """The secret keys of these names, which are GnuPG's user IDs. Raises Refused."""
    found = [_chosen(name) for name in names]
    ends = [expiry for _, expiry in found if expiry]
    signers = Signers(tuple(fingerprint for fingerprint, _ in found), min(ends, default=None))
    _refuse_weak_digests(signers)
    return signers


@contextmanager
def throwaway() -> Iterator[Signers]:
    """A key in a GnuPG home of its own, both gone when this ends."""
    with tempfile.TemporaryDirectory(prefix="hx-gnupg-") as folder:
        home = Path(folder)
        make = ["--passphrase=", "--quick-generate-key", _THROWAWAY, "ed25519", "sign", "never"]
        try:
            run([*_gpg(home), *make])
            listed = _records([*_gpg(home), "--list-secret-keys"])
            yield Signers((next(fields[9] for fields in listed if fields[0] == "fpr"),), home=home)
        finally:
            run(["gpgconf", f"--homedir={home}", "--kill", "all"])


def lasting_keys(exported: Path) -> frozenset[str]:
    """The fingerprints of the keys in a file that are no throwaway ones. Raises Refused."""
    with tempfile.TemporaryDirectory(prefix="hx-gnupg-") as home:
        listed = _records([*_gpg(Path(home)), "--show-keys", exported])
    found, fingerprint = set(), ""
    for fields in listed:
        if fields[0] == "fpr":
            fingerprint = fingerprint or fields[9]
        elif fields[0] == "pub":
            fingerprint = ""
        elif fields[0] == "uid" and fields[9] != _THROWAWAY:
            found.add(fingerprint)
    return frozenset(found)


def _chosen(name: str) -> tuple[str, datetime | None]:
    """The fingerprint of the one key of this name, and when it ends."""
    try:
        listed = _records([*_gpg(None), "--list-secret-keys", "--", name])
    except Refused as refused:
        # gpg's own sentence names neither the home that it looked into nor what would help.
        home = os.environ.get("GNUPGHOME", "~/.gnupg")
        raise Refused(
            f"KEY={name} is no secret key in {home} ('gpg --list-secret-keys' lists those):"
            f" {_MAKE_ONE}.\n{refused}"
        ) from None
    keys = [fields for fields in listed if fields[0] == "sec"]
    if len(keys) > 1:
        raise Refused(f"KEY={name} is {len(keys)} secret keys: name one by its fingerprint.")
    key = keys[0]
    fingerprint = next(fields[9] for fields in listed if fields[0] == "fpr")
    if "S" not in key[11]:
        why = {"e": "has expired", "r": "was revoked", "d": "is disabled"}.get(key[1], "can't sign")
        raise Refused(
            f"KEY={name} {why} ('gpg --list-keys {fingerprint}' shows it):"
            f" 'gpg --quick-set-expire {fingerprint} 2y' makes an expired one good again;"
            f" otherwise, {_MAKE_ONE}."
        )
    for fields in listed:
        if fields[0] in ("sec", "ssb") and "s" in fields[11] and not _fitting(fields):
            raise Refused(
                f"KEY={name} is neither Ed25519 nor RSA with {_LEAST_RSA_BITS} bits and more,"
                f" which are what every apt takes: {_MAKE_ONE}."
            )
    return fingerprint, datetime.fromtimestamp(int(key[6]), UTC) if key[6] else None


def _fitting(fields: Sequence[str]) -> bool:
    return fields[3] == _EDDSA or (fields[3] == _RSA and int(fields[2]) >= _LEAST_RSA_BITS)


def _refuse_weak_digests(signers: Signers) -> None:
    """Look at the signatures by which the keys that are exported vouch for themselves."""
    with tempfile.TemporaryDirectory(prefix="hx-gnupg-") as folder:
        exported = Path(folder) / "exported.gpg"
        exported.write_bytes(signers.public())
        only = ["--no-default-keyring", f"--keyring={exported}"]
        for fields in _records([*_gpg(Path(folder)), *only, "--list-sigs"]):
            if fields[0] == "sig" and fields[15] in _WEAK_DIGESTS:
                key = next(name for name in signers.fingerprints if name.endswith(fields[4]))
                raise Refused(
                    f"The key {key} vouches for itself with MD5 or SHA-1, which Debian 13 does not"
                    f' believe: "gpg --quick-set-expire {key} 2y && gpg --quick-set-expire {key}'
                    " 2y '*'\" signs it anew."
                )


def _records(command: Sequence[str | Path]) -> list[list[str]]:
    """gpg's answer in its form for programs: records of fields."""
    answer = run([command[0], "--with-colons", *command[1:]]).decode(errors="replace")
    return [line.split(":") for line in answer.splitlines()]


def _gpg(home: Path | None) -> list[str]:
    command = ["gpg", "--batch", "--quiet"]
    if home is not None:
        command.append(f"--homedir={home}")
    # reproducible-builds.org/specs/source-date-epoch: signatures, too, are as if made then.
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        command.append(f"--faked-system-time={epoch}!")
    return command
