"""What a host's apt is told."""

from pathlib import Path

import pytest

from repository.sources import SUITES, sources, suite_of

KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n"


def test_a_key_in_a_file_is_trusted_for_this_repository_only() -> None:
    text = sources(SUITES[0], "https://x.example.org/y", Path("/usr/share/keyrings/k.gpg"))
    assert text == (
        "Types: deb\nURIs: https://x.example.org/y\nSuites: bookworm\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/k.gpg\n"
    )


def test_a_key_as_text_is_a_field_of_several_lines() -> None:
    assert sources(SUITES[0], "file:/x", KEY).endswith(
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDME\n"
        " -----END PGP PUBLIC KEY BLOCK-----\n"
    )


@pytest.mark.parametrize(
    ("os_release", "suite"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\n", "bookworm"),
        ("VERSION_CODENAME=trixie\n", "trixie"),
        ("ID=ubuntu\nVERSION_CODENAME=noble\nDEBIAN_CODENAME=x\n", "trixie"),
        ("", "trixie"),
    ],
)
def test_a_host_has_the_suite_of_its_release_or_the_newest(os_release: str, suite: str) -> None:
    assert suite_of(os_release).codename == suite
