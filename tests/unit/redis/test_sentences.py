"""What redis-py raises, in either of its versions' words, to findings."""

import errno
import socket
import ssl

import pytest
from redis import exceptions

from hx_gateway_db.findings import Cure, Level
from hx_gateway_db.redis import sentences
from hx_gateway_db.redis.place import place
from hx_gateway_db.redis.sentences import Stranger, explain, explain_stranger, stranger
from hx_gateway_db.settings.values import Redis

REDIS = Redis("r1", user="hx", password="geheim")
TLS = Redis("r1", tls=True, ca_file="/etc/ca.pem")


def raised_from(cause: Exception, message: str = "Error connecting") -> Exception:
    """As redis-py wraps what the network said."""
    error: Exception = exceptions.ConnectionError(message)
    error.__context__ = cause
    return error


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "words of OpenSSL"
    return error


@pytest.mark.parametrize(
    ("error", "name", "part"),
    [
        (raised_from(socket.gaierror(-2, "x")), "name", "host name r1 does not resolve"),
        (raised_from(ConnectionRefusedError(errno.ECONNREFUSED, "x")), "port", "refuses conn"),
        (raised_from(OSError(errno.EHOSTUNREACH, "x")), "port", "no route to Redis at r1:6379"),
        (raised_from(TimeoutError("x")), "port", "does not answer in time"),
        (exceptions.TimeoutError("Timeout reading"), "port", "does not answer in time"),
        (raised_from(ConnectionResetError(errno.ECONNRESET, "x")), "port", "closes the connection"),
        (exceptions.AuthenticationError("Authentication required."), "login", "for a password"),
        (exceptions.ResponseError("WRONGPASS invalid username"), "login", "login of the user hx"),
        (exceptions.AuthenticationError("invalid username"), "login", "login of the user hx"),
        (exceptions.BusyLoadingError("Redis is loading"), "server", "still loading its data"),
        (exceptions.ReadOnlyError("You can't write"), "role", "is a replica"),
        (
            exceptions.ResponseError("OOM command not allowed when used memory > 'x'"),
            "write",
            "full",
        ),
        (exceptions.ResponseError("MISCONF unable to persist to disk"), "write", "save its data"),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file: x"), "write", "save"),
        (exceptions.ResponseError("MOVED 3999 127.0.0.1:6381"), "server", "node of a cluster"),
        (exceptions.InvalidResponse("Protocol Error"), "server", "not answer as a Redis does"),
    ],
)
def test_an_error_is_explained_in_our_words(error: Exception, name: str, part: str) -> None:
    found = explain(REDIS, error)
    assert (found.name, found.level) == (f"redis.{name}", Level.FAILED)
    assert part in found.what
    assert found.cure
    assert "geheim" not in found.sentence


@pytest.mark.parametrize(
    ("code", "part"),
    [
        (10, "has expired"),
        (9, "not valid yet"),
        (62, "for another name than r1"),
        (64, "for another name than r1"),
        (19, "the authority in /etc/ca.pem has not signed"),
        (20, "the authority in /etc/ca.pem has not signed"),
        (92, "is not made by the rules [it says: words of OpenSSL]"),
        (24, "is not accepted [it says: words of OpenSSL]"),
    ],
)
def test_a_certificate_is_explained(code: int, part: str) -> None:
    found = explain(TLS, raised_from(certificate_error(code)))
    assert found.name == "redis.tls"
    assert part in found.what


def test_without_a_file_an_unknown_authority_is_unknown_to_the_system() -> None:
    found = explain(Redis("r1", tls=True), raised_from(certificate_error(20)))
    assert "an authority that this system does not know" in found.what
    assert "REDIS_CACERT" in found.cure


def test_an_unknown_error_is_our_sentence_with_the_server_s_first_line_and_no_secret() -> None:
    error = exceptions.ResponseError("ERR odd\x1b[31m geheim thing\nsecond line")
    found = explain(REDIS, error)
    assert found.what.startswith("Redis at r1:6379 can't be used [it says: ERR odd")
    assert "geheim" not in found.what and "\x1b" not in found.what
    assert "second line" not in found.what


def test_an_administrator_s_login_is_called_by_its_own_answers() -> None:
    error = exceptions.AuthenticationError("invalid username-password pair")
    found = explain(REDIS, error, "REDIS_ADMIN_USER and REDIS_ADMIN_PASS")
    assert found.cure == "check REDIS_ADMIN_USER and REDIS_ADMIN_PASS"
    assert found.by is Cure.REDIS_ADMINISTRATOR


def test_an_ipv6_address_has_brackets() -> None:
    assert place(Redis("2001:db8::1")) == "Redis at [2001:db8::1]:6379"


@pytest.mark.parametrize(
    ("words", "who"),
    [
        (b"-NOAUTH Authentication required", Stranger.PLAIN_REDIS),
        (b"+PONG", Stranger.PLAIN_REDIS),
        (b"HTTP/1.1 400", Stranger.WEB_SERVER),
        (b"<!DOCTYPE", Stranger.WEB_SERVER),
        (b"SSH-2.0-x", Stranger.SSH),
        (b"J\x00\x00\x00\n8.0", Stranger.OTHER),
        (b"", Stranger.SILENCE),
    ],
)
def test_who_is_there_is_known_by_the_first_words(words: bytes, who: Stranger) -> None:
    assert stranger(words) is who


def test_a_redis_that_speaks_as_it_was_asked_to_explains_nothing() -> None:
    assert explain_stranger(REDIS, Stranger.PLAIN_REDIS, b"-ERR wrong number") is None
    assert explain_stranger(TLS, Stranger.TLS, b"") is None
    assert explain_stranger(REDIS, Stranger.SILENCE, b"") is None


def test_what_redis_py_overlooked_is_explained() -> None:
    said = b"-DENIED Redis is running in protected mode because"
    found = explain_stranger(REDIS, Stranger.PLAIN_REDIS, said)
    assert found is not None
    assert "is in protected mode" in found.what


def test_a_row_names_nothing_that_is_not_known() -> None:
    rows = (*sentences._NETWORK, *sentences._ANSWERS)
    names = sentences._names(REDIS)
    assert not any("{" in row.finding("there", names).sentence for _, row in rows)
