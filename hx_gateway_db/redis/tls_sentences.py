"""What a TLS connection to Redis failed for, to findings. Pure."""

import ssl

from hx_gateway_db.findings import Finding, Sentence
from hx_gateway_db.redis.place import about, detail, place
from hx_gateway_db.settings.values import Redis

# By OpenSSL's number for why it does not hold (X509_V_ERR_*, x509_vfy.h), as
# ssl.SSLCertVerificationError.verify_code has it.
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_AGAINST_THE_RULES = range(79, 94)  # what VERIFY_X509_STRICT finds, Python 3.13's default
_CERTIFICATES = {
    9: Sentence(
        "redis.tls",
        "{place} presents a certificate that is not valid yet",
        "",
        "compare both clocks",
    ),
    10: Sentence(
        "redis.tls",
        "{place} presents a certificate that has expired",
        "",
        "renew it there, and compare both clocks",
    ),
    **dict.fromkeys(
        (62, 64),
        Sentence(
            "redis.tls",
            "{place} presents a certificate for another name than {host}",
            "",
            "answer REDIS_HOST with a name that it is for",
        ),
    ),
    **dict.fromkeys(
        _UNKNOWN_AUTHORITY,
        Sentence(
            "redis.tls",
            "{place} presents a certificate of an authority that this system does not know",
            "",
            "answer REDIS_CACERT with the file of that authority's certificate",
        ),
    ),
    **dict.fromkeys(
        _AGAINST_THE_RULES,
        Sentence(
            "redis.tls",
            "{place} presents a certificate that is not made by the rules{detail}",
            "",
            "make it anew, or its authority's, with the extensions of RFC 5280",
        ),
    ),
}
# The same where REDIS_CACERT names a file.
_WITH_A_FILE = _CERTIFICATES | dict.fromkeys(
    _UNKNOWN_AUTHORITY,
    Sentence(
        "redis.tls",
        "{place} presents a certificate that the authority in {ca_file} has not signed",
        "",
        "answer REDIS_CACERT with the file of the authority that has",
    ),
)
_OTHER_CERTIFICATE = Sentence(
    "redis.tls",
    "{place} presents a certificate that is not accepted{detail}",
    "",
    "give it one that is in order",
)


def explain_tls(redis: Redis, error: ssl.SSLError) -> Finding:
    """What `error` means for a connection to this server."""
    where = place(redis)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(redis, error)
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


def _certificate(redis: Redis, error: ssl.SSLCertVerificationError) -> Finding:
    rows = _WITH_A_FILE if redis.ca_file else _CERTIFICATES
    names = {
        "place": place(redis),
        "host": redis.host,
        "ca_file": redis.ca_file,
        "detail": detail(redis, error.verify_message),
    }
    return rows.get(error.verify_code, _OTHER_CERTIFICATE).finding(place(redis), names)
