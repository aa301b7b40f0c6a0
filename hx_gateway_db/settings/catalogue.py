"""Every answer there is, a row each, in the order in which they are asked.

What the command takes, its help, the manual page, the table in docs/questions.md and the questions
of the maintainer scripts follow from these rows; `debian/write-answers` writes what is in files.
"""

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What an answer may be; the value is what the maintainer scripts call it."""

    CHOICE = "choice"
    BOOLEAN = "boolean"
    PASSWORD = "password"
    TEXT = "text"
    HOST = "host"
    PORT = "port"
    NAME = "name"
    NUMBER = "number"
    FILE = "file"
    FOLDER = "folder"


# No dataclass: `--help` shows the rows, and the whole command line loads faster than dataclasses.
class Answer(NamedTuple):
    """An answer: its name in an answers file, what it says, and how debconf asks for it.

    `priority` is debconf's; what is asked about a database of our own has no higher one than low.
    `default` is the question's. A number is `least` or more.
    `needs` is what this answer is about: another answer that has to be on (`REDIS`) or to be one
    of some (`DATABASE=existing`, `PG_SSLMODE=verify-ca|verify-full`); else it is not asked. One
    that `goes` is reset then, unless it was asked for.
    `once`: a login that one run uses and nothing keeps.
    `variable`: its line in gateway.env, for an answer that ends up there as it is and nowhere else;
    `comment` is what stands above that line. What is said there has to be plain (`kinds`).
    An empty answer is no answer. One that `can_go` is taken away by the word NONE; where a person
    sees today's value, as in debconf's dialog, by leaving the field empty.
    """

    key: str
    help: str
    kind: Kind
    priority: str
    default: str = ""
    choices: tuple[str, ...] = ()
    least: int = 0
    needs: str = ""
    goes: bool = False
    once: bool = False
    variable: str = ""
    comment: str = ""
    can_go: bool = False

    @property
    def question(self) -> str:
        """Its name among the package's debconf questions."""
        return self.key.lower().replace("_", "-")

    @property
    def secret(self) -> bool:
        return self.kind is Kind.PASSWORD

    @property
    def debconf_type(self) -> str:
        """The Type of its debconf template."""
        types = {Kind.CHOICE: "select", Kind.BOOLEAN: "boolean", Kind.PASSWORD: "password"}
        return types.get(self.kind, "string")


NONE = "none"
LOCAL_HOST = "127.0.0.1"
DATABASE_CHOICES = ("local", "existing", "later")
SSL_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_CHECKED = "PG_SSLMODE=verify-ca|verify-full"

ANSWERS = (
    Answer(
        "DATABASE",
        "local (make one on this machine), existing, or later (change nothing)",
        Kind.CHOICE,
        "high",
        choices=DATABASE_CHOICES,
    ),
    Answer(
        "PG_HOST",
        "the PostgreSQL server's host name or address",
        Kind.HOST,
        "high",
        needs="DATABASE=existing",
    ),
    Answer(
        "PG_PORT",
        "its port",
        Kind.PORT,
        "medium",
        default="5432",
    ),
    Answer(
        "PG_DB",
        "the database",
        Kind.NAME,
        "medium",
        default="hx_gateway",
    ),
    Answer(
        "PG_USER",
        "the role that the gateway logs in as",
        Kind.NAME,
        "medium",
        default="hx_gateway",
    ),
    Answer(
        "PG_PASS",
        "its password",
        Kind.PASSWORD,
        "high",
    ),
    Answer(
        "PG_SSLMODE",
        "TLS: disable, prefer, require, or verify-full, which checks certificate and name",
        Kind.CHOICE,
        "low",
        default="prefer",
        choices=SSL_MODES,
    ),
    Answer(
        "PG_SSLROOTCERT",
        "the file of the authorities to trust; none for the system's",
        Kind.FILE,
        "low",
        needs=_CHECKED,
        goes=True,
        can_go=True,
    ),
    Answer(
        "PG_BOUNCER",
        "true, false, or auto: whether a PgBouncer is in front",
        Kind.CHOICE,
        "low",
        default="auto",
        choices=("auto", "true", "false"),
    ),
    Answer(
        "PG_ADMIN_USER",
        "PostgreSQL's administrator, used once to make what is missing, and kept nowhere",
        Kind.TEXT,
        "critical",
        once=True,
    ),
    Answer(
        "PG_ADMIN_PASS",
        "the administrator's password",
        Kind.PASSWORD,
        "critical",
        once=True,
    ),
    Answer(
        "REDIS",
        "true or false: whether LiteLLM uses a Redis",
        Kind.BOOLEAN,
        "medium",
        default="false",
    ),
    Answer(
        "REDIS_HOST",
        "the Redis server's host name or address",
        Kind.HOST,
        "medium",
        default=LOCAL_HOST,
        needs="REDIS",
    ),
    Answer(
        "REDIS_PORT",
        "its port",
        Kind.PORT,
        "medium",
        default="6379",
        needs="REDIS",
    ),
    Answer(
        "REDIS_TLS",
        "TLS: true or false",
        Kind.BOOLEAN,
        "low",
        default="false",
        needs="REDIS",
    ),
    Answer(
        "REDIS_CACERT",
        "the file of the authorities to trust; none for the system's",
        Kind.FILE,
        "low",
        needs="REDIS_TLS",
        goes=True,
        can_go=True,
    ),
    Answer(
        "REDIS_USER",
        "the user that the gateway logs in as; none for the default user",
        Kind.TEXT,
        "medium",
        needs="REDIS",
        can_go=True,
    ),
    Answer(
        "REDIS_PASS",
        "its password; none where Redis asks for no password",
        Kind.PASSWORD,
        "medium",
        needs="REDIS",
        can_go=True,
    ),
    Answer(
        "REDIS_DB",
        "the number of the database",
        Kind.NUMBER,
        "low",
        default="0",
        needs="REDIS",
    ),
    Answer(
        "REDIS_TRANSACTION_BUFFER",
        "true when several gateways share the database: they gather what they write in Redis first",
        Kind.BOOLEAN,
        "low",
        default="false",
        needs="REDIS",
        goes=True,
    ),
    Answer(
        "REDIS_ADMIN_USER",
        "Redis's administrator, used once as well",
        Kind.TEXT,
        "critical",
        once=True,
    ),
    Answer(
        "REDIS_ADMIN_PASS",
        "the administrator's password",
        Kind.PASSWORD,
        "critical",
        once=True,
    ),
    Answer(
        "CACHE",
        "true or false: response cache and default rate limit",
        Kind.BOOLEAN,
        "medium",
        default="false",
        needs="REDIS",
        goes=True,
    ),
    Answer(
        "RATE_LIMIT",
        "requests per minute that a new key may make",
        Kind.NUMBER,
        "medium",
        default="60",
        least=1,
        needs="CACHE",
    ),
    Answer(
        "DISABLE_ADMIN_UI",
        "true or false: whether LiteLLM's admin interface is switched off",
        Kind.BOOLEAN,
        "medium",
        default="true",
        variable="DISABLE_ADMIN_UI",
        comment="Optional hardening / switches",
    ),
    Answer(
        "WATCH",
        "true or false: whether it is looked every five minutes that virtual keys work",
        Kind.BOOLEAN,
        "medium",
        default="false",
    ),
    Answer(
        "TRIAL",
        "true or false: whether a change is tried on a second LiteLLM before the gateway has it",
        Kind.BOOLEAN,
        "low",
        default="true",
    ),
    Answer(
        "HANDOVER",
        "auto or never: whether a second gateway serves while the units restart",
        Kind.CHOICE,
        "low",
        default="auto",
        choices=("auto", "never"),
        needs="TRIAL",
    ),
    Answer(
        "SALT",
        "true or false: whether a LITELLM_SALT_KEY is made for a database that is new to LiteLLM",
        Kind.BOOLEAN,
        "low",
        default="true",
    ),
    Answer(
        "BASE",
        "the gateway's folder",
        Kind.FOLDER,
        "low",
        default="/opt/HX-Infrastructure-/api-gateway",
    ),
)
VARIABLES = tuple(answer for answer in ANSWERS if answer.variable)
# The specification's own variables, step 0: what is read from an environment.
STEP_0 = (
    *("PG_HOST", "PG_PORT", "PG_DB", "PG_USER", "PG_PASS"),
    *("REDIS_HOST", "REDIS_PORT", "REDIS_PASS"),
)
