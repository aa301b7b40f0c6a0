"""A server's answer to a query of ours, taken at nobody's word: as many values, and of such types.

psycopg would read each value as the type that the server says it has.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hx_gateway_db.postgres.login import Connection, Nonsense, execute

_FLAGS = {b"t": True, b"f": False}
_NUMBER = re.compile(rb"-?[0-9]{1,18}")


def row(
    connection: Connection,
    query: str,
    values: Sequence[object] | Mapping[str, object],
    *types: type[str] | type[int] | type[float] | type[bool],
) -> tuple[Any, ...] | None:
    """The first row of the answer, each value of its type or None; None if there is no row.

    Raises Nonsense for an answer of another shape, and psycopg.Error.
    """
    found = rows(connection, query, values, *types)
    return found[0] if found else None


def rows(
    connection: Connection,
    query: str,
    values: Sequence[object] | Mapping[str, object],
    *types: type[str] | type[int] | type[float] | type[bool],
) -> list[tuple[Any, ...]]:
    """All of its rows. Raises as `row`."""
    result = execute(connection, query.encode(), values)
    if result.ntuples and result.nfields != len(types):
        raise Nonsense("it answers with other columns than were asked for")
    return [
        tuple(_value(result.get_value(number, column), kind) for column, kind in enumerate(types))
        for number in range(result.ntuples)
    ]


def _value(data: bytes | None, kind: type) -> Any:
    if data is None:
        return None
    try:
        if kind is bool:
            return _FLAGS[data]
        if kind is str:
            return data.decode()
        if kind is int and _NUMBER.fullmatch(data):
            return int(data)
        if kind is float and math.isfinite(number := float(data)):
            return number
    except (LookupError, ValueError):
        pass
    raise Nonsense(f"it answers with what is no {kind.__name__}")
