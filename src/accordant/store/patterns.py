"""Described error patterns on SQL; who described them stands in the trail."""

from sqlalchemy import Connection, select

from accordant.canonical.error_patterns import KnownPattern
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.audit import AuditEntry
from accordant.ports.patterns import NameTaken
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.schema_recovery import error_pattern

_COLUMNS = ("key", "text", "name", "remedy", "named_by", "named_at")


class SqlPatternBook:
    """`ports.patterns.PatternBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self) -> dict[str, KnownPattern]:
        """See the port."""
        with self._database.read() as connection:
            return read_patterns(connection)

    def describe(self, pattern: KnownPattern, *, entry: AuditEntry) -> None:
        """See the port."""
        row = (pattern.key, pattern.text, pattern.name, pattern.remedy, pattern.named_by, to_micros(pattern.named_at))
        with self._database.write() as connection:
            taken = select(error_pattern.c.key).where(
                error_pattern.c.name == pattern.name, error_pattern.c.key != pattern.key
            )
            if connection.execute(taken).first() is not None:
                raise NameTaken(f"Another error pattern is called {pattern.name!r}.")
            bulk.upsert(connection, error_pattern, _COLUMNS, [row])
            audit.append(connection, [entry], now=entry.at)


def read_patterns(connection: Connection) -> dict[str, KnownPattern]:
    """Every described pattern, by key."""
    rows = connection.execute(select(*(error_pattern.c[name] for name in _COLUMNS)))
    return {
        row.key: KnownPattern(
            key=row.key,
            text=row.text,
            name=row.name,
            remedy=row.remedy,
            named_by=row.named_by,
            named_at=from_micros(row.named_at),
        )
        for row in rows
    }
