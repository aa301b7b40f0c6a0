"""SCRAM-SHA-256, beside libpq's own; the conversation is in test_postgres_authentication.py."""

import base64
import hashlib
import hmac
import ssl
from pathlib import Path

import pytest
from psycopg import pq

from hx_gateway_db.postgres.scram import Conversation, NotScram, end_point, prepared, verifier

ODD = (
    "word",
    " ",
    "é",
    "e\u0301",
    "\ufb01x",
    "\uff8a\uff9f",
    "a\u00adb",
    "a\u00a0b",
    "\u200bx",
    "x\u0007\u00e9",
    "\u06271",
    "1\u0627",
    "\u06271\u0627",
    "\u0627a",
    "\U0001f600",
    "\u1680",
    "\u2168",
    "\ufffd",
    "\u0221",
    "\u00ad",
    "\u2000\u00e9",
    "\u00df\u0340",
    "\u03f9",
    "\u1d2c",
)


@pytest.mark.parametrize("password", ODD, ids=ascii)
def test_a_password_is_prepared_as_libpq_prepares_it(password: str) -> None:
    pgconn = pq.PGconn.connect_start(b"host=/nonexistent")
    made = pgconn.encrypt_password(password.encode(), b"hx", b"scram-sha-256").decode()
    pgconn.finish()
    iterations, salt = made.split("$")[1].split(":")
    salted = hashlib.pbkdf2_hmac(
        "sha256", prepared(password).encode(), base64.b64decode(salt), int(iterations)
    )
    assert made.endswith(base64.b64encode(_hmac(salted, b"Server Key")).decode())


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def test_a_verifier_is_what_a_server_keeps_and_never_the_same() -> None:
    made = verifier("word")
    assert made.startswith("SCRAM-SHA-256$4096:") and made != verifier("word")
    assert len(base64.b64decode(made.split("$")[1].split(":")[1])) == 16
    assert [len(base64.b64decode(key)) for key in made.split("$")[2].split(":")] == [32, 32]
    assert "word" not in made


def test_a_nonce_that_is_not_ours_is_refused() -> None:
    scram = Conversation("word", b"", bound=False)
    own = scram.first().split(b"r=")[1]
    for nonce in (b"another", own, own[:-1] + b"!more", b""):
        with pytest.raises(NotScram):
            scram.proof(b"r=" + nonce + b",s=c2FsdA==,i=1")


@pytest.mark.parametrize(
    "first", [b"", b"\xff", b"r=,s=,i=", b"m=x,r=%s,s=c2FsdA==,i=1", b"r=%sx,s=x,i=1"]
)
def test_what_is_no_answer_is_refused(first: bytes) -> None:
    scram = Conversation("word", b"", bound=False)
    own = scram.first().split(b"r=")[1]
    with pytest.raises(NotScram):
        scram.proof(first.replace(b"%s", own))


def test_a_binding_is_the_hash_that_the_certificate_was_signed_with(certificate: Path) -> None:
    text = certificate.read_text()
    der = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])
    assert end_point(der) == hashlib.sha256(der).digest()


@pytest.mark.parametrize("nonsense", [b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x00" * 9])
def test_a_certificate_that_is_none_binds_nothing(nonsense: bytes) -> None:
    assert end_point(nonsense) == b""
