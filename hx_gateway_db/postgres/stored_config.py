"""LiteLLM's table LiteLLM_Config: settings that its admin console keeps in the database.

Only the names of keys are read, and the words true and false: values may be secrets, encrypted or
not, and stay where they are.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hx_gateway_db.postgres.check import used
from hx_gateway_db.postgres.replies import row, rows
from hx_gateway_db.postgres.target import identifier, schema_of
from hx_gateway_db.settings.values import Postgres

TABLE = "LiteLLM_Config"
_SECONDS = 4.0
_MOST = 200


@dataclass(frozen=True)
class StoredKey:
    """One key of a row, `section` being the row's param_name; `flag`: a value that is a truth."""

    section: str
    key: str
    flag: bool | None = None


def stored_keys(postgres: Postgres, wanted: Mapping[str, Collection[str]]) -> list[StoredKey]:
    """Which of the keys `wanted`, by section, there are; upper and lower case are told apart.

    None where the table is not there yet. Raises NotUsable.
    """
    schema = schema_of(postgres)
    table = f"{identifier(schema)}.{identifier(TABLE)}".replace("%", "%%")
    there = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = %s"
    query = f"""
        SELECT param_name, key, CASE WHEN value #>> '{{}}' IN ('true', 'True') THEN true
            WHEN value #>> '{{}}' IN ('false', 'False') THEN false END
        FROM {table}, jsonb_each(
            CASE WHEN jsonb_typeof(param_value) = 'object' THEN param_value ELSE '{{}}' END
        ) WHERE value <> 'null' AND param_name || '.' || key = ANY(%s) LIMIT {_MOST}
    """
    names = [f"{section}.{key}" for section, keys in wanted.items() for key in keys]
    with used(postgres, time.monotonic() + _SECONDS) as connection:
        if row(connection, there, [schema, TABLE], int) is None:
            return []
        found = rows(connection, query, [names], str, str, bool)
    known = set(names)
    return [StoredKey(*each) for each in found if f"{each[0]}.{each[1]}" in known]
