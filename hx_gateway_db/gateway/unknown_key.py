"""Whether LiteLLM looks virtual keys up in its database, asked with a key that nobody has made.

That needs no key that is worth anything, makes none, and calls no model. LiteLLM says
`token_not_found_in_db` where it has looked and nowhere else; what it says where it could not is
measured with 1.74.15 and 1.108.7.
"""

import secrets

from hx_gateway_db.findings import Finding, Subject
from hx_gateway_db.gateway import http
from hx_gateway_db.gateway.answerer import LITELLM
from hx_gateway_db.gateway.http import Answer, NotAnswering
from hx_gateway_db.gateway.sentences import KEY
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT

# With disable_error_logs: false, a refusal at what LiteLLM counts as a model's route or as
# information leaves a row in LiteLLM_SpendLogs (`/v1/models`, in newer versions `/key/info` as
# well). This is neither, and whoever is let in is answered at once.
_PATH = "/active/callbacks"
_LITELLM = f"LiteLLM on port {LITELLM_PORT}"
_SHORT = LITELLM_UNIT.removesuffix(".service")
_RESTART = f"run 'systemctl restart {_SHORT}'"
_READ_LOG = f"read 'journalctl -u {_SHORT} -n 80 --no-pager'"
_START = "start the database: LiteLLM connects again by itself"
_CHECK, _VERIFY = "run 'hx-gateway-db check'", "run 'hx-gateway-db verify'"
_REFUSED = "it refuses every virtual key"

# What the answer has in it (status, type, message), in the order in which it is looked for; what
# that means, and the cure.
_MEANINGS = (
    ("400 no_db_connection", f"{_LITELLM} runs without a database", _RESTART),
    ("503 no_db_connection", f"{_LITELLM} has lost its database", _START),
    ("Can't reach database server", f"{_LITELLM} does not reach its database server", _START),
    ("All connection attempts failed", f"the query engine of {_LITELLM} has ended", _RESTART),
    ("is not permitted to log in", f"the database lets {_LITELLM} in no more", _CHECK),
    ("does not exist", f"a table of {_LITELLM} is missing in its database", _VERIFY),
)


def lookup() -> Finding:
    """Whether a virtual key is looked up; nobody else than LiteLLM's unit is asked."""
    try:
        answer = http.call(LITELLM, "GET", _PATH, f"sk-{secrets.token_hex(16)}")
    except NotAnswering as error:
        return http.unanswered(KEY, LITELLM_PORT, error)
    return meaning(answer)


def meaning(answer: Answer) -> Finding:
    """What an answer to a key that nobody has made says of the database."""
    subject = Subject(KEY, _LITELLM)
    if answer.status == 200:
        return subject.failed(
            f"{_LITELLM} lets in a key that nobody has made",
            "it has no master key, or allow_requests_on_db_unavailable and no database",
            _VERIFY,
        )
    error = answer.body.get("error") if isinstance(answer.body, dict) else None
    kind = error.get("type") if isinstance(error, dict) else ""
    if (answer.status, kind) == (401, "token_not_found_in_db"):
        return subject.ok(f"{_LITELLM} looks virtual keys up in its database")
    said = f"{answer.status} {kind} {answer.message}"
    for mark, what, cure in _MEANINGS:
        if mark in said:
            return subject.failed(what, _REFUSED, cure)
    what = f"{_LITELLM} can't look a virtual key up (HTTP {answer.status})"
    return subject.failed(what, _REFUSED, _READ_LOG)
