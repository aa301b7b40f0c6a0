"""What LiteLLM needs on the servers, made by whoever administers them: this machine's own servers
as root can, others with an administrator's login; or the commands for an administrator."""

import math
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from hx_gateway_db.errors import Refused
from hx_gateway_db.findings import Cure, Finding, Subject
from hx_gateway_db.host.host import Host, read_host
from hx_gateway_db.progress import Progress
from hx_gateway_db.settings.answers import administrators, database_choice
from hx_gateway_db.settings.catalogue import LOCAL_HOST
from hx_gateway_db.settings.values import REDIS_USER, Redis, Settings
from hx_gateway_db.wiring.made import Made, Remember

_CONNECT_SECONDS = 5.0


def provision(
    settings: Settings,
    given: Mapping[str, str],
    host: Host,
    progress: Progress,
    remember: Remember,
) -> tuple[Made, tuple[Finding, ...]]:
    """Make what the answers ask for: `DATABASE=local`, or an administrator's login to a server.

    What is there already is used; what of it is our own on this machine goes to `remember` at
    once. What an administrator's login failed at is among the findings, beside which those of the
    checks stand. Raises Refused with the reason for anything else.
    """
    made, failed = Made(), []
    if database_choice(given) == "local" or _written_elsewhere(given, host):
        made = _locally(settings, host, progress, remember)
    logins = administrators(given)
    if login := logins.get("postgres"):
        from hx_gateway_db.postgres import administration as postgres_administration

        try:
            for sentence in postgres_administration.provision_as(settings.postgres, login):
                progress.say(f"{sentence[0].upper()}{sentence[1:]}.")
        except Refused as refusal:
            failed.append(_failed("postgres", refusal))
    if settings.redis and (login := logins.get("redis")):
        from hx_gateway_db.redis import administration as redis_administration

        try:
            provisioned = redis_administration.provision_as(settings.redis, login, ours=False)
            for sentence in provisioned.done:
                progress.say(sentence)
        except Refused as refusal:
            failed.append(_failed("redis", refusal))
    return made, tuple(failed)


def _failed(server: str, refusal: Refused) -> Finding:
    prefix = "PG" if server == "postgres" else "REDIS"
    answers = (f"{prefix}_ADMIN_USER", f"{prefix}_ADMIN_PASS")
    about = Subject(f"{server}.administrator", "the administrator's login", answers)
    return about.failed(refusal.what, cure=refusal.cure, by=Cure(server))


def server_here(settings: Settings) -> bool:
    """Whether a PostgreSQL server of this machine answers on its socket, where root makes roles."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_CONNECT_SECONDS)
        # libpq's own choice on Debian.
        path = f"/var/run/postgresql/.s.PGSQL.{settings.postgres.port}"
        return connection.connect_ex(path) == 0


def commands(settings: Settings) -> str:
    """What an administrator of the servers has to run; it fits any version of them."""
    from hx_gateway_db.postgres.script import sql

    text = sql(settings.postgres, None)
    if settings.redis is None or not settings.redis.user:
        return text
    from hx_gateway_db.redis import administration as redis_administration

    return f"{text}\n{redis_administration.acl_commands(settings.redis, '')}"


def restore_local_redis(host: Host) -> None:
    """Make the local Redis user again, which Redis forgets when it ends. Raises Refused."""
    from hx_gateway_db.redis import administration as redis_administration

    if host.distrusted:
        raise Refused(host.problem)
    redis = host.settings.redis if host.settings else None
    if redis is None or not made_before(host, redis):
        raise Refused("no user of this machine's Redis was made for the gateway.")
    redis_administration.provision_local(redis, ours=True)


def only_present_password(made: Made, settings: Settings, before: Host) -> None:
    """After a change, take the password away that the local Redis user has besides today's."""
    redis = settings.redis
    if not made.redis_user or redis is None:
        return
    with suppress(Refused):
        now = read_host(before.layout.root)
        # A unit that could not be restarted uses the one of before.
        if now.settings is None or now.settings.redis is None or (now.state and now.state.restart):
            return
        passwords = {redis.password, _password_before(before, redis)} - {""}
        if now.settings.redis.password not in passwords:
            return
        from hx_gateway_db.redis.rotation import Administered, hash_of

        for other in passwords - {now.settings.redis.password}:
            Administered(redis).close(hash_of(replace(redis, password=other)), math.inf)


def login_as_before(
    settings: Settings, given: Mapping[str, str], before: Host, progress: Progress
) -> None:
    """After a change that did not come to be, let the gateway log in to PostgreSQL as it did.

    Where the change gave its role another password, that has the one of `before` again.
    """
    present = before.settings.postgres if before.settings else None
    wanted = settings.postgres
    if present is None or present.password == wanted.password:
        return
    if (present.host, present.port, present.user) != (wanted.host, wanted.port, wanted.user):
        return
    from hx_gateway_db.postgres import administration as postgres_administration

    login = administrators(given).get("postgres")
    with suppress(Refused):  # it was not let change anything before either
        if database_choice(given) == "local" or _written_elsewhere(given, before):
            postgres_administration.provision(present)
        elif login:
            for sentence in postgres_administration.provision_as(present, login):
                progress.say(f"As before: {sentence}.")


def local_login_as_wired(host: Host) -> None:
    """Let a gateway log in that has a database of our own on this machine, after a run was killed.

    That may have given the role another password already.
    """
    settings, state = host.settings, host.state
    if settings is None or state is None or settings.postgres.host != LOCAL_HOST:
        return
    if state.local_database == settings.postgres.database and server_here(settings):
        from hx_gateway_db.postgres import administration as postgres_administration

        with suppress(Refused):
            postgres_administration.provision(settings.postgres)


def _password_before(host: Host, redis: Redis) -> str:
    """The password of a user that was made before, with which the gateway may log in now."""
    present = host.settings.redis if host.settings and made_before(host, redis) else None
    return present.password if present and present.user == redis.user else ""


def is_ours(redis: Redis) -> bool:
    """Whether a login is that of the user which `DATABASE=local` makes on this machine."""
    return redis.host == LOCAL_HOST and redis.user == REDIS_USER


def remembered(redis: Redis) -> str:
    """How the state file names a user of this machine's Redis."""
    return f"{redis.user} {redis.port}"


def _locally(settings: Settings, host: Host, progress: Progress, remember: Remember) -> Made:
    from hx_gateway_db.postgres import administration as postgres_administration

    database, port = settings.postgres.database, str(settings.postgres.port)
    progress.say(f"Making the role and database {database}.")
    # One that was there already is somebody else's, whatever is in it.
    ours = postgres_administration.provision(settings.postgres).ours
    made = Made(database, port) if ours else Made()
    remember(made)
    redis = settings.redis
    if redis is None or not is_ours(redis):
        return made
    from hx_gateway_db.redis import administration as redis_administration

    progress.say(f"Making the Redis user {redis.user}.")
    before = made_before(host, redis)
    # The gateway goes on with today's password until it has been led to the new one.
    present = _password_before(host, redis)
    if not redis_administration.provision_local(redis, ours=before, present=present).ours:
        return made
    made = replace(made, redis_user=remembered(redis))
    remember(made)
    return replace(made, redis_unit=redis_administration.persistence(redis).unit)


def _written_elsewhere(given: Mapping[str, str], host: Host) -> bool:
    """Whether a run without systemd wrote files for a database of this machine, as in a chroot.

    The server that it was made on need not be this one.
    """
    waits = host.state is not None and host.state.restart != ()
    return waits and not given and host.answers.get("DATABASE") == "local"


def made_before(host: Host, redis: Redis) -> bool:
    return host.state is not None and host.state.redis_user == remembered(redis)
