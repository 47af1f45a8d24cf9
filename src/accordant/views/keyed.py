"""Reading rows by many keys at once, so that a page asks a fixed number of questions however long it is."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

#: A row of a query whose columns the caller names.
AnyRow = Row[*tuple[Any, ...]]
#: Keys in one statement: far below SQLite's limit on bound values, and short enough to be planned quickly.
KEYS_MAX = 500


def rows_by_key(
    connection: Connection, columns: tuple[ColumnElement[Any], ...], key: ColumnElement[Any], keys: Iterable[str | int]
) -> list[AnyRow]:
    """The rows whose ``key`` is one of ``keys``, in no order; each key once."""
    wanted = sorted(set(keys))
    found: list[AnyRow] = []
    for start in range(0, len(wanted), KEYS_MAX):
        found.extend(connection.execute(select(*columns).where(key.in_(wanted[start : start + KEYS_MAX]))))
    return found
