"""Two logins by turns for one owner, so that a password can change while sessions of it live.

One role owns what LiteLLM has and can't log in; two are its members and act as it from the first
moment of a session (ALTER ROLE ... SET role). The login that is there in the beginning becomes the
owner by another name, and gets a member with its old name and password in the same transaction:
no table is touched, and who runs or logs in meanwhile notices nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from psycopg import sql as quoting

from hx_gateway_db.errors import Refused
from hx_gateway_db.postgres.login import Connection
from hx_gateway_db.postgres.roles import MADE_BY
from hx_gateway_db.postgres.session import Session
from hx_gateway_db.postgres.target import identifier
from hx_gateway_db.redaction import said

_OWNER, _SECOND = "_owner", "_b"
# NAMEDATALEN - 1, and what we add to a name.
_LONGEST = 63 - len(_OWNER)
_NAMED_AT_MOST = 5
_NAME_CHARACTERS = 63


@dataclass(frozen=True)
class Trio:
    """The role that owns, and the logins; `converted`: the owner is there, and owns."""

    owner: str
    old: str
    new: str
    converted: bool


@dataclass(frozen=True)
class Opening:
    """A login that is to be opened beside the one in use, and what they are checked against.

    `known`: we opened it ourselves in an earlier run. `alone`: no other gateway can have.
    """

    user: str
    verifier: str = field(repr=False)
    new_verifier: str = field(repr=False)
    known: str = ""
    alone: bool = False


# What a login acts as from its first moment, in this database or in all.
_ACTS_AS = """
SELECT substr(setting, 6) FROM pg_db_role_setting, unnest(setconfig) AS setting
WHERE setting LIKE 'role=%%' AND setrole = (SELECT oid FROM pg_roles WHERE rolname = %s)
AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY setdatabase DESC LIMIT 1
"""
_ROLE = """
SELECT rolsuper, rolcanlogin,
    coalesce(shobj_description(oid, 'pg_authid') = %s, false)
FROM pg_roles WHERE rolname = %s
"""
_IS_MEMBER = "SELECT pg_has_role(%s, %s, 'MEMBER')"
# Who has logged in as one of these, from where and with what; the server tells that to some only.
_SESSIONS = """
SELECT coalesce(host(client_addr), ''), coalesce(application_name, ''), count(*)
FROM pg_stat_activity WHERE usesysid IN (SELECT oid FROM pg_roles WHERE rolname = ANY(%s))
AND pid <> pg_backend_pid()
GROUP BY 1, 2 ORDER BY 3 DESC
"""
_SETTINGS = """
SELECT coalesce((SELECT datname FROM pg_database WHERE oid = setdatabase), ''),
    split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
FROM pg_db_role_setting, unnest(setconfig) AS setting
WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = %s)
AND split_part(setting, '=', 1) NOT IN ('role', 'session_authorization')
"""
_LIMIT = "SELECT rolconnlimit FROM pg_roles WHERE rolname = %s"
# What it owns in this database, or in all (0): what was made by a session that did not act as the
# owner, as one that PgBouncer has reset (DISCARD ALL).
_OWNS = """
SELECT 1 FROM pg_shdepend
WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) LIMIT 1
"""
# One rotation at a time, whichever gateway it is started on.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(7236219)::text"


def trio(connection: Connection, user: str, place: str) -> Trio:
    """The roles of a rotation in which `user` logs in now. Raises Refused."""
    return _trio(Session(connection, place), user)


def open_login(connection: Connection, opening: Opening, place: str) -> Iterator[str]:
    """Let the other login in beside the one in use; what was done comes in clauses.

    All or nothing; the login in use is left as it is. Raises Refused.
    """
    session = Session(connection, place)
    what = f"let another role log in for {opening.user}"
    session.require_scram(what)
    with session.transaction(what):
        session.value(str, _ONE_AT_A_TIME)
        roles = _trio(session, opening.user)
        _refuse_used(session, roles, opening)
        verifiers = (opening.verifier, opening.new_verifier)
        for purpose, statement in _opening(session, roles, *verifiers):
            session.do(purpose, statement)
    if not roles.converted:
        yield f"made {roles.owner} of the role {roles.old}, and {roles.old} a login of it"
    yield f"let the role {roles.new} log in, which acts as {roles.owner}"


def opening_statements(connection: Connection, opening: Opening, place: str) -> list[str]:
    """The same as statements for an administrator; without a new verifier, without a password."""
    session = Session(connection, place)
    session.require_scram("rotate logins")
    roles = _trio(session, opening.user)
    _refuse_used(session, roles, opening)
    found = _opening(session, roles, opening.verifier, opening.new_verifier)
    return [session.text(statement) for _, statement in found]


def close_login(connection: Connection, closed: str, place: str) -> list[str]:
    """Let a login in no more, if no session of it is left; otherwise who has one, in clauses.

    Raises Refused.
    """
    session = Session(connection, place)
    if _role(session, closed) is None:
        return []
    try:
        with session.transaction(f"close the login {closed}"):
            _close(session, closed)
    except _Held as held:
        return held.holders
    return []


class _Held(Exception):
    """Sessions are left; nothing of what was begun remains."""

    def __init__(self, holders: list[str]) -> None:
        super().__init__(", ".join(holders))
        self.holders = holders


def holders(session: Session, roles: Sequence[str]) -> list[str]:
    """Who has a session of one of these roles, in clauses."""
    found = session.rows(_SESSIONS, [list(roles)], str, str, int)
    named = [_named(*one) for one in found[:_NAMED_AT_MOST]]
    rest = sum(number for _, _, number in found[_NAMED_AT_MOST:])
    return [*named, *([f"{rest} more"] if rest else [])]


def _named(address: str, program: str, number: int) -> str:
    sessions = "one session" if number == 1 else f"{number} sessions"
    where = f" from {said(address, most=_NAME_CHARACTERS)}" if address else ""
    what = f" ({said(program, most=_NAME_CHARACTERS)})" if program else ""
    return f"{sessions}{where}{what}"


def _trio(session: Session, user: str) -> Trio:
    if len(user.encode()) > _LONGEST:
        raise Refused(
            f"the role {user} has a name of more than {_LONGEST} bytes, to which no other can be"
            " made: answer one with a shorter name as PG_USER."
        )
    there = _role(session, user)
    if there is None:
        raise Refused(f"{session.place} has no role {user}: run 'hx-gateway-db check'.")
    if there[0]:
        raise Refused(
            f"the role {user} is a superuser, and no gateway should be: give LiteLLM a role of its"
            " own as PG_USER, then rotate that."
        )
    owner = session.value(str, _ACTS_AS, user)
    if owner and session.value(bool, _IS_MEMBER, user, owner):
        base = owner.removesuffix(_OWNER)
        new = base if user == f"{base}{_SECOND}" else f"{user}{_SECOND}"
        return Trio(owner, user, new, converted=True)
    if owner:
        raise Refused(
            f"the role {user} acts as {said(owner, most=_NAME_CHARACTERS)} (SET role), of which it"
            " is no member: run 'hx-gateway-db check'."
        )
    owner = f"{user}{_OWNER}"
    if _role(session, owner):
        raise _in_the_way(session, owner)
    return Trio(owner, user, f"{user}{_SECOND}", converted=False)


def _role(session: Session, name: str) -> tuple[bool, bool, bool] | None:
    """Whether a role is a superuser, can log in, and is of our making; None without it."""
    found = session.rows(_ROLE, [MADE_BY, name], bool, bool, bool)
    return (found[0][0], found[0][1], found[0][2]) if found else None


def _in_the_way(session: Session, name: str) -> Refused:
    return Refused(
        f"{session.place} has a role {name} already, which is not of our making, and a rotation"
        " needs that name: rename it there, or give LiteLLM a role with another name as PG_USER."
    )


_Statements = Iterator[tuple[str, quoting.Composed]]


def _opening(session: Session, roles: Trio, verifier: str, new_verifier: str) -> _Statements:
    """What opens the other login, each statement with what it is for, in a clause."""
    like = session.rows(_SETTINGS, [roles.old], str, str, str)
    limit = session.value(int, _LIMIT, roles.old)
    if not roles.converted:
        what = f"make {roles.owner} of the role {roles.old}"
        user, owner = quoting.Identifier(roles.old), quoting.Identifier(roles.owner)
        yield what, quoting.SQL("ALTER ROLE {} RENAME TO {}").format(user, owner)
        yield from _made(what, roles.old, roles.owner, verifier)
        yield from _as_before(what, roles, roles.old, like, limit)
        yield what, quoting.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(owner)
    new = quoting.Identifier(roles.new)
    what = f"let the role {roles.new} log in"
    if _role(session, roles.new) is None:
        yield from _made(what, roles.new, roles.owner, new_verifier)
    else:
        secret = quoting.SQL(" PASSWORD {}").format(quoting.Literal(new_verifier))
        yield (
            what,
            quoting.SQL("ALTER ROLE {} LOGIN{} VALID UNTIL 'infinity'").format(
                new, secret if new_verifier else quoting.SQL("")
            ),
        )
        yield what, quoting.SQL("ALTER ROLE {} RESET ALL").format(new)
    yield from _as_before(what, roles, roles.new, like, limit)


def _made(what: str, login: str, owner: str, verifier: str) -> _Statements:
    role = quoting.Identifier(login)
    secret = quoting.SQL(" PASSWORD {}").format(quoting.Literal(verifier))
    made = quoting.SQL("CREATE ROLE {} LOGIN{}").format(
        role, secret if verifier else quoting.SQL("")
    )
    yield what, made
    yield what, quoting.SQL("COMMENT ON ROLE {} IS {}").format(role, quoting.Literal(MADE_BY))
    yield what, quoting.SQL("GRANT {} TO {}").format(quoting.Identifier(owner), role)


def _as_before(
    what: str, roles: Trio, login: str, settings: list[tuple[str, str, str]], limit: int
) -> _Statements:
    """A login with the settings and the limit of the one in use, which acts as the owner."""
    role = quoting.Identifier(login)
    for database, name, value in settings:
        shown = said(name, most=_NAME_CHARACTERS)
        purpose = f"let the role {login} have the setting {shown} of {roles.old}"
        # As the session has it: the server alone knows which values are lists.
        setting = quoting.Literal(name), quoting.Literal(value)
        yield purpose, quoting.SQL("SELECT set_config({}, {}, true)").format(*setting)
        place = quoting.SQL(" IN DATABASE {}").format(quoting.Identifier(database))
        parameter = quoting.Identifier(*name.split("."))
        yield (
            purpose,
            quoting.SQL("ALTER ROLE {}{} SET {} FROM CURRENT").format(
                role, place if database else quoting.SQL(""), parameter
            ),
        )
        yield purpose, quoting.SQL("SET LOCAL {} TO DEFAULT").format(parameter)
    limited = quoting.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
    yield what, limited.format(role, quoting.Literal(limit))
    acting = quoting.SQL("ALTER ROLE {} SET role = {}")
    yield what, acting.format(role, quoting.Identifier(roles.owner))


def _refuse_used(session: Session, roles: Trio, opening: Opening) -> None:
    """Leave a login alone that is not ours, or that somebody uses. Raises Refused."""
    new = roles.new
    there = _role(session, new)
    if there is None:
        return
    if not there[2] or not roles.converted or not session.value(bool, _IS_MEMBER, new, roles.owner):
        raise _in_the_way(session, new)
    if left := holders(session, [new]):
        raise Refused(
            f"the role {new} is in use already, by {', '.join(left)}: answer it as PG_USER, with"
            " its password, to 'hx-gateway-db apply' on this host as well, or end them."
        )
    if there[1] and new != opening.known and not opening.alone:
        raise Refused(
            f"the role {new} can log in already, and not by a rotation that began on this host: if"
            " another gateway changes to it, answer it as PG_USER, with its password, to"
            " 'hx-gateway-db apply' here as well; otherwise run, as an administrator,"
            f" ALTER ROLE {identifier(new)} NOLOGIN."
        )


@dataclass(frozen=True)
class Seen:
    """What a login sees of a rotation: whether one of the logins is open, and who has sessions.

    `owns`: it owns what the owner should.
    """

    opened: bool
    owner: str
    owns: bool
    holders: tuple[str, ...]


def seen(connection: Connection, login: str, place: str) -> Seen:
    """What is to be seen of a login, with any other. Raises Refused."""
    session = Session(connection, place)
    there = _role(session, login)
    if there is None:
        return Seen(False, "", False, ())
    owner = session.value(str, _ACTS_AS, login) or ""
    owns = bool(owner and session.value(int, _OWNS, login))
    return Seen(there[1], owner, owns, tuple(holders(session, [login, owner])))


def _hand_over(session: Session, what: str, login: str, owner: str) -> None:
    names = quoting.Identifier(login), quoting.Identifier(owner)
    with session.acting_as(owner), session.acting_as(login):
        session.run(what, "REASSIGN OWNED BY {} TO {}", *names)


def _close(session: Session, closed: str) -> None:
    what = f"close the login {closed}"
    owner = session.value(str, _ACTS_AS, closed) or ""
    # First, so that nobody comes in between; others see it at the end only.
    session.run(what, "ALTER ROLE {} NOLOGIN PASSWORD NULL", quoting.Identifier(closed))
    if owner and session.value(int, _OWNS, closed):
        _hand_over(session, what, closed, owner)
    # Sessions from before the first rotation are those of what is the owner since.
    if left := holders(session, [closed, owner]):
        raise _Held(left)
