"""The command line, for the Makefile and debian/make-install: `python3 -m repository --help`."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

from repository import archive, keyring, signing
from repository.errors import Refused
from repository.signing import Signers
from repository.sources import NAME, SUITES, sources, suite_of

# Who keeps a host from newer versions by handing it an old state can do so for no longer.
VALID = timedelta(days=30)
TRIED_AT = "http://localhost:8000"
_URI = re.compile(r"https?://[A-Za-z0-9.:@_~%/\[\]-]+")


def publish(folder: Path, deb: Path, names: list[str], uri: str) -> None:
    """Make or renew the repository that is served at `uri`. Raises Refused."""
    told = keyring.told(folder)
    uri = uri.rstrip("/") or (told.uri if told else TRIED_AT)
    if not _URI.fullmatch(uri):
        raise Refused(
            f"URL={uri} is no address that hosts can use: write where the folder is published, as"
            " in URL=https://packages.example.org/hx-gateway-db."
        )
    moment = _moment()
    with nullcontext(signing.chosen(names)) if names else signing.throwaway() as signers:
        if told and told.fingerprints and told.fingerprints.isdisjoint(signers.fingerprints):
            known = " or ".join(sorted(told.fingerprints))
            raise Refused(
                f"Hosts know this repository by the key {known}: sign with that too, as in"
                f" KEY={known.partition(' ')[0]}{''.join(f',{name}' for name in names)}, or they"
                " can't follow. Where the key was lost or stolen, remove"
                f" {archive.pool(folder, archive.KEYRING)} first (docs/repository.md)."
            )
        archive.add(folder, deb)
        for suite in SUITES:
            keyring.publish(folder, suite, uri, signers.public(), moment)
        _index(folder, signers, moment, VALID)
    end = moment + VALID
    print(
        f"{folder} is ready for a web server. Its Releases are good until {end:%d %B %Y}: run this"
        " again before, with a new version or without."
    )
    if signers.expiry and signers.expiry < end:
        print(
            f"A key ends on {signers.expiry:%d %B %Y}, which is before: make it good for longer, or"
            " roll it over (docs/repository.md)."
        )
    if not names:
        print(
            "Signed with a throwaway key, which is gone by now: good for a try, not to publish."
            " KEY=FINGERPRINT signs with yours."
        )
    if uri == TRIED_AT:
        print(
            f"Hosts are told that it is at {TRIED_AT}, where"
            f" 'python3 -m http.server --directory {folder}' serves it."
            " URL=https://... says where you publish it."
        )


def local(folder: Path, deb: Path) -> None:
    """Make a repository for this host's own apt alone, anew each time. Raises Refused.

    No one is on the way between the two, so it is good for ever, and signed with a key of its own.
    """
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    with signing.throwaway() as signers:
        archive.add(new, deb)
        _index(new, signers, _moment(), None)
        suite = suite_of(Path("/etc/os-release").read_text(errors="replace"))
        text = sources(suite, f"file:{folder}", signers.public_as_text())
        (new / f"{NAME}.sources").write_text(text)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _index(folder: Path, signers: Signers, moment: datetime, valid: timedelta | None) -> None:
    for suite in SUITES:
        archive.index(folder, suite)
        archive.release(folder, suite, signers, moment, valid)


def _moment() -> datetime:
    """Now, or what SOURCE_DATE_EPOCH says instead (reproducible-builds.org)."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(int(epoch), UTC)
    return datetime.now(UTC).replace(microsecond=0)


def main() -> int:
    """Do what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m repository", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in (("publish", publish), ("local", local)):
        command = commands.add_parser(name, help=(function.__doc__ or "").partition(".")[0])
        command.add_argument("folder", type=Path, help="the repository's folder")
        command.add_argument("deb", type=Path, help="the package file to put into it")
        if function is publish:
            command.add_argument(
                "--keys", default="", help="which of GnuPG's secret keys sign, between commas"
            )
            command.add_argument("--url", default="", help="where the folder is published")
    given = parser.parse_args()
    os.umask(0o022)
    try:
        if given.command == "local":
            local(given.folder.absolute(), given.deb)
        else:
            names = [name.strip() for name in given.keys.split(",") if name.strip()]
            publish(given.folder, given.deb, names, given.url)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
