"""What sits on a port where no Redis answered as it should.

Nothing that is secret is said: not even a login.
"""

import socket
import ssl
from contextlib import suppress

from hx_gateway_db.findings import Finding
from hx_gateway_db.redis import sentences
from hx_gateway_db.redis.line import opened, time_left
from hx_gateway_db.redis.sentences import Stranger
from hx_gateway_db.redis.tls_sentences import wants_certificate
from hx_gateway_db.settings.values import Redis

_LOOK_SECONDS = 0.7
_NEEDS_A_LOOK = ("redis.port", "redis.tls", "redis.server")
# The request for TLS that PostgreSQL answers with one letter (its manual, 55.2.10).
_POSTGRESQL_TLS = bytes.fromhex("0000000804d2162f")


def with_a_look(redis: Redis, failure: Finding, deadline: float) -> Finding:
    """`failure`, or what is wrong when something else than that Redis sits on the port.

    Looks until `deadline` (time.monotonic()) at most.
    """
    if failure.name not in _NEEDS_A_LOOK:
        return failure
    try:
        # Redis refuses it as a wrong PING, and a web server as a wrong method.
        first_words = _say(redis, deadline, b"PING / HTTP/1.0\r\n\r\n")
        who = sentences.stranger(first_words)
        if who is Stranger.SILENCE:
            who = _who_is_silent(redis, deadline)
    except OSError:
        return failure
    return sentences.explain_stranger(redis, who, first_words) or failure


def _who_is_silent(redis: Redis, deadline: float) -> Stranger:
    if _say(redis, deadline, _POSTGRESQL_TLS) in (b"S", b"N"):
        return Stranger.POSTGRESQL
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with _opened(redis, deadline) as plain, anybody.wrap_socket(plain) as encrypted:
        return _after_the_handshake(encrypted)


def _after_the_handshake(encrypted: ssl.SSLSocket) -> Stranger:
    # In TLS 1.3 a refusal comes only now, and who writes before it has come may miss it.
    try:
        encrypted.recv(1)
    except TimeoutError:
        return Stranger.TLS
    except ssl.SSLError as error:
        if wants_certificate(error):
            return Stranger.TLS_WITH_CERTIFICATES
    return Stranger.TLS


def _say(redis: Redis, deadline: float, words: bytes) -> bytes:
    """What is answered to `words` in the clear; nothing when the answer is to close."""
    with _opened(redis, deadline) as plain, suppress(ConnectionError, TimeoutError):
        plain.sendall(words)
        return plain.recv(64)
    return b""


def _opened(redis: Redis, deadline: float) -> socket.socket:
    line = opened(redis.host, redis.port, deadline, _LOOK_SECONDS)
    line.settimeout(time_left(deadline, _LOOK_SECONDS))
    return line
