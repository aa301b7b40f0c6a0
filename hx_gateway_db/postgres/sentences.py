"""What stopped a connection to PostgreSQL, in words: which step, what, why and the cure.

Of what the server itself says there is no more in them than `quoted` lets through, and nothing in a
cure.
"""

import errno
import re
import shlex
from dataclasses import dataclass

from hx_gateway_db.findings import Finding, Sentence, Subject
from hx_gateway_db.postgres.target import Target
from hx_gateway_db.redaction import said

NAME = "postgres.name"
PORT = "postgres.port"
TLS = "postgres.tls"
LOGIN = "postgres.login"
DATABASE = "postgres.database"

STATEMENT_SECONDS = 2.0
_QUOTED_CHARACTERS = 160


@dataclass(frozen=True)
class ConnectionFailure:
    """What libpq had to say: the server's SQLSTATE, empty if none came, and the text."""

    sqlstate: str
    text: str
    encrypted: bool
    tls_offered: bool


def about(target: Target, step: str) -> Subject:
    """A step on the way to this server."""
    return Subject(step, target.place)


def unresolved(target: Target, answered: bool) -> Finding:
    """The name has no address; `answered` is whether a name server said so."""
    return about(target, NAME).failed(
        f"the host name {target.host} does not resolve",
        "" if answered else "no name server answers",
        "check PG_HOST and the DNS" if answered else "check /etc/resolv.conf, or PG_HOST",
    )


_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)


def unconnected(target: Target, error: OSError, seconds: float) -> Finding:
    """No TCP connection came about."""
    place, port = target.place, about(target, PORT)
    if isinstance(error, TimeoutError):
        return port.failed(
            f"{place} does not answer within {seconds:.0f} s",
            "a firewall drops what is sent there, or the host is down",
            "check PG_HOST and the firewalls on the way",
        )
    if isinstance(error, ConnectionRefusedError):
        return port.failed(
            f"{place} refuses connections",
            "nothing listens there",
            "check PG_PORT, that the server runs, and its listen_addresses",
        )
    if error.errno in _NO_ROUTE:
        return port.failed(
            f"{place} can't be reached",
            "this host has no route there",
            "check PG_HOST and the routes: ip route get ADDRESS",
        )
    return port.failed(
        f"{place} can't be reached",
        f"the system says: {(error.strerror or 'unknown error').lower()}",
        "check PG_HOST, PG_PORT and the firewall of this host",
    )


# What a greeting is recognized by, and whose it is.
GREETINGS = (
    (rb"\A(?:HTTP/|<)", "a web server"),
    (rb"\ASSH-", "an SSH server"),
    (rb"\A(?:\+PONG|-)", "Redis"),
    (rb"\A220", "a mail or FTP server"),
    (rb"mysql|MariaDB", "MySQL"),
)


def other_service(target: Target, greeting: bytes) -> Finding:
    """Something answered that does not speak PostgreSQL's protocol."""
    kind = next((kind for recognized, kind in GREETINGS if re.search(recognized, greeting)), "")
    return about(target, PORT).failed(
        f"what answers at {target.address} is not PostgreSQL",
        f"it looks like {kind}" if kind else "it does not speak PostgreSQL's protocol",
        "check PG_HOST and PG_PORT",
    )


def silent(target: Target, seconds: float) -> Finding:
    """The connection is accepted, and no word is said."""
    return about(target, PORT).failed(
        f"{target.place} accepts connections but says nothing for {seconds:.0f} s",
        "it hangs, or another service has that port",
        "check PG_PORT and the load of the server",
    )


def hung_up(target: Target) -> Finding:
    """The connection is accepted and closed again."""
    return about(target, PORT).failed(
        f"{target.place} closes the connection at once",
        "a proxy without a server behind it, or another service",
        "check PG_HOST, PG_PORT, and the proxy in front if there is one",
    )


def tls_not_offered(target: Target) -> Finding:
    """TLS is asked for and the server has none."""
    return about(target, TLS).failed(
        f"{target.place} does not offer TLS",
        f"PG_SSLMODE={target.sslmode} asks for it",
        "switch it on there (ssl = on), or choose PG_SSLMODE=prefer",
    )


def handshake_failed(target: Target, reason: str) -> Finding:
    """TLS is offered but no handshake comes about; `reason` is OpenSSL's."""
    return about(target, TLS).failed(
        f"{target.place} offers TLS but the handshake fails",
        f"OpenSSL says: {quoted(target, reason)}",
        "check the server's ssl_cert_file and ssl_min_protocol_version",
    )


_CHECKED = "PG_SSLMODE=verify-full checks it"
# By OpenSSL's number for why it does not hold (X509_V_ERR_*, openssl/x509_vfy.h).
_CERTIFICATES = {
    9: Sentence(TLS, "{certificate} is not valid yet", _CHECKED, "compare the clocks: timedatectl"),
    10: Sentence(
        TLS,
        "{certificate} has expired",
        _CHECKED,
        "renew it on the server and reload PostgreSQL",
    ),
    **dict.fromkeys(
        (62, 64),
        Sentence(
            TLS,
            "{certificate} is for another name than {host}",
            _CHECKED,
            "answer the name in the certificate as PG_HOST, or have one made for this name",
        ),
    ),
    **dict.fromkeys(
        (2, 18, 19, 20, 21),
        Sentence(
            TLS,
            "{certificate} is signed by nobody in {trusted}",
            _CHECKED,
            "{trust_it}",
        ),
    ),
}
_OTHER_CERTIFICATE = Sentence(
    TLS,
    "{certificate} is not accepted",
    "OpenSSL says: {reason}",
    "have a new certificate made for the server",
)


def certificate_refused(target: Target, code: int, reason: str) -> Finding:
    """The server's certificate does not hold; `code` is OpenSSL's X509_V_ERR_ number."""
    cure = "answer the file with the CA's certificate as PG_SSLROOTCERT"
    if target.ca_file:
        file = shlex.quote(target.ca_file)
        cure = f"put the CA's certificate first in {file}, since Prisma reads no other there"
    names = {
        "certificate": f"the certificate of {target.place}",
        "host": target.host,
        "trusted": target.ca_file or "the system's list",
        "trust_it": cure,
        "reason": quoted(target, reason),
    }
    return _CERTIFICATES.get(code, _OTHER_CERTIFICATE).finding(target.place, names)


def bad_ca_file(target: Target, why: str, cure: str) -> Finding:
    """The file of trusted certificates can't be used."""
    what = f"the file of PG_SSLROOTCERT, {target.ca_file}, can't be used"
    return about(target, TLS).failed(what, why, cure)


def too_slow(target: Target, step: str, seconds: float) -> Finding:
    """The server went silent in the middle of a step after its TLS handshake."""
    what = "finish the login" if step == LOGIN else "answer a query"
    return about(target, step).failed(
        f"{target.place} does not {what} within {max(1, round(seconds))} s",
        "it is overloaded, or a pooler in front waits for its server",
        "look at the server's load and its log",
    )


def too_much(target: Target) -> Finding:
    """The server says more than anything that we ask for could be."""
    return about(target, DATABASE).failed(
        f"{target.place} answers with more than there can be",
        "it was cut off, since what answers there is no honest PostgreSQL",
        f"find out what answers at {target.address}",
    )


def asks_for_the_password(target: Target, how: str) -> Finding:
    """The server asks for the password itself, or its MD5, and nobody knows who it is."""
    return about(target, LOGIN).failed(
        f"{target.place} asks for the password of {target.user} {how} over a connection that is not"
        " verified",
        "who answers there or sits in between would learn it, so that it was not sent",
        "answer PG_SSLMODE=verify-full, with the CA's file as PG_SSLROOTCERT; or have scram-sha-256"
        " in its pg_hba.conf and as its password_encryption, then set the password anew",
    )


def asked_by_a_stranger(target: Target, process: str, why: str) -> Finding:
    """On this host, who asks for the password itself is no server of this system."""
    return about(target, LOGIN).failed(
        f"who answers as {target.place}, and asks for the password of {target.user} itself, is"
        f" {process}",
        why,
        "stop that if it does not belong there, and start PostgreSQL as a service of this system",
    )


def administrator_unencrypted(target: Target) -> Finding:
    """An administrator's login to another host that would go there unencrypted."""
    return about(target, LOGIN).failed(
        f"the connection to {target.place} is not encrypted, and an administrator's password does"
        " not leave this host on one",
        "who sits in between could use it, so that nothing was sent",
        "switch TLS on there (ssl = on) and answer PG_SSLMODE=require, or give its administrator"
        " what 'hx-gateway-db provision --print' prints",
    )


def unproven(target: Target) -> Finding:
    """The server goes on without the proof of SCRAM-SHA-256 that it knows the password too."""
    return about(target, LOGIN).failed(
        f"{target.place} does not prove that it knows the password of {target.user}",
        "with scram-sha-256 a server has to, so that another one answers there",
        f"find out what answers at {target.address}",
    )


def too_much_work(target: Target) -> Finding:
    """The server wants a password to be worked on for longer than a login may take."""
    return about(target, LOGIN).failed(
        f"{target.place} asks for millions of iterations of SCRAM-SHA-256 for {target.user}",
        "each login of LiteLLM would take seconds, if that is an honest server",
        "lower scram_iterations there (4096 is its default), then set the password anew",
    )


def quoted(target: Target, text: str) -> str:
    """The first line of what somebody else said, in quotation marks and without the password."""
    line = said(text.strip().split("\n")[0], (target.password,), _QUOTED_CHARACTERS)
    return '"' + line.replace('"', "'") + '"'
