"""Answers: lines `KEY=VALUE` with the names of the specification's step 0, raw values."""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from hx_gateway_db.errors import InvalidSettings, UsageError
from hx_gateway_db.redaction import said
from hx_gateway_db.settings import variables
from hx_gateway_db.settings.catalogue import ANSWERS, DATABASE_CHOICES, LOCAL_HOST, NONE
from hx_gateway_db.settings.kinds import boolean, plain, whole_number, word
from hx_gateway_db.settings.values import REDIS_USER, Cache, Login, Postgres, Redis, Settings, wrong

KEYS = tuple(answer.key for answer in ANSWERS)
PASSWORD_KEYS = tuple(answer.key for answer in ANSWERS if answer.secret)
_HANDOVER = next(answer for answer in ANSWERS if answer.key == "HANDOVER")
_CAN_GO = tuple(answer.key for answer in ANSWERS if answer.can_go)
_EMPTY = tuple(key for key in _CAN_GO if key not in PASSWORD_KEYS)
# Without an answer to these, the others tell: who gives a PG_HOST has a database, for example.
_TOLD_BY_OTHERS = ("DATABASE", "REDIS")
_DEFAULTS = {
    answer.key: answer.default
    for answer in ANSWERS
    if answer.default and answer.key not in _TOLD_BY_OTHERS
}


def parse_answers(text: str, source: str) -> dict[str, str]:
    """The answers in `text`; values are taken literally, blank lines and `#` comments skipped.

    Whole quotes around a value are a shell's: one that really has them has them twice (`written`).
    Raises UsageError with `source` and the line, never quoting a value.
    """
    answers: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key = re.sub(r"export\s+", "", key.strip(), count=1)
        if not equals or not re.fullmatch(r"[A-Z_]+", key):
            raise UsageError(
                f"{source}, line {number}: write it as KEY=VALUE, for example PG_HOST=db1."
            )
        if key not in KEYS:
            raise UsageError(
                f"{source}, line {number}: {said(key)} is unknown; use {', '.join(KEYS)}."
            )
        if key in answers:
            raise UsageError(f"{source}, line {number}: {key} is answered a second time.")
        mark = _quotes(value)
        if mark and _quotes(value[1:-1]) != mark:
            raise UsageError(
                f"{source}, line {number}: the value of {key} is in quotes, which would be part of"
                f" it: leave them out, or write {mark * 2} at both ends if it really has one there."
            )
        answers[key] = value[1:-1] if mark else value
    return answers


def written(value: str) -> str:
    """A value as `parse_answers` reads it back: quotes that are around all of it stand twice."""
    mark = _quotes(value)
    return f"{mark}{value}{mark}"


def _quotes(value: str) -> str:
    """The quotation mark that a value begins and ends with; empty if there is none."""
    marks = ("'", '"')
    return value[0] if len(value) > 1 and value[0] in marks and value[-1] == value[0] else ""


def database_choice(given: Mapping[str, str]) -> str:
    """`local`, `existing` or `later`. Raises InvalidSettings for anything else."""
    choice = given.get("DATABASE") or "existing"
    if choice not in DATABASE_CHOICES:
        raise wrong("DATABASE", choice, f"use one of {', '.join(DATABASE_CHOICES)}")
    return choice


def to_settings(
    given: Mapping[str, str],
    present: Settings | None,
    generate_password: Callable[[], str],
    readable: Mapping[str, str] | None = None,
) -> Settings:
    """What `given` asks for, on top of what the host has now.

    An answer that is missing or empty keeps the present value; where a host has none that can be
    used, the answers that are `readable` there.
    `generate_password` is called for a local database or Redis that has no login yet.
    Raises InvalidSettings naming the answer that is missing or wrong.
    """
    given = {
        key: "" if key in _CAN_GO and value == NONE else value
        for key, value in given.items()
        if value
    }
    values = _DEFAULTS | (from_settings(present) if present else dict(readable or {})) | given
    for key in ("PG_HOST", "REDIS_HOST"):
        _check_is_host(key, values.get(key, ""))
    if database_choice(given) == "local":
        if given.get("PG_HOST", LOCAL_HOST) not in ("", LOCAL_HOST):
            raise InvalidSettings(
                "PG_HOST is answered beside DATABASE=local, which makes one on this machine: leave"
                " PG_HOST out, or answer DATABASE=existing."
            )
        values["PG_HOST"] = LOCAL_HOST
        if not values.get("PG_PASS"):
            values["PG_PASS"] = generate_password()
    for key in ("PG_HOST", "PG_PASS"):
        if not values.get(key):
            raise InvalidSettings(f"{key} is missing: answer it, or choose DATABASE=local.")
    sslmode = _sslmode(values)
    # What the present value was for, the answers may have switched off.
    if sslmode != "verify-full" and not given.get("PG_SSLROOTCERT"):
        values["PG_SSLROOTCERT"] = ""
    if not boolean(values, "REDIS_TLS") and not given.get("REDIS_CACERT"):
        values["REDIS_CACERT"] = ""
    redis = None
    where = given.get("REDIS") or given.get("REDIS_HOST")
    if given.get("REDIS_PASS") and not where and not boolean(values, "REDIS"):
        raise InvalidSettings("REDIS_PASS is answered, but not for which Redis: answer REDIS_HOST.")
    if boolean(values, "REDIS", default=bool(given.get("REDIS_HOST"))):
        if database_choice(given) == "local" and not values.get("REDIS_PASS"):
            _own_user(values, generate_password)
        redis = Redis(
            host=values["REDIS_HOST"],
            port=whole_number(values, "REDIS_PORT"),
            user=values.get("REDIS_USER", ""),
            password=values.get("REDIS_PASS", ""),
            database=whole_number(values, "REDIS_DB"),
            tls=boolean(values, "REDIS_TLS"),
            ca_file=values.get("REDIS_CACERT", ""),
            parameters=_redis_parameters(values, present),
        )
    elif not given.get("REDIS_TRANSACTION_BUFFER"):
        values["REDIS_TRANSACTION_BUFFER"] = "false"
    values |= {"DATABASE": database_choice(given), "REDIS": word(redis is not None)}
    return Settings(
        postgres=Postgres(
            host=values["PG_HOST"],
            port=whole_number(values, "PG_PORT"),
            database=values["PG_DB"],
            user=values["PG_USER"],
            password=values["PG_PASS"],
            sslmode=sslmode,
            ca_file=values.get("PG_SSLROOTCERT", ""),
            pgbouncer=None if values["PG_BOUNCER"] == "auto" else boolean(values, "PG_BOUNCER"),
            parameters=_postgres_parameters(sslmode, present),
        ),
        redis=redis,
        cache=Cache(whole_number(values, "RATE_LIMIT")) if boolean(values, "CACHE") else None,
        transaction_buffer=boolean(values, "REDIS_TRANSACTION_BUFFER"),
        watch=boolean(values, "WATCH"),
        trial=boolean(values, "TRIAL"),
        handover=plain(_HANDOVER, values) == "auto",
        variables=variables.asked(values, present.variables if present else ()),
        base=PurePosixPath(values["BASE"]),
    )


def _check_is_host(key: str, value: str) -> None:
    """Raise InvalidSettings, with what to write, for what is more than a host."""
    kind = key.partition("_")[0]
    if "://" in value:
        from hx_gateway_db.settings.urls import readable_url  # for a mistake only

        parts = dict(readable_url(value, kind))
        secret = parts.pop(f"{kind}_PASS", None)
        shown = [f"{name}={said(part, most=60)}" for name, part in parts.items()]
        shown += [f"the password as {kind}_PASS"] if secret else []
        what = f": answer its parts, {', '.join(shown)}" if shown else ": answer its parts"
        raise InvalidSettings(f"{key} is a whole URL{what}.")
    host, colon, port = value.rpartition(":")
    if value.startswith("[") and value.endswith("]"):
        raise InvalidSettings(f"{key} is an IPv6 address in brackets: leave the brackets out.")
    if colon and port.isascii() and port.isdigit() and (host.endswith("]") or ":" not in host):
        raise InvalidSettings(
            f"{key} has a port as well: answer {kind}_PORT={said(port, most=5)}, and the host alone"
            f" as {key}."
        )
    if "%" in value:
        raise InvalidSettings(
            f"{key} has a zone (%), which LiteLLM's client libraries can't use: answer an address"
            " that holds without one, or a name."
        )


def _postgres_parameters(sslmode: str, present: Settings | None) -> tuple[tuple[str, str], ...]:
    """Those of the present URL; a mode there that Prisma does not know stays with `prefer` only."""
    parameters = present.postgres.parameters if present else ()
    return tuple(item for item in parameters if sslmode == "prefer" or item[0] != "sslmode")


def _redis_parameters(
    values: Mapping[str, str], present: Settings | None
) -> tuple[tuple[str, str], ...]:
    """Those of the present URL; without TLS redis-py takes none for it."""
    parameters = present.redis.parameters if present and present.redis else ()
    tls = boolean(values, "REDIS_TLS")
    return tuple(item for item in parameters if tls or not item[0].startswith("ssl_"))


def _own_user(values: dict[str, str], generate_password: Callable[[], str]) -> None:
    """A Redis on the same machine as a database of our own gets a user of our own as well."""
    if values["REDIS_HOST"] == LOCAL_HOST and not values.get("REDIS_USER"):
        values["REDIS_USER"] = REDIS_USER
        values["REDIS_PASS"] = generate_password()


def administrators(given: Mapping[str, str]) -> dict[str, Login]:
    """The administrators' logins among the answers, by server: `postgres`, `redis`.

    Raises InvalidSettings.
    """
    logins = {}
    if given.get("PG_ADMIN_USER"):
        logins["postgres"] = Login(given["PG_ADMIN_USER"], given.get("PG_ADMIN_PASS", ""))
    if given.get("REDIS_ADMIN_USER") or given.get("REDIS_ADMIN_PASS"):
        user = given.get("REDIS_ADMIN_USER") or "default"
        logins["redis"] = Login(user, given.get("REDIS_ADMIN_PASS", ""))
    return logins


def salt_wanted(given: Mapping[str, str]) -> bool:
    """Whether a LITELLM_SALT_KEY may be made. Raises InvalidSettings."""
    return boolean(given, "SALT", default=True)


def from_settings(settings: Settings) -> dict[str, str]:
    """The answers that would lead to `settings`, passwords among them."""
    postgres = settings.postgres
    answers = {
        "PG_HOST": postgres.host,
        "PG_PORT": str(postgres.port),
        "PG_DB": postgres.database,
        "PG_USER": postgres.user,
        "PG_PASS": postgres.password,
        "PG_SSLMODE": postgres.sslmode,
        "PG_SSLROOTCERT": postgres.ca_file,
        "PG_BOUNCER": "auto" if postgres.pgbouncer is None else word(postgres.pgbouncer),
        "REDIS": word(settings.redis is not None),
        **variables.answers(settings.variables),
        "CACHE": word(settings.cache is not None),
        "WATCH": word(settings.watch),
        "TRIAL": word(settings.trial),
        "HANDOVER": "auto" if settings.handover else "never",
        "BASE": str(settings.base),
    }
    if settings.redis:
        answers |= {
            "REDIS_HOST": settings.redis.host,
            "REDIS_PORT": str(settings.redis.port),
            "REDIS_USER": settings.redis.user,
            "REDIS_PASS": settings.redis.password,
            "REDIS_DB": str(settings.redis.database),
            "REDIS_TLS": word(settings.redis.tls),
            "REDIS_CACERT": settings.redis.ca_file,
            "REDIS_TRANSACTION_BUFFER": word(settings.transaction_buffer),
        }
    if settings.cache:
        answers["RATE_LIMIT"] = str(settings.cache.rate_limit)
    return answers


def to_answer(answers: Mapping[str, str]) -> dict[str, str]:
    """The values of a host, or of debconf's questions, as answers that would lead to them.

    NONE for one that is not there. An empty password says nothing.
    """
    return {key: value or (NONE if key in _EMPTY else "") for key, value in answers.items()}


def from_host(settings: Settings, local_database: str) -> dict[str, str]:
    """The same for the settings of a host; `local_database` names the one that we made there."""
    postgres = settings.postgres
    local = (postgres.host, postgres.database) == (LOCAL_HOST, local_database)
    return {"DATABASE": "local" if local else "existing", **from_settings(settings)}


def _sslmode(values: Mapping[str, str]) -> str:
    # Prisma, LiteLLM's way to the database, can't check the CA without the name.
    mode = values["PG_SSLMODE"]
    return "verify-full" if mode == "verify-ca" else mode
