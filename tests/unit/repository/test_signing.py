"""Which keys may sign, and that they stay where they are."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from repository import signing
from repository.errors import Refused
from tests.package.published import Publisher


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa3072"])
def test_a_fitting_key_signs_and_gpgv_believes_it(
    publisher: Publisher, tmp_path: Path, algorithm: str
) -> None:
    fingerprint = publisher.make_key("mine", algorithm)
    signers = signing.chosen(["mine"])
    assert signers.fingerprints == (fingerprint,)
    release, inline, detached, key = (tmp_path / name for name in "abcd")
    release.write_text("Origin: us\n- with a dash\n")
    signers.sign(release, inline, detached)
    key.write_bytes(signers.public())
    for files in ([inline], [detached, release]):
        done = subprocess.run(["gpgv", "--keyring", key, *files], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n" in inline.read_bytes()


def test_only_public_keys_are_exported(publisher: Publisher, tmp_path: Path) -> None:
    publisher.make_key("mine")
    signers = signing.chosen(["mine"])
    exported = tmp_path / "exported"
    for data in (signers.public(), signers.public_as_text().encode()):
        exported.write_bytes(data)
        packets = publisher.gpg("--list-packets", str(exported))
        assert ":public key packet:" in packets and "secret" not in packets


def test_several_keys_sign_together(publisher: Publisher) -> None:
    names = ["first", "second"]
    made = tuple(publisher.make_key(name) for name in names)
    assert signing.chosen(names).fingerprints == made


def test_the_end_of_the_key_that_ends_first_is_known(publisher: Publisher) -> None:
    made = [publisher.make_key(name) for name in ("first", "second", "third")]
    for fingerprint, days in zip(made, (40, 20), strict=False):
        publisher.gpg("--quick-set-expire", fingerprint, f"{days}d")
    expiry = signing.chosen(["first", "second", "third"]).expiry
    assert expiry
    assert abs(expiry - datetime.now(UTC) - timedelta(days=20)) < timedelta(hours=1)


def test_a_key_that_is_not_there_is_refused_with_what_makes_one(publisher: Publisher) -> None:
    with pytest.raises(Refused, match=f"KEY=mine is no secret key in {publisher.home}.* makes"):
        signing.chosen(["mine"])


def test_a_name_is_no_option_of_gpg(publisher: Publisher) -> None:
    with pytest.raises(Refused, match="KEY=--version is no secret key"):
        signing.chosen(["--version"])


def test_a_name_of_two_keys_is_refused(publisher: Publisher) -> None:
    publisher.make_key("mine one")
    publisher.make_key("mine two")
    with pytest.raises(Refused, match="KEY=mine is 2 secret keys"):
        signing.chosen(["mine"])


@pytest.mark.parametrize("algorithm", ["rsa2048", "dsa2048", "nistp256"])
def test_a_key_that_not_every_apt_takes_is_refused(publisher: Publisher, algorithm: str) -> None:
    publisher.make_key("mine", algorithm)
    with pytest.raises(Refused, match="neither Ed25519 nor RSA with 3072 bits"):
        signing.chosen(["mine"])


def test_an_expired_key_is_refused_and_the_cure_works(publisher: Publisher) -> None:
    fingerprint = publisher.make_key("mine")
    publisher.gpg("--faked-system-time=1700000000", "--quick-set-expire", fingerprint, "10d")
    cure = f"gpg --quick-set-expire {fingerprint} 2y"
    with pytest.raises(Refused, match=f"KEY=mine has expired .*'{cure}'"):
        signing.chosen(["mine"])
    publisher.gpg(*cure.split()[1:])
    assert signing.chosen(["mine"]).fingerprints == (fingerprint,)


def test_a_key_that_vouches_for_itself_with_sha_1_is_refused_and_the_cure_works(
    publisher: Publisher,
) -> None:
    fingerprint = publisher.make_key("mine", "rsa3072", "--cert-digest-algo=SHA1")
    cure = f"gpg --quick-set-expire {fingerprint} 2y"
    with pytest.raises(Refused, match=f"SHA-1.*{cure}"):
        signing.chosen(["mine"])
    publisher.gpg(*cure.split()[1:])
    assert signing.chosen(["mine"]).fingerprints == (fingerprint,)


def test_a_throwaway_key_leaves_nothing(publisher: Publisher, tmp_path: Path) -> None:
    with signing.throwaway() as signers:
        assert signers.home and signers.home.is_dir()
        exported = tmp_path / "exported"
        exported.write_bytes(signers.public())
    assert not signers.home.exists()
    assert signing.lasting_keys(exported) == frozenset()
    assert publisher.gpg("--list-keys") == ""


def test_a_lasting_key_is_told_from_a_throwaway_one(publisher: Publisher, tmp_path: Path) -> None:
    fingerprint = publisher.make_key("mine")
    exported = tmp_path / "exported"
    exported.write_bytes(signing.chosen(["mine"]).public())
    assert signing.lasting_keys(exported) == {fingerprint}
