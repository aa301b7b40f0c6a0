"""What a TLS connection to Redis failed for, to findings. Pure."""

import ssl

from hx_gateway_db.findings import Finding
from hx_gateway_db.redis.place import about, detail, place
from hx_gateway_db.settings.values import Redis

# OpenSSL's X509_V_ERR_* (x509_vfy.h), as ssl.SSLCertVerificationError.verify_code has them.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_OTHER_NAME = (62, 64)
_AGAINST_THE_RULES = range(79, 94)  # what VERIFY_X509_STRICT finds, Python 3.13's default


def explain_tls(redis: Redis, error: ssl.SSLError) -> Finding:
    """What `error` means for a connection to this server."""
    where = place(redis)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(redis, where, error)
    reason = error.reason or ""
    if reason in ("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE"):
        return unusable_file(
            redis, f"{redis.ca_file or 'ssl_ca_data'} holds no certificate in PEM form"
        )
    if wants_certificate(error):
        return certificate_wanted(redis)
    return about(redis, "tls").failed(
        f"no TLS connection to {where} comes about"
        + detail(redis, reason.replace("_", " ").lower()),
        cure="check REDIS_PORT and the TLS settings in its redis.conf",
    )


def unusable_file(redis: Redis, what: str) -> Finding:
    """The file of trusted certificates is of no use."""
    return about(redis, "tls").failed(
        what,
        "it should hold the certificates that are trusted for Redis",
        "answer REDIS_CACERT with a PEM file",
    )


def wants_certificate(error: ssl.SSLError) -> bool:
    """Whether a server ended the connection since the client has no certificate."""
    return "CERTIFICATE_REQUIRED" in (error.reason or "")


def certificate_wanted(redis: Redis) -> Finding:
    """The server lets nobody in who has no certificate."""
    return about(redis, "tls").failed(
        f"{place(redis)} wants a certificate from its clients",
        "LiteLLM's REDIS_URL logs in with a password instead",
        "set tls-auth-clients to no in its redis.conf",
    )


def _certificate(redis: Redis, where: str, error: ssl.SSLCertVerificationError) -> Finding:
    presents = f"{where} presents a certificate"
    if error.verify_code == _EXPIRED:
        what, cure = f"{presents} that has expired", "renew it there, and compare both clocks"
    elif error.verify_code == _NOT_YET_VALID:
        what, cure = f"{presents} that is not valid yet", "compare both clocks"
    elif error.verify_code in _OTHER_NAME:
        what = f"{presents} for another name than {redis.host}"
        cure = "answer REDIS_HOST with a name that it is for"
    elif error.verify_code in _UNKNOWN_AUTHORITY and redis.ca_file:
        what = f"{presents} that the authority in {redis.ca_file} has not signed"
        cure = "answer REDIS_CACERT with the file of the authority that has"
    elif error.verify_code in _UNKNOWN_AUTHORITY:
        what = f"{presents} of an authority that this system does not know"
        cure = "answer REDIS_CACERT with the file of that authority's certificate"
    elif error.verify_code in _AGAINST_THE_RULES:
        what = f"{presents} that is not made by the rules{detail(redis, error.verify_message)}"
        cure = "make it anew, or its authority's, with the extensions of RFC 5280"
    else:
        what = f"{presents} that is not accepted{detail(redis, error.verify_message)}"
        cure = "give it one that is in order"
    return about(redis, "tls").failed(what, cure=cure)
