"""What stops a connection before anybody logs in, in words.

The commonest are caused for real in tests/machine/test_postgres.py; these are the others.
"""

import errno

import pytest

from hx_gateway_db.postgres import sentences as errors
from hx_gateway_db.postgres.target import target_of
from hx_gateway_db.settings.values import Postgres

TARGET = target_of(Postgres("db1", "hx", "hx", "secret"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.EHOSTUNREACH, "No route to host"), "this host has no route there"),
        (PermissionError(errno.EPERM, "Operation not permitted"), "operation not permitted"),
        (TimeoutError(), "does not answer within 3 s"),
        (ConnectionRefusedError(), "refuses connections"),
    ],
)
def test_each_way_of_not_connecting_is_told_apart(error: OSError, sentence: str) -> None:
    assert sentence in errors.unconnected(TARGET, error, 3).sentence


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (9, "is not valid yet"),
        (10, "has expired"),
        (18, "is signed by nobody in the system's list"),
        (64, "is for another name than db1"),
        (26, 'is not accepted (OpenSSL says: "unsuitable purpose")'),
    ],
)
def test_each_fault_of_a_certificate_is_told_apart(code: int, sentence: str) -> None:
    assert sentence in errors.certificate_refused(TARGET, code, "unsuitable purpose").sentence
