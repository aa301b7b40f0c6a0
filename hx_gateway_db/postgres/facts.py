"""What a login to the database shows of it, and what that means for LiteLLM."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from hx_gateway_db.findings import Cure, Finding, Subject
from hx_gateway_db.postgres.target import identifier, schema_of, target_of
from hx_gateway_db.redaction import said
from hx_gateway_db.settings.litellm import LIBPQ_TLS, UNKNOWN, LiteLLM, checks_certificate
from hx_gateway_db.settings.values import Postgres

OLDEST = 90600
_CLOCK_SECONDS = 60
_EXPIRY_DAYS = 14
_LONGEST_NAME = 63
_LAST_SECOND = datetime.max.replace(tzinfo=UTC).timestamp() - 1
# When PostgreSQL ends the support of a release: https://www.postgresql.org/support/versioning/
_SUPPORTED_UNTIL = {
    9: date(2021, 11, 11),
    10: date(2022, 11, 10),
    11: date(2023, 11, 9),
    12: date(2024, 11, 21),
    13: date(2025, 11, 13),
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}
_ADMINISTRATOR = Cure.POSTGRES_ADMINISTRATOR
# Where a setting of a login stands (ALTER ROLE, ALTER DATABASE): bits of `Facts.set_for`.
_DATABASE, _ROLE = 1, 2


@dataclass(frozen=True)
class Pool:
    """The connections that each of a gateway's workers may open.

    LiteLLM writes them over a connection_limit in DATABASE_URL; unset they are 10.
    """

    each: int = 10
    workers: int = 1

    @property
    def whole(self) -> int:
        return self.each * self.workers

    @property
    def shown(self) -> str:
        """As a sentence names it."""
        if self.workers == 1:
            return f"a pool of {self.each}"
        return f"{self.workers} workers and a pool of {self.each} each"


@dataclass(frozen=True)
class Slots:
    """The limits of server, role and database (-1: none), and the connections that count there.

    `mine` are this gateway's so far, `ours` those of all gateways of this role, this check's among
    them; `gateways` is the number of the others, told apart by their addresses.
    """

    server_limit: int
    role_limit: int
    database_limit: int
    server: int
    role: int
    database: int
    mine: int
    ours: int
    gateways: int


@dataclass(frozen=True)
class Facts:
    """What was asked in one session; `slots` is None behind a pooler, which hides them.

    `clock` is how many seconds the server's is ahead; `password_until` is seconds since the epoch.
    `foreign_owner` owns some of LiteLLM's tables, `foreign_table` is none of LiteLLM's. `acts_as`
    is the role that the login acts as, empty for itself; `set_for` says where that is set, for the
    login role (2), the database (1), one in the other (3), or all roles (0).
    """

    version: int
    pooled: bool
    encoding: str = "UTF8"
    read_only: bool = False
    replica: bool = False
    clock: float = 0.0
    password_until: float | None = None
    schema_exists: bool = True
    may_create: bool = True
    first_schema: str = "public"
    foreign_owner: str = ""
    tables: int = 0
    foreign_table: str = ""
    acts_as: str = ""
    set_for: int = 0
    slots: Slots | None = None


def findings(
    postgres: Postgres, facts: Facts, now: datetime, pool: Pool, litellm: LiteLLM = UNKNOWN
) -> Iterator[Finding]:
    """What the facts mean for a gateway with such a pool and LiteLLM, each a finding."""
    yield _version(postgres, facts, now)
    if facts.version < OLDEST:
        return
    yield _pooler(postgres, facts)
    yield _encoding(postgres, facts)
    yield _writable(postgres, facts)
    yield _schema(postgres, facts)
    yield _tables(postgres, facts)
    if facts.slots:
        yield _connections(postgres, facts.slots, pool)
    yield from _sslmode(postgres, litellm)
    yield _clock(postgres, facts)
    yield _password(postgres, facts, now)


def _said(postgres: Postgres, name: str) -> str:
    """A name that the server has told."""
    return said(name, (postgres.password,), _LONGEST_NAME)


def _place(postgres: Postgres) -> str:
    return target_of(postgres).place


def _about(postgres: Postgres, name: str) -> Subject:
    return Subject(f"postgres.{name}", _place(postgres))


def _release(version: int) -> str:
    if version >= 100000:
        return f"{version // 10000}.{version % 10000}"
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def _version(postgres: Postgres, facts: Facts, now: datetime) -> Finding:
    what = f"{_place(postgres)} is version {_release(facts.version)}"
    if facts.version < OLDEST:
        why = "Prisma, LiteLLM's way to the database, needs 9.6"
        return _about(postgres, "version").failed(what, why, "upgrade the server")
    until = _SUPPORTED_UNTIL.get(facts.version // 10000)
    if until and now.date() > until:
        why = f"it has had no security fixes since {until}"
        return _about(postgres, "version").warning(what, why, "upgrade the server")
    return _about(postgres, "version").ok(what)


def _pooler(postgres: Postgres, facts: Facts) -> Finding:
    place = _place(postgres)
    if not facts.pooled:
        return _about(postgres, "pooler").ok(f"no pooler stands in front of {place}")
    what = f"a pooler (PgBouncer) stands in front of {place}"
    if postgres.pgbouncer is False:
        why = "PG_BOUNCER=false makes LiteLLM's prepared statements fail there"
        return _about(postgres, "pooler").failed(what, why, "answer PG_BOUNCER=auto")
    return _about(postgres, "pooler").ok(what)


def _encoding(postgres: Postgres, facts: Facts) -> Finding:
    what = f"the database {postgres.database} has the encoding {_said(postgres, facts.encoding)}"
    if facts.encoding == "UTF8":
        return _about(postgres, "encoding").ok(what)
    why = "LiteLLM stores what users write, in any language"
    cure = "make another database with ENCODING 'UTF8' TEMPLATE template0, and answer it as PG_DB"
    return _about(postgres, "encoding").failed(what, why, cure)


def _writable(postgres: Postgres, facts: Facts) -> Finding:
    database = f"the database {postgres.database} on {_place(postgres)}"
    if facts.replica:
        cure = "answer the primary server as PG_HOST"
        what, why = f"{database} is read-only", "the server is a replica"
        return _about(postgres, "writable").failed(what, why, cure)
    if facts.read_only:
        what, why = f"{database} is read-only", "default_transaction_read_only is on"
        cure = (
            f"as an administrator run ALTER DATABASE {identifier(postgres.database)}"
            " RESET default_transaction_read_only, and the same for the role and the server"
        )
        return _about(postgres, "writable").failed(what, why, cure)
    return _about(postgres, "writable").ok(f"{database} can be written")


def _schema(postgres: Postgres, facts: Facts) -> Finding:
    schema, database, user = schema_of(postgres), postgres.database, postgres.user
    where = f"in the schema {schema} of the database {database}"
    role, quoted = identifier(user), identifier(schema)
    if not facts.may_create and facts.acts_as:
        acts_as = _said(postgres, facts.acts_as)
        return _about(postgres, "schema").failed(
            f"{user} acts as the role {acts_as} (SET role), which may not create tables {where}",
            "LiteLLM starts without them and then refuses every virtual key",
            f"as an administrator run {_reset(postgres, facts)}, or give that role the right",
        )
    if not facts.may_create and facts.schema_exists:
        return _about(postgres, "schema").failed(
            f"the role {user} may not create tables {where}",
            "LiteLLM starts without them and then refuses every virtual key",
            "as an administrator run, in that database,"
            f" GRANT USAGE, CREATE ON SCHEMA {quoted} TO {role}",
            _ADMINISTRATOR,
        )
    if not facts.may_create:
        return _about(postgres, "schema").failed(
            f"the database {database} has no schema {schema}, and the role {user} may not make it",
            "LiteLLM's tables belong there",
            "as an administrator run, in that database,"
            f" CREATE SCHEMA {quoted} AUTHORIZATION {role}",
            _ADMINISTRATOR,
        )
    parameter = "schema" in dict(postgres.parameters)
    if facts.schema_exists and not parameter and facts.first_schema != schema:
        return _about(postgres, "schema").warning(
            f"the search_path of {user} leads to the schema"
            f" {_said(postgres, facts.first_schema) or '(none)'}",
            f"LiteLLM reads its tables in {schema} and may make them elsewhere",
            f"as an administrator run ALTER ROLE {role} SET search_path = {quoted}",
        )
    return _about(postgres, "schema").ok(f"the role {user} may create tables {where}")


def _tables(postgres: Postgres, facts: Facts) -> Finding:
    database, user = postgres.database, postgres.user
    if facts.foreign_owner and facts.acts_as:
        owner, acts_as = (_said(postgres, one) for one in (facts.foreign_owner, facts.acts_as))
        return _about(postgres, "tables").failed(
            f"tables of LiteLLM in {database} belong to the role {owner}, and {user} acts as the"
            f" role {acts_as} (SET role), which is no member of it",
            "LiteLLM changes its tables when it is upgraded",
            f"as an administrator run {_reset(postgres, facts)}, or give the tables to the role"
            " that it acts as",
        )
    if facts.foreign_owner:
        owner = _said(postgres, facts.foreign_owner)
        return _about(postgres, "tables").failed(
            f"tables of LiteLLM in {database} belong to the role {owner}, of which {user} is no"
            " member",
            "LiteLLM changes its tables when it is upgraded",
            f"as an administrator make {identifier(user)} a member of that role, or answer it as"
            " PG_USER",
        )
    if facts.foreign_table:
        return _about(postgres, "tables").warning(
            f"the schema {schema_of(postgres)} of {database} holds tables that are not LiteLLM's,"
            f" {_said(postgres, facts.foreign_table)} for one",
            "LiteLLM's migrations want a schema of their own",
            "give LiteLLM a database of its own as PG_DB",
        )
    if not facts.tables:
        return _about(postgres, "tables").ok(f"LiteLLM has no tables in {database} yet")
    what = f"the {facts.tables} tables of LiteLLM in {database} can be changed by {user}"
    return _about(postgres, "tables").ok(what)


def _reset(postgres: Postgres, facts: Facts) -> str:
    """The statement that lets the login act as itself again."""
    role, database = identifier(postgres.user), identifier(postgres.database)
    if facts.set_for == _DATABASE:
        return f"ALTER DATABASE {database} RESET role"
    if not facts.set_for:
        return "ALTER ROLE ALL RESET role"
    place = f" IN DATABASE {database}" if facts.set_for & _DATABASE else ""
    return f"ALTER ROLE {role}{place} RESET role"


def _connections(postgres: Postgres, slots: Slots, pool: Pool) -> Finding:
    gateways = 1 + slots.gateways
    wanted = pool.whole * gateways
    limits = (
        (slots.server_limit, slots.server, "the server", "raise max_connections there"),
        (
            slots.role_limit,
            slots.role,
            f"the role {postgres.user}",
            f"as an administrator run ALTER ROLE {identifier(postgres.user)} CONNECTION LIMIT -1",
        ),
        (
            slots.database_limit,
            slots.database,
            f"the database {postgres.database}",
            "as an administrator run ALTER DATABASE"
            f" {identifier(postgres.database)} CONNECTION LIMIT -1",
        ),
    )
    limited = [limit for limit in limits if limit[0] >= 0]
    # Beside this check, and what this gateway's pool gives back when it is restarted.
    left, what, cure = min(
        (limit - used + slots.mine, what, cure) for limit, used, what, cure in limited
    )
    # Of all that is in use, what is not a gateway's stays.
    room = min(limit - (used - slots.ours) for limit, used, _, _ in limited)
    why = f"{_gateways(gateways)} with {pool.shown} may open {wanted}"
    if left < 1:
        what = f"{what} has no connection left for LiteLLM"
        return _about(postgres, "connections").failed(what, why, cure)
    if room < wanted:
        what = f"{what} has room for {room} connections of LiteLLM"
        each = max(1, room // gateways // pool.workers)
        cure = f"{cure}, or set general_settings.database_connection_pool_limit to {each}"
        if room < gateways * pool.workers and pool.workers > 1:
            cure = f"{cure} and --num_workers to {max(1, room // gateways)}"
        return _about(postgres, "connections").warning(what, why, cure)
    what = f"there is room for {room} connections of LiteLLM; {why}"
    return _about(postgres, "connections").ok(what)


def _gateways(number: int) -> str:
    return "one gateway" if number == 1 else f"{number} gateways"


def _sslmode(postgres: Postgres, litellm: LiteLLM) -> Iterator[Finding]:
    mode = dict(postgres.parameters).get("sslmode")
    if mode is None:
        return
    old = litellm.before(LIBPQ_TLS)
    why = f"libpq's word, which {old} takes for prefer: no certificate is checked"
    if checks_certificate(litellm, mode):
        why = f"libpq's word, for which {litellm} checks a certificate; this check has not"
    yield _about(postgres, "sslmode").warning(
        f"DATABASE_URL says sslmode={said(mode, most=_LONGEST_NAME)}",
        why,
        "answer PG_SSLMODE=verify-full",
    )


def _clock(postgres: Postgres, facts: Facts) -> Finding:
    seconds = round(abs(facts.clock))
    if seconds <= _CLOCK_SECONDS:
        return _about(postgres, "clock").ok(f"the clock of {_place(postgres)} is right")
    side = "ahead of" if facts.clock > 0 else "behind"
    return _about(postgres, "clock").warning(
        f"the clock of {_place(postgres)} is {seconds} s {side} this host's",
        "keys and budgets then end at the wrong time",
        "set the one that is wrong: timedatectl set-ntp true",
    )


def _password(postgres: Postgres, facts: Facts, now: datetime) -> Finding:
    user = postgres.user
    if facts.password_until is None:
        what = f"the password of {user} does not expire"
        return _about(postgres, "password").ok(what)
    until = datetime.fromtimestamp(max(0.0, min(facts.password_until, _LAST_SECOND)), UTC)
    what = f"the password of {user} expires on {until:%Y-%m-%d}"
    if (until - now).days >= _EXPIRY_DAYS:
        return _about(postgres, "password").ok(what)
    return _about(postgres, "password").warning(
        what,
        "LiteLLM can't log in after that",
        f"as an administrator run ALTER ROLE {identifier(user)} VALID UNTIL 'infinity'",
    )
