"""The process that works on roles and a database as the superuser of this machine's PostgreSQL.

It runs as `postgres`, the user of the operating system, and is told what to do on its stdin.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import psycopg

from hx_gateway_db.errors import Refused
from hx_gateway_db.postgres.login import Connection
from hx_gateway_db.postgres.roles import Wanted, is_ours, make
from hx_gateway_db.postgres.rotation import Opening, close_login, open_login, trio

SUPERUSER = "postgres"
_CONNECT_SECONDS = 6


def serve() -> None:
    """Read a request on stdin, and write its outcome to stdout, both as JSON."""
    request = json.loads(sys.stdin.read())
    try:
        answer = _serve(request)
    except Refused as refusal:
        answer = {"failure": [str(refusal)]}
    json.dump(answer, sys.stdout)


def _serve(request: dict[str, Any]) -> dict[str, list[str]]:
    port = int(request["port"])
    place = f"PostgreSQL on port {port} of this machine"

    def connect(database: str) -> Connection:
        try:
            return psycopg.connect(
                dbname=database,
                user=SUPERUSER,
                port=port,
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
            )
        except psycopg.OperationalError:
            raise Refused(
                no_server(port)
                if database == SUPERUSER
                else f"{place} does not let its superuser into the database {database}."
            ) from None

    if "wanted" not in request:
        return _rotate(request, connect, place)
    with connect("postgres") as connection:
        wanted = Wanted(**request["wanted"])
        done = list(make(connection, wanted, connect, place))
        ours = [wanted.database] if is_ours(connection, wanted.database, place) else []
        return {"done": done, "ours": ours}


def _rotate(
    request: dict[str, Any], connect: Callable[[str], Connection], place: str
) -> dict[str, list[str]]:
    with connect(request["database"]) as connection:
        if "opening" in request:
            return {"done": list(open_login(connection, Opening(**request["opening"]), place))}
        if "closed" in request:
            return {"left": close_login(connection, request["closed"], place)}
        roles = trio(connection, request["user"], place)
        return {"roles": [roles.new]}


def no_server(port: object) -> str:
    """What is said where this machine has no such server."""
    return (
        f"no PostgreSQL server of this machine answers on port {port}: install it with"
        " 'apt install postgresql', or choose an existing database."
    )
