"""The last day for which everything was decided: some facts change with the calendar alone, without any event."""

from datetime import date, datetime

from sqlalchemy import select

from accordant.kernel.clock import to_micros
from accordant.store import bulk
from accordant.store.engine import Database
from accordant.store.guard import bookkeeping
from accordant.store.schema import hub_fact

_PLANNED_ON = "everything decided for the day"
_NO_DAY = "none"
_DAY = select(hub_fact.c.value).where(hub_fact.c.name == _PLANNED_ON)


class Calendar:
    """Remembers one day."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def planned_on(self) -> date | None:
        """The day, or None before the first."""
        with self._database.read() as connection:
            value = connection.execute(_DAY).scalar()
        return None if value in {None, _NO_DAY} else date.fromisoformat(value)

    def open(self, *, now: datetime) -> None:
        """Deciding begins: whoever comes after a crash in the middle of it finds no day."""
        with self._database.write() as connection, bookkeeping(connection):
            bulk.upsert(connection, hub_fact, ("name", "value", "updated_at"), [(_PLANNED_ON, _NO_DAY, to_micros(now))])

    def mark(self, day: date, *, now: datetime) -> None:
        """Everything is decided for ``day``."""
        row = (_PLANNED_ON, day.isoformat(), to_micros(now))
        with self._database.write() as connection, bookkeeping(connection):
            bulk.upsert(connection, hub_fact, ("name", "value", "updated_at"), [row])
