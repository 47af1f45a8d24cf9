"""Three verbs for many rows at once, on two databases: insert, upsert, select by keys.

SQLite runs a prepared statement a row inside its process; PostgreSQL gets one statement with one array a column. Both
are an order of magnitude quicker than row-wise statements, and the callers are the same on either.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, LargeBinary, Table, Text
from sqlalchemy.sql.type_api import TypeEngine

from accordant.kernel.errors import TransientError

Row = tuple[Any, ...]


class ConcurrentChange(TransientError):
    """Somebody else changed a row since it was read: the batch is read and decided again."""


def insert(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert rows; any conflict is an error of the database."""
    if rows:
        _execute(connection, _insert_sql(connection.dialect.name, table, columns, ""), columns, rows)


def insert_new(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Insert the rows whose key is not there yet; how many were."""
    if not rows:
        return 0
    return _execute(
        connection, _insert_sql(connection.dialect.name, table, columns, "ON CONFLICT DO NOTHING"), columns, rows
    )


def upsert(
    connection: Connection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[Row],
    *,
    only_if_version_follows: bool = False,
) -> None:
    """Insert rows, or replace those with the same primary key.

    With ``only_if_version_follows`` a row is replaced only by its next version (compare-and-set).
    Raises: ConcurrentChange when any row was not at the version before.
    """
    if not rows:
        return
    done = _execute(
        connection,
        _upsert_sql(connection.dialect.name, table, columns, only_next=only_if_version_follows),
        columns,
        rows,
    )
    if done != len(rows):
        raise ConcurrentChange(f"{len(rows) - done} of {len(rows)} rows of {table.name} changed meanwhile.")


def select_by_keys(
    connection: Connection, table: Table, columns: tuple[str, ...], key: str, keys: Iterable[str | int]
) -> list[Row]:
    """The rows whose column ``key`` is one of ``keys``, in no order."""
    wanted = list(keys)
    if not wanted:
        return []
    names = ", ".join(f'"{name}"' for name in columns)
    if connection.dialect.name == "sqlite":
        marks = ",".join("?" * len(wanted)) if len(wanted) <= _SQLITE_PARAMETERS else None
        if marks is None:
            half = len(wanted) // 2
            return select_by_keys(connection, table, columns, key, wanted[:half]) + select_by_keys(
                connection, table, columns, key, wanted[half:]
            )
        sql = f'SELECT {names} FROM "{table.name}" WHERE "{key}" IN ({marks})'  # noqa: S608  names are our own
        return [tuple(row) for row in connection.exec_driver_sql(sql, tuple(wanted))]
    array = _array_type(table.c[key].type)
    sql = f'SELECT {names} FROM "{table.name}" WHERE "{key}" = ANY(%s::{array})'  # noqa: S608
    return [tuple(row) for row in connection.exec_driver_sql(sql, (wanted,))]


# SQLite's default limit on bound values is 32,766 since 3.32; stay well below.
_SQLITE_PARAMETERS = 16_000


def _execute(connection: Connection, sql: str, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    if connection.dialect.name == "sqlite":
        return connection.exec_driver_sql(sql, list(rows)).rowcount
    arrays = tuple([row[index] for row in rows] for index in range(len(columns)))
    return connection.exec_driver_sql(sql, arrays).rowcount


@lru_cache(maxsize=256)
def _insert_sql(dialect: str, table: Table, columns: tuple[str, ...], suffix: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    if dialect == "sqlite":
        values = f"VALUES ({', '.join('?' * len(columns))})"
    else:
        values = f"SELECT * FROM unnest({', '.join(f'%s::{_array_type(table.c[name].type)}' for name in columns)})"
        # A row alias keeps "INSERT ... SELECT ... ON CONFLICT" unambiguous for the parser.
        values += " AS fresh" if suffix else ""
    return f'INSERT INTO "{table.name}" ({names}) {values} {suffix}'.rstrip()


@lru_cache(maxsize=256)
def _upsert_sql(dialect: str, table: Table, columns: tuple[str, ...], *, only_next: bool) -> str:
    key: list[Column[Any]] = list(table.primary_key.columns)
    target = ", ".join(f'"{column.name}"' for column in key)
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in {c.name for c in key})
    guard = f' WHERE "{table.name}"."version" = excluded."version" - 1' if only_next else ""
    return _insert_sql(dialect, table, columns, f"ON CONFLICT ({target}) DO UPDATE SET {updates}{guard}")


def _array_type(column_type: TypeEngine[Any]) -> str:
    match column_type:
        case BigInteger():
            return "bigint[]"
        case Integer():
            return "integer[]"
        case Text():
            return "text[]"
        case LargeBinary():
            return "bytea[]"
        case Boolean():
            return "boolean[]"
        case _:
            raise TypeError(f"no array type for {column_type!r}")
