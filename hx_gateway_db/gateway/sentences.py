"""What it means when LiteLLM or its wrapper says no.

The wordings that are looked for are those of LiteLLM 1.74.15 and 1.108.7, from their sources and
their answers.
"""

from dataclasses import replace

from hx_gateway_db.findings import Finding, Level, Sentence, Subject
from hx_gateway_db.gateway.answerer import unit_of
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.values import Redis, address

READINESS = "litellm.database"
TABLES = "postgres.tables"
KEY = "litellm.key"
CACHE = "litellm.cache"
WRAPPER = "wrapper.key"
MODELS = "model.list"
_STALLED = "stalled"  # newer versions: the database answers, but not in time
# Newer ones leave out the first where the key does not begin with sk-.
_REFUSED_BY_LITELLM = ("Authentication Error", "LiteLLM Virtual Key expected")
# The second where the master key asks for a virtual one, in newer ones.
_NO_DATABASE = ("No connected db", "DB not connected")
_QUOTED = 60  # characters of what the gateway says
_LITELLM = f"LiteLLM on port {LITELLM_PORT}"
_THE_WRAPPER = f"the wrapper on port {WRAPPER_PORT}"
_RESTART = f"run 'systemctl restart {LITELLM_UNIT.removesuffix('.service')}'"
_RESTART_WRAPPER = f"run 'systemctl restart {WRAPPER_UNIT.removesuffix('.service')}'"
_READ_LOG = f"read 'journalctl -u {LITELLM_UNIT.removesuffix('.service')} -n 80 --no-pager'"
# Measured with 1.74.15: a table that was dropped is not made again, its migration counts as done.
_TABLES_WHY = "LiteLLM makes its tables once, at a start at which its role may create them"
_TABLES_CURE = f"{_RESTART}; if they were dropped since, restore them from a backup"
_APPLY = "run 'dpkg-reconfigure hx-gateway-db'"


def no_answer(name: str, port: int, what: str) -> Finding:
    """Nobody answered on a port; `what` says so as a clause."""
    where = _service(port)
    unit = unit_of(port).removesuffix(".service")
    log = f"read 'journalctl -u {unit} -n 80 --no-pager'"
    return Subject(name, where).failed(what, cure=log)


def not_ready(status: int, state: str, given: bool) -> Finding:
    """LiteLLM's readiness says something else than that its database is connected.

    `given` says whether the process that answers was started with a DATABASE_URL.
    """
    if state == _STALLED:
        return Subject(READINESS, _LITELLM).failed(
            f"{_LITELLM} waits too long for its database (it says {state!r})",
            "a key was looked up there that long within the last 30 s",
            "look at the load and the locks of the database server",
        )
    if status != 200:
        return Subject(READINESS, _LITELLM).failed(
            f"{_LITELLM} has lost its database (its readiness check answers HTTP {status})",
            cure="start the database: LiteLLM connects again by itself",
        )
    state = said(state, most=_QUOTED)
    if given:
        return Subject(READINESS, _LITELLM).failed(
            f"{_LITELLM} was given a database and runs without it (it says {state!r})",
            "its database client did not connect",
            _READ_LOG,
        )
    return Subject(READINESS, _LITELLM).failed(
        f"{_LITELLM} runs without a database (it says {state!r})",
        "the running process has no DATABASE_URL",
        f"{_RESTART}, or {_APPLY} if none is wired",
    )


def tables_missing(names: list[str], database: str) -> Finding:
    """LiteLLM's migrations have not made these tables."""
    database = said(database)
    return Subject(TABLES, database).failed(
        f"the database {database} has no {' and no '.join(names)}", _TABLES_WHY, _TABLES_CURE
    )


def virtual_key_refused(status: int, message: str) -> Finding:
    """LiteLLM does not make a virtual key when it is asked with its master key."""
    if any(words in message for words in _NO_DATABASE):
        return _without_database(KEY)
    if _says_table_missing(message):
        return _table_missing(KEY)
    if status == 401:
        return Subject(KEY, _LITELLM).failed(
            f"{_LITELLM} refuses the master key that config.yaml names",
            "it runs with another one, as after an edit without a restart",
            _RESTART,
        )
    return Subject(KEY, _LITELLM).failed(
        f"{_LITELLM} can't make a virtual key",
        f"HTTP {status}: it does not get it into its database",
        _READ_LOG,
    )


def no_models(port: int, status: int, message: str) -> Finding:
    """`/v1/models` does not answer a key as it should."""
    if "No connected db" in message:
        return _without_database(MODELS)
    if _says_table_missing(message):
        return _table_missing(MODELS)
    where = _service(port)
    if status in (401, 403):
        what = f"{where} refuses the virtual key that LiteLLM has just made (HTTP {status})"
        return Subject(MODELS, where).failed(what, cure=_READ_LOG)
    if port == WRAPPER_PORT and status >= 500:
        return wrapper_without_litellm(status)
    return Subject(MODELS, where).failed(
        f"{where} lists no models (/v1/models: HTTP {status})", cure=_READ_LOG
    )


def wrapper_without_litellm(status: int) -> Finding:
    """The wrapper answers, LiteLLM behind it does not."""
    return Subject(WRAPPER, _THE_WRAPPER).failed(
        f"{_THE_WRAPPER} does not get through to LiteLLM (HTTP {status})",
        cure="compare HX_LITELLM_UPSTREAM in its unit with LiteLLM's address",
    )


def wrapper_with_another_litellm() -> Finding:
    """The wrapper hands the client's key on, and it is not our LiteLLM that gets it."""
    return Subject(WRAPPER, _THE_WRAPPER).failed(
        f"{_THE_WRAPPER} asks a LiteLLM that does not know the virtual key which"
        f" port {LITELLM_PORT} has just made",
        cure="compare HX_LITELLM_UPSTREAM in its unit with LiteLLM's address",
    )


def wrapper_without_key() -> Finding:
    """The wrapper refuses a virtual key, and has no key of its own that it would accept."""
    return Subject(WRAPPER, _THE_WRAPPER).failed(
        f"{_THE_WRAPPER} refuses virtual keys and has no HX_MASTER_KEY or MASTER_KEY of its own",
        "it then accepts nobody",
        f"set HX_MASTER_KEY in /etc/hx-gateway/ml.env, then {_RESTART_WRAPPER}",
    )


def wrapper_own_key_refused() -> Finding:
    """The wrapper refuses the key that its own environment names."""
    return Subject(WRAPPER, _THE_WRAPPER).failed(
        f"{_THE_WRAPPER} refuses the HX_MASTER_KEY that is in its environment",
        "it takes its key from somewhere else",
        f"compare its configuration with /etc/hx-gateway/ml.env, then {_RESTART_WRAPPER}",
    )


def wrapper_upstream_refused(has_key: bool) -> Finding:
    """The wrapper accepts its own key, but LiteLLM refuses what the wrapper sends on."""
    if not has_key:
        return Subject(WRAPPER, _THE_WRAPPER).failed(
            f"{_THE_WRAPPER} has no HX_UPSTREAM_KEY",
            "it sends LiteLLM no key, and LiteLLM refuses every request",
            "set HX_UPSTREAM_KEY in /etc/hx-gateway/ml.env to a key of LiteLLM's,"
            f" then {_RESTART_WRAPPER}",
        )
    return Subject(WRAPPER, _THE_WRAPPER).failed(
        f"LiteLLM refuses the HX_UPSTREAM_KEY that {_THE_WRAPPER} sends",
        cure="set HX_UPSTREAM_KEY in /etc/hx-gateway/ml.env to a key of LiteLLM's,"
        f" then {_RESTART_WRAPPER}",
    )


# What `/cache/ping` says, and what it means; the first row that fits counts.
_NO_REPLY = "no reply comes from the cache"
_CACHE: tuple[tuple[tuple[str, ...], Sentence], ...] = (
    (
        ("not initialized",),
        Sentence(CACHE, "{litellm} runs without a cache, although it is on", _NO_REPLY, _RESTART),
    ),
    (
        ("WRONGPASS", "invalid username-password", "NOAUTH", "Authentication required"),
        Sentence(
            CACHE,
            "{redis} refuses LiteLLM's login as {user}",
            _NO_REPLY,
            "check REDIS_USER and REDIS_PASS",
        ),
    ),
    (
        ("NOPERM", "no permissions"),
        Sentence(
            CACHE,
            "{redis} does not let the user {user} do what LiteLLM's cache does",
            _NO_REPLY,
            "'hx-gateway-db provision --print' shows the rights that it needs",
        ),
    ),
    (
        ("MISCONF",),
        Sentence(
            CACHE,
            "{redis} takes no writes, since it can't save to its disk",
            _NO_REPLY,
            "make room on its disk",
        ),
    ),
    (
        ("OOM ",),
        Sentence(
            CACHE,
            "{redis} takes no writes, since its memory is full",
            _NO_REPLY,
            "raise maxmemory there or set a maxmemory-policy",
        ),
    ),
    (
        ("READONLY",),
        Sentence(
            CACHE,
            "{redis} is a replica and takes no writes",
            _NO_REPLY,
            "set REDIS_HOST to the primary server",
        ),
    ),
    (
        ("LOADING",),
        Sentence(CACHE, "{redis} is still loading its data", _NO_REPLY, "wait a moment"),
    ),
    (
        ("refused", "connecting to", "Connection", "Timeout", "timed out"),
        Sentence(
            CACHE,
            "{litellm} does not reach {redis}",
            _NO_REPLY,
            "start Redis there, or check REDIS_HOST and REDIS_PORT",
        ),
    ),
)
_CACHE_OTHERWISE = Sentence(CACHE, "{litellm} does not reach its cache in {redis}", cure=_READ_LOG)


def cache_refused(redis: Redis, message: str) -> Finding:
    """`/cache/ping` says that LiteLLM does not use its cache in Redis."""
    where = f"Redis at {address(redis.host, redis.port)}"
    names = {"litellm": _LITELLM, "redis": where, "user": said(redis.user) or "default"}
    # Its own settings follow, in which newer ones, which leave the reason out, name a connection.
    reason = message.partition("litellm_cache_params")[0]
    fitting = (row for words, row in _CACHE if any(word in reason for word in words))
    return next(fitting, _CACHE_OTHERWISE).finding(where, names)


def _of_a_model(what: str, cure: str) -> Sentence:
    return Sentence(MODELS, what, "the gateway is well", cure, level=Level.WARNING)


# What LiteLLM says of a model's own server.
_MODEL: tuple[tuple[tuple[str, ...], Sentence], ...] = (
    (
        ("AuthenticationError", "PermissionDenied"),
        _of_a_model("{server} refuses LiteLLM's key", "correct api_key in {entry}"),
    ),
    (("RateLimitError",), _of_a_model("{server} is at its own limit", "try again in a minute")),
    (
        ("NotFoundError",),
        _of_a_model("{server} does not know that model", "correct model in {entry}"),
    ),
    (("Timeout",), _of_a_model("{server} does not answer in time", "look at that server")),
    (
        ("APIConnectionError", "Connection error"),
        _of_a_model("{server} can't be reached", "start it, or correct {entry}"),
    ),
    (("ServiceUnavailable",), _of_a_model("{server} is not available", "look at that server")),
)


def model_failed(name: str, model: str, status: int, message: str) -> Finding:
    """A warning: the gateway is well, what is behind a model is not. FAILED if it isn't well."""
    if "No connected db" in message:
        return _without_database(name)
    if _says_table_missing(message):
        return _table_missing(name)
    server = f"the server behind {model}"
    names = {"server": server, "entry": f"the entry of {model} in config.yaml"}
    for words, sentence in _MODEL if "litellm." in message else ():
        if any(word in message for word in words):
            return replace(sentence.finding(server, names), name=name)
    if status in (401, 403):
        what = f"the key is refused for {model} (HTTP {status})"
        return Subject(name, _LITELLM).failed(what, cure=_READ_LOG)
    return Subject(name, server).warning(f"{model} gives no reply (HTTP {status})", cure=_READ_LOG)


def litellm_refuses(message: str) -> bool:
    """Whether a 401 is LiteLLM's own rather than the wrapper's."""
    return message.startswith(_REFUSED_BY_LITELLM)


def _without_database(name: str) -> Finding:
    return Subject(name, _LITELLM).failed(f"{_LITELLM} runs without a database", cure=_APPLY)


def _table_missing(name: str) -> Finding:
    return Subject(name, _LITELLM).failed(
        "LiteLLM's tables are missing in its database", _TABLES_WHY, _TABLES_CURE
    )


def _says_table_missing(message: str) -> bool:
    return "does not exist" in message and ("relation" in message or "table" in message)


def _service(port: int) -> str:
    return _LITELLM if port == LITELLM_PORT else _THE_WRAPPER
