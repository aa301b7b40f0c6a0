"""SCRAM-SHA-256 (RFC 5802, 7677): a password proven, and a server's proof that it knows it too.

Done here and not by libpq, which takes a login for done without the server's proof, and counts as
many iterations as a server names.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata

PLAIN, BOUND = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
_ITERATIONS = 4096
# Some seconds; PostgreSQL's own number is 4096, and people who raise it stay below a million.
_MOST_ITERATIONS = 2_000_000
_SALT_BYTES = 16
_SERVER_FIRST = re.compile(r"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=([0-9]{1,10})")


class Unproven(Exception):
    """The server does not prove that it knows the password."""


class NotScram(Exception):
    """The server says what is not SCRAM."""


class TooMuchWork(Exception):
    """The server asks for more iterations than anybody should count."""


class Conversation:
    """The client's side of one login.

    `end_point` is what the TLS connection is bound to, empty if it can't be; `bound` is whether
    the server offers to look at it.
    """

    def __init__(self, password: str, end_point: bytes, *, bound: bool) -> None:
        self.mechanism = BOUND if end_point and bound else PLAIN
        # "y" tells a server that offers it that somebody in between has taken the offer away.
        unbound = b"y,," if end_point else b"n,,"
        self._header = b"p=tls-server-end-point,," if self.mechanism == BOUND else unbound
        self._bound_to = end_point if self.mechanism == BOUND else b""
        self._password = password
        self._nonce = secrets.token_urlsafe(18)
        self._signature = b""

    def first(self) -> bytes:
        """What the client says first. PostgreSQL takes the user from the startup message."""
        return self._header + self._bare()

    def proof(self, server_first: bytes) -> bytes:
        """The answer to the server's first message. Raises NotScram, TooMuchWork."""
        try:
            found = _SERVER_FIRST.fullmatch(server_first.decode())
            salt = base64.b64decode(found[2], validate=True) if found else b""
        except ValueError:
            raise NotScram from None
        if not found or not salt or not found[1].startswith(self._nonce):
            raise NotScram
        if found[1] == self._nonce or int(found[3]) < 1:
            raise NotScram
        if int(found[3]) > _MOST_ITERATIONS:
            raise TooMuchWork
        channel = base64.b64encode(self._header + self._bound_to)
        without_proof = b"c=" + channel + b",r=" + found[1].encode()
        salted = _salted(self._password, salt, int(found[3]))
        said = b",".join((self._bare(), server_first, without_proof))
        key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(key).digest(), said)
        self._signature = _hmac(_hmac(salted, b"Server Key"), said)
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        return without_proof + b",p=" + base64.b64encode(proof)

    def check(self, server_final: bytes) -> None:
        """Raise Unproven unless this is the server's proof."""
        try:
            given = base64.b64decode(server_final.removeprefix(b"v="), validate=True)
        except binascii.Error:
            raise Unproven from None
        if not self._signature or not hmac.compare_digest(given, self._signature):
            raise Unproven

    def _bare(self) -> bytes:
        return b"n=,r=" + self._nonce.encode()


def verifier(password: str) -> str:
    """What PostgreSQL 10 and later keep of a password, and check it against."""
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = _salted(password, salt, _ITERATIONS)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    parts = (base64.b64encode(one).decode() for one in (salt, stored, _hmac(salted, b"Server Key")))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *parts)


# Signature algorithms by their object identifiers in DER, and the hash that RFC 5929 (4.1) has a
# connection bound by. Of others, a connection is not bound.
_HASHES = {
    bytes.fromhex("2a864886f70d010104"): "sha256",  # md5WithRSAEncryption
    bytes.fromhex("2a864886f70d010105"): "sha256",  # sha1WithRSAEncryption
    bytes.fromhex("2a864886f70d01010b"): "sha256",
    bytes.fromhex("2a864886f70d01010c"): "sha384",
    bytes.fromhex("2a864886f70d01010d"): "sha512",
    bytes.fromhex("2a8648ce3d0401"): "sha256",  # ecdsa-with-SHA1
    bytes.fromhex("2a8648ce3d040302"): "sha256",
    bytes.fromhex("2a8648ce3d040303"): "sha384",
    bytes.fromhex("2a8648ce3d040304"): "sha512",
}


def end_point(certificate: bytes) -> bytes:
    """What tls-server-end-point binds to a server's certificate (DER); empty if it is not known."""
    try:
        _, inside, _ = _element(certificate, 0)  # Certificate
        _, _, after = _element(certificate, inside)  # its tbsCertificate
        _, inside, _ = _element(certificate, after)  # its signatureAlgorithm
        _, begins, ends = _element(certificate, inside)
        name = _HASHES[certificate[begins:ends]]
    except LookupError:
        return b""
    return hashlib.new(name, certificate).digest()


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """The tag of the DER element at `at`, and where its content begins and ends."""
    tag, length, begins = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, begins = int.from_bytes(data[begins : begins + size], "big"), begins + size
    return tag, begins, begins + length


def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, iterations)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def prepared(password: str) -> str:
    """The password by SASLprep (RFC 4013), or as it is where that has no answer, as PostgreSQL's.

    (src/common/saslprep.c)
    """
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(one) else one
        for one in password
        if stringprep.in_table_c12(one) or not stringprep.in_table_b1(one)
    )
    # Looked at before it is normalized: so does PostgreSQL, and its verifiers are made so.
    if not mapped or any(map(_prohibited, mapped)):
        return password
    if any(map(stringprep.in_table_d1, mapped)):
        both_ends = all(map(stringprep.in_table_d1, (mapped[0], mapped[-1])))
        if not both_ends or any(map(stringprep.in_table_d2, mapped)):
            return password
    return unicodedata.normalize("NFKC", mapped)


_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def _prohibited(character: str) -> bool:
    return any(table(character) for table in _PROHIBITED)
