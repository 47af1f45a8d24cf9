"""Three verbs for many rows at once, on two databases: insert, upsert, select by keys.

SQLite gets statements of many rows: each statement gives up the interpreter's lock once, and with other threads busy
that costs more than the insert. PostgreSQL gets one statement with one binary array a column. The callers are the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table

from accordant.ports.state import ConcurrentChange
from accordant.store.memory_connection import LeanConnection
from accordant.store.packed import Packed, name_of, pack

Row = tuple[Any, ...]


def insert(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert rows; any conflict is an error of the database."""
    if rows:
        execute(connection, _insert(connection.dialect.name, table, columns, ""), rows)


def insert_numbered(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Insert rows that SQLite numbers, in their order and without a gap; the number of the first.

    Only for SQLite, whose one writer cannot be interrupted between two numbers.
    """
    statement, last = _insert(connection.dialect.name, table, columns, ""), 0
    for part in _parts(rows):
        values = tuple(chain.from_iterable(part))
        last = connection.exec_driver_sql(statement.of(len(part)), values).lastrowid
    return last - len(rows) + 1


def insert_new(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Insert the rows whose key is not there yet; how many were."""
    if not rows:
        return 0
    return execute(connection, _insert(connection.dialect.name, table, columns, "ON CONFLICT DO NOTHING"), rows)


def upsert(
    connection: Connection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[Row],
    *,
    only_if_version_follows: bool = False,
    only_where: str = "",
) -> None:
    """Insert rows, or replace those with the same primary key.

    With ``only_if_version_follows`` a row is replaced only by its next version (compare-and-set), with ``only_where``
    only where that holds: a condition in SQL on the table's row and on ``excluded``, the new one.
    Raises: ConcurrentChange when any row could not be replaced.
    """
    if not rows:
        return
    if only_if_version_follows:
        only_where = f'"{table.name}"."version" = excluded."version" - 1'
    statement = _upsert(connection.dialect.name, table, columns, only_where)
    done = execute(connection, statement, rows)
    if done != len(rows):
        raise ConcurrentChange(f"{len(rows) - done} of {len(rows)} rows of {table.name} changed meanwhile.")


def add_to(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row], *, sums: tuple[str, ...]
) -> None:
    """Insert rows, or add their ``sums`` to those of the rows with the same primary key.

    Sorted by their key, two transactions never wait for each other in a ring.
    """
    if rows:
        execute(connection, _add_to(connection.dialect.name, table, columns, sums), rows)


def select_by_keys(
    connection: Connection,
    table: Table,
    columns: tuple[str, ...],
    key: str,
    keys: Iterable[str | int],
    *,
    where: tuple[str, str] | None = None,
) -> list[Row]:
    """The rows whose column ``key`` is one of ``keys``, in no order; ``where`` fixes the first column of an index."""
    wanted = list(keys)
    if not wanted:
        return []
    sql = _select_sql(connection.dialect.name, table, columns, key, where[0] if where else "")
    # One text for any number of keys, so that the statement stays prepared.
    value = (
        msgspec.json.encode(wanted).decode()
        if connection.dialect.name == "sqlite"
        else pack(name_of(table.c[key].type), wanted)
    )
    values = (*where[1:], value) if where else (value,)
    if isinstance(connection, LeanConnection):
        rows: list[Row] = connection.carry_out(sql, values).fetchall()
        return rows
    # All at once: a loop over the result asks the driver for every single row.
    return [tuple(row) for row in connection.exec_driver_sql(sql, values).all()]


@lru_cache(maxsize=256)
def _select_sql(dialect: str, table: Table, columns: tuple[str, ...], key: str, fixed: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    mark = "?" if dialect == "sqlite" else "%s"
    among = (
        "IN (SELECT value FROM json_each(?))" if dialect == "sqlite" else f"= ANY(%b::{name_of(table.c[key].type)}[])"
    )
    condition = f'"{fixed}" = {mark} AND ' if fixed else ""
    return f'SELECT {names} FROM "{table.name}" WHERE {condition}"{key}" {among}'  # noqa: S608  names are our own


#: Rows of one SQLite statement, at most: 256 rows of 23 columns stay far below its 32,766 bound values.
_ROWS_MAX = 256
#: Up to here every number of rows has its own statement, above only powers of two: all stay prepared.
_ROWS_EXACT = 64


def execute(connection: Connection, statement: "Statement", rows: Sequence[Row]) -> int:
    """Carry out a statement for any number of rows; how many rows it touched."""
    if connection.dialect.name != "sqlite":
        return connection.exec_driver_sql(statement.of(1), statement.arrays(rows)).rowcount
    done = 0
    for part in _parts(rows):
        values = tuple(chain.from_iterable(part))
        if isinstance(connection, LeanConnection):
            done += connection.carry_out(statement.of(len(part)), values).rowcount
        else:
            done += connection.exec_driver_sql(statement.of(len(part)), values).rowcount
    return done


def execute_returning(connection: Connection, statement: "Statement", rows: Sequence[Row]) -> list[Row]:
    """Carry out a statement that ends in RETURNING; what it returned, in no order."""
    if connection.dialect.name != "sqlite":
        return [tuple(row) for row in connection.exec_driver_sql(statement.of(1), statement.arrays(rows))]
    returned: list[Row] = []
    for part in _parts(rows):
        values = tuple(chain.from_iterable(part))
        returned += map(tuple, connection.exec_driver_sql(statement.of(len(part)), values))
    return returned


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows cut into the sizes that SQLite statements are kept for."""
    start = 0
    while (left := len(rows) - start) > 0:
        size = left if left <= _ROWS_EXACT else min(_ROWS_MAX, 1 << left.bit_length() - 1)
        yield rows[start : start + size]
        start += size


class Statement:
    """An insert, for any number of rows."""

    def __init__(self, dialect: str, table: Table, columns: tuple[str, ...], suffix: str) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        self._head = f'INSERT INTO "{table.name}" ({names})'
        self._row = f"({', '.join('?' * len(columns))})"
        self._types = tuple(name_of(table.c[name].type) for name in columns)
        self._suffix = suffix
        self._is_sqlite = dialect == "sqlite"
        self._texts: dict[int, str] = {}

    def of(self, size: int) -> str:
        """The text for ``size`` rows; on PostgreSQL one text serves them all."""
        text = self._texts.get(size)
        if text is None:
            # A row alias keeps "INSERT ... SELECT ... ON CONFLICT" unambiguous for PostgreSQL's parser.
            arrays = ", ".join(f"%b::{name}[]" for name in self._types)
            source = f"SELECT * FROM unnest({arrays}) AS fresh"  # noqa: S608  names are our own
            values = f"VALUES {', '.join([self._row] * size)}" if self._is_sqlite else source
            text = self._texts[size] = f"{self._head} {values} {self._suffix}".rstrip()
        return text

    def arrays(self, rows: Sequence[Row]) -> tuple[Packed | list[Any], ...]:
        """The rows as PostgreSQL takes them: an array for each column."""
        return tuple(map(pack, self._types, zip(*rows, strict=True)))


@lru_cache(maxsize=256)
def _insert(dialect: str, table: Table, columns: tuple[str, ...], suffix: str) -> Statement:
    return Statement(dialect, table, columns, suffix)


@lru_cache(maxsize=256)
def _upsert(dialect: str, table: Table, columns: tuple[str, ...], only_where: str) -> Statement:
    key: list[Column[Any]] = list(table.primary_key.columns)
    target = ", ".join(f'"{column.name}"' for column in key)
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in {c.name for c in key})
    guard = f" WHERE {only_where}" if only_where else ""
    return Statement(dialect, table, columns, f"ON CONFLICT ({target}) DO UPDATE SET {updates}{guard}")


@lru_cache(maxsize=256)
def _add_to(dialect: str, table: Table, columns: tuple[str, ...], sums: tuple[str, ...]) -> Statement:
    target = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    updates = ", ".join(f'"{name}" = "{table.name}"."{name}" + excluded."{name}"' for name in sums)
    return Statement(dialect, table, columns, f"ON CONFLICT ({target}) DO UPDATE SET {updates}")
